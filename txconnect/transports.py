"""
Capabilities and states of a Twisted transport that its interfaces do not tell.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.protocols.policies import ProtocolWrapper


def canHalfClose(transport: Any) -> bool:
    """
    Tell whether a FIN can be sent on C{transport} while it is still read.

    Wrappers, TLS among them, claim what the transport inside can, but would
    shut it under data that they still hold.
    """
    return (
        IHalfCloseableDescriptor.providedBy(transport)
        and not isinstance(transport, ProtocolWrapper)
        and not getattr(transport, "TLS", False)
    )


def wasReset(transport: Any) -> bool:
    """
    Tell whether the end of input that C{transport} has just reported is a reset.

    Twisted's poll and epoll reactors take an event of C{ERR} without C{IN}
    for a clean end.  Linux reports exactly that when it is asked in the middle
    of a reset, which would make what was cut off look complete.
    """
    if not canHalfClose(transport):
        return False
    handle = transport.getHandle()
    return bool(handle.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
