"""
The kit for plugin writers: C{decide}, requests, the recording observer, the
conformance checks, and the stand-ins for what looks names up.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest
from rig import Rig, connect
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import LoginFailed
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Protocol
from twisted.plugin import IPlugin
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from txconnect import testing
from txconnect.auth.basic import BasicScheme
from txconnect.errors import EndTunnel
from txconnect.interfaces import (
    IAddressPolicy,
    IAuthScheme,
    IDestinationPolicy,
    IPairFactory,
    IPolicyPlugin,
    IReopens,
    IRouter,
    ITrafficObserver,
    ITrafficTap,
)
from txconnect.observers.accesslog import AccessLog
from txconnect.observers.counters import Counters
from txconnect.plugins import (
    addressPolicyPlugin,
    authSchemeFactory,
    observerFactory,
    observerPlugin,
    pairPlugin,
    policyFactory,
    policyPlugin,
    routerPlugin,
    tapPlugin,
)
from txconnect.policy import defaultPolicies
from txconnect.policy.networks import NetworksPolicy
from txconnect.policy.ports import PortsPolicy
from txconnect.testing import (
    ImmediatePool,
    ManualPool,
    RecordingObserver,
    checkAuthScheme,
    checkObserver,
    checkPairFactory,
    checkPlugin,
    checkPolicy,
    checkRouter,
    checkTap,
    decide,
    decideAsync,
    makeRequest,
    makeTunnel,
    scriptedLookup,
)
from txconnect.testing.samples import makeEvents
from txconnect.tunnel.pair import ProxyClient, ProxyServer
from txconnect.values import (
    Allow,
    Authority,
    BadAuthority,
    Cause,
    ChallengeReason,
    Deny,
    Identity,
    Named,
    Route,
    TapVerdict,
)


@implementer(IDestinationPolicy)
class Says:
    """A policy that answers what it was told to answer, or calls it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def decide(self, request: Any) -> Any:
        return self.answer(request) if callable(self.answer) else self.answer


@implementer(IAddressPolicy)
class SaysOfAddress:
    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def decideAddress(self, request: Any, address: Any) -> Any:
        self.asked.append(str(address))
        return self.answer(address) if callable(self.answer) else self.answer


@implementer(IAddressPolicy)
class Both(Says):
    """Judges names as it was told, and lets IPv4 pass."""

    def decideAddress(self, request: Any, address: Any) -> Any:
        if address.version == 4:
            return Allow("IPv4")
        return Deny(f"{address} is IPv6", Cause.ADDRESS)


def test_publicNames() -> None:
    for name in testing.__all__:
        assert getattr(testing, name) is not None
    assert testing.__all__ == sorted(
        testing.__all__, key=lambda n: (not n.isupper(), n)
    )


# Requests.


def test_makeRequest() -> None:
    made = makeRequest(
        "Example.com:443",
        user="ada",
        groups=["staff"],
        client="::1",
        headers=[("User-Agent", b"curl"), (b"X-Y", "\xff")],
    )
    assert made.authority == Authority("example.com", 443)
    assert made.identity == Identity("ada", "test", ("staff",))
    assert made.client == IPv6Address("TCP", "::1", 50000)
    assert made.server == IPv4Address("TCP", "127.0.0.1", 3128)
    assert made.headers == ((b"user-agent", b"curl"), (b"x-y", b"\xff"))


def test_makeRequestTakesWhatIsMadeAlready() -> None:
    identity, client = Identity("ada", "x"), IPv4Address("TCP", "192.0.2.1", 1)
    made = makeRequest(user=identity, client=client, server=None)
    assert (made.identity, made.client, made.server) == (identity, client, None)
    assert makeRequest().identity is None


def test_makeRequestReadsTargetsAsTheProxyDoes() -> None:
    with pytest.raises(BadAuthority):
        makeRequest("example.com")


def test_makeTunnel() -> None:
    request = makeRequest("[2001:db8::1]:443")
    assert makeTunnel(request, "2001:db8::1").address == ip_address("2001:db8::1")
    assert makeTunnel(request).request is request
    assert makeTunnel(address=None).address is None


# Asking.


