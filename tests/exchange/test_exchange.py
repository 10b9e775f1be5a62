"""
One request on one client stream: every way out of an exchange, and that each
gives everything back, once.
"""

from __future__ import annotations

import errno
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from rig import ANYTHING, DESTINATION, ESTABLISHED, Rig, body, connect, logging, status
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from txconnect.errors import ConfigurationError
from txconnect.exchange.exchange import Exchange
from txconnect.fronts.http1 import Http1Front
from txconnect.interfaces import (
    IDestinationPolicy,
    IPairFactory,
    IRouter,
    ITrafficTap,
)
from txconnect.settings import Settings
from txconnect.testing import ManualPool
from txconnect.tunnel.transport.leg import Leg
from txconnect.tunnel.transport.relay import TransportRelay
from txconnect.values import (
    Allow,
    Cause,
    Closed,
    Deny,
    Event,
    Named,
    Reached,
    Route,
    TunnelClosed,
    TunnelRefused,
)

Way = Callable[[], Rig]


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Event]]:
    """The event of each finish, of which each exchange may have one."""
    events: list[Event] = []
    seen: list[Exchange] = []
    finish = Exchange._finish

    def finishing(self: Exchange, event: Event) -> None:
        assert not any(each is self for each in seen), "it has finished twice"
        seen.append(self)
        events.append(event)
        finish(self, event)

    monkeypatch.setattr(Exchange, "_finish", finishing)
    return events


