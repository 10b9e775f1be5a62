"""
A tap that holds, in front of a half that pauses: the octets go through both, in order,
ahead of the end.
"""

from __future__ import annotations

from typing import Any

import pytest
from rig import Rig, body
from tappromises import LET_GO, UP, Waits, onlyEnd, tapped
from zope.interface import implementer

from txconnect.interfaces import IPairFactory
from txconnect.testing import CHUNKS
from txconnect.tunnel.pair import ProxyClient, ProxyServer
from txconnect.values import Closed, TunnelInfo


class Paused(ProxyServer):
    """A client's half that has paused from the start, and keeps what it hears."""

    def connectionMade(self) -> None:
        self.heard: list[str] = []
        self.transport.pauseProducing()

    def dataReceived(self, data: bytes) -> None:
        self.heard.append("data")
        super().dataReceived(data)

    def readConnectionLost(self) -> None:
        self.heard.append("end")


@implementer(IPairFactory)
class PausedPairs:
    """Keeps the half of the only tunnel."""

    half: Any = None

    def buildPair(self, tunnel: TunnelInfo) -> tuple[ProxyServer, ProxyClient]:
        self.half = Paused()
        return self.half, ProxyClient()


def established(**arguments: Any) -> tuple[Any, Any, Any, Paused]:
    """A tunnel of a half that has paused, with early data."""
    pairs = PausedPairs()
    rig = Rig(pairFactory=pairs, **arguments)
    client, destination = rig.tunnel(early=b"early ")
    return rig, client, destination, pairs.half


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("verdict", [LET_GO, None], ids=["lets go", "passes"])
def test_theVerdictComesBeforeTheHalf(
    verdict: object, chunk: object, tls: bool
) -> None:
    """[F51] [F54] The end waits for both; then all is there, once and in order."""
    tap = tapped("guard", Waits(9, then=verdict))
    rig, client, destination, half = established(chunk=chunk, tlsClient=tls, taps=[tap])
    client.send(b"late.")
    client.end()
    rig.flush()
    assert (half.heard, destination.received) == ([], b"")
    half.transport.resumeProducing()
    rig.flush()
    assert set(half.heard[:-1]) <= {"data"}
    assert destination.received == b"early late."
    assert destination.ended
    if not tls:
        assert half.heard[-1] == "end"
        destination.send(b"answer")
        rig.flush()
        assert body(client) == b"answer"
    destination.end()
    rig.assertOver()
    assert rig.events.closed[0].up == 11


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_theHalfResumesBeforeTheVerdict(tls: bool) -> None:
    """[F51] [F54] It is called with nothing, for there is none."""
    tap = tapped("guard", Waits(9))
    rig, client, destination, half = established(tlsClient=tls, taps=[tap])
    half.transport.resumeProducing()
    rig.flush()
    assert half.heard == []
    half.transport.pauseProducing()
    client.send(b"late.")
    rig.flush()
    assert (half.heard, destination.received) == ([], b"")
    half.transport.resumeProducing()
    rig.flush()
    assert destination.received == b"early late."
    client.abort()
    rig.assertOver()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_anEndWithoutAVerdictNeverReachesTheHalf(tls: bool) -> None:
    """[F51] [F54] Nor does what the tap holds, though the half reads on afterwards."""
    tap = tapped("guard", Waits(99))
    rig, client, destination, half = established(tlsClient=tls, taps=[tap])
    client.end()
    rig.flush()
    half.transport.resumeProducing()
    rig.flush()
    assert (half.heard, destination.received) == ([], b"")
    assert destination.reset
    rig.assertOver()
    assert onlyEnd(rig)[:2] == (Closed.POLICY, "guard")


@pytest.mark.parametrize("who", ["client", "destination", "operator"])
def test_aResetDropsWhatEitherHolds(who: str) -> None:
    """[F51] [F54] [TU-04] Of a client whose half has paused, and whose tap holds."""
    see = Waits(99, direction=UP)
    rig, client, destination, half = established(taps=[tapped("guard", see)])
    destination.send(b"banner")
    rig.flush()
    assert body(client) == b"banner"
    if who == "operator":
        (tunnel,) = rig.proxy.resources.tunnels.allTunnels()
        tunnel.cut(Closed.OPERATOR)
    else:
        (client if who == "client" else destination).abort()
    rig.assertOver()
    half.transport.resumeProducing()
    rig.assertOver()
    assert (half.heard, destination.received) == ([], b"")
