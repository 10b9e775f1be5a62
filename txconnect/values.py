"""
The vocabulary: the frozen values that plugins, fronts and relays exchange.

A plugin needs this module and L{txconnect.interfaces}, and nothing above.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, Union

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IStreamClientEndpoint

from txconnect.wire.answerfields import Fields, checkAnswer, checkedFields
from txconnect.wire.attempted import Attempted
from txconnect.wire.authority import Authority, BadAuthority, IPAddress
from txconnect.wire.refusals import Cause

if TYPE_CHECKING:
    from OpenSSL.crypto import X509

__all__ = [
    "Allow",
    "Answer",
    "Attempted",
    "AuthAttempt",
    "Authority",
    "BadAuthority",
    "Cause",
    "ChallengeReason",
    "Closed",
    "Request",
    "Decision",
    "Deny",
    "Direction",
    "Event",
    "IPAddress",
    "Identity",
    "MaybeAsync",
    "Named",
    "Reached",
    "Route",
    "TapVerdict",
    "TunnelClosed",
    "TunnelEnded",
    "TunnelEstablished",
    "TunnelInfo",
    "TunnelRefused",
]

_T = TypeVar("_T")

MaybeAsync = Union[_T, "Deferred[_T]", "Coroutine[Any, Any, _T]"]
"""The result of a hook: the answer itself, a Deferred, or a coroutine."""


def _checkGroups(identity: object, field: object, groups: object) -> None:
    if isinstance(groups, str | bytes):
        raise TypeError("an Identity's groups are several: write ('staff',)")


@attrs.frozen
class Identity:
    """
    The authenticated user of a request.

    @ivar user: the authenticated name, never empty by accident: an anonymous
        avatar of C{twisted.cred} never becomes an L{Identity}.
    @ivar source: the origin of the name: the checker's name, or
        C{"certificate"}.
    @ivar groups: the groups that the checker knows the user to be in.
    @raise TypeError: C{groups} is a text, in which every part of a name is found.
    """

    user: str
    source: str
    groups: tuple[str, ...] = attrs.field(default=(), validator=_checkGroups)


@attrs.frozen
class Request:
    """
    One request, as policies, routers and observers see it.

    @ivar authority: the destination that the client asked for.
    @ivar headers: the fields, C{((lower-case name, value), ...)} in bytes, in
        order, without C{Proxy-Authorization}.
    @ivar httpVersion: C{"1.0"} or C{"1.1"}.
    @ivar client: the address from which the client's connection comes.
    @ivar server: the address of this proxy to which it came.
    @ivar identity: the authenticated user; L{None} where nothing authenticates.
    @ivar certificate: the client's verified certificate, or L{None}.
    @ivar id: short and unique over workers and restarts; the client and the
        log see the same.
    @ivar kind: the kind of traffic to be carried: C{"tcp"} for a tunnel; C{"own"} for
        a request to the proxy itself, of which nothing is carried, and whose
        authority is the proxy's own.
    @ivar method: the request's method, such as C{"CONNECT"}.
    @ivar connection: the id of the first request on the client's connection: the
        same for all the requests that came on it.
    @ivar target: of a request to the proxy itself the path that was asked for, with
        its query, or C{"*"}; else empty.
    """

    authority: Authority
    headers: tuple[tuple[bytes, bytes], ...] = ()
    httpVersion: str = "1.1"
    client: IAddress | None = None
    server: IAddress | None = None
    identity: Identity | None = None
    certificate: X509 | None = None
    id: str = ""
    kind: str = "tcp"
    method: str = "CONNECT"
    connection: str = ""
    target: str = ""
    _state: dict[object, Any] | None = attrs.field(default=None, eq=False, repr=False)

    @property
    def state(self) -> dict[object, Any]:
        """
        The mapping of one request, through which plugins hand values on to
        others, or to themselves at a later step.  Use a private key.
        """
        if self._state is None:
            # Most requests never need one, and this value is frozen: made late.
            object.__setattr__(self, "_state", {})
        return self._state  # type: ignore[return-value]

    def withIdentity(self, identity: Identity) -> Request:
        """Return the same request with its user; called by the proxy."""
        # As attrs.evolve() would, which looks all fields up: a quarter of what a
        # password costs that was right before.
        return Request(
            self.authority,
            self.headers,
            self.httpVersion,
            self.client,
            self.server,
            identity,
            self.certificate,
            self.id,
            self.kind,
            self.method,
            self.connection,
            self.target,
            self._state,
        )

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a field (C{name} in lower case), or L{None}."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class ChallengeReason(Enum):
    """The reason for a 407, for L{IAuthScheme.challenge}."""

    MISSING = "missing"
    BAD = "bad"
    STALE = "stale"


@attrs.frozen
class AuthAttempt:
    """
    The credentials that an authentication scheme reads.

    @ivar parameters: the part of C{Proxy-Authorization} after the scheme's
        name, without white space at its ends.  A secret: never logged.
    @ivar request: the request, not yet with an identity.
    """

    parameters: bytes = attrs.field(repr=False)
    request: Request


@attrs.frozen
class Allow:
    """
    A policy lets the request, or the address, pass.

    @ivar reason: the reason, for the log; may be empty.
    """

    reason: str = ""


@attrs.frozen
class Deny:
    """
    A policy refuses.

    @ivar reason: the reason, in the operator's words.  The log always has it;
        the client only where the operator lets it out (C{--errors full}).
    @ivar cause: the row of the refusals table that the client is shown.
    """

    reason: str
    cause: Cause = Cause.POLICY


Decision = Union[Allow, Deny]


class ConnectsClients(Protocol):
    """
    An object with the method of C{IStreamClientEndpoint}, for type checkers that know
    nothing of zope.interface.
    """

    def connect(self, protocolFactory: Any, /) -> Deferred[Any]:
        """See C{IStreamClientEndpoint.connect}."""


AnyEndpoint = Union[ConnectsClients, IStreamClientEndpoint]
"""A client endpoint of Twisted's."""