@pytest.mark.parametrize("decision", [Allow(), Allow("it may"), Deny("it may not")])
def test_decideAsksTheName(decision: Any) -> None:
    """Whether it answers at once, by a Deferred or by a coroutine."""

    async def later(request: Any) -> Any:
        return decision

    assert decide(Says(decision)) == decision
    assert decide(Says(succeed(decision))) == decision
    assert decide(Says(later)) == decision
    assert decide(Named("n", Says(decision))) == decision


def test_decideGivesTheRequest() -> None:
    asked: list[Any] = []

    def answer(request: Any) -> Any:
        asked.append(request)
        return Allow()

    decide(Says(answer), "example.org:8443", user="ada", client="192.0.2.9")
    assert asked[0] == makeRequest("example.org:8443", user="ada", client="192.0.2.9")
    whole = makeRequest(id="mine")
    decide(Says(answer), whole)
    assert asked[1] is whole
    with pytest.raises(TypeError, match="not both"):
        decide(Says(answer), whole, user="ada")


def test_decideAsksEachAddress() -> None:
    """[TU-11] As the proxy: what is denied is dropped, not what is allowed."""
    policy = SaysOfAddress(
        lambda address: (
            Deny(f"not {address}") if address.is_private else Allow("public")
        )
    )
    addresses = ("10.0.0.1", "93.184.215.14", "10.0.0.2")
    assert decide(policy, addresses=addresses) == Allow("public")
    assert policy.asked == list(addresses)
    assert decide(policy, addresses=addresses[::2]) == Deny(
        "not 10.0.0.1; not 10.0.0.2"
    )
    assert decide(policy, "[fc00::1]:443", addresses=addresses) == Deny("not fc00::1")
    with pytest.raises(AssertionError, match="no address to ask about"):
        decide(policy, addresses=())


def test_decideAsksBothSteps() -> None:
    assert decide(Both(Allow("name"))) == Allow("name; IPv4")
    assert decide(Both(Allow("IPv4"))) == Allow("IPv4")
    assert decide(Both(Deny("no"))) == Deny("no")
    denied = Deny("2001:db8::1 is IPv6", Cause.ADDRESS)
    assert decide(Both(Allow()), "[2001:db8::1]:443") == denied


def test_decideAsksNoAddressOfADeniedName() -> None:
    @implementer(IDestinationPolicy)
    class Asked(SaysOfAddress):
        def decide(self, request: Any) -> Any:
            return Deny("no")

    policy = Asked(Allow())
    assert decide(policy) == Deny("no")
    assert policy.asked == []


def test_decideAsksOneStep() -> None:
    assert decide(Both(Allow("name")), at="name") == Allow("name")
    assert decide(Both(Deny("no")), at="address") == Allow("IPv4")
    with pytest.raises(AssertionError, match="Says .* does not provide IAddressPolicy"):
        decide(Says(Allow()), at="address")
    with pytest.raises(AssertionError, match="does not provide IDestinationPolicy"):
        decide(SaysOfAddress(Allow()), at="name")


def test_decideWantsAPolicy() -> None:
    """A bare function is the usual slip."""
    with pytest.raises(
        AssertionError, match="<lambda> .* decorate it with @policyPlugin"
    ):
        decide(lambda request: Allow())


def test_decideStockPolicies() -> None:
    ports, networks = PortsPolicy("443"), NetworksPolicy("public")
    assert decide(ports) == Allow()
    assert isinstance(decide(ports, "example.com:80"), Deny)
    assert decide(networks, addresses=["93.184.215.14"]) == Allow()
    assert decide(networks, "127.0.0.1:443").cause is Cause.ADDRESS  # type: ignore[union-attr]


def raising(request: Any) -> Any:
    raise ZeroDivisionError("division by zero")


async def awaitsAFuture(request: Any) -> Any:
    loop = asyncio.new_event_loop()
    try:
        await loop.create_future()
    finally:
        loop.close()


def future(request: Any) -> Any:
    loop = asyncio.new_event_loop()
    loop.close()
    return asyncio.Future(loop=loop)


