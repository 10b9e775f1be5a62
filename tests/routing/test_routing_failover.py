"""
Several parents: who is asked, when, and for how long; and who leaves.
"""

from __future__ import annotations

from typing import Any

import pytest
from rig import Rig, body, connect, logging, status
from scripted import BOTH, OK, PARENT, SECOND, THIRD, Scripted, proxy
from twisted.internet.task import Clock
from twisted.logger import formatEvent

from txconnect.errors import Refused
from txconnect.routing.answers import ParentFailed
from txconnect.routing.failover import Failover
from txconnect.routing.health import Health
from txconnect.testing import CHUNKS, Destination, ManualPool, Peer
from txconnect.values import Authority, Cause, Request

THREE = f"{BOTH}|http://third:3128"


def lines(logged: Any) -> list[str]:
    """What the log says of parents."""
    said = [formatEvent(each) for each in logged.events]
    return [line for line in said if line.startswith("parent ")]


def stopped(rig: Rig) -> None:
    """The proxy stops, and nothing is left."""
    rig.proxy.stopService()
    rig.assertOver()


NO_ANSWER = [
    pytest.param(None, Cause.PARENT_BROKE_OFF, id="hangs up"),
    pytest.param(b"HTTP/1.1 200 OK\n\n", Cause.PARENT_MALFORMED, id="nonsense"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000,
        Cause.PARENT_HEAD_TOO_LARGE,
        id="a large head",
    ),
]


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize(("answer", "cause"), NO_ANSWER)
def test_noAnswerGoesToTheNext(chunk: Any, answer: bytes | None, cause: Cause) -> None:
    """[UP-11] [T4] Whoever gives none is passed over, within one request."""
    rig = proxy(chunk, BOTH)
    Scripted(rig.network, PARENT, answer)
    second = Scripted(rig.network, SECOND, OK + b"banner").destination
    with logging() as logged:
        client = rig.client(connect() + b"early")
    assert body(client) == b"banner"
    assert second.peer.received.endswith(b"\r\n\r\nearly")
    assert rig.events.established[0].tunnel.route == "http://second:3128"
    assert [line[:35] for line in lines(logged)] == [
        "parent http://parent:3128 is down: "
    ]
    assert lines(logged)[0].count("parent:3128") == 1
    client.end()
    second.peer.end()
    stopped(rig)


@pytest.mark.parametrize(
    ("how", "wait"), [("refuse", 0.0), ("unroutable", 0.0), ("blackhole", 7.6)]
)
def test_unreachable(how: str, wait: float) -> None:
    """One that cannot be reached has at most its share of the time."""
    rig = proxy(None, BOTH)
    getattr(rig.network, how)(PARENT)
    Scripted(rig.network, SECOND, OK)
    client = rig.client(connect())
    rig.network.advance(max(wait - 0.2, 0.0))
    if wait:
        assert client.received == b""
    rig.network.advance(0.2)
    assert status(client) == 200