# A Deferred of one kind of endpoint is no Deferred of any: it is invariant.
EndpointSoon = Union[AnyEndpoint, "Deferred[Any]", "Coroutine[Any, Any, AnyEndpoint]"]
"""An endpoint at once, as a Deferred's result, or a coroutine's."""


def _contentOctets(content: str | bytes) -> bytes:
    if isinstance(content, str):
        return content.encode("utf-8")
    # Exactly bytes: a bytearray could be changed after it was checked.
    if type(content) is not bytes:
        raise TypeError(f"the content is text or bytes, not {type(content).__name__}")
    return content


@attrs.frozen
class Answer:
    """
    The answer of an L{IRequestHandler<txconnect.interfaces.IRequestHandler>}.

    @ivar content: the content; text is sent in UTF-8.
    @ivar status: 200 to 599, without 304 and 407.
    @ivar contentType: the value of C{Content-Type}.
    @ivar fields: C{(name, value)} of further fields, in text or bytes; none about the
        connection or the framing.
    @raise ValueError: a part is none that can be sent.
    """

    content: bytes = attrs.field(converter=_contentOctets, default=b"")
    status: int = 200
    contentType: str = "text/plain; charset=utf-8"
    fields: Fields = attrs.field(converter=checkedFields, default=())

    def __attrs_post_init__(self) -> None:
        """Check what belongs together."""
        checkAnswer(self.status, self.contentType, self.content)