WRONG: list[Any] = [
    None,
    True,
    "allow",
    Allow,
    (Allow(),),
    Deny("no", "403"),  # type: ignore[arg-type]
    Deny("no", Cause.CLIENT_LEFT),
    raising,
    awaitsAFuture,
    future,
    lambda request: succeed(None),
]


@pytest.mark.parametrize("answer", WRONG, ids=str)
def test_decideSaysWhatTheProxyWouldLog(answer: Any) -> None:
    """Only a decision is one; the words are those of the proxy's own log."""
    policy = Named("mine", Says(answer if answer is not Allow else lambda _: Allow))
    with pytest.raises(AssertionError) as raised:
        decide(policy, user="ada")
    rig = Rig(policies=[policy])
    rig.client(connect("example.com:443"))
    (refused,) = rig.events.refused
    assert refused.cause is Cause.PLUGIN_ERROR
    assert str(raised.value) == f"mine: {refused.reason}"


def test_decideKeepsTheException() -> None:
    with pytest.raises(AssertionError) as raised:
        decide(Says(raising))
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_decideDoesNotWait() -> None:
    """What has not answered is cancelled, and named."""
    cancelled: list[Any] = []
    waiting: Deferred[Any] = Deferred(cancelled.append)
    with pytest.raises(AssertionError, match="Says has not answered yet"):
        decide(Says(waiting))
    assert cancelled == [waiting]


def test_decideAsyncWaits() -> None:
    waiting: Deferred[Any] = Deferred()
    decided: list[Any] = []
    decideAsync(Both(waiting), "192.0.2.1:443").addCallback(decided.append)
    assert decided == []
    waiting.callback(Allow("at last"))
    assert decided == [Allow("at last; IPv4")]


def test_decideAsyncFails() -> None:
    waiting: Deferred[Any] = Deferred()
    failed: list[Failure] = []
    decideAsync(Says(waiting)).addErrback(failed.append)
    waiting.errback(ZeroDivisionError("x"))
    assert failed[0].check(AssertionError)
    assert failed[0].getErrorMessage() == "Says: ZeroDivisionError: x"


# Hearing.


def test_recordingObserverSortsWhatItHears() -> None:
    observer, heard = RecordingObserver(), makeEvents()
    for event in heard:
        observer.observe(event)
    assert observer.events == heard
    sorted = [*observer.refused, *observer.established, *observer.closed]
    assert len(sorted) == len(heard)
    with pytest.raises(TypeError, match="'x' is no event"):
        observer.observe("x")  # type: ignore[arg-type]


def test_samplesHoldEveryKind() -> None:
    kinds = {type(event).__name__ for event in makeEvents()}
    known = {"TunnelRefused", "TunnelEstablished", "TunnelClosed", "TunnelEnded"}
    assert kinds == known


# The checks pass what is right.


@pytest.mark.parametrize(
    "policy",
    [
        *defaultPolicies(),
        Says(Allow()),
        Says(lambda _: succeed(Deny("no"))),
        Says(lambda _: Deferred()),
        Both(Allow()),
        Named("x", SaysOfAddress(Allow())),
    ],
    ids=repr,
)
def test_checkPolicyPasses(policy: Any) -> None:
    checkPolicy(policy)


def test_otherChecksPass() -> None:
    checkAuthScheme(BasicScheme(), b"YWRhOng=")
    checkObserver(RecordingObserver())
    checkObserver(Counters())
    checkObserver(AccessLog("-"))
    checkRouter(Routes(None))
    checkRouter(Routes(Route("direct", lambda request, addresses: Deferred())))
    checkRouter(Routes(lambda _: Deferred()))
    checkTap(Taps(None))
    checkTap(Taps(lambda direction, data: None))
    checkTap(Taps(lambda direction, data: len(data)))
    checkPairFactory(Pairs(lambda: (ProxyServer(), ProxyClient())))


# And say what is wrong.


@implementer(IDestinationPolicy)
class Unwritten:
    pass


