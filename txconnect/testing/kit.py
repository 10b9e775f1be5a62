"""
A plugin's test in one line: ask a policy as the proxy would ask it, hear what
an observer would hear.  No socket, no reactor, no proxy.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from ipaddress import ip_address
from typing import Any, Literal

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.admission.decision import Decision as ProxyDecision, Surroundings
from txconnect.admission.hooks import HookFailed
from txconnect.admission.rules import Rules
from txconnect.errors import Refused
from txconnect.interfaces import IAddressPolicy, IDestinationPolicy, ITrafficObserver
from txconnect.maybeasync import run
from txconnect.values import (
    Allow,
    Authority,
    Cause,
    ConnectRequest,
    Decision,
    Deny,
    Event,
    Identity,
    IPAddress,
    Named,
    Route,
    TunnelClosed,
    TunnelEstablished,
    TunnelInfo,
    TunnelRefused,
)

PUBLIC_ADDRESS = "93.184.215.14"
"""What a name resolves to when a test does not say: a public address."""

CLIENT_PORT = 50000

Step = Literal["name", "address"]
"""One of the two steps at which policies are asked."""


def makeRequest(
    target: str = "example.com:443",
    *,
    user: str | Identity | None = None,
    groups: Iterable[str] = (),
    client: str | IAddress | None = "127.0.0.1",
    server: str | IAddress | None = "127.0.0.1",
    headers: Iterable[tuple[str | bytes, str | bytes]] = (),
    httpVersion: str = "1.1",
    certificate: Any = None,
    id: str = "test-1",
) -> ConnectRequest:
    """
    Make a request as a policy, a router or an observer is given it.

    @param target: C{host:port}, read as the proxy reads it.
    @param user: who asks; a plain name is an L{Identity} of the source
        C{"test"} with these C{groups}; L{None} where nothing authenticates.
    @param client: where the client connects from: an IP literal or an address.
    @param server: likewise, where it connected to.
    @param headers: names in any case, values in text or bytes.
    @raise BadAuthority: the proxy would not accept this target.
    """
    if isinstance(user, str):
        user = Identity(user, "test", tuple(groups))
    fields = tuple((_octets(name).lower(), _octets(value)) for name, value in headers)
    return ConnectRequest(
        Authority.parse(target),
        fields,
        httpVersion,
        _address(client, CLIENT_PORT),
        _address(server, 3128),
        user,
        certificate,
        id,
    )


def makeTunnel(
    request: ConnectRequest | None = None, address: str | None = PUBLIC_ADDRESS
) -> TunnelInfo:
    """Make a tunnel as a tap, a pair factory or an observer is given it."""
    return TunnelInfo(
        makeRequest() if request is None else request,
        None if address is None else ip_address(address),
    )


def decide(
    policy: Any,
    target: str | ConnectRequest = "example.com:443",
    *,
    addresses: Iterable[str] = (PUBLIC_ADDRESS,),
    at: Step | None = None,
    **request: Any,
) -> Decision:
    """
    Ask a policy about one request, as the proxy would::

        assert decide(OfficeHours(), "example.com:443", user="ada") == Allow()

    First the name, then each address; a step that the policy has no rule for
    is skipped.  A denied address is dropped, and the request is denied when
    none is left.  Reasons are joined by semicolons.

    @param policy: provides L{IDestinationPolicy}, L{IAddressPolicy} or both.
    @param target: what is asked for, C{host:port} or a whole request.
    @param addresses: what the name resolves to; of no use where C{target} is
        an address itself.
    @param at: ask at this step only.
    @param request: what else L{makeRequest} takes, such as C{user}.
    @raise AssertionError: the policy raised, gave no decision, or has not
        answered yet; the message says so as the proxy's log would.
    """
    answered: list[Any] = []
    waiting = decideAsync(policy, target, addresses=addresses, at=at, **request)
    waiting.addBoth(answered.append)
    if not answered:
        waiting.cancel()
        raise AssertionError(
            f"{nameOf(policy)} has not answered yet: it waits for a Deferred that "
            "nothing has fired.  Fire it first, or use decideAsync"
        )
    if isinstance(answered[0], Failure):
        answered[0].raiseException()
    decision: Decision = answered[0]
    return decision


def decideAsync(
    policy: Any,
    target: str | ConnectRequest = "example.com:443",
    *,
    addresses: Iterable[str] = (PUBLIC_ADDRESS,),
    at: Step | None = None,
    **request: Any,
) -> Deferred[Decision]:
    """
    Ask a policy that may take its time; as L{decide} in everything else.

    @return: fires with the decision, or fails with L{AssertionError}.
    """
    if isinstance(target, ConnectRequest):
        if request:
            raise TypeError("give a whole request, or what to make one of, not both")
        made = target
    else:
        made = makeRequest(target, **request)
    literal = made.authority.address
    candidates = (
        [ip_address(each) for each in addresses] if literal is None else [literal]
    )
    judging: Any = _judging(policy, made, candidates, at)
    decided: Deferred[Decision] = maybeDeferred(run, judging)
    return decided


def _judging(
    policy: Any, request: ConnectRequest, addresses: list[IPAddress], at: Step | None
) -> Generator[Deferred[Any], Any, Decision]:
    asked = policy.plugin if isinstance(policy, Named) else policy
    decision = JudgingAlone(policy, request)
    names = at != "address" and IDestinationPolicy.providedBy(asked)
    judges = at != "name" and IAddressPolicy.providedBy(asked)
    if not (names or judges):
        raise AssertionError(
            f"{nameOf(policy)} has no rule to ask: it provides no "
            f"{'policy interface' if at is None else _INTERFACES[at].__name__}"
        )
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
    # The same words about several addresses are said once.
    return Allow("; ".join(dict.fromkeys(decision.reasons)))


_INTERFACES: dict[Step, Any] = {"name": IDestinationPolicy, "address": IAddressPolicy}


class JudgingAlone(ProxyDecision):
    """
    The proxy's own decision, of which one policy is all the rules.

    @ivar reasons: the policy's reasons to allow.
    """

    def __init__(self, policy: Any, request: ConnectRequest) -> None:
        named = Named(
            nameOf(policy), policy.plugin if isinstance(policy, Named) else policy
        )
        rules = Rules(
            destination=(named,),
            address=(named,),
            unresolved=(named,),
            # So that a policy may refuse with a 407.
            authenticator=_Asking(),
        )
        surroundings = Surroundings(Clock(), _Nowhere(), _Nowhere(), _DIRECT)
        super().__init__(rules, surroundings, request)
        self.reasons: list[str] = []

    def allowed(self, policy: Named, reason: str) -> None:
        """Keep a policy's reason to allow, without its name."""
        self.reasons.append(reason)