@attrs.frozen
class Route:
    """
    The way by which a tunnel leaves this proxy.

    A router of your own makes it with L{through}: any client endpoint of Twisted's
    is a route.

    @ivar name: for the log: C{"direct"}, or the parent's name.
    @ivar connect: called with the request and the addresses that every policy
        allowed (empty when the route resolves itself).  It answers with the endpoint
        to connect, or with L{Reached}.  An exception of Twisted's connecting, or of
        C{txconnect.client}'s, refuses with the row of the refusals table that fits.
    @ivar resolves: whether the far end of the route looks the name up.
        L{False}: this proxy does, and its address policies judge each address
        that it dials.  L{True}: the parent does, and no address policy judges.
    @ivar carries: the kinds of requests that it can carry; C{connect} is never
        called for another.
    """

    name: str
    connect: Callable[
        [Request, Sequence[IPAddress]],
        MaybeAsync[Reached] | EndpointSoon,
    ]
    resolves: bool = False
    carries: frozenset[str] = frozenset(("tcp",))

    @classmethod
    def through(
        cls,
        name: str,
        endpoint: AnyEndpoint | Callable[[Request, Sequence[IPAddress]], EndpointSoon],
        *,
        resolves: bool = False,
    ) -> Route:
        """
        Make a route of a client endpoint, whose connection is the destination's leg.

        @param endpoint: the endpoint, or a callable that returns the endpoint of one
            request.  It is called with the request and with the addresses that every
            address policy has allowed: an endpoint that connects to one of these
            leads where the policies have judged.  One that looks the name up again,
            or leads elsewhere whatever the request, is not judged there.
        @param resolves: L{False}: this proxy looks the name up, and refuses the
            request unless its address policies allow an address.  L{True}: it does
            not, the addresses are empty (but for an address that the client has
            asked for), and no address policy judges a name.  Choose that for parents
            that know names that this proxy does not, and let the parent refuse
            addresses of its own network.
        @raise TypeError: C{endpoint} is neither.
        """
        given: Any = endpoint
        if IStreamClientEndpoint.providedBy(given):
            return cls(name, lambda request, addresses: given, resolves)
        if not callable(given):
            kind = type(given).__name__
            raise TypeError(
                f"route {name}: {kind} is neither an IStreamClientEndpoint nor a "
                "callable that returns one"
            )
        return cls(name, given, resolves)


@attrs.frozen
class Reached:
    """
    A connection to a destination, or through a parent to it.

    @ivar leg: the destination's leg: a
        L{txconnect.tunnel.transport.leg.Leg}, or a socket that the proxy's own
        dialler has opened.
    @ivar address: the address that it leads to; L{None} when the route looks
        names up itself, and where its endpoint does not say.
    @ivar route: of a route with several ways, the name of the one taken, for
        the log; empty for the route's own name.
    """

    leg: Any
    address: IPAddress | None = None
    route: str = ""


class Direction(Enum):
    """The direction of bytes through a tunnel."""

    UP = "up"
    """From the client to the destination."""
    DOWN = "down"
    """From the destination to the client."""


class TapVerdict(Enum):
    """
    A tap's answer to the octets that it is shown.  L{None} means L{PASS}.
    """

    PASS = "pass"
    """Pass these octets on, and those that the tap holds in this direction."""
    HOLD = "hold"
    """
    Hold these octets, and those behind them in this direction, until the next
    answer: nothing of them is passed on.
    """
    LET_GO = "let-go"
    """
    Pass on all that the tap holds, in both directions, and show it nothing more of
    this tunnel.
    """


class Closed(Enum):
    """The reason for the end of a tunnel: the party or the cause that was first."""

    CLIENT = "client"
    DESTINATION = "destination"
    CLIENT_RESET = "client-reset"
    DESTINATION_RESET = "destination-reset"
    IDLE = "idle"
    LIFETIME = "lifetime"
    OPERATOR = "operator"
    SHUTDOWN = "shutdown"
    POLICY = "policy"
    TAP_FAILED = "tap-failed"
    PAIR_FAILED = "pair-failed"
    INTERNAL = "internal-error"


@attrs.frozen
class TunnelInfo:
    """
    One tunnel whose destination has answered, as taps, pairs and observers see
    it.

    @ivar request: the request, with its identity.
    @ivar address: the address that was dialled; L{None} when a route resolves, or
        its endpoint does not say.
    @ivar route: the name of the route it takes.
    @ivar lookupSeconds: the duration of the look-up; C{0.0} for a literal.
    @ivar connectSeconds: the duration of dialling.
    @ivar notes: the reasons of the policies that allowed, C{"rule: reason"}.
    """

    request: Request
    address: IPAddress | None = None
    route: str = "direct"
    lookupSeconds: float = 0.0
    connectSeconds: float = 0.0
    notes: tuple[str, ...] = ()