@implementer(IDestinationPolicy)
class TooFew:
    def decide(self) -> Any:
        return Allow()


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        (object(), "does not provide IDestinationPolicy or IAddressPolicy"),
        (Unwritten(), r"Unwritten: it has no decide\(request\), which IDest"),
        (TooFew(), r"TooFew: its decide\(\) .*takes too few arguments"),
        (Says(None), "Says: it answered None, not Allow"),
        (SaysOfAddress(raising), "SaysOfAddress: ZeroDivisionError"),
        (
            Says(lambda request: Allow(request.identity.user)),
            "Says: AttributeError: 'NoneType' object has no attribute 'user'",
        ),
        (
            Says(lambda request: Allow(request.client.host)),
            "Says: AttributeError: 'NoneType' object has no attribute 'host'",
        ),
    ],
)
def test_checkPolicySaysWhatIsWrong(policy: Any, sentence: str) -> None:
    with pytest.raises(AssertionError, match=f"(?s){sentence}"):
        checkPolicy(policy)


def test_checkPolicyTakesOtherRequests() -> None:
    """For a policy of a proxy that never asks it about strangers."""
    policy = Says(lambda request: Allow(request.identity.user))
    checkPolicy(policy, [makeRequest(user="ada")])


@implementer(IAuthScheme)
class Scheme:
    def __init__(
        self, name: Any = "Mine", challenge: Any = None, parse: Any = None
    ) -> None:
        self.name = name
        self._challenge = challenge or (lambda realm: b"Mine")
        self._parse = parse or UsernamePassword

    def challenge(self, reason: ChallengeReason, realm: str) -> Any:
        return self._challenge(realm)

    def parse(self, attempt: Any) -> Any:
        return self._parse(attempt.parameters, b"")


def unreadable(*arguments: Any) -> Any:
    raise LoginFailed("cannot be read")


@pytest.mark.parametrize(
    ("scheme", "sentence"),
    [
        (object(), "object: it is an object, which does not provide I"),
        (Scheme("Two words"), "its name, 'Two words', is no token"),
        (Scheme(b"Mine"), "its name, b'Mine', is no token"),
        (Scheme(challenge=lambda realm: "Mine"), "is not one line of ASCII in bytes"),
        (Scheme(challenge=lambda realm: b"Mine\r\nX: y"), "is not one line of ASCII"),
        (Scheme(challenge=lambda realm: b"Yours"), "does not start with its name"),
        (Scheme(challenge=lambda realm: b"Minerva x"), "does not start with its name"),
        (
            Scheme(challenge=lambda realm: f'Mine realm="{realm}"'.encode()),
            "is not well-formed",
        ),
        (Scheme(challenge=lambda realm: b"Mine a=b, Other c=d"), "is not well-formed"),
        (Scheme(parse=lambda *_: None), "made NoneType of b'', .* ICredentials"),
        (Scheme(parse=lambda data, _: data[0]), "raised IndexError over b''"),
        (Scheme(parse=unreadable), "cannot read b'good': cannot be read"),
    ],
)
def test_checkAuthSchemeSaysWhatIsWrong(scheme: Any, sentence: str) -> None:
    """[T8] [AU-01] A challenge that splits a head, a crash where a 407 belongs."""
    with pytest.raises(AssertionError, match=f"(?s){sentence}"):
        checkAuthScheme(scheme, b"good")


@implementer(IRouter)
class Routes:
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def route(self, request: Any) -> Any:
        return self._answer(request) if callable(self._answer) else self._answer


NAMELESS: Any = Route("", lambda request, addresses: Deferred())
UNCALLABLE: Any = Route("x", None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("router", "sentence"),
    [
        (object(), "object: it is an object, which does not provide I"),
        (Routes("direct"), "it answered str, not a Route or None"),
        (Routes(lambda _: succeed(1)), "it answered int, not a Route or None"),
        (Routes(raising), "Routes raised over a sample request: ZeroDivisionError"),
        (Routes(NAMELESS), "its route's name, '', is no text"),
        (Routes(UNCALLABLE), "its route's connect cannot be called"),
    ],
)
def test_checkRouterSaysWhatIsWrong(router: Any, sentence: str) -> None:
    with pytest.raises(AssertionError, match=f"(?s){sentence}"):
        checkRouter(router)


@implementer(ITrafficObserver)
class Observes:
    def __init__(self, hear: Callable[[Any], Any]) -> None:
        self._hear = hear

    def observe(self, event: Any) -> Any:
        return self._hear(event)


