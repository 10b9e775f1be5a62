"""
Taps that hold, end and let go, in the transport relay.

Under a tap that only looks, and under one that has held and let go, the relay keeps
what every relay promises.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from relaypromises import *  # noqa: F403 - the tests themselves
from relaypromises import MakeRig
from rig import Rig, body
from tappromises import *  # noqa: F403 - the tests themselves
from tappromises import HOLD, Taps, Waits, onlyEnd, tapped

from txconnect.values import Closed


def withTaps(makeRig: MakeRig, kind: str, **arguments: Any) -> Any:
    """A rig with a tap of that kind, unless the test has its own."""
    see = Waits(1) if kind == "lets go" else lambda direction, data: None
    arguments.setdefault("taps", [Taps(see)])
    return makeRig(**arguments)


@pytest.fixture(params=["looks", "lets go"])
def makeRig(request: pytest.FixtureRequest) -> MakeRig:
    """The memory network: the transport relay serves."""
    return partial(withTaps, Rig, request.param)


@pytest.mark.parametrize("atEnd", [HOLD, None], ids=["held", "let pass"])
def test_aTlsClientsEnd(atEnd: object) -> None:
    """[F54] It is the end of its connection: held octets are decided on before."""
    rig = Rig(tlsClient=True, taps=[tapped("guard", Waits(9, atEnd=atEnd))])
    client, destination = rig.tunnel()
    client.send(b"short")
    client.end()
    rig.flush()
    if atEnd is HOLD:
        assert (destination.received, destination.reset) == (b"", True)
        assert onlyEnd(rig)[:2] == (Closed.POLICY, "guard")
    else:
        assert (destination.received, destination.ended) == (b"short", True)
        destination.end()
    rig.assertOver()
    assert body(client) == b""
