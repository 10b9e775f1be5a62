"""
The kernel relay over channels that are no sockets: all that it promises holds
where legs split, delay, and tell in their own way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from halfclosepromises import *  # noqa: F403 - the tests themselves
from kernelrig import KernelRig
from oddchannel import OddChannel
from pairpromises import *  # noqa: F403 - the tests themselves
from relaypromises import *  # noqa: F403 - the tests themselves
from relaypromises import MakeRig

from txconnect.tunnel import choice
from txconnect.tunnel.kernel import flow as room
from txconnect.tunnel.kernel.nested import NestedEpoll

# What waits for a slow reader waits in a pipe there, which these legs have not.
del test_aSlowReaderIsNotIdle  # noqa: F821 - one of those above


def around(channel: Callable[..., Any]) -> Callable[..., OddChannel]:
    """What makes an odd channel where one of another kind was to be made."""

    def make(nested: NestedEpoll, leg: Any) -> OddChannel:
        return OddChannel(nested, channel(nested, leg))

    return make


@pytest.fixture(params=["both", "client", "destination"])
def makeRig(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeRig]:
    """A rig of which one leg, or each, is an odd channel."""
    made: list[KernelRig] = []
    odd = {
        "client": ["TransportChannel"],
        "destination": ["ParentChannel"],
        "both": ["TransportChannel", "ParentChannel"],
    }
    for name in odd[request.param]:
        monkeypatch.setattr(choice, name, around(getattr(choice, name)))

    def make(chunk: Any = None, **arguments: Any) -> KernelRig:
        if chunk == 1:
            monkeypatch.setattr(room, "READ", 1)
        made.append(KernelRig(chunk, legs="transports", **arguments))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


def test_theLegsAreOdd(makeRig: MakeRig) -> None:
    """[R2] The relay serves them, and splices nothing."""
    rig = makeRig()
    rig.tunnel()
    up = rig.relay()._up
    assert OddChannel in (type(up.source), type(up.sink))
    assert up._pipes is None
