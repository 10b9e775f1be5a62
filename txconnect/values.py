"""
The vocabulary: the frozen values that plugins, fronts and relays exchange.

A plugin needs this module and L{txconnect.interfaces}, and nothing above.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar, Union

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress

from txconnect.wire.authority import Authority, BadAuthority, IPAddress
from txconnect.wire.refusals import Cause

if TYPE_CHECKING:
    from OpenSSL.crypto import X509

__all__ = [
    "Allow",
    "AuthAttempt",
    "Authority",
    "BadAuthority",
    "Cause",
    "ChallengeReason",
    "Closed",
    "ConnectRequest",
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
    "TunnelClosed",
    "TunnelEstablished",
    "TunnelInfo",
    "TunnelRefused",
]

_T = TypeVar("_T")

MaybeAsync = Union[_T, "Deferred[_T]", "Coroutine[Any, Any, _T]"]
"""What a hook may return: the answer itself, a Deferred, or a coroutine."""


@attrs.frozen
class Identity:
    """
    Who asks.

    @ivar user: the authenticated name, never empty by accident: an anonymous
        avatar of C{twisted.cred} never becomes an L{Identity}.
    @ivar source: what said so: the checker's name, or C{"certificate"}.
    @ivar groups: what the checker knows of the user beyond the name.
    """

    user: str
    source: str
    groups: tuple[str, ...] = ()


@attrs.frozen
class ConnectRequest:
    """
    One request, as policies, routers and observers see it.

    @ivar authority: the destination that the client asked for.
    @ivar headers: the fields, C{((lower-case name, value), ...)} in bytes, in
        order, without C{Proxy-Authorization}.
    @ivar httpVersion: C{"1.0"} or C{"1.1"}.
    @ivar client: where the client's connection comes from.
    @ivar server: the address of this proxy that it came to.
    @ivar identity: who asks; L{None} where nothing authenticates.
    @ivar certificate: the client's verified certificate, or L{None}.
    @ivar id: short and unique over workers and restarts; the client and the
        log are told the same.
    @ivar kind: what is to be carried: C{"tcp"} for a tunnel.
    @ivar method: the request's method, such as C{"CONNECT"}.
    @ivar connection: the id of the first request on the client's connection: the
        same for all the requests that came on it.
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
    _state: dict[Any, Any] | None = attrs.field(default=None, eq=False, repr=False)

    @property
    def state(self) -> dict[Any, Any]:
        """
        One mapping a request, through which plugins hand things on to others,
        or to themselves at a later step.  Use a key of your own.
        """
        if self._state is None:
            # Most requests never need one.
            object.__setattr__(self, "_state", {})
        return self._state  # type: ignore[return-value]

    def header(self, name: bytes) -> bytes | None:
        """The first value of a field (C{name} in lower case), or L{None}."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class ChallengeReason(Enum):
    """Why a 407 is sent, for L{IAuthScheme.challenge}."""

    MISSING = "missing"
    BAD = "bad"
    STALE = "stale"


@attrs.frozen
class AuthAttempt:
    """
    What an authentication scheme is given to read.

    @ivar parameters: what stands behind the scheme's name in
        C{Proxy-Authorization}, without white space at its ends.  A secret:
        never logged.
    @ivar request: the request, not yet with an identity.
    """

    parameters: bytes = attrs.field(repr=False)
    request: ConnectRequest


@attrs.frozen
class Allow:
    """
    A policy lets the request, or the address, pass.

    @ivar reason: why, for the log; may be empty.
    """

    reason: str = ""


@attrs.frozen
class Deny:
    """
    A policy refuses.

    @ivar reason: why, in the operator's words.  The log has it always; the
        client only where the operator lets it out (C{--errors full}).
    @ivar cause: the row of the refusals table that the client is shown.
    """

    reason: str
    cause: Cause = Cause.POLICY


Decision = Union[Allow, Deny]


@attrs.frozen
class Route:
    """
    How a tunnel leaves this proxy.

    @ivar name: for the log: C{"direct"}, or the parent's name.
    @ivar connect: called with the request and the addresses that every policy
        allowed (empty when the route resolves itself); returns a Deferred of
        L{Reached}.
    @ivar resolves: who looks the name up.  L{False}: this proxy does, and its
        address policies judge what is dialled.  L{True}: what is behind the
        route does, and no address policy can be asked.
    @ivar carries: the kinds of requests that it can carry; it is not asked to
        connect for another.
    """

    name: str
    connect: Callable[[ConnectRequest, Sequence[IPAddress]], Deferred[Reached]]
    resolves: bool = False
    carries: frozenset[str] = frozenset(("tcp",))


@attrs.frozen
class Reached:
    """
    A connection to a destination, or through a parent to it.

    @ivar leg: the destination's leg: a
        L{txconnect.tunnel.transport.leg.Leg}, or a socket that the proxy's own
        dialler has opened.
    @ivar address: the address that it leads to; L{None} when the route looks
        names up itself.
    @ivar route: of a route with several ways, the name of the one taken, for
        the log; empty for the route's own name.
    """

    leg: Any
    address: IPAddress | None = None
    route: str = ""


class Direction(Enum):
    """Which way bytes go through a tunnel."""

    UP = "up"
    """From the client to the destination."""
    DOWN = "down"
    """From the destination to the client."""


class Closed(Enum):
    """Why an established tunnel ended: who or what ended it first."""

    CLIENT = "client"
    DESTINATION = "destination"
    CLIENT_RESET = "client-reset"
    DESTINATION_RESET = "destination-reset"
    IDLE = "idle"
    LIFETIME = "lifetime"
    OPERATOR = "operator"
    SHUTDOWN = "shutdown"
    TAP_FAILED = "tap-failed"
    PAIR_FAILED = "pair-failed"
    INTERNAL = "internal-error"


@attrs.frozen
class TunnelInfo:
    """
    One tunnel whose destination has answered: what taps, pairs and observers
    are told.

    @ivar request: what was asked, and by whom.
    @ivar address: the address that was dialled; L{None} when a route resolves.
    @ivar route: the name of the route it takes.
    @ivar lookupSeconds: how long the look-up took; C{0.0} for a literal.
    @ivar connectSeconds: how long dialling took.
    @ivar notes: what the policies that allowed had to say, C{"rule: reason"}.
    """

    request: ConnectRequest
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
    @ivar reason: the whole reason, for the log.  May hold what the client
        sent: write it escaped.
    @ivar id: the id that the client was told.
    @ivar request: L{None} when the head could not be parsed.
    @ivar client: where the connection came from.
    @ivar seconds: from the head's last byte to the refusal.
    """

    cause: Cause
    rule: str
    reason: str
    id: str
    request: ConnectRequest | None = None
    client: IAddress | None = None
    seconds: float = 0.0


@attrs.frozen
class TunnelEstablished:
    """A tunnel is up: the client has been sent its 200."""

    tunnel: TunnelInfo


@attrs.frozen
class TunnelClosed:
    """
    A tunnel has ended, and both its legs are gone.

    @ivar up: bytes taken from the client after the head, early data included.
    @ivar down: bytes taken from the destination.
    @ivar seconds: how long it was established.
    @ivar reason: who or what ended it first.
    """

    tunnel: TunnelInfo
    up: int
    down: int
    seconds: float
    reason: Closed


Event = Union[TunnelRefused, TunnelEstablished, TunnelClosed]


@attrs.frozen
class Named:
    """
    A plugin object with the name that it was given.

    @ivar name: what refusals and logs call it.
    @ivar plugin: the object that provides one or more of
        L{txconnect.interfaces}.
    """

    name: str
    plugin: Any
