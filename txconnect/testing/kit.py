"""
A plugin's test in one line: a policy's decision as the proxy would get it, the
events as an observer would get them.  No socket, no reactor, no proxy.

The proxy's own decision judges here too, with one policy as its only rule, so
that a policy which passes its test passes in the proxy, and one that answers
with a wrong type fails with the proxy's own sentence.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import Interface, implementer

from txconnect.admission.decision import Decision as ProxyDecision, Surroundings
from txconnect.admission.hooks import HookFailed
from txconnect.admission.rules import Rules
from txconnect.errors import ConfigurationError, Refused
from txconnect.interfaces import IAddressPolicy, IDestinationPolicy, ITrafficObserver
from txconnect.maybeasync import Steps, run
from txconnect.roles import missingRole, verifyRole
from txconnect.values import (
    Allow,
    Authority,
    Cause,
    Decision,
    Deny,
    Event,
    Identity,
    IPAddress,
    Named,
    Request,
    Route,
    TunnelClosed,
    TunnelEstablished,
    TunnelInfo,
    TunnelRefused,
)

if TYPE_CHECKING:
    from OpenSSL.crypto import X509

PUBLIC_ADDRESS = "93.184.215.14"
"""The address that a name resolves to by default: a public one."""

CLIENT_PORT = 50000

Step = Literal["name", "address"]
"""One of the two steps at which policies judge."""


def makeRequest(
    target: str = "example.com:443",
    *,
    user: str | Identity | None = None,
    groups: Iterable[str] = (),
    client: str | IAddress | None = "127.0.0.1",
    server: str | IAddress | None = "127.0.0.1",
    headers: Iterable[tuple[str | bytes, str | bytes]] = (),
    httpVersion: str = "1.1",
    certificate: X509 | None = None,
    id: str = "test-1",
) -> Request:
    """
    Make a request as a policy, a router or an observer gets it.

    @param target: C{host:port}, read as the proxy reads it.
    @param user: the client's identity; a plain name is an L{Identity} of the
        source C{"test"} with these C{groups}; L{None} where nothing
        authenticates.
    @param client: the client's address, or an IP literal for one.
    @param server: likewise, the proxy's address of that connection.
    @param headers: names in any case, values in text or bytes.
    @raise BadAuthority: the proxy would not accept this target.
    """
    if isinstance(user, str):
        user = Identity(user, "test", tuple(groups))
    # Lower case and bytes, as the parser of heads leaves them.
    fields = tuple(
        (_encodeText(name).lower(), _encodeText(value)) for name, value in headers
    )
    return Request(
        Authority.parse(target),
        fields,
        httpVersion,
        _makeAddress(client, CLIENT_PORT),
        _makeAddress(server, 3128),
        user,
        certificate,
        id,
    )


def makeTunnel(
    request: Request | None = None, address: str | None = PUBLIC_ADDRESS
) -> TunnelInfo:
    """Make a tunnel as a tap, a pair factory or an observer gets it."""
    return TunnelInfo(
        makeRequest() if request is None else request,
        None if address is None else ip_address(address),
    )


def decide(
    policy: object,
    target: str | Request = "example.com:443",
    *,
    addresses: Iterable[str] = (PUBLIC_ADDRESS,),
    at: Step | None = None,
    **request: Any,
) -> Decision:
    """
    Ask a policy about one request, as the proxy would::

        assert decide(OfficeHours(), "example.com:443", user="ada") == Allow()

    It judges first the name, then each address; a step that the policy has no
    rule for is skipped.  A denied address is dropped, and the request is denied
    when none is left.  Reasons are joined by semicolons.

    @param policy: provides L{IDestinationPolicy}, L{IAddressPolicy} or both.
    @param target: the destination, C{host:port}, or a whole request.
    @param addresses: the addresses of the name; of no use where C{target} is
        an address itself.
    @param at: judge at this step only.
    @param request: further arguments of L{makeRequest}, such as C{user}.
    @raise AssertionError: the policy raised, gave no decision, or has not
        answered yet; the message says so as the proxy's log would.
    """
    answered: list[Decision | Failure] = []
    waiting = decideAsync(policy, target, addresses=addresses, at=at, **request)
    waiting.addBoth(answered.append)
    if not answered:
        waiting.cancel()
        raise AssertionError(
            f"{nameOf(policy)} has not answered yet: it waits for a Deferred that "
            "nothing has fired.  Fire it first, or use decideAsync"
        )
    decision = answered[0]
    if isinstance(decision, Failure):
        decision.raiseException()
    return decision


def decideAsync(
    policy: object,
    target: str | Request = "example.com:443",
    *,
    addresses: Iterable[str] = (PUBLIC_ADDRESS,),
    at: Step | None = None,
    **request: Any,
) -> Deferred[Decision]:
    """
    Ask a policy that may answer later; as L{decide} in everything else.

    @return: fires with the decision, or fails with L{AssertionError}.
    """
    if isinstance(target, Request):
        if request:
            raise TypeError("give a whole request, or the arguments of one, not both")
        made = target
    else:
        made = makeRequest(target, **request)
    literal = made.authority.address
    candidates = (
        [ip_address(each) for each in addresses] if literal is None else [literal]
    )
    judging: Any = _judgeSteps(policy, made, candidates, at)
    decided: Deferred[Decision] = maybeDeferred(run, judging)
    return decided


def _judgeSteps(
    policy: object,
    request: Request,
    addresses: list[IPAddress],
    at: Step | None,
) -> Steps[Decision]:
    asked = policy.plugin if isinstance(policy, Named) else policy
    decision = PolicyDecision(policy, request)
    names = at != "address" and IDestinationPolicy.providedBy(asked)
    judges = at != "name" and IAddressPolicy.providedBy(asked)
    if not (names or judges):
        roles = tuple(_INTERFACES.values()) if at is None else (_INTERFACES[at],)
        lacking = missingRole(roles, asked)
        raise AssertionError(f"{nameOf(policy)} has no rule to ask: {lacking}")
    _verifySteps(policy, names, judges)
    if judges and not addresses:
        raise AssertionError("there is no address to ask about")
    try:
        if names:
            yield from decision.judgeName()
        if judges:
            yield from decision.judgeAddresses(addresses)
    except HookFailed as failed:
        raise AssertionError(f"{nameOf(policy)}: {failed.reason}") from failed.error
    except Refused as refused:
        return Deny(refused.reason, refused.cause)
    # A policy has mostly one reason for all addresses of a name.
    return Allow("; ".join(dict.fromkeys(decision.reasons)))


def _verifySteps(policy: object, names: bool, judges: bool) -> None:
    """Verify a policy at its steps, as the proxy does when it starts."""
    named = Named.of(policy)
    asked = {IDestinationPolicy: names, IAddressPolicy: judges}
    for role in (each for each, wanted in asked.items() if wanted):
        try:
            verifyRole(role, named.plugin)
        except ConfigurationError as error:
            raise AssertionError(f"{named.name}: {error}") from error


_INTERFACES: dict[Step, type[Interface]] = {
    "name": IDestinationPolicy,
    "address": IAddressPolicy,
}


class PolicyDecision(ProxyDecision):
    """
    The proxy's own decision, with one policy as its only rule.

    @ivar reasons: the policy's reasons to allow.
    """

    def __init__(self, policy: object, request: Request) -> None:
        named = Named.of(policy)
        rules = Rules(
            destination=(named,),
            address=(named,),
            unresolved=(named,),
            # A policy may refuse with a 407 only where there are challenges.
            authenticator=_StandInAuthenticator(),
        )
        surroundings = Surroundings(Clock(), _NoNetwork(), _NoNetwork(), _DIRECT)
        super().__init__(rules, surroundings, request)
        self.reasons: list[str] = []

    def noteAllowed(self, policy: Named, reason: str) -> None:
        """Keep a policy's reason to allow, without its name."""
        self.reasons.append(reason)