@implementer(IReopens)
class Hollow(Observes):
    """Says that it can be reopened, and cannot."""


async def hearLater(event: Any) -> None:
    pass


@pytest.mark.parametrize(
    ("observer", "sentence"),
    [
        (object(), "object: it is an object, which does not provide I"),
        (Observes(raising), "Observes raised over TunnelRefused: ZeroDivisionError"),
        (Observes(lambda event: event.request.id), "AttributeError: 'NoneType'"),
        (Observes(hearLater), "returned something to wait for"),
        (Observes(lambda event: Deferred()), "returned something to wait for"),
        (Hollow(lambda event: None), "reopen"),
    ],
)
def test_checkObserverSaysWhatIsWrong(observer: Any, sentence: str) -> None:
    with pytest.raises(AssertionError, match=f"(?s){sentence}"):
        checkObserver(observer)


@implementer(ITrafficTap)
class Taps:
    def __init__(self, see: Any) -> None:
        self._see = see

    def tap(self, tunnel: Any) -> Any:
        return self._see


@implementer(ITrafficTap)
class AsyncTap:
    async def tap(self, tunnel: Any) -> Any:
        return None


@implementer(ITrafficTap)
class Ends:
    """Ends its tunnel when it is told to."""

    def __init__(self, when: str) -> None:
        self._when = when

    def tap(self, tunnel: Any) -> Any:
        if self._when == "tunnel":
            raise EndTunnel("no")
        seen = bytearray()

        def see(direction: Any, data: bytes) -> TapVerdict:
            seen.extend(data)
            if self._when == "end" and data:
                return TapVerdict.HOLD
            if len(seen) > (3 if self._when == "later" else 0):
                raise EndTunnel("no")
            return TapVerdict.HOLD

        return see


@pytest.mark.parametrize("when", ["tunnel", "first", "later", "end"])
def test_anEndingTapIsAGoodTap(when: str) -> None:
    """[F50] Over the tunnel, over bytes, or over the end of what it holds."""
    checkTap(Ends(when))


def test_everyTunnelIsANewOne() -> None:
    """[F50] A tap that has ended one tunnel, or has let go, is shown no more of it."""
    shown: list[Any] = []

    class OncePerTunnel:
        def __init__(self, verdict: Any) -> None:
            self._verdict = verdict

        def tap(self, tunnel: Any) -> Any:
            over: list[bool] = []

            def see(direction: Any, data: bytes) -> Any:
                assert not over
                over.append(True)
                shown.append(direction)
                if self._verdict is None:
                    raise EndTunnel("no")
                return self._verdict

            return see

    tapping = implementer(ITrafficTap)(OncePerTunnel)
    checkTap(tapping(None))
    checkTap(tapping(TapVerdict.LET_GO))
    assert shown


async def waits(direction: Any, data: bytes) -> None:
    """To be waited for."""


def failsAtTheEnd(direction: Any, data: bytes) -> TapVerdict:
    data[0]
    return TapVerdict.HOLD


def decodes(direction: Any, data: bytes) -> None:
    data.decode("ascii")


@pytest.mark.parametrize(
    ("tap", "sentence"),
    [
        (object(), "object: it is an object, which does not provide I"),
        (Taps(5), "it answered int, not a callable or None"),
        (AsyncTap(), "its tap is an async def, and nobody awaits it"),
        (Taps(lambda data: None), "raised over bytes up: TypeError"),
        (Taps(waits), "something to wait for over bytes up; a verdict comes at once"),
        (Taps(failsAtTheEnd), "raised over the end up: IndexError"),
        (Taps(decodes), "raised over bytes up: UnicodeDecodeError"),
    ],
)
def test_checkTapSaysWhatIsWrong(tap: Any, sentence: str) -> None:
    with pytest.raises(AssertionError, match=f"(?s){sentence}"):
        checkTap(tap)


@implementer(IPairFactory)
class Pairs:
    def __init__(self, build: Callable[[], Any]) -> None:
        self._build = build

    def buildPair(self, tunnel: Any) -> Any:
        return self._build()