@implementer(IDestinationPolicy)
class Says:
    """Answers as it is told to."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self._answer = answer

    def decide(self, request: Any) -> Any:
        return self._answer()


@implementer(IRouter)
class Through:
    """One route for all."""

    def __init__(self, connecting: Callable[..., Any], **more: Any) -> None:
        self._route = Route("through", connecting, **more)

    def route(self, request: Any) -> Route:
        return self._route


@implementer(ITrafficTap)
class Tap:
    """A tap that does what it is told when it is made, or used."""

    def __init__(
        self, made: Callable[[], Any] = lambda: None, used: Any = lambda *_: None
    ) -> None:
        self._made, self._used = made, used

    def tap(self, tunnel: Any) -> Any:
        self._made()
        return self._used


@implementer(IPairFactory)
class Pairs:
    """Builds nonsense."""

    def buildPair(self, tunnel: Any) -> Any:
        return Protocol()


def broken() -> Any:
    raise KeyError("broken")


# Ways out before there is a request.


def headRefused() -> Rig:
    rig = Rig()
    rig.client(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").close()
    return rig


def headLate() -> Rig:
    rig = Rig()
    client = rig.client(b"CONNECT exam")
    rig.network.advance(20)
    client.close()
    return rig


def headLeft() -> Rig:
    rig = Rig()
    rig.client(b"CONNECT exam").abort()
    return rig


def headEnded() -> Rig:
    rig = Rig()
    rig.client(b"CONNECT exam").end()
    return rig


def headStopped() -> Rig:
    rig = Rig()
    rig.client(b"CONNECT exam")
    rig.proxy.stopService()
    return rig


# Ways out of the decision.


def denied() -> Rig:
    rig = Rig(policies=[Says(lambda: Deny("no"))])
    rig.client(connect()).close()
    return rig


def deniedLater() -> Rig:
    answer: Deferred[Any] = Deferred()
    rig = Rig(policies=[Says(lambda: answer)])
    client = rig.client(connect() + b"early")
    answer.callback(Deny("no"))
    rig.flush()
    client.close()
    return rig


def hookFailed() -> Rig:
    rig = Rig(policies=[Says(broken)])
    rig.client(connect()).close()
    return rig


def hookLate() -> Rig:
    rig = Rig(policies=[Says(Deferred)])
    client = rig.client(connect())
    rig.network.advance(11)
    client.close()
    return rig


def hookLeft() -> Rig:
    rig = Rig(policies=[Says(Deferred)])
    rig.client(connect()).abort()
    return rig


def hookEnded() -> Rig:
    rig = Rig(policies=[Says(Deferred)], settings={"halfClose": "close-both"})
    rig.client(connect()).end()
    return rig


def hookStops() -> Rig:
    """The hook itself stops the proxy."""

    def stop() -> Allow:
        rig.proxy.stopService()
        return Allow()

    rig = Rig(policies=[Says(stop)])
    rig.client(connect())
    return rig


def lookUpLeft() -> Rig:
    pool = ManualPool()
    rig = Rig(pool=pool)
    rig.client(connect()).abort()
    rig.flush()
    pool.run()
    return rig


def lookUpStopped() -> Rig:
    pool = ManualPool()
    rig = Rig(pool=pool)
    rig.client(connect())
    rig.proxy.stopService()
    pool.run()
    return rig


def lookUpLate() -> Rig:
    pool = ManualPool()
    rig = Rig(pool=pool)
    client = rig.client(connect())
    rig.network.advance(6)
    pool.run()
    client.close()
    return rig


def noName() -> Rig:
    rig = Rig()
    rig.client(connect("nowhere.example:443")).close()
    return rig


def notCarried() -> Rig:
    never: Any = Deferred
    rig = Rig(routers=[Through(never, carries=frozenset(("udp",)))])
    rig.client(connect()).close()
    return rig


# Ways out of dialling.


def dialRefused() -> Rig:
    rig = Rig()
    rig.network.refuse(DESTINATION, 443)
    rig.client(connect()).close()
    return rig


def dialLate() -> Rig:
    rig = Rig()
    rig.network.blackhole(DESTINATION, 443)
    client = rig.client(connect())
    rig.network.advance(20)
    client.close()
    return rig


def dialLeft() -> Rig:
    rig = Rig()
    rig.network.blackhole(DESTINATION, 443)
    rig.client(connect()).abort()
    return rig


def dialLeftPaused() -> Rig:
    """It has filled the bound of early data."""
    rig = Rig(settings={"earlyDataLimit": 100})
    rig.network.blackhole(DESTINATION, 443)
    client = rig.client(connect() + bytes(200))
    rig.network.advance(20)
    client.close()
    return rig


def dialStopped() -> Rig:
    rig = Rig()
    rig.network.blackhole(DESTINATION, 443)
    rig.client(connect())
    rig.proxy.stopService()
    return rig


def exhausted() -> Rig:
    rig = Rig()
    rig.network.fail(DESTINATION, 443, errno.EMFILE)
    rig.client(connect()).close()
    return rig


def routeFailed() -> Rig:
    rig = Rig(routers=[Through(lambda *_: fail(KeyError("broken")))])
    rig.client(connect()).close()
    return rig


def routeGaveNothing() -> Rig:
    nothing: Any = Reached(None)
    rig = Rig(routers=[Through(lambda *_: succeed(nothing))])
    rig.client(connect()).close()
    return rig


# Ways out of what stands between.


def tapFailed() -> Rig:
    rig = Rig(taps=[Tap(made=broken)])
    rig.serve()
    rig.client(connect()).close()
    return rig


def pairFailed() -> Rig:
    rig = Rig(pairFactory=Pairs())
    rig.serve()
    rig.client(connect()).close()
    return rig


def tapStops() -> Rig:
    """The destination has answered, and the client is gone meanwhile."""
    rig = Rig(taps=[Tap(made=lambda: rig.proxy.stopService())])
    rig.serve()
    rig.client(connect())
    return rig


# Ends of tunnels.


def clientEnds() -> Rig:
    rig = Rig()
    client, destination = rig.tunnel()
    client.end()
    destination.end()
    return rig


def clientResets() -> Rig:
    rig = Rig()
    client, _ = rig.tunnel()
    client.abort()
    return rig


def destinationResets() -> Rig:
    rig = Rig()
    _, destination = rig.tunnel()
    destination.abort()
    return rig


def idle() -> Rig:
    rig = Rig(settings={"idleTimeout": 10})
    rig.tunnel()
    rig.network.advance(12)
    return rig


def tapRaises() -> Rig:
    rig = Rig(taps=[Tap(used=lambda *_: broken())])
    client, _ = rig.tunnel()
    client.send(b"x")
    return rig


def cut() -> Rig:
    rig = Rig()
    rig.tunnel()
    (live,) = rig.proxy.resources.tunnels.live()
    assert rig.proxy.resources.tunnels.cutTunnel(live.info.request.id, Closed.OPERATOR)
    return rig


def tunnelStopped() -> Rig:
    rig = Rig()
    rig.tunnel()
    rig.proxy.stopService()
    return rig


WAYS: dict[Way, Cause | Closed] = {
    headRefused: Cause.METHOD,
    headLate: Cause.HEAD_TIMEOUT,
    headLeft: Cause.CLIENT_LEFT,
    headEnded: Cause.CLIENT_LEFT,
    headStopped: Cause.SHUTDOWN,
    denied: Cause.POLICY,
    deniedLater: Cause.POLICY,
    hookFailed: Cause.PLUGIN_ERROR,
    hookLate: Cause.PLUGIN_TIMEOUT,
    hookLeft: Cause.CLIENT_LEFT,
    hookEnded: Cause.CLIENT_LEFT,
    hookStops: Cause.SHUTDOWN,
    lookUpLeft: Cause.CLIENT_LEFT,
    lookUpStopped: Cause.SHUTDOWN,
    lookUpLate: Cause.DNS_TIMEOUT,
    noName: Cause.DNS_ERROR,
    notCarried: Cause.NOT_CARRIED,
    dialRefused: Cause.CONNECTION_REFUSED,
    dialLate: Cause.CONNECTION_TIMEOUT,
    dialLeft: Cause.CLIENT_LEFT,
    dialLeftPaused: Cause.CONNECTION_TIMEOUT,
    dialStopped: Cause.SHUTDOWN,
    exhausted: Cause.EXHAUSTED,
    routeFailed: Cause.PLUGIN_ERROR,
    routeGaveNothing: Cause.PLUGIN_ERROR,
    tapFailed: Cause.PLUGIN_ERROR,
    pairFailed: Cause.PLUGIN_ERROR,
    tapStops: Cause.SHUTDOWN,
    clientEnds: Closed.CLIENT,
    clientResets: Closed.CLIENT_RESET,
    destinationResets: Closed.DESTINATION_RESET,
    idle: Closed.IDLE,
    tapRaises: Closed.TAP_FAILED,
    cut: Closed.OPERATOR,
    tunnelStopped: Closed.SHUTDOWN,
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_everyWayOutGivesEverythingBack(way: Way, finished: list[Event]) -> None:
    """
    [T11] [TU-05] Whatever ends an exchange, it finishes once, its observers hear
    one end, and no connection, timer, look-up or tunnel is left.
    """
    with logging():
        rig = way()
        rig.flush()
        # A lingering close, and the one who does not close it.
        rig.network.advance(10)
    (event,) = finished
    ends = [each for each in rig.events.events if each in (event,)]
    assert ends == [event]
    assert len(rig.events.refused) + len(rig.events.closed) == 1
    if isinstance(event, TunnelRefused):
        assert event.cause is WAYS[way]
        assert rig.events.established == []
    else:
        assert isinstance(event, TunnelClosed)
        assert event.reason is WAYS[way]
        assert len(rig.events.established) == 1
    rig.assertOver()


def test_aConnectionWithoutARequestIsNoExchange(finished: list[Event]) -> None:
    """[T11] Who connects and says nothing is no event, however it ends."""
    rig = Rig()
    rig.client().abort()
    rig.client().end()
    rig.client()
    rig.network.advance(30)
    rig.assertOver()
    assert (finished, rig.events.events) == ([], [])


def test_theRulesOfAnExchangeAreThoseItBeganWith() -> None:
    """Rules are replaced as a whole: a request is judged by the old or the new ones."""
    answer: Deferred[Any] = Deferred()
    rig = Rig(policies=[Says(lambda: answer)])
    rig.serve()
    old = rig.client(connect())
    no = Named("closed", Says(lambda: Deny("no more")))
    rig.proxy.rules = attrs.evolve(
        rig.proxy.rules, destination=(no,), taps=(Named("tap", Tap(made=broken)),)
    )
    new = rig.client(connect())
    assert status(new) == 403
    answer.callback(Allow())
    rig.flush()
    assert body(old) == b""
    assert [each.rule for each in rig.events.refused] == ["closed"]


def test_whatIsOpenCanBeSeen() -> None:
    """The registry tells of each live tunnel, and forgets it at its end."""
    rig = Rig()
    client, destination = rig.tunnel(early=b"12345")
    destination.send(b"123")
    rig.network.advance(7)
    (live,) = rig.proxy.resources.tunnels.live()
    assert (live.info, live.up, live.down) == (
        rig.events.established[0].tunnel,
        5,
        3,
    )
    assert (live.seconds, live.state.value) == (7.0, "open")
    client.end()
    rig.flush()
    (live,) = rig.proxy.resources.tunnels.live()
    assert live.state.value == "client-ended"
    destination.end()
    rig.assertOver()
    assert rig.proxy.resources.tunnels.live() == []
    assert not rig.proxy.resources.tunnels.cutTunnel(
        live.info.request.id, Closed.OPERATOR
    )


def test_aRequestSaysOfItsConnection() -> None:
    """A second try on a connection has an id of its own, and the connection's."""
    seen: list[Any] = []

    def asked() -> Deny:
        return Deny("who?", Cause.CREDENTIALS_MISSING)

    @implementer(IDestinationPolicy)
    class Noting:
        def decide(self, request: Any) -> Any:
            request.state["noted"] = True
            seen.append(request)
            return Allow()

    @implementer(IDestinationPolicy)
    class Reading:
        def decide(self, request: Any) -> Any:
            assert request.state == {"noted": True}
            return asked()

    rig = Rig(
        policies=[Noting(), Reading()],
        settings={"keepAfterChallenge": "curl/"},
    )
    rig.proxy.rules = attrs.evolve(rig.proxy.rules, authenticator=Challenging())
    head = connect("example.com:443", "User-Agent: curl/8")
    client = rig.client(head)
    client.send(head)
    rig.flush()
    first, second = seen
    assert first.id != second.id
    assert first.connection == second.connection == first.id
    assert (first.kind, first.method) == ("tcp", "CONNECT")
    client.close()
    rig.assertOver()


