"""
The kernel relay keeps what every relay promises, on real sockets, under each
kind of reactor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from halfclosepromises import *  # noqa: F403 - the tests themselves
from kernelrig import KINDS, KernelRig
from pairpromises import *  # noqa: F403 - the tests themselves
from relaypromises import *  # noqa: F403 - the tests themselves
from relaypromises import MakeRig
from setuppromises import *  # noqa: F403 - the tests themselves

from txconnect.tunnel.kernel import flow as room

LANES = [
    *((kind, "sockets", "transports") for kind in KINDS),
    # A parent was reached by a transport of the reactor's.
    *((kind, "transports", "transports") for kind in ("txconnect", "epoll", "asyncio")),
    # As the command accepts.
    *((kind, "sockets", "bare") for kind in ("txconnect", "epoll", "asyncio")),
]


@pytest.fixture(params=LANES, ids=" ".join)
def makeRig(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeRig]:
    """
    Real sockets: the kernel relay serves.  The chunks of the memory network
    become sizes of its reads, so that it splices at once, later, or never.
    """
    made: list[KernelRig] = []

    def make(chunk: Any = None, **arguments: Any) -> KernelRig:
        if chunk == 1:
            monkeypatch.setattr(room, "READ", 1)
            monkeypatch.setattr(room, "BULK", 1 << 60)
        elif chunk == "random":
            monkeypatch.setattr(room, "READ", 1000)
            monkeypatch.setattr(room, "BULK", 1)
        kind, legs, accepts = request.param
        made.append(
            KernelRig(chunk, kind=kind, legs=legs, accepts=accepts, **arguments)
        )
        return made[-1]

    yield make
    for rig in made:
        rig.close()
