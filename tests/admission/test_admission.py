"""
From a head to a destination that has answered: each hook once and in order,
only Allow allows, and whoever leaves takes all of it along.
"""

from __future__ import annotations

import asyncio
import errno
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from certificates import makeAuthority
from OpenSSL.crypto import X509
from rig import (
    DESTINATION,
    ESTABLISHED,
    Anything,
    Logged,
    Rig,
    body,
    connect,
    logging,
    status,
)
from twisted.cred.checkers import (
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.auth.basic import BasicScheme
from txconnect.errors import Refused
from txconnect.interfaces import (
    IAddressPolicy,
    IAuthScheme,
    IDestinationPolicy,
    IPairFactory,
    IRouter,
    ITrafficObserver,
    ITrafficTap,
)
from txconnect.naming import RequestIds
from txconnect.proxy import ConnectProxyFactory
from txconnect.roles import describedValue
from txconnect.testing import ManualPool, MemoryNetwork
from txconnect.tunnel.pair import ProxyClient, ProxyServer
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import (
    Allow,
    Authority,
    Cause,
    Deny,
    Identity,
    Named,
    Reached,
    Route,
    TunnelClosed,
    TunnelEstablished,
    TunnelRefused,
)


@pytest.fixture(autouse=True)
def logged() -> Iterator[Logged]:
    """The log; no test may leave a Deferred's error that nobody looked at."""
    with logging() as logged:
        yield logged
        assert logged.unhandled == []


# What a plugin may do.

Answer = Callable[[], Any]


@implementer(IDestinationPolicy)
class NamePolicy:
    """Answers as it is told to, and counts."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.calls: list[Any] = []

    def decide(self, request: Any) -> Any:
        self.calls.append(request)
        return self.answer()


@implementer(IAddressPolicy)
class AddressPolicy:
    """Likewise."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self.answer = answer
        self.calls: list[str] = []

    def decideAddress(self, request: Any, address: Any) -> Any:
        self.calls.append(str(address))
        return self.answer(address)


@implementer(IRouter)
class Router:
    """Likewise."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.calls: list[Any] = []

    def route(self, request: Any) -> Any:
        self.calls.append(request)
        return self.answer()


@implementer(ITrafficTap)
class Tapper:
    """Likewise."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self.tap = answer


@implementer(IPairFactory)
class Pairs:
    """Likewise."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self.buildPair = answer


@implementer(ICredentialsChecker)
class Checker:
    """Likewise."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self.requestAvatarId = answer


def raising(error: BaseException) -> Answer:
    """An answer that is none."""

    def answer() -> Any:
        raise error

    return answer


STYLES = ["plain", "fired", "later", "coroutine", "waiting coroutine"]


class Styled:
    """One answer in each of the ways in which a hook may give it."""

    def __init__(self, style: str) -> None:
        self.style = style
        self.gate: Deferred[None] = Deferred()

    def give(self, value: Any) -> Any:
        """The answer, as a hook returns it."""
        if self.style == "plain":
            return value
        if self.style == "fired":
            return succeed(value)
        if self.style == "later":
            return self.gate.addCallback(lambda _: value)
        return self._coroutine(value)

    async def _coroutine(self, value: Any) -> Any:
        if self.style == "waiting coroutine":
            await self.gate
        return value

    def open(self) -> None:
        """Let the answer come, where it has not."""
        self.gate.callback(None)


# A plugin's place, and how a proxy gets the plugin there.


def place(kind: str, answer: Answer) -> dict[str, Any]:
    """A Rig's arguments for one plugin C{"mine"} with that answer."""
    made: dict[str, tuple[str, Any]] = {
        "decide": ("policies", NamePolicy(answer)),
        "decideAddress": ("policies", AddressPolicy(lambda _: answer())),
        "route": ("routers", Router(answer)),
    }
    where, plugin = made[kind]
    return {where: [Named("mine", plugin)]}


ASYNC = ["decide", "decideAddress", "route"]


def good(kind: str) -> Any:
    """What lets a tunnel pass."""
    return None if kind == "route" else Allow()


def basic(user: str, password: str) -> str:
    """A Proxy-Authorization field."""
    token = b64encode(f"{user}:{password}".encode()).decode()
    return f"Proxy-Authorization: Basic {token}"


def users(**known: str) -> InMemoryUsernamePasswordDatabaseDontUse:
    """A checker that knows them."""
    return InMemoryUsernamePasswordDatabaseDontUse(
        **{user: password.encode() for user, password in known.items()}
    )


def refusal(rig: Rig) -> TunnelRefused:
    """The one event of a request that became no tunnel."""
    (event,) = rig.events.events
    assert isinstance(event, TunnelRefused)
    return event


class TestOrder:
    """Each step happens once, in this order, and each hook is called once."""

    def test_all(self) -> None:
        """[TU-11] [H1-32] Credentials, names, routes, one look-up, addresses,
        dial, tap, pair, 200, observers; each exactly once."""
        order: list[str] = []

        def note(what: str, answer: Any = None) -> Any:
            order.append(what)
            return answer

        @implementer(IDestinationPolicy, IAddressPolicy)
        @attrs.frozen
        class Policy:
            name: str

            def decide(self, request: Any) -> Any:
                return note(f"{self.name} name", Allow())

            def decideAddress(self, request: Any, address: Any) -> Any:
                return note(f"{self.name} {address}", Allow())

        @implementer(ITrafficObserver)
        class Observer:
            def observe(self, event: Any) -> None:
                note(type(event).__name__)

        @implementer(IAuthScheme)
        class Scheme(BasicScheme):
            def parse(self, attempt: Any) -> Any:
                note("parse")
                return super().parse(attempt)

        rig = Rig(
            names={"example.com": lambda: note("look-up", [DESTINATION, "192.0.2.2"])},
            policies=[Policy("one"), Policy("two")],
            schemes=[Scheme()],
            checkers=[Checker(lambda _: note("check", "ada"))],
            routers=[
                Router(lambda: note("route one")),
                Router(lambda: note("route 2")),
            ],
            taps=[Tapper(lambda _: note("tap"))],
            pairFactory=Pairs(lambda _: note("pair", (ProxyServer(), ProxyClient()))),
            observers=[Observer()],
        )
        order.clear()
        rig.serve(accepted=lambda _: note("dial"))
        client = rig.client(connect("example.com:443", basic("ada", "x")))
        assert client.received == ESTABLISHED
        assert order == [
            "parse",
            "check",
            "one name",
            "two name",
            "route one",
            "route 2",
            "look-up",
            "one 192.0.2.1",
            "two 192.0.2.1",
            "one 192.0.2.2",
            "two 192.0.2.2",
            "dial",
            "tap",
            "pair",
            "TunnelEstablished",
        ]

    def test_first_deny_ends_it(self) -> None:
        """[H1-25] Nobody behind the first Deny is asked, nothing is looked up."""
        first, second = NamePolicy(lambda: Deny("no")), NamePolicy(Allow)
        router = Router(lambda: None)
        rig = Rig(policies=[Named("first", first), second], routers=[router])
        client = rig.client(connect())
        assert status(client) == 403
        assert len(first.calls) == 1
        assert (second.calls, router.calls, rig.lookup.calls) == ([], [], [])
        assert refusal(rig).rule == "first"
        assert refusal(rig).reason == "no"
        client.close()
        rig.assertOver()

    def test_all_must_allow(self) -> None:
        """[H1-25] A later policy can only narrow."""
        rig = Rig(policies=[NamePolicy(Allow), NamePolicy(lambda: Deny("no"))])
        assert status(rig.client(connect())) == 403

    def test_200_when_connected(self) -> None:
        """[T3] [H1-32] Nothing is said before the destination has answered."""
        rig = Rig()
        rig.network.blackhole(DESTINATION)
        client = rig.client(connect())
        rig.network.advance(10)
        assert client.received == b""
        client.abort()
        rig.assertOver()

    def test_200_and_data_of_a_destination_that_closes_at_once(self) -> None:
        """[T3] The 200 and what the destination said are there even when it has
        gone by then."""

        def goodbye(peer: Any) -> None:
            peer.send(b"goodbye")
            peer.close()

        rig = Rig()
        rig.serve(accepted=goodbye)
        client = rig.client(connect())
        assert body(client) == b"goodbye"
        client.close()
        rig.assertOver()

    def test_refused_port_is_no_200(self) -> None:
        """[T3] A port that refuses is a 502."""
        rig = Rig()
        rig.network.refuse(DESTINATION)
        assert status(rig.client(connect())) == 502


class TestDefaults:
    """What stands from the start."""

    def test_port(self) -> None:
        """[H1-25] Port 25 is refused without any configuration."""
        network = MemoryNetwork()
        factory = ConnectProxyFactory(network, pool=ManualPool())
        network.listenTCP(3128, factory, interface="127.0.0.1")
        client = network.connect("127.0.0.1", 3128)
        client.send(connect("example.com:25"))
        network.flush()
        assert status(client) == 403
        assert b"http_request_denied" in client.received

    def test_private_address(self) -> None:
        """[T6] So is an address that is not public."""
        network = MemoryNetwork()
        factory = ConnectProxyFactory(network, pool=ManualPool())
        network.listenTCP(3128, factory, interface="127.0.0.1")
        client = network.connect("127.0.0.1", 3128)
        client.send(connect("169.254.169.254:443"))
        network.flush()
        assert status(client) == 403
        assert b"destination_ip_prohibited" in client.received


class TestAnswers:
    """However a hook answers."""

    @pytest.mark.parametrize("style", STYLES)
    @pytest.mark.parametrize("kind", ASYNC)
    def test_passes(self, kind: str, style: str) -> None:
        """At once, by a Deferred, by a coroutine: the same tunnel."""
        styled = Styled(style)
        rig = Rig(**place(kind, lambda: styled.give(good(kind))))
        rig.serve()
        client = rig.client(connect())
        waits = style in ("later", "waiting coroutine")
        assert (client.received == b"") is waits
        styled.open()
        rig.flush()
        assert client.received == ESTABLISHED
        client.abort()
        rig.network.advance(1)
        rig.assertOver()

    @pytest.mark.parametrize("style", STYLES)
    @pytest.mark.parametrize("kind", ["decide", "decideAddress"])
    def test_denies(self, kind: str, style: str) -> None:
        """And the same refusal."""
        styled = Styled(style)
        rig = Rig(**place(kind, lambda: styled.give(Deny("because", Cause.LIMIT))))
        destination = rig.serve()
        client = rig.client(connect())
        styled.open()
        rig.flush()
        assert status(client) == 503
        assert refusal(rig).rule == "mine"
        assert refusal(rig).reason == "because"
        assert destination.peers == []
        client.close()
        rig.assertOver()

    def test_many_synchronous_hooks_cost_no_timer(self) -> None:
        """Who answers at once costs no trip through the reactor."""
        rig = Rig(policies=[NamePolicy(Allow) for _ in range(50)])
        rig.network.blackhole(DESTINATION)
        before = len(rig.network.getDelayedCalls())
        peer = rig.client(connect())
        # The dial's deadline alone, whoever was asked before.
        assert len(rig.network.getDelayedCalls()) == before + 1
        peer.abort()
        rig.assertOver()


class AllowLike(Allow):
    """No Allow, though it says so."""


class TestFailClosed:
    """Only Allow allows."""

    def check(self, rig: Rig, cause: Cause = Cause.PLUGIN_ERROR) -> TunnelRefused:
        """The client is told 500, and nothing was dialled."""
        destination = rig.serve()
        client = rig.client(connect())
        rig.network.advance(rig.proxy.settings.hookTimeout)
        assert status(client) == 500
        assert b"mine" in client.received.split(b"\r\n")[0]
        event = refusal(rig)
        assert (event.cause, event.rule) == (cause, "mine")
        assert destination.peers == []
        client.close()
        rig.assertOver()
        return event

    @pytest.mark.parametrize("style", ["plain", "fired", "coroutine", "later"])
    @pytest.mark.parametrize(
        "wrong",
        [None, True, 1, "allow", {}, Allow, Deny, AllowLike(), Cause.POLICY, object()],
    )
    @pytest.mark.parametrize("kind", ["decide", "decideAddress"])
    def test_wrong_type(self, kind: str, wrong: Any, style: str) -> None:
        """[T8] None, True and their like refuse, whichever way they come."""
        styled = Styled(style)
        rig = Rig(**place(kind, lambda: styled.give(wrong)))
        rig.network.callLater(0, styled.open)
        event = self.check(rig)
        assert f"it answered {describedValue(wrong)}, not " in event.reason

    @pytest.mark.parametrize("wrong", [True, "direct", Route, (), Allow()])
    def test_wrong_route(self, wrong: Any) -> None:
        """A router answers with a route or None, and nothing else."""
        self.check(Rig(**place("route", lambda: wrong)))

    @pytest.mark.parametrize(
        "error",
        [
            KeyError("broken"),
            StopIteration("broken"),
            asyncio.CancelledError("broken"),
            SystemExit("broken"),
            Refused(Cause.POLICY, "broken"),
        ],
    )
    @pytest.mark.parametrize("style", ["raise", "fired", "later"])
    @pytest.mark.parametrize("kind", ASYNC)
    def test_exception(
        self, kind: str, style: str, error: BaseException, logged: Logged
    ) -> None:
        """An exception refuses, and its traceback is in the log."""
        gate: Deferred[Any] = Deferred()
        ways: dict[str, Answer] = {
            "raise": raising(error),
            "fired": lambda: fail(error),
            "later": lambda: gate,
        }
        rig = Rig(**place(kind, ways[style]))
        if style == "later":
            rig.network.callLater(0, gate.errback, Failure(error))
        assert "broken" in self.check(rig).reason
        assert any("mine failed over" in each for each in logged.errors)

    @pytest.mark.parametrize("kind", ASYNC)
    def test_timeout(self, kind: str) -> None:
        """[T12] A hook that does not answer refuses at its deadline, and is
        cancelled behind that."""
        cancelled: list[Any] = []
        rig = Rig(**place(kind, lambda: Deferred(cancelled.append)))
        event = self.check(rig, Cause.PLUGIN_TIMEOUT)
        assert len(cancelled) == 1
        assert "10 seconds" in event.reason

    def test_late_allow(self) -> None:
        """[T12] An Allow behind the deadline opens nothing."""
        gate: Deferred[Any] = Deferred(lambda _: gate.callback(Allow()))
        self.check(Rig(**place("decide", lambda: gate)), Cause.PLUGIN_TIMEOUT)

    @pytest.mark.parametrize(
        "cause",
        [
            Cause.CLIENT_LEFT,
            Cause.SHUTDOWN,
            Cause.CREDENTIALS_REFUSED,
            "policy",
            403,
            None,
        ],
    )
    @pytest.mark.parametrize("kind", ["decide", "decideAddress"])
    def test_unspeakable_cause(self, kind: str, cause: Any) -> None:
        """[H1-37] A Deny with a cause that no client can be told (a 407 where
        there is no challenge) is a broken plugin."""
        self.check(Rig(**place(kind, lambda: Deny("no", cause))))

    def test_407_where_there_is_a_challenge(self) -> None:
        """[H1-38] Where users authenticate, a policy may ask for others."""
        rig = Rig(
            policies=[NamePolicy(lambda: Deny("no", Cause.CREDENTIALS_REFUSED))],
            checkers=[users(ada="x")],
        )
        client = rig.client(connect("example.com:443", basic("ada", "x")))
        assert status(client) == 407
        assert b"Proxy-Authenticate: Basic" in client.received

    def test_asyncio_future(self) -> None:
        """Who forgets Deferred.fromFuture is told so."""
        loop = asyncio.new_event_loop()

        async def awaits() -> Any:
            return await loop.create_future()

        for answer in (loop.create_future, awaits):
            event = self.check(Rig(**place("decide", answer)))
            assert "Deferred.fromFuture" in event.reason
        loop.close()

    def test_broken_address_policy_ends_it(self) -> None:
        """[T7] An address policy that breaks over one address lets no other
        address through."""
        answers = iter([Allow(), None])
        rig = Rig(
            names={"example.com": [DESTINATION, "192.0.2.2"]},
            policies=[Named("mine", AddressPolicy(lambda _: next(answers)))],
        )
        self.check(rig)

    def test_clumsy_cancellation(self, logged: Logged) -> None:
        """What a hook fails with when it is cancelled is logged and felt by
        nobody."""
        gate: Deferred[Any] = Deferred()

        async def clumsy() -> Any:
            try:
                return await gate
            finally:
                raise KeyError("clean-up")

        self.check(Rig(**place("decide", clumsy)), Cause.PLUGIN_TIMEOUT)
        assert any("clean-up" in each for each in logged.errors)


class TestAddresses:
    """What was judged is what is dialled."""

    def prohibiting(self, *prohibited: str) -> AddressPolicy:
        return AddressPolicy(
            lambda address: (
                Deny(f"{address} is private", Cause.ADDRESS)
                if str(address) in prohibited
                else Allow()
            )
        )

    def test_mixed_answer(self) -> None:
        """[T7] [TU-11] The prohibited address is dropped and noted; the other is
        dialled, and it alone."""
        policy = self.prohibiting("10.0.0.1")
        rig = Rig(
            names={"example.com": ["10.0.0.1", DESTINATION]},
            policies=[Named("private", policy)],
        )
        private = rig.serve("10.0.0.1")
        rig.tunnel()
        assert private.peers == []
        assert policy.calls == ["10.0.0.1", DESTINATION]
        (event,) = rig.events.established
        assert str(event.tunnel.address) == DESTINATION
        assert event.tunnel.notes == ("private: dropped 10.0.0.1: 10.0.0.1 is private",)

    def test_all_prohibited(self) -> None:
        """[T7] [TU-11] With none left: 403, and the log has every reason."""
        rig = Rig(
            names={"example.com": ["10.0.0.1", "10.0.0.2"]},
            policies=[Named("private", self.prohibiting("10.0.0.1", "10.0.0.2"))],
        )
        private = rig.serve("10.0.0.1")
        client = rig.client(connect())
        assert status(client) == 403
        assert b"error=destination_ip_prohibited" in client.received
        assert b"10.0.0" not in client.received
        event = refusal(rig)
        assert event.rule == "private"
        assert "10.0.0.1" in event.reason and "10.0.0.2" in event.reason
        assert private.peers == []
        client.close()
        rig.assertOver()

    def test_rebinding(self) -> None:
        """[T7] [TU-11] A name that is another address the second time is asked
        for once, and what was judged is dialled."""
        answers = iter([[DESTINATION], ["127.0.0.1"]])
        rig = Rig(names={"example.com": lambda: next(answers)})
        loopback = rig.serve("127.0.0.1")
        rig.tunnel()
        assert rig.lookup.calls == ["example.com"]
        assert loopback.peers == []

    def test_failed_dial_asks_nobody_again(self) -> None:
        """[T7] Nor does a dial that fails make for a second look-up."""
        answers = iter([[DESTINATION], ["127.0.0.1"]])
        rig = Rig(names={"example.com": lambda: next(answers)})
        loopback = rig.serve("127.0.0.1")
        assert status(rig.client(connect())) == 502
        assert rig.lookup.calls == ["example.com"]
        assert loopback.peers == []

    def test_literal_is_judged(self) -> None:
        """[TU-11] [T6] A literal passes the address policies like any other."""
        rig = Rig(policies=[Named("private", self.prohibiting("10.0.0.1"))])
        assert status(rig.client(connect("10.0.0.1:443"))) == 403
        assert rig.lookup.calls == []

    def test_address_policy_of_another_cause(self) -> None:
        """The first Deny's own cause is what the client is told."""
        rig = Rig(policies=[AddressPolicy(lambda _: Deny("full", Cause.LIMIT))])
        assert status(rig.client(connect())) == 503


class TestRoutes:
    """How a tunnel leaves."""

    def test_first_route_wins(self) -> None:
        """Nobody is asked behind the first that answers."""
        used: list[str] = []
        rig = Rig()

        def through(name: str) -> Route:
            def connect_(request: Any, addresses: Any) -> Any:
                used.append(name)
                return rig.proxy.dialer.dial(addresses, 443)

            return Route(name, connect_)

        last = Router(lambda: through("third"))
        rig = Rig(
            routers=[
                Router(lambda: None),
                Router(lambda: through("second")),
                last,
            ]
        )
        rig.tunnel()
        assert used == ["second"] and last.calls == []
        assert rig.events.established[0].tunnel.route == "second"

    def test_direct(self) -> None:
        """When all answer None it goes direct."""
        rig = Rig(routers=[Router(lambda: None)])
        rig.tunnel()
        assert rig.events.established[0].tunnel.route == "direct"

    def test_route_that_resolves(self) -> None:
        """A route that resolves gets no addresses: nothing is looked up here,
        and no address policy is asked."""
        asked: list[Any] = []
        policy = AddressPolicy(lambda _: Allow())

        def through(request: Any, addresses: Any) -> Any:
            asked.append((str(request.authority), tuple(addresses)))
            found = rig.proxy.dialer.dial([Authority(DESTINATION, 443).address], 443)
            return found.addCallback(lambda reached: Reached(reached.leg))

        rig = Rig(
            policies=[policy],
            routers=[Router(lambda: Route("parent", through, resolves=True))],
        )
        rig.tunnel()
        assert asked == [("example.com:443", ())]
        assert (rig.lookup.calls, policy.calls) == ([], [])
        tunnel = rig.events.established[0].tunnel
        assert (tunnel.address, tunnel.route) == (None, "parent")

    def via(self, connect_: Callable[..., Any], **route: Any) -> Rig:
        return Rig(routers=[Router(lambda: Route("parent", connect_, **route))])

    @pytest.mark.parametrize(
        "through",
        [
            lambda *_: fail(KeyError("broken")),
            lambda *_: succeed(None),
            lambda *_: succeed((1, 2, 3)),
            lambda *_: None,
            lambda: None,
        ],
    )
    def test_broken_route(self, through: Any, logged: Logged) -> None:
        """A route that fails in its own way is a 500 that names it."""
        rig = self.via(through)
        client = rig.client(connect())
        assert status(client) == 500
        assert (refusal(rig).cause, refusal(rig).rule) == (
            Cause.PLUGIN_ERROR,
            "parent",
        )
        assert logged.errors
        client.close()
        rig.assertOver()

    def test_route_that_refuses(self) -> None:
        """A route may refuse with a row of the table."""
        refused = Refused(Cause.UNROUTABLE, "the parent has no route", "parent")
        rig = self.via(lambda *_: fail(refused))
        assert status(rig.client(connect())) == 502
        assert refusal(rig).reason == "the parent has no route"

    @pytest.mark.parametrize(("resolves", "seconds"), [(False, 15), (True, 20)])
    def test_route_without_a_deadline(self, resolves: bool, seconds: int) -> None:
        """[T12] A route that never answers has the connect's deadline; one that
        resolves, the look-up's too."""
        cancelled: list[Any] = []
        rig = self.via(lambda *_: Deferred(cancelled.append), resolves=resolves)
        client = rig.client(connect())
        rig.network.advance(seconds - 0.1)
        assert client.received == b""
        rig.network.advance(0.2)
        assert status(client) == 504
        assert len(cancelled) == 1
        client.close()
        rig.assertOver()

    @pytest.mark.parametrize("leaves", [True, False])
    def test_leg_that_comes_late(self, leaves: bool) -> None:
        """[TU-05] A leg that a route brings when nobody waits any more, because
        the client has left or the deadline has passed, is reset."""

        class Recorded(Leg):
            aborted = 0

            def abort(self) -> None:
                self.aborted += 1

        leg, gate = Recorded(), Deferred()  # type: ignore[var-annotated]

        async def stubborn() -> Any:
            try:
                await Deferred()
            except BaseException:
                await gate
            return Reached(leg)

        rig = self.via(lambda *_: Deferred.fromCoroutine(stubborn()))
        client = rig.client(connect())
        if leaves:
            client.abort()
            rig.flush()
        else:
            rig.network.advance(20)
            client.close()
        rig.assertOver()
        assert leg.aborted == 0
        gate.callback(None)
        assert leg.aborted == 1
        assert len(rig.events.events) == 1


class TestTapsAndPairs:
    """Made before the client is told anything."""

    @pytest.mark.parametrize(
        "answer",
        [raising(KeyError("broken")), lambda: 7, lambda: Deferred(), lambda: "tap"],
    )
    def test_broken_tap(self, answer: Answer, logged: Logged) -> None:
        """A tap that raises, or gives what cannot be called, is a 500; the leg
        is reset."""
        self.check(Rig(taps=[Named("mine", Tapper(lambda _: answer()))]), logged)

    def test_tap_by_coroutine(self, logged: Logged) -> None:
        """A tap answers at once: a coroutine is refused, and left quietly."""

        async def tap(tunnel: Any) -> Any:
            return None

        self.check(
            Rig(taps=[Named("mine", Tapper(lambda tunnel: tap(tunnel)))]), logged
        )

    @pytest.mark.parametrize(
        "answer",
        [
            raising(KeyError("broken")),
            lambda: None,
            lambda: ProxyServer(),
            lambda: (ProxyServer(),),
            lambda: [ProxyServer(), ProxyClient()],
            lambda: (ProxyServer, ProxyClient),
            lambda: ("server", "client"),
        ],
    )
    def test_broken_pair(self, answer: Answer, logged: Logged) -> None:
        """So is a pair factory that raises, or gives no pair."""
        self.check(Rig(pairFactory=Named("mine", Pairs(lambda _: answer()))), logged)

    def check(self, rig: Rig, logged: Logged) -> None:
        destination = rig.serve()
        client = rig.client(connect())
        assert status(client) == 500
        assert b" 200 " not in client.received
        assert (refusal(rig).cause, refusal(rig).rule) == (Cause.PLUGIN_ERROR, "mine")
        assert destination.peer.reset
        assert logged.errors
        client.close()
        rig.assertOver()

    def test_later_tap_is_not_asked(self) -> None:
        """[T13] Behind a broken tap no further one is made."""
        made: list[str] = []
        rig = Rig(
            taps=[
                Tapper(lambda _: made.append("first")),
                Tapper(lambda _: raising(KeyError())()),
                Tapper(lambda _: made.append("third")),
            ]
        )
        rig.serve()
        assert status(rig.client(connect())) == 500
        assert made == ["first"]

    def test_picked(self) -> None:
        """A tap that picks the tunnel hears its bytes, beside one that does
        not."""
        heard: list[Any] = []
        rig = Rig(
            taps=[
                Tapper(lambda _: None),
                Tapper(lambda _: lambda direction, data: heard.append(data)),
            ]
        )
        client, _ = rig.tunnel()
        client.send(b"bytes")
        rig.flush()
        assert heard == [b"bytes"]

    def test_what_they_are_told(self) -> None:
        """They see the tunnel as observers will."""
        told: list[Any] = []
        rig = Rig(taps=[Tapper(lambda tunnel: told.append(tunnel))])
        rig.tunnel()
        assert told == [rig.events.established[0].tunnel]


class TestObservers:
    """Felt by nobody."""

    @pytest.mark.parametrize("kind", [KeyError, SystemExit])
    def test_exceptions(self, logged: Logged, kind: type[BaseException]) -> None:
        """An observer that raises harms neither the tunnel nor the observers
        behind it; one that wants to exit, not the end of the program. [F10]"""

        @implementer(ITrafficObserver)
        class Broken:
            def observe(self, event: Any) -> None:
                raise kind(type(event).__name__)

        heard: list[Any] = []

        @implementer(ITrafficObserver)
        class Behind:
            def observe(self, event: Any) -> None:
                heard.append(type(event))

        rig = Rig(observers=[Named("bad", Broken()), Behind()])
        client, destination = rig.tunnel()
        client.close()
        destination.close()
        rig.flush()
        rig.client(connect("nowhere.example:443")).close()
        rig.assertOver()
        assert heard == [TunnelEstablished, TunnelClosed, TunnelRefused]
        assert len([each for each in logged.errors if "observer bad" in each]) == 3


# Every step at which a client may leave and a proxy may stop.

STEPS = [
    "authentication",
    "name policy",
    "router",
    "look-up",
    "address policy",
    "dial",
    "route",
]


class Stuck:
    """A proxy whose next request stands at one step for ever."""

    def __init__(self, step: str, **settings: Any) -> None:
        self.cancelled: list[Any] = []
        self.pool = ManualPool()
        arguments: dict[str, Any] = {
            "authentication": {"checkers": [Checker(lambda _: self.never())]},
            "name policy": {"policies": [NamePolicy(self.never)]},
            "router": {"routers": [Router(self.never)]},
            "look-up": {"pool": self.pool},
            "address policy": {"policies": [AddressPolicy(lambda _: self.never())]},
            "dial": {},
            "route": {
                "routers": [Router(lambda: Route("parent", lambda *_: self.never()))]
            },
        }[step]
        self.rig = Rig(settings=settings, **arguments)
        self.rig.network.blackhole(DESTINATION)
        self.cancels = step not in ("look-up", "dial")
        self.client = self.rig.client(connect("example.com:443", basic("ada", "x")))
        assert self.client.received == b""

    def never(self) -> Deferred[Any]:
        return Deferred(self.cancelled.append)

    def assertGivenUp(self, cause: Cause) -> None:
        """The step was cancelled, all is accounted for once, nothing is left."""
        assert len(self.cancelled) == self.cancels
        self.pool.run()
        assert self.rig.lookup.calls in ([], ["example.com"])
        self.rig.assertOver()
        event = refusal(self.rig)
        assert event.cause is cause
        assert event.request is not None
        assert str(event.request.authority) == "example.com:443"
        self.rig.network.advance(100)
        assert len(self.rig.events.events) == 1
        assert self.client.received == b""


@pytest.mark.parametrize("step", STEPS)
class TestLeaving:
    """A client that leaves cancels the step."""

    @pytest.mark.parametrize(
        ("how", "halfClose"),
        [
            ("abort", "carry"),
            ("abort", "close-both"),
            ("close", "close-both"),
            ("end", "close-both"),
        ],
    )
    def test_left(self, step: str, how: str, halfClose: str) -> None:
        """[TU-05] By reset, and where ends are not carried by FIN: the step under way
        is cancelled, and neither timer, socket nor slot is left."""
        stuck = Stuck(step, halfClose=halfClose)
        getattr(stuck.client, how)()
        stuck.rig.flush()
        stuck.assertGivenUp(Cause.CLIENT_LEFT)

    def test_ended(self, step: str) -> None:
        """[F04] [TU-03] A FIN alone cancels nothing: the client waits for its answer."""
        stuck = Stuck(step)
        stuck.client.end()
        stuck.rig.flush()
        assert stuck.cancelled == []
        assert stuck.rig.events.events == []
        stuck.rig.network.advance(100)
        assert status(stuck.client) in (500, 504)
        stuck.pool.run()
        stuck.rig.assertOver()

    def test_shutdown(self, step: str) -> None:
        """[TU-05] So does a proxy that stops, and its Deferred fires when all
        is gone."""
        stuck = Stuck(step)
        stopped: list[Any] = []
        stuck.rig.proxy.stopService().addBoth(stopped.append)
        stuck.rig.flush()
        assert stopped == [None]
        assert stuck.client.reset
        stuck.assertGivenUp(Cause.SHUTDOWN)

    def test_canceller_that_raises(self, step: str, logged: Logged) -> None:
        """[T13] [TU-05] Even where a plugin's canceller raises, the request is
        accounted for and the slot given back."""
        stuck = Stuck.__new__(Stuck)

        def never() -> Deferred[Any]:
            def canceller(_: Any) -> None:
                stuck.cancelled.append(_)
                raise KeyError("canceller")

            return Deferred(canceller)

        stuck.never = never  # type: ignore[method-assign]
        stuck.__init__(step)  # type: ignore[misc]
        stuck.client.abort()
        stuck.rig.flush()
        stuck.assertGivenUp(Cause.CLIENT_LEFT)
        assert bool(logged.errors) is stuck.cancels


class TestLeavingMore:
    """Further ways to go."""

    def test_a_thousand_times(self) -> None:
        """[TU-05] A thousand aborted CONNECTs leave nothing behind."""
        rig = Rig()
        rig.network.blackhole(DESTINATION)
        for _ in range(1000):
            rig.client(connect()).abort()
        rig.assertOver()
        assert len(rig.events.refused) == 1000

    def test_all_who_wait_for_one_name(self) -> None:
        """[TU-05] Stopping lets go of all who wait for one look-up."""
        pool = ManualPool()
        rig = Rig(pool=pool)
        for _ in range(3):
            rig.client(connect())
        rig.proxy.stopService()
        rig.flush()
        rig.assertOver()
        assert [event.cause for event in rig.events.refused] == [Cause.SHUTDOWN] * 3

    @pytest.mark.parametrize("kind", ["decide", "decideAddress", "route"])
    @pytest.mark.parametrize("style", ["plain", "later"])
    def test_hook_that_stops_the_proxy(self, kind: str, style: str) -> None:
        """[TU-05] A hook that stops its own proxy is the last that is asked,
        and the request is accounted for once."""
        styled = Styled(style)
        stopped: list[Any] = []

        def stops() -> Any:
            rig.proxy.stopService().addBoth(stopped.append)
            return styled.give(good(kind))

        further = [NamePolicy(Allow), AddressPolicy(lambda _: Allow())]
        routers = [Router(lambda: None)]
        arguments = place(kind, stops)
        arguments["policies"] = [*arguments.get("policies", []), *further]
        arguments["routers"] = [*arguments.get("routers", []), *routers]
        rig = Rig(**arguments)
        destination = rig.serve()
        rig.client(connect())
        rig.assertOver()
        behind = {
            "decide": (0, 0, 0),
            "route": (1, 0, 0),
            "decideAddress": (1, 0, 1),
        }
        asked = (*further, *routers)
        assert tuple(len(each.calls) for each in asked) == behind[kind]
        assert refusal(rig).cause is Cause.SHUTDOWN
        assert stopped == [None]
        assert destination.peers == []

    @pytest.mark.parametrize("kind", ["tap", "pair"])
    def test_tap_that_stops_the_proxy(self, kind: str) -> None:
        """[TU-05] Nor is the leg left when it is a tap or a pair factory."""

        def stops(answer: Any) -> Callable[[Any], Any]:
            def hook(_: Any) -> Any:
                rig.proxy.stopService()
                return answer

            return hook

        rig = Rig(
            **(
                {"taps": [Tapper(stops(None))]}
                if kind == "tap"
                else {"pairFactory": Pairs(stops((ProxyServer(), ProxyClient())))}
            )
        )
        destination = rig.serve()
        rig.client(connect())
        rig.assertOver()
        assert refusal(rig).cause is Cause.SHUTDOWN
        assert destination.peer.reset

    def test_observer_that_stops_the_proxy(self) -> None:
        """Nor does an observer that does so make for a second event."""

        @implementer(ITrafficObserver)
        class Stops:
            def observe(self, event: Any) -> None:
                rig.proxy.stopService()

        rig = Rig(observers=[Stops()])
        rig.network.refuse(DESTINATION)
        rig.client(connect())
        rig.assertOver()
        assert refusal(rig).cause is Cause.CONNECTION_REFUSED


class TestItself:
    """The proxy is not reached through itself."""

    @pytest.mark.parametrize(
        "target",
        [
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "0.0.0.0",
            "[::]",
            "[::ffff:0.0.0.0]",
            "self.example",
        ],
    )
    def test_loop(self, target: str) -> None:
        """[TU-12] [T15] By any address and by name: 502, and nothing is
        dialled."""
        rig = Rig(names={"self.example": ["127.0.0.1", "::1"]})
        client = rig.client(connect(f"{target}:3128"))
        assert status(client) == 502
        assert b"error=proxy_loop_detected" in client.received
        assert refusal(rig).cause is Cause.LOOP
        client.close()
        rig.assertOver()

    def test_every_listener(self) -> None:
        """[TU-12] [T15] Any port on which it listens, told beforehand."""
        rig = Rig()
        rig.proxy.addListener(IPv4Address("TCP", "0.0.0.0", 8080))
        rig.proxy.addListener(UNIXAddress(b"/a/socket"))
        assert status(rig.client(connect("127.0.0.1:8080"))) == 502
        assert refusal(rig).cause is Cause.LOOP

    def test_other_port(self) -> None:
        """[TU-12] What else listens on this machine is no loop: that is for the
        policies to refuse."""
        rig = Rig()
        rig.tunnel("127.0.0.1:3129", host="127.0.0.1", port=3129)

    def test_same_port_elsewhere(self) -> None:
        """[TU-12] Nor is another proxy on the same port of another machine."""
        rig = Rig()
        rig.tunnel(f"{DESTINATION}:3128", port=3128)

    def test_mixed(self) -> None:
        """[TU-12] [T7] Of a mixed answer only the other address is dialled."""
        rig = Rig(names={"self.example": ["127.0.0.1", DESTINATION]})
        rig.tunnel("self.example:3128", port=3128)
        tunnel = rig.events.established[0].tunnel
        assert str(tunnel.address) == DESTINATION
        assert "loop: dropped 127.0.0.1" in tunnel.notes[0]

    def test_not_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """[TU-12] When the kernel cannot be asked, it refuses: not knowing is
        not allowing, and being out of descriptors is a 503."""
        rig = Rig()
        destination = rig.serve(port=3128)

        def isOwn(address: Any) -> bool:
            raise OSError(errno.EMFILE, "too many")

        monkeypatch.setattr(
            rig.proxy.resources.surroundings.listeners._own, "isOwn", isOwn
        )
        assert status(rig.client(connect("example.com:3128"))) == 503
        assert "not known" in refusal(rig).reason
        assert destination.peers == []


class TestAuthentication:
    """Who asks."""

    def test_challenge_then_through(self) -> None:
        """[H1-38] [H1-37] Without credentials a 407 with its challenge, with
        them a tunnel."""
        rig = Rig(checkers=[users(ada="secret")])
        rig.serve()
        first = rig.client(connect())
        assert status(first) == 407
        assert b'Proxy-Authenticate: Basic realm="proxy"' in first.received
        assert rig.events.refused[0].cause is Cause.CREDENTIALS_MISSING
        second = rig.client(connect("example.com:443", basic("ada", "secret")))
        assert second.received == ESTABLISHED
        request = rig.events.established[0].tunnel.request
        assert request.identity is not None
        assert request.identity.user == "ada"

    def test_bad_is_407_and_forbidden_403(self) -> None:
        """[H1-38] Bad credentials are asked for again; good ones that may not
        are told so."""
        rig = Rig(
            checkers=[users(ada="secret")],
            policies=[NamePolicy(lambda: Deny("not you"))],
        )
        bad = rig.client(connect("example.com:443", basic("ada", "wrong")))
        good_ = rig.client(connect("example.com:443", basic("ada", "secret")))
        assert (status(bad), status(good_)) == (407, 403)
        assert b"Proxy-Authenticate" not in good_.received

    def test_nobody_sees_the_secret(self) -> None:
        """[T8] No plugin behind authentication sees the field, nor does the
        event of a refusal."""
        policy = NamePolicy(Allow)
        rig = Rig(checkers=[users(ada="secret")], policies=[policy])
        rig.serve()
        rig.client(connect("example.com:443", basic("ada", "secret")))
        rig.client(connect("example.com:443", basic("ada", "misspelt")))
        (request,) = policy.calls
        assert request.header(b"proxy-authorization") is None
        token = b64encode(b"ada:secret").decode()
        assert token not in repr(rig.events.events)
        assert "misspelt" not in repr(rig.events.events)

    def test_no_policy_is_asked_before(self) -> None:
        """[H1-38] Who is not known learns nothing of the policies."""
        policy = NamePolicy(lambda: Deny("no"))
        rig = Rig(checkers=[users(ada="secret")], policies=[policy])
        assert status(rig.client(connect())) == 407
        assert policy.calls == []

    @pytest.mark.parametrize("style", STYLES[:3])
    def test_answers(self, style: str) -> None:
        """A checker may answer at once or later."""
        styled = Styled(style)
        rig = Rig(checkers=[Checker(lambda _: styled.give("ada"))])
        rig.serve()
        client = rig.client(connect("example.com:443", basic("ada", "x")))
        styled.open()
        rig.flush()
        assert client.received == ESTABLISHED

    def test_timeout(self) -> None:
        """[T12] A checker that does not answer is a 500 at the deadline."""
        cancelled: list[Any] = []
        rig = Rig(checkers=[Checker(lambda _: Deferred(cancelled.append))])
        client = rig.client(connect("example.com:443", basic("ada", "x")))
        rig.network.advance(10)
        assert status(client) == 500
        assert refusal(rig).cause is Cause.PLUGIN_TIMEOUT
        assert refusal(rig).rule == "authentication"
        assert len(cancelled) == 1
        client.close()
        rig.assertOver()

    def test_checker_that_fails(self) -> None:
        """[T8] A checker that fails is a 500, not a tunnel and not a 407."""
        rig = Rig(checkers=[Checker(lambda _: fail(KeyError("database")))])
        client = rig.client(connect("example.com:443", basic("ada", "x")))
        assert status(client) == 500

    def test_407_without_challenge(self) -> None:
        """[H1-37] A scheme that has lost its challenge is no way to a 407
        without one, nor to a client that waits for ever."""

        @implementer(IAuthScheme)
        class Forgetful(BasicScheme):
            broken = False

            def challenge(self, reason: Any, realm: str) -> bytes:
                if self.broken:
                    raise KeyError("challenge")
                return super().challenge(reason, realm)

        scheme = Forgetful()
        rig = Rig(schemes=[scheme], checkers=[users(ada="x")])
        scheme.broken = True
        client = rig.client(connect())
        assert status(client) == 407
        assert b"Proxy-Authenticate: Basic" in client.received
        client.close()
        rig.assertOver()


class TestCertificates:
    """Who a client's certificate says it is."""

    def rig(self, certificate: X509 | None, **arguments: Any) -> Rig:
        network = MemoryNetwork()
        network.tlsLike(3128, "127.0.0.1", certificate)
        rig = Rig(network=network, **arguments)
        rig.serve()
        return rig

    def identity(self, rig: Rig, *fields: str) -> Identity | None:
        client = rig.client(connect("example.com:443", *fields))
        assert client.received == ESTABLISHED, client.received
        return rig.events.established[0].tunnel.request.identity

    @pytest.fixture
    def alice(self, tmp_path: Path) -> X509:
        return X509.from_cryptography(makeAuthority(tmp_path).client("alice").x509)

    def test_identity(self, alice: X509) -> None:
        """[H1-38] A verified certificate identifies who asks."""
        rig = self.rig(alice)
        assert self.identity(rig) == Identity("alice", "certificate")
        assert rig.events.established[0].tunnel.request.certificate is alice

    def test_nameless(self, tmp_path: Path) -> None:
        """[H1-38] One that names nobody does not pass for none."""
        nobody = makeAuthority(tmp_path).client("a\nb")
        rig = self.rig(X509.from_cryptography(nobody.x509))
        assert status(rig.client(connect())) == 403
        assert refusal(rig).rule == "certificate"

    def test_none(self) -> None:
        """Without one, nobody in particular asks."""
        assert self.identity(self.rig(None)) is None

    def test_both_must_pass(self, alice: X509) -> None:
        """[H1-38] A certificate does not stand in for credentials."""
        rig = self.rig(alice, checkers=[users(ada="x")])
        assert status(rig.client(connect())) == 407
        found = self.identity(rig, basic("ada", "x"))
        assert found is not None and found.user == "ada"


class TestAccount:
    """What is told of it all."""

    def test_notes(self) -> None:
        """What those who allowed had to say is told under their names."""
        rig = Rig(
            policies=[
                Named("first", NamePolicy(lambda: Allow("known host"))),
                Named("quiet", NamePolicy(Allow)),
                Named("second", AddressPolicy(lambda _: Allow("ours"))),
            ]
        )
        rig.tunnel()
        notes = rig.events.established[0].tunnel.notes
        assert notes == ("first: known host", "second: ours")

    def test_times(self) -> None:
        """How long the look-up and the dial took is told apart."""
        pool = ManualPool()
        rig = Rig(pool=pool, names={"example.com": ["192.0.2.9", DESTINATION]})
        rig.network.blackhole("192.0.2.9")
        rig.serve()
        rig.client(connect())
        rig.network.advance(2)
        pool.run()
        rig.network.advance(1)
        tunnel = rig.events.established[0].tunnel
        assert tunnel.lookupSeconds == pytest.approx(2)
        assert tunnel.connectSeconds == pytest.approx(0.25)

    def test_refusal_seconds(self) -> None:
        """How long a request was under way is told of a refusal."""
        rig = Rig(settings={"connectTimeout": 3.0})
        rig.network.blackhole(DESTINATION)
        rig.client(connect())
        rig.network.advance(3)
        assert refusal(rig).seconds == pytest.approx(3)

    def test_ids(self) -> None:
        """[H1-39] Each request has an id of its own, and client and log are
        told the same."""
        rig = Rig(policies=[NamePolicy(lambda: Deny("no"))])
        clients = [rig.client(connect()) for _ in range(3)]
        ids = [event.id for event in rig.events.refused]
        assert len(set(ids)) == 3
        for client, name in zip(clients, ids, strict=True):
            assert f"id={name}".encode() in client.received
        first, second = RequestIds(), RequestIds()
        assert first.nextId() != second.nextId()

    def test_internal_error(self, logged: Logged) -> None:
        """The proxy's own failure is a 500 with a traceback in the log."""
        rig = Rig()

        def broken(name: str) -> Any:
            raise KeyError("own")

        rig.proxy.lookups.lookup = broken  # type: ignore[method-assign]
        client = rig.client(connect())
        assert status(client) == 500
        assert refusal(rig).cause is Cause.INTERNAL
        assert any("'own'" in each for each in logged.errors)
        client.close()
        rig.assertOver()

    def test_anything_is_anything(self) -> None:
        """The rig's own policy allows: what is refused above, a test refused."""
        assert Anything().decide(None) == Allow()