@attrs.frozen
class TunnelRefused:
    """
    A request that became no tunnel.

    @ivar cause: the row of the refusals table.
    @ivar rule: the name of the policy that refused, or the cause's label.
    @ivar reason: the whole reason, for the log.  May hold octets that the
        client sent: write it escaped.
    @ivar id: the id that the client was sent.
    @ivar request: L{None} when the head could not be parsed.
    @ivar client: the address from which the connection came.
    @ivar seconds: from the head's last byte to the refusal.
    @ivar attempted: the unproved part of the request, such as the user of refused
        credentials; L{None} where there is none.
    @ivar notes: what else was found on the way to the refusal, C{"rule: reason"}.
    @ivar quiet: true for one of many that a stranger brings about without a
        request (L{Cause} says of which causes): a log writes no line of it.
        Count it all the same.
    @ivar leftOut: how many quiet ones of this cause came before it, and after
        the last that was not; the reason says so too.
    """

    cause: Cause
    rule: str
    reason: str
    id: str
    request: Request | None = None
    client: IAddress | None = None
    seconds: float = 0.0
    attempted: Attempted | None = None
    notes: tuple[str, ...] = ()
    quiet: bool = False
    leftOut: int = 0


@attrs.frozen
class TunnelEstablished:
    """A tunnel is up: the client has been sent its 200."""

    tunnel: TunnelInfo

    @property
    def request(self) -> Request:
        """Return the request of the tunnel."""
        return self.tunnel.request

    @property
    def id(self) -> str:
        """Return the id of the request."""
        return self.tunnel.request.id


@attrs.frozen
class TunnelClosed:
    """
    A tunnel has ended, and both its legs are gone.

    @ivar up: bytes taken from the client after the head, early data included.
    @ivar down: bytes taken from the destination.
    @ivar seconds: the time for which it was established.
    @ivar reason: the party or the cause that ended it first.
    @cvar rule: empty; of a L{TunnelEnded} the name of the tap.
    @cvar detail: empty; of a L{TunnelEnded} the tap's reason.
    """

    # No fields: nearly every tunnel ends without, and each field costs it something.
    rule: ClassVar[str] = ""
    detail: ClassVar[str] = ""

    tunnel: TunnelInfo
    up: int
    down: int
    seconds: float
    reason: Closed

    @property
    def request(self) -> Request:
        """Return the request of the tunnel."""
        return self.tunnel.request

    @property
    def id(self) -> str:
        """Return the id of the request."""
        return self.tunnel.request.id


@attrs.frozen
class TunnelEnded(TunnelClosed):
    """
    A L{TunnelClosed} that a tap has ended, or whose tap has failed.

    @ivar rule: the tap's name.
    @ivar detail: its reason, for the log.  May hold octets that a leg has sent: write
        it escaped.
    """

    rule: str = ""  # type: ignore[misc]
    detail: str = ""  # type: ignore[misc]


Event = Union[TunnelRefused, TunnelEstablished, TunnelClosed]


@attrs.frozen
class Named:
    """
    A plugin object with the name that it was given.

    @ivar name: its name in refusals and logs; a policy replaces the default of
        this name.
    @ivar plugin: the object that provides one or more of
        L{txconnect.interfaces}; in an argument of the proxy, also its text.
    """

    name: str
    plugin: Any

    @classmethod
    def of(cls, given: object) -> Named:
        """
        Return a plugin with its name, by the one rule that there is: the name that
        it was given wins.  An object that was given none has that of its attribute
        C{name}, else of its class, or its own where it is a function.

        @param given: a plugin, or a L{Named} one, which is returned as it is.
        """
        if isinstance(given, Named):
            return given
        for name in (getattr(given, "name", None), getattr(given, "__name__", None)):
            if isinstance(name, str) and name:
                return cls(name, given)
        return cls(type(given).__name__, given)
