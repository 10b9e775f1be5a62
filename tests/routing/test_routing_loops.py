"""
A request that comes back is refused before anything is dialled.
"""

from __future__ import annotations

import pytest
from rig import Rig, connect, status

from txconnect.testing import CHUNKS
from txconnect.values import Cause


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("literal", [False, True], ids=["name", "address"])
def test_ownViaIsALoop(chunk: object, literal: bool) -> None:
    """[UP-07] [T15] [TU-12] Also on the direct route, and in any field."""
    rig = Rig(chunk, settings={"name": "here"})
    served = rig.serve()
    target = "192.0.2.1:443" if literal else "example.com:443"
    client = rig.client(connect(target, "Via: 1.1 a", "Via: 1.0 b, 1.1 here (me)"))
    assert status(client) == 502
    assert b"error=proxy_loop_detected" in client.received
    assert rig.events.refused[0].cause is Cause.LOOP
    assert served.peers == []
    assert not rig.lookup.calls
    client.end()
    rig.assertOver()


def test_othersViaIsNone() -> None:
    """[UP-07] Another proxy's trail says nothing of this one."""
    rig = Rig(settings={"name": "here"})
    rig.serve()
    client = rig.client(connect("example.com:443", "Via: 1.1 there, 1.1 where"))
    assert status(client) == 200


def test_unnamedProxyKnowsItself() -> None:
    """[UP-07] Where no name is given, each start has its own."""
    rig = Rig()
    name = rig.proxy.rules.pseudonym
    client = rig.client(connect("example.com:443", f"Via: 1.1 {name}"))
    assert status(client) == 502
    assert rig.events.refused[0].cause is Cause.LOOP