class _NoNetwork:
    """
    A stand-in for look-ups and listeners: judging a policy needs neither.
    """

    def lookup(self, name: str) -> tuple[IPAddress, ...]:
        raise AssertionError("a policy alone has no name looked up")

    def addListener(self, host: IAddress) -> None:
        raise AssertionError("a policy alone listens nowhere")

    def isSelf(self, address: IPAddress, port: int) -> bool:
        return False


class _StandInAuthenticator:
    """A stand-in for the authenticator that a proxy with this policy would have."""

    def authenticate(self, request: Request, credentials: bytes | None) -> Identity:
        raise AssertionError("a policy alone authenticates nobody")

    def challenges(self, cause: Cause) -> tuple[bytes, ...]:
        return (b"Basic",)


_DIRECT = Route("direct", lambda request, addresses: Deferred())


def nameOf(plugin: object) -> str:
    """Return the name of a plugin in messages, as the proxy gives it."""
    return Named.of(plugin).name


def _encodeText(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


def _makeAddress(place: str | IAddress | None, port: int) -> IAddress | None:
    if not isinstance(place, str):
        return place
    kind = IPv6Address if ip_address(place).version == 6 else IPv4Address
    made: IAddress = kind("TCP", place, port)
    return made


@implementer(ITrafficObserver)
class RecordingObserver:
    """
    An observer that keeps its events.

    @ivar events: all events, in order.
    @ivar refused: the refusals among them.
    @ivar established: the established tunnels among them.
    @ivar closed: the closed tunnels among them.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.refused: list[TunnelRefused] = []
        self.established: list[TunnelEstablished] = []
        self.closed: list[TunnelClosed] = []

    def observe(self, event: Event) -> None:
        """
        Keep one event.

        @raise TypeError: it is none of the three kinds.
        """
        if isinstance(event, TunnelRefused):
            self.refused.append(event)
        elif isinstance(event, TunnelEstablished):
            self.established.append(event)
        elif isinstance(event, TunnelClosed):
            self.closed.append(event)
        else:
            raise TypeError(f"{event!r} is no event")
        self.events.append(event)
