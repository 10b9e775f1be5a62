"""
The kit for tests, of plugins and of programs that embed the proxy.

  - L{decide} asks a policy in one line; L{RecordingObserver} keeps the events
    of an observer; the C{check...} functions check in one line that an object
    provides the interface that it claims.
  - L{proxyOnMemory} makes a whole proxy in one line, with clients and
    destinations in memory.
  - L{MemoryNetwork} is a network and its reactor in memory, with scripted
    clients and destinations; L{scriptedLookup} and the pools stand in for
    the resolver.

No module of the proxy itself may import this package.
"""

from txconnect.testing.checkers import checkChecker
from txconnect.testing.chunks import CHUNKS, chunkings
from txconnect.testing.conformance import (
    checkObserver,
    checkPairFactory,
    checkPlugin,
    checkPolicy,
    checkRouter,
    checkTap,
)
from txconnect.testing.deciding import decide, decideAsync
from txconnect.testing.embedding import checkRequestHandler, checkTunnelFields
from txconnect.testing.kit import (
    PUBLIC_ADDRESS,
    RecordingObserver,
    makeRequest,
    makeTunnel,
)
from txconnect.testing.lookups import (
    ImmediatePool,
    ManualPool,
    ScriptedLookup,
    scriptedLookup,
)
from txconnect.testing.memoryproxy import MemoryClient, MemoryProxy, proxyOnMemory
from txconnect.testing.network import MemoryNetwork
from txconnect.testing.peers import Destination, Peer
from txconnect.testing.schemes import checkAuthScheme

__all__ = [
    "CHUNKS",
    "PUBLIC_ADDRESS",
    "Destination",
    "ImmediatePool",
    "ManualPool",
    "MemoryClient",
    "MemoryNetwork",
    "MemoryProxy",
    "Peer",
    "RecordingObserver",
    "ScriptedLookup",
    "checkAuthScheme",
    "checkChecker",
    "checkObserver",
    "checkPairFactory",
    "checkPlugin",
    "checkPolicy",
    "checkRequestHandler",
    "checkRouter",
    "checkTap",
    "checkTunnelFields",
    "chunkings",
    "decide",
    "decideAsync",
    "makeRequest",
    "makeTunnel",
    "proxyOnMemory",
    "scriptedLookup",
]