class _Nowhere:
    """Looks nothing up and listens nowhere: only policies are asked."""

    def lookup(self, name: str) -> tuple[IPAddress, ...]:
        raise AssertionError("a policy alone has no name looked up")

    def add(self, host: IAddress) -> None:
        raise AssertionError("a policy alone listens nowhere")

    def isSelf(self, address: IPAddress, port: int) -> bool:
        return False


class _Asking:
    """Stands for the authenticator that a proxy with this policy would have."""

    def authenticate(
        self, request: ConnectRequest, credentials: bytes | None
    ) -> Identity:
        raise AssertionError("a policy alone asks nobody who it is")

    def challenges(self, cause: Cause) -> tuple[bytes, ...]:
        return (b"Basic",)


_DIRECT = Route("direct", lambda request, addresses: Deferred())


def nameOf(plugin: Any) -> str:
    """What messages call a plugin: its name, else its class's."""
    name = getattr(plugin, "name", None)
    return name if isinstance(name, str) and name else type(plugin).__name__


def _octets(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


def _address(place: str | IAddress | None, port: int) -> IAddress | None:
    if not isinstance(place, str):
        return place
    kind = IPv6Address if ip_address(place).version == 6 else IPv4Address
    made: IAddress = kind("TCP", place, port)
    return made


@implementer(ITrafficObserver)
class RecordingObserver:
    """
    Remembers what it hears.

    @ivar events: everything, in order.
    @ivar refused: the refusals of it.
    @ivar established: the tunnels of it.
    @ivar closed: the ends of tunnels of it.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.refused: list[TunnelRefused] = []
        self.established: list[TunnelEstablished] = []
        self.closed: list[TunnelClosed] = []

    def observe(self, event: Event) -> None:
        """
        Hear one event.

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