class Challenging:
    """Lets everyone through as nobody, and has a challenge."""

    def authenticate(self, request: Any, credentials: Any) -> Any:
        return None

    def challenges(self, cause: Cause) -> tuple[bytes, ...]:
        return (b'Basic realm="x"',)


@pytest.mark.parametrize("later", [False, True])
def test_aLegThatIsNotConnected(later: bool, finished: list[Event]) -> None:
    """[T11] A plugin's route brings a leg without a connection: refused as broken."""
    answer: Deferred[Reached] = Deferred()
    reached = Reached(Leg())
    rig = Rig(routers=[Through(lambda *_: answer if later else succeed(reached))])
    with logging() as logged:
        client = rig.client(connect())
        if later:
            answer.callback(reached)
            rig.flush()
    assert status(client) == 500
    assert logged.errors
    assert logged.unhandled == []
    (event,) = finished
    assert isinstance(event, TunnelRefused)
    assert (event.cause, event.rule) == (Cause.PLUGIN_ERROR, "through")
    client.close()
    rig.assertOver()


@pytest.mark.parametrize("error", [RuntimeError("x"), OSError(errno.ENOSPC, "full")])
def test_aRelayThatCannotBegin(
    error: Exception, finished: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    [T11] [H1-31] The 200 has left: it is a tunnel that ends as the proxy's fault,
    and there is no second answer.
    """

    def start(self: Any, early: Any) -> None:
        raise error

    monkeypatch.setattr(TransportRelay, "start", start)
    rig = Rig()
    rig.serve()
    with logging() as logged:
        client = rig.client(connect())
    assert client.received in (b"", ESTABLISHED)
    assert client.reset
    assert logged.errors
    (event,) = finished
    assert isinstance(event, TunnelClosed)
    assert event.reason is Closed.INTERNAL
    assert len(rig.events.established) == 1
    rig.proxy.stopService()
    rig.flush()
    assert not rig.proxy.clients.fronts
    assert not rig.proxy.resources.tunnels.allTunnels()


@pytest.mark.parametrize("error", [RuntimeError("x"), OSError(errno.EMFILE, "none")])
def test_aStreamThatCannotBeAccepted(
    error: Exception, finished: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """[T11] Nothing has been sent: it is refused, and the leg is reset."""

    def accept(self: Any, *_: Any) -> Any:
        raise error

    monkeypatch.setattr(Http1Front, "accept", accept)
    rig = Rig()
    destination = rig.serve()
    with logging():
        client = rig.client(connect())
    assert status(client) == (503 if isinstance(error, OSError) else 500)
    assert destination.peers[0].reset
    client.close()
    rig.assertOver()
    (event,) = finished
    assert isinstance(event, TunnelRefused)


def test_noPluginIsCalledAfterTheEnd() -> None:
    """A tap that stops the proxy is the last that is asked for."""
    asked: list[str] = []
    first = Tap(made=lambda: rig.proxy.stopService())
    rig = Rig(taps=[first, Tap(made=lambda: asked.append("second"))])
    rig.serve()
    rig.client(connect())
    rig.flush()
    assert asked == []
    assert [each.cause for each in rig.events.refused] == [Cause.SHUTDOWN]
    rig.assertOver()


def test_oneConnectionThatCannotBeStopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """[F10] The others are reset all the same, and the stop comes to its end."""
    rig = Rig()
    rig.serve()
    clients = [rig.client(connect()) for _ in range(3)]
    failing, *_ = rig.proxy.clients.fronts
    stop = Http1Front.stop

    def stopping(self: Http1Front) -> None:
        if self is failing:
            raise RuntimeError("a bug")
        stop(self)

    monkeypatch.setattr(Http1Front, "stop", stopping)
    stopped: list[Any] = []
    with logging() as logged:
        rig.proxy.stopService().addBoth(stopped.append)
        rig.flush()
    assert stopped == [None]
    assert [each.reset for each in clients[1:]] == [True, True]
    assert "could not be stopped" in logged.errors[0]


def test_theRulesAreThoseOfTheHeadsTime() -> None:
    """A connection that was there before the rules is judged by the new ones."""
    rig = Rig()
    client = rig.client()
    no = Named("closed", Says(lambda: Deny("no more")))
    rig.proxy.rules = attrs.evolve(rig.proxy.rules, destination=(no,))
    client.send(connect())
    rig.flush()
    assert status(client) == 403
    client.close()
    rig.assertOver()


@implementer(ITrafficTap, IService)
class Served(Service):
    """A tap that is a service."""

    def tap(self, tunnel: Any) -> None:
        return None


class Failing(Served):
    def startService(self) -> None:
        raise OSError("no file")


def test_rulesAreReplacedWhole() -> None:
    """
    Plugins that are new are started, those that are gone are stopped, one that is
    in both goes on, and who is under way keeps what it had.
    """
    rig = Rig()
    proxy = rig.proxy
    old, both, new = Served(), Served(), Served()
    proxy.replaceRules(proxy.makeRules(policies=ANYTHING, taps=[old, both]))
    assert (old.running, both.running) == (1, 1)
    started = both.startService
    both.startService = lambda: pytest.fail("started twice")  # type: ignore[method-assign]
    client, _ = rig.tunnel()
    proxy.replaceRules(
        proxy.makeRules(
            policies=[*ANYTHING, Says(lambda: Deny("no more"))], taps=[both, new]
        )
    )
    both.startService = started  # type: ignore[method-assign]
    assert (old.running, both.running, new.running) == (0, 1, 1)
    assert status(rig.client(connect())) == 403
    client.send(b"still here")
    rig.flush()
    assert not client.reset
    proxy.stopService()
    rig.flush()
    assert (both.running, new.running) == (0, 0)


def test_rulesThatCannotBeTaken() -> None:
    """All or nothing: a service that cannot start, a setting that is read once."""
    rig = Rig()
    proxy, before = rig.proxy, rig.proxy.rules
    good = Served()
    rules = proxy.makeRules(policies=ANYTHING, taps=[good, Failing()])
    with pytest.raises(OSError, match="no file"):
        proxy.replaceRules(rules)
    assert (proxy.rules is before, good.running) == (True, 0)
    settings = Settings(connectTimeout=1, idleTimeout=5)
    with pytest.raises(ConfigurationError, match="^connectTimeout: cannot change"):
        proxy.replaceRules(proxy.makeRules(policies=ANYTHING, settings=settings))
    assert proxy.rules is before
    settings = Settings(idleTimeout=5)
    proxy.replaceRules(proxy.makeRules(policies=ANYTHING, settings=settings))
    assert proxy.settings.idleTimeout == 5


@pytest.mark.parametrize("later", [False, True])
def test_aRefusalLeavesNothingForTheCollector(
    later: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[T11] A refused exchange, and all that was found for it, go with it."""
    left: list[weakref.ref[Any]] = []
    begin = Exchange.begin

    def beginning(self: Exchange, *arguments: Any) -> None:
        left.append(weakref.ref(self))
        begin(self, *arguments)

    monkeypatch.setattr(Exchange, "begin", beginning)
    answers: list[Deferred[Any]] = []

    def answer() -> Any:
        answers.append(Deferred())
        return answers[-1] if later else Deny("no")

    rig = Rig(policies=[Says(answer)])
    gc.collect()
    gc.disable()
    try:
        client = rig.client(connect())
        if later:
            answers.pop().callback(Deny("no"))
            rig.flush()
        answers.clear()
        assert status(client) == 403
        client.close()
        rig.assertOver()
        rig.events.events.clear()
        rig.events.refused.clear()
        assert [each() for each in left] == [None]
    finally:
        gc.enable()
