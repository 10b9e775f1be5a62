"""
The kit for tests: a network in memory, scripted peers and look-ups.
"""

from txconnect.testing.chunks import CHUNKS, chunkings
from txconnect.testing.lookups import (
    ImmediatePool,
    ManualPool,
    ScriptedLookup,
    scriptedLookup,
)
from txconnect.testing.network import MemoryNetwork
from txconnect.testing.peers import Destination, Peer

__all__ = [
    "CHUNKS",
    "Destination",
    "ImmediatePool",
    "ManualPool",
    "MemoryNetwork",
    "Peer",
    "ScriptedLookup",
    "chunkings",
    "scriptedLookup",
]
