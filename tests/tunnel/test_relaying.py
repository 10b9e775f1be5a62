"""
The transport relay keeps what every relay promises, and what TLS adds.
"""

from __future__ import annotations

import pytest
from halfclosepromises import *  # noqa: F403 - the tests themselves
from pairpromises import *  # noqa: F403 - the tests themselves
from relaypromises import *  # noqa: F403 - the tests themselves
from relaypromises import MakeRig, everyChunk, noise
from rig import Rig, body
from setuppromises import *  # noqa: F403 - the tests themselves

from txconnect.values import Closed


@pytest.fixture
def makeRig() -> MakeRig:
    """The memory network: the transport relay serves."""
    return Rig


@everyChunk
def test_tlsClientHasNoHalfClose(chunk: object) -> None:
    """[TU-03] A TLS client's end of input closes both legs behind what it sent."""
    rig = Rig(chunk=chunk, tlsClient=True)
    client, destination = rig.tunnel()
    client.send(b"last words")
    client.end()
    rig.flush()
    assert destination.received == b"last words"
    assert destination.ended
    destination.end()
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.CLIENT


@everyChunk
def test_destinationEndsTowardsATlsClient(chunk: object) -> None:
    """[TU-02] [TU-03] A TLS client is sent all the destination's bytes, then closed."""
    rig = Rig(chunk=chunk, tlsClient=True)
    client, destination = rig.tunnel()
    data = noise(3000)
    destination.send(data)
    destination.end()
    rig.flush()
    assert body(client) == data
    assert client.ended
    client.end()
    rig.assertOver()
    assert rig.events.closed[0].reason is Closed.DESTINATION