def test_timeIsShared() -> None:
    """
    What is left of the connect time is shared among those who are left: three
    silent ones have a third each, and the whole ends when it should.
    """
    rig = proxy(None, THREE, settings={"connectTimeout": 9.0})
    parents = [Scripted(rig.network, host, b"") for host in (PARENT, SECOND, THIRD)]
    client = rig.client(connect())
    seen = []
    for _ in range(10):
        seen.append(sum(bool(parent.destination.peers) for parent in parents))
        assert client.received == b""
        rig.network.advance(0.9)
    assert seen == [1, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    rig.network.advance(0.1)
    assert status(client) == 504
    refused = rig.events.refused[0]
    assert refused.cause is Cause.PARENT_SILENT
    for name in ("parent", "second", "third"):
        assert f"http://{name}:3128: " in refused.reason
    client.end()
    stopped(rig)


def test_nobodyIsAskedWithoutTime() -> None:
    """Time passes between any two looks at the clock: it has run out, or not."""

    class Ticking(Clock):
        def seconds(self) -> float:
            self.rightNow += 0.004
            return self.rightNow

    class Slow:
        def __init__(self) -> None:
            self.name = "slow"

        async def openTunnel(self, authority: Any, fields: Any, seconds: float) -> Any:
            assert seconds > 0
            clock.advance(seconds)
            raise ParentFailed(Refused(Cause.PARENT_SILENT, "slow: silent"))

        probe = openTunnel

    clock = Ticking()
    parents: Any = [Slow() for _ in range(40)]
    route = Failover(parents, Health(clock), clock, 0.1).makeRoute("name")
    seen: list[Any] = []
    route.connect(Request(Authority("example.com", 443)), ()).addBoth(seen.append)
    assert seen[0].value.cause is Cause.PARENT_SILENT


def test_timeThatIsNotUsedIsLeftToOthers() -> None:
    """After two that refuse at once, the third has all the time there is."""
    rig = proxy(None, THREE, settings={"connectTimeout": 9.0})
    rig.network.refuse(PARENT)
    rig.network.refuse(SECOND)
    third = Scripted(rig.network, THIRD, b"")
    client = rig.client(connect())
    rig.network.advance(8.9)
    assert client.received == b""
    third.destination.peer.send(OK)
    rig.flush()
    assert status(client) == 200


def test_allDown() -> None:
    """When there is none left, the last one's failure says why, and all why."""
    rig = proxy(None, BOTH)
    Scripted(rig.network, PARENT, b"nonsense\r\n")
    rig.network.refuse(SECOND)
    client = rig.client(connect())
    assert status(client) == 503
    refused = rig.events.refused[0]
    assert refused.cause is Cause.PARENT_UNREACHABLE
    assert "http://parent:3128: " in refused.reason
    assert "http://second:3128: " in refused.reason
    client.end()
    stopped(rig)


@pytest.mark.parametrize("code", [403, 407, 502, 503])
def test_anAnswerIsTheAnswer(code: int) -> None:
    """[UP-08] [T4] Whoever has answered has; nobody else is asked."""
    rig = proxy(None, BOTH)
    Scripted(rig.network, PARENT, b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % code)
    second = rig.serve(SECOND, 3128)
    with logging() as logged:
        client = rig.client(connect())
    assert status(client) in (403, 502, 503)
    assert second.peers == []
    assert lines(logged) == []
    client.end()
    rig.assertOver()


def test_refusalOfSocksIsAnAnswer() -> None:
    """[T4] Also in SOCKS."""
    rig = proxy(None, "socks5://parent:3128|socks5://second:3128")
    Scripted(rig.network, PARENT, b"\x05\x00\x05\x02" + b"\x00\x01" + bytes(6))
    second = rig.serve(SECOND, 3128)
    client = rig.client(connect())
    assert status(client) == 403
    assert second.peers == []
    client.end()
    rig.assertOver()


# Marks


def test_whoIsDownIsAskedLast() -> None:
    """A failure is remembered, and told once."""
    rig = proxy(None, BOTH)
    rig.network.refuse(PARENT)
    Scripted(rig.network, SECOND, OK)
    with logging() as logged:
        for _ in range(3):
            assert status(rig.client(connect())) == 200
        assert len(lines(logged)) == 1
        # Asked, although it is down, when the others are too.
        rig.network.refuse(SECOND)
        client = rig.client(connect())
    assert status(client) == 503
    assert rig.events.refused[0].reason.index("second") < rig.events.refused[
        0
    ].reason.index("parent")


def test_backOffAndProbe() -> None:
    """
    One that is down is looked at after 1, 2, 4 ... 60 seconds; up again, it is
    the first again; each change is told once.
    """
    rig = proxy(None, BOTH)
    tried: list[float] = []
    rig.network.refuse(PARENT)
    Scripted(rig.network, SECOND, OK)
    health = rig.proxy.rules.plugins[-1].plugin._health
    opened = health._startProbe

    def noticed(*arguments: Any) -> None:
        tried.append(round(rig.network.seconds(), 3))
        opened(*arguments)

    health._startProbe = noticed  # type: ignore[method-assign, union-attr]
    with logging() as logged:
        client = rig.client(connect())
        client.abort()
        rig.network.advance(200)
        assert tried == [1, 3, 7, 15, 31, 63, 123, 183]
        assert len(rig.network.getDelayedCalls()) == 1
        rig.network.kernel.fates.clear()
        parent = rig.serve(PARENT, 3128)
        rig.network.advance(60)
    assert [line.split(": ")[0] for line in lines(logged)] == [
        "parent http://parent:3128 is down",
        "parent http://parent:3128 is up again",
    ]
    # It was connected to, asked nothing, and left.
    assert parent.peer.received == b""
    assert parent.peer.ended
    parent.peer.close()
    assert not rig.network.getDelayedCalls()
    rig.client(connect())
    assert len(parent.peers) == 2
    stopped(rig)


def test_probeThatHangs() -> None:
    """A look at a parent ends, and the next one comes."""
    rig = proxy(None, BOTH)
    Scripted(rig.network, SECOND, OK)
    rig.network.blackhole(PARENT)
    client = rig.client(connect())
    rig.network.advance(7.6)
    assert status(client) == 200
    client.abort()
    rig.network.advance(1.1)
    assert len(rig.network.open) == 1
    rig.network.advance(15)
    assert len(rig.network.open) == 0
    rig.network.advance(2.1)
    assert len(rig.network.open) == 1
    stopped(rig)


def test_stoppingEndsTheLooks() -> None:
    """Neither a timer nor a connection is left, whenever the proxy stops."""
    for seconds in (0.0, 1.1):
        rig = proxy(None, BOTH)
        Scripted(rig.network, PARENT, None)
        Scripted(rig.network, SECOND, OK)
        client = rig.client(connect())
        rig.network.blackhole(PARENT)
        client.abort()
        rig.network.advance(seconds)
        stopped(rig)


@pytest.mark.parametrize("answer", [OK, b"HTTP/1.1 403 No\r\n\r\n"])
def test_anAnswerBringsItBack(answer: bytes) -> None:
    """A request that has an answer, any, says what a look would say."""
    rig = proxy()
    dies = Scripted(rig.network, PARENT, None)
    with logging() as logged:
        assert status(rig.client(connect())) == 502
        dies.destination.stop()
        rig.flush()
        parent = Scripted(rig.network, PARENT, answer).destination
        client = rig.client(connect())
        parent.peers[0].end()
        rig.flush()
        assert status(client) in (200, 403)
    assert [line.split(": ")[0] for line in lines(logged)] == [
        "parent http://parent:3128 is down",
        "parent http://parent:3128 is up again",
    ]


def test_aDestinationCannotTakeAParentDown() -> None:
    """
    A parent that is silent over one request while it answers others is not
    down: what was asked for is to blame.
    """
    rig = proxy(None, BOTH)
    parent = rig.serve(PARENT, 3128)
    rig.serve(SECOND, 3128)
    with logging() as logged:
        rig.client(connect("example.com:443"))
        rig.network.advance(5)
        other = rig.client(connect("example.com:443"))
        parent.peers[1].send(OK)
        rig.flush()
        assert status(other) == 200
        rig.network.advance(5)
    assert lines(logged) == []


def test_aRequestCannotTakeAParentDown() -> None:
    """
    [T13] Nor is one that hangs up on one request and has answered another
    shortly before: who knows what it hangs up on, such as a head that is too
    large for it, could else send everyone elsewhere.
    """
    rig = proxy(None, BOTH)
    parent = rig.serve(PARENT, 3128)
    Scripted(rig.network, SECOND, OK)
    with logging() as logged:
        rig.client(connect())
        parent.peers[0].send(OK)
        rig.network.advance(4.9)
        assert status(hungUpOn(rig, parent)) == 200
        rig.client(connect())
        assert len(parent.peers) == 3
        assert lines(logged) == []
        rig.network.advance(0.2)
        assert status(hungUpOn(rig, parent)) == 200
    assert len(lines(logged)) == 1


def hungUpOn(rig: Rig, parent: Destination) -> Peer:
    """A client on which the parent hangs up."""
    client = rig.client(connect())
    parent.peers[-1].close()
    rig.flush()
    return client


def test_oneParentOfSeveralRoutes() -> None:
    """It is one: down in one route, down in all."""
    rig = proxy(None, f"ports:443={BOTH}", f"ports:8443={BOTH}")
    rig.network.refuse(PARENT)
    Scripted(rig.network, SECOND, OK)
    with logging() as logged:
        assert status(rig.client(connect("example.com:443"))) == 200
        assert status(rig.client(connect("example.com:8443"))) == 200
    assert len(lines(logged)) == 1


# Leaving

STEPS = ["look-up", "dial", "answer", "content"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("route", [BOTH, "socks5://parent:3128"])
def test_whoLeavesLeavesNothing(step: str, route: str) -> None:
    """[TU-05] No look-up, dial, timer or connection outlives its client."""
    arguments: dict[str, Any] = {}
    if step == "look-up":
        arguments["pool"] = ManualPool()
    rig = proxy(None, route, **arguments)
    if step == "dial":
        rig.network.blackhole(PARENT)
    else:
        parent = rig.serve(PARENT, 3128)
    with logging() as logged:
        client = rig.client(connect())
        if step == "content":
            parent.peer.send(b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\nsor")
            rig.flush()
        assert client.received == b"" or route != BOTH
        client.abort()
        rig.flush()
        if step == "look-up":
            arguments["pool"].run()
        rig.flush()
    assert [each.cause for each in rig.events.refused][-1] in (
        Cause.CLIENT_LEFT,
        Cause.PARENT_MALFORMED,
    )
    assert lines(logged) == [] or route != BOTH
    assert logged.unhandled == []
    stopped(rig)


@pytest.mark.parametrize("step", STEPS[1:])
def test_whoStopsStopsAll(step: str) -> None:
    """A proxy that is stopped while a parent is asked."""
    rig = proxy(None, BOTH)
    if step == "dial":
        rig.network.blackhole(PARENT)
    else:
        parent = rig.serve(PARENT, 3128)
    with logging() as logged:
        rig.client(connect())
        if step == "content":
            parent.peer.send(b"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\nsor")
            rig.flush()
        stopped(rig)
    assert rig.events.refused[0].cause is Cause.SHUTDOWN
    assert logged.errors == []