SHARED = (Protocol(), Protocol())
TWICE = Protocol()


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        (object(), "object: it is an object, which does not provide I"),
        (Pairs(Protocol), "it built Protocol, not a pair of protocols"),
        (Pairs(lambda: (Protocol(),)), "it built tuple, not a pair"),
        (
            Pairs(lambda: (Protocol(), "x")),
            "str in its pair does not provide IProtocol",
        ),
        (Pairs(lambda: (TWICE, TWICE)), "it gave one protocol twice"),
        (Pairs(lambda: SHARED), "it gave one protocol twice"),
        (Pairs(lambda: 1 // 0), "Pairs raised over a tunnel: ZeroDivisionError"),
    ],
)
def test_checkPairFactorySaysWhatIsWrong(factory: Any, sentence: str) -> None:
    with pytest.raises(AssertionError, match=f"(?s){sentence}"):
        checkPairFactory(factory)


# Plugins.


@policyPlugin("weekdays", "Allow on weekdays only.")
def weekdays(request: Any) -> Allow | Deny:
    return Allow()


@addressPolicyPlugin("v4", "Allow IPv4 only.")
def onlyIPv4(request: Any, address: Any) -> Allow | Deny:
    return Allow() if address.version == 4 else Deny("IPv6")


@observerPlugin("nobody", "Hear nothing.")
def nobody(event: Any) -> None:
    pass


@routerPlugin("straight", "Go direct.")
def straight(request: Any) -> None:
    return None


@tapPlugin("blind", "See nothing.")
def blind(tunnel: Any) -> None:
    return None


@pairPlugin("stock", "The stock pair.")
def stock(tunnel: Any) -> Any:
    return ProxyServer(), ProxyClient()


@pytest.mark.parametrize(
    ("factory", "argument", "kind"),
    [
        (weekdays, "", type(weekdays)),
        (onlyIPv4, "", type(onlyIPv4)),
        (nobody, "", type(nobody)),
        (straight, "", type(straight)),
        (blind, "", type(blind)),
        (stock, "", type(stock)),
        (policyFactory("ports", "Ports.", PortsPolicy, "PORT,..."), "443", PortsPolicy),
        (observerFactory("counters", "Count.", Counters), "", Counters),
        (authSchemeFactory("basic", "Basic.", BasicScheme), "", BasicScheme),
    ],
    ids=lambda each: getattr(each, "name", None),
)
def test_checkPluginPasses(factory: Any, argument: str, kind: type) -> None:
    """[PS-01] Whatever the helpers declare; the object it makes is handed back."""
    assert type(checkPlugin(factory, argument)) is kind


@implementer(IPlugin, IPolicyPlugin)
class Plugin:
    def __init__(self, **attributes: Any) -> None:
        self.name = "mine"
        self.summary = "Mine."
        self.argumentHelp = ""
        self.made: Any = Says(Allow())
        vars(self).update(attributes)

    def fromString(self, argument: str) -> Any:
        if argument:
            raise ValueError("it takes no argument")
        return self.made


