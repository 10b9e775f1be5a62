"""
The kit for tests, of plugins and of programs that embed the proxy.

  - L{decide} asks a policy in one line; L{RecordingObserver} remembers what
    an observer would hear; the C{check...} functions say in one line whether
    an object is the plugin that it says it is.
  - L{MemoryNetwork} is a network and its reactor in memory, with scripted
    clients and destinations; L{scriptedLookup} and the pools stand in for
    the resolver.

Nothing of the proxy itself may need this package.
"""

from txconnect.testing.chunks import CHUNKS, chunkings
from txconnect.testing.conformance import (
    checkObserver,
    checkPairFactory,
    checkPlugin,
    checkPolicy,
    checkRouter,
    checkTap,
)
from txconnect.testing.kit import (
    PUBLIC_ADDRESS,
    RecordingObserver,
    decide,
    decideAsync,
    makeRequest,
    makeTunnel,
)
from txconnect.testing.lookups import (
    ImmediatePool,
    ManualPool,
    ScriptedLookup,
    scriptedLookup,
)
from txconnect.testing.network import MemoryNetwork
from txconnect.testing.peers import Destination, Peer
from txconnect.testing.schemes import checkAuthScheme

__all__ = [
    "CHUNKS",
    "PUBLIC_ADDRESS",
    "Destination",
    "ImmediatePool",
    "ManualPool",
    "MemoryNetwork",
    "Peer",
    "RecordingObserver",
    "ScriptedLookup",
    "checkAuthScheme",
    "checkObserver",
    "checkPairFactory",
    "checkPlugin",
    "checkPolicy",
    "checkRouter",
    "checkTap",
    "chunkings",
    "decide",
    "decideAsync",
    "makeRequest",
    "makeTunnel",
    "scriptedLookup",
]
