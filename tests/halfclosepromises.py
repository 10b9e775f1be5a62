"""
What every relay promises of a client that sends FIN behind its head, ahead of the
answer: the same as behind it.

As in C{relaypromises}, the fixture C{makeRig} says which relay serves.
"""

from __future__ import annotations

from typing import Any

import pytest
from relaypromises import MakeRig, everyChunk, noise
from rig import body, connect
from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from txconnect.errors import Refused
from txconnect.interfaces import IRouter
from txconnect.values import Cause, Closed, Named, Route

EARLY = [b"", b"\x16\x03\x01 hello"]


@implementer(IRouter)
class Undecided:
    """A router that answers when a test has it answer."""

    def __init__(self) -> None:
        self.asked: list[Deferred[Route | None]] = []

    def route(self, request: object) -> Deferred[Route | None]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def answer(self, answer: Route | None = None) -> None:
        """Answer the request that was asked about last."""
        self.asked.pop().callback(answer)


def halfClosed(makeRig: MakeRig, early: bytes = b"", **arguments: Any) -> Any:
    """A rig, and a request that is undecided, whose client has sent FIN."""
    router = Undecided()
    rig = makeRig(routers=[Named("undecided", router)], **arguments)
    destination = rig.serve()
    client = rig.client(connect() + early)
    client.end()
    rig.flush()
    assert len(router.asked) == 1
    return rig, client, destination, router


@everyChunk
@pytest.mark.parametrize("early", EARLY, ids=["head", "payload"])
def test_finBehindTheHead(makeRig: MakeRig, chunk: object, early: bytes) -> None:
    """[F04] [TU-03] The work goes on; FIN follows the early data, and the destination
    still answers."""
    rig, client, destination, router = halfClosed(makeRig, early, chunk=chunk)
    assert rig.events.events == []
    router.answer()
    rig.flush()
    peer = destination.peers[-1]
    assert (peer.received, peer.ended) == (early, True)
    peer.send(b"answer")
    peer.end()
    rig.flush()
    assert body(client) == b"answer"
    assert client.ended
    assert client.closed
    rig.assertOver()
    (closed,) = rig.events.closed
    assert (closed.reason, closed.up, closed.down) == (Closed.CLIENT, len(early), 6)
    assert len(rig.proxy.halfClosed) == 0


def test_finBehindMuchEarlyData(makeRig: MakeRig) -> None:
    """[F04] [TU-07] It is found behind the bound of early data, too, where it waits
    unread."""
    router = Undecided()
    rig = makeRig(
        routers=[Named("undecided", router)], settings={"earlyDataLimit": 1000}
    )
    destination = rig.serve()
    early = noise(300_000)
    client = rig.client(connect() + early)
    client.end()
    rig.flush()
    assert rig.events.events == []
    router.answer()
    rig.flush()
    peer = destination.peers[-1]
    assert (peer.received, peer.ended) == (early, True)
    peer.close()
    rig.flush()
    assert client.ended
    rig.assertOver()
    assert rig.events.closed[0].up == len(early)


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (Refused(Cause.POLICY, "no", "a rule"), b"403"),
        (Refused(Cause.DNS_ERROR, "no such name"), b"502"),
        (RuntimeError("a route that raises"), b"500"),
    ],
    ids=["403", "502", "500"],
)
def test_aRefusalIsSentBehindFin(
    makeRig: MakeRig, raised: Exception, status: bytes
) -> None:
    """[F04] [T11] Whatever the answer, it is sent, and the connection is over with
    it."""
    rig, client, _, router = halfClosed(makeRig, b"early")
    router.answer(Route("failing", lambda *_: fail(raised)))
    rig.flush()
    assert client.received.startswith(b"HTTP/1.1 " + status)
    assert client.received.endswith(b"\n")
    assert client.ended
    assert client.closed
    rig.assertOver()
    assert len(rig.events.refused) == 1
    assert len(rig.proxy.halfClosed) == 0


def test_manyHalfClosedRequests(makeRig: MakeRig) -> None:
    """[F04] Those of one address are bounded while they are set up: one more is
    refused by a row of its own, and they are counted no more once they are decided."""
    router = Undecided()
    rig = makeRig(
        routers=[Named("undecided", router)], settings={"halfClosedRequests": 2}
    )
    destination = rig.serve()
    clients = [rig.client(connect()) for _ in range(3)]
    for client in clients:
        client.end()
        rig.flush()
    assert len(rig.proxy.halfClosed) == 2
    assert clients[2].received.startswith(b"HTTP/1.1 503 refused: half-closed ")
    assert clients[2].closed
    assert [each.cause for each in rig.events.refused] == [Cause.HALF_CLOSED]
    # Nothing answers the hook of the one that was refused: it was cancelled.
    del router.asked[2]
    router.answer()
    rig.flush()
    assert len(rig.proxy.halfClosed) == 1
    # Another has its place, whether or not the first tunnel is over.
    another = rig.client(connect())
    another.end()
    rig.flush()
    assert len(rig.proxy.halfClosed) == 2
    router.answer()
    router.answer()
    rig.flush()
    for peer in destination.peers:
        peer.end()
    rig.flush()
    assert [body(client) for client in [*clients[:2], another]] == [b"", b"", b""]
    rig.assertOver()
    assert len(rig.proxy.halfClosed) == 0


def test_noHalfClosedRequestAtAll(makeRig: MakeRig) -> None:
    """[F04] With a bound of 0 a FIN ahead of the answer refuses."""
    router = Undecided()
    rig = makeRig(
        routers=[Named("undecided", router)], settings={"halfClosedRequests": 0}
    )
    client = rig.client(connect())
    client.end()
    rig.flush()
    assert client.received.startswith(b"HTTP/1.1 503 ")
    rig.assertOver()


def test_aFinIsLeavingWhereEndsAreNotCarried(makeRig: MakeRig) -> None:
    """[F04] [TU-05] With C{close-both} it cancels the step, and nothing is sent."""
    router = Undecided()
    rig = makeRig(
        routers=[Named("undecided", router)], settings={"halfClose": "close-both"}
    )
    client = rig.client(connect() + b"early")
    client.end()
    rig.flush()
    assert client.received == b""
    rig.assertOver()
    assert [each.cause for each in rig.events.refused] == [Cause.CLIENT_LEFT]


def test_theProxyStopsBehindFin(makeRig: MakeRig) -> None:
    """[F04] [T11] A stop ends it like any other."""
    rig, client, _, _ = halfClosed(makeRig)
    rig.proxy.stopService()
    rig.flush()
    assert client.closed
    assert [each.cause for each in rig.events.refused] == [Cause.SHUTDOWN]
    assert len(rig.proxy.halfClosed) == 0