@pytest.mark.parametrize(
    ("factory", "argument", "sentence"),
    [
        (object(), "", "object provides none of IPolicyPlugin, IObserverPlugin"),
        (Plugin(name="a.b"), "", "'a.b' is no plugin name"),
        (Plugin(name="a b"), "", "'a b' is no plugin name"),
        (Plugin(name=""), "", "'' is no plugin name"),
        (Plugin(summary=" "), "", "its summary is no sentence on one line"),
        (Plugin(argumentHelp="a\nb"), "", "its argumentHelp is no text on one line"),
        (Plugin(made=None), "", "it made NoneType, which provides none of IDest"),
        (Plugin(made=Says(None)), "", "Says: it answered None"),
        (Plugin(), "x", "mine refused the argument 'x': it takes no argument; give"),
    ],
)
def test_checkPluginSaysWhatIsWrong(factory: Any, argument: str, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        checkPlugin(factory, argument)


def test_checkPluginVerifiesTheFactory() -> None:
    @implementer(IPolicyPlugin)
    class Bare:
        pass

    with pytest.raises(AssertionError, match="(?s)Bare: .*fromString"):
        checkPlugin(Bare())


# What looks names up.


def test_scriptedLookupAnswersAsGetaddrinfo() -> None:
    lookup = scriptedLookup({"a.example": ["192.0.2.1", "2001:db8::1"]})
    real = socket.getaddrinfo(
        "192.0.2.1", 443, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
    )
    found = lookup(b"A.example.", 443, 0, socket.SOCK_STREAM)
    assert found[0] == real[0]
    assert found[1][0] == socket.AF_INET6
    assert found[1][4] == ("2001:db8::1", 443, 0, 0)
    assert lookup("a.example", None, socket.AF_INET)[0][4] == ("192.0.2.1", 0)
    assert lookup.calls == ["A.example.", "a.example"]


def test_scriptedLookupFails() -> None:
    lookup = scriptedLookup(
        {"bad.example": OSError(24, "x"), "v4.example": ["192.0.2.1"]}
    )
    with pytest.raises(socket.gaierror) as unknown:
        lookup("nothing.example", 443)
    assert unknown.value.errno == socket.EAI_NONAME
    with pytest.raises(socket.gaierror) as empty:
        lookup("v4.example", 443, socket.AF_INET6)
    assert empty.value.errno == socket.EAI_NODATA
    with pytest.raises(OSError, match="x"):
        lookup("bad.example", 443)


def test_scriptedLookupMoves() -> None:
    """[T7] A name may answer otherwise the second time."""
    answers = iter([["192.0.2.1"], ["127.0.0.1"]])
    lookup = scriptedLookup({"a.example": lambda: next(answers), "b.example": []})
    assert lookup("a.example", 1)[0][4] == ("192.0.2.1", 1)
    assert lookup("a.example", 1)[0][4] == ("127.0.0.1", 1)
    lookup.answers["a.example"] = ["192.0.2.3"]
    assert lookup("a.example", 1)[0][4] == ("192.0.2.3", 1)
    with pytest.raises(socket.gaierror):
        lookup("b.example", 1)


Outcomes = list[tuple[bool, Any]]


def collect(outcomes: Outcomes) -> Callable[[bool, Any], object]:
    return lambda success, result: outcomes.append((success, result))


def test_immediatePoolWorksAtOnce() -> None:
    pool, outcomes = ImmediatePool(), Outcomes()
    pool.callInThreadWithCallback(collect(outcomes), int, "12")
    assert (outcomes, pool.waiting, pool.started) == ([], 1, False)
    pool.start()
    assert (outcomes, pool.started) == ([(True, 12)], True)
    pool.callInThreadWithCallback(collect(outcomes), int, "11", base=2)
    assert outcomes[1] == (True, 3)
    pool.callInThreadWithCallback(collect(outcomes), int, "x")
    assert outcomes[2][0] is False
    assert outcomes[2][1].check(ValueError)


def test_poolsHaveNoMoreMethodsThanTheRealOne() -> None:
    """A stand-in that can do more hides a call that the real one refuses."""
    mine = {name for name in dir(ImmediatePool) if not name.startswith("_")}
    assert mine - set(dir(ThreadPool)) == {"run", "waiting"}


def test_stoppedPoolDropsWork() -> None:
    pool, outcomes = ImmediatePool(), Outcomes()
    pool.start()
    pool.stop()
    pool.callInThreadWithCallback(collect(outcomes), int)
    pool.start()
    assert (outcomes, pool.waiting) == ([], 0)


def test_manualPoolWorksWhenToldTo() -> None:
    pool, outcomes = ManualPool(), Outcomes()
    pool.start()
    for number in range(3):
        pool.callInThreadWithCallback(collect(outcomes), int, number)
    assert (outcomes, pool.waiting) == ([], 3)
    pool.run(1)
    assert (outcomes, pool.waiting) == ([(True, 0)], 2)
    pool.run()
    assert [result for _, result in outcomes] == [0, 1, 2]


def test_poolsDoNotSwallowWhatNobodyWaitsFor() -> None:
    pool = ImmediatePool()
    pool.start()
    with pytest.raises(ValueError, match="invalid literal"):
        pool.callInThread(int, "x")


def test_poolsDoWhatNobodyWaitsFor() -> None:
    done: list[int] = []
    pool = ImmediatePool()
    pool.start()
    pool.callInThread(done.append, 1)
    assert done == [1]
