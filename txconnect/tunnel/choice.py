"""
The rule that chooses a tunnel's relay, once, when the tunnel is established.

The kernel relay is the fast one, and it can serve only where both legs are plain
sockets, and no pair wants the bytes: L{kernelServes} is the whole rule.  Taps see the
bytes in either relay.

The 200 leaves before either relay may write.  With the kernel relay it is sent
on the socket itself, because a transport writes only when the reactor comes
round, and the destination's bytes would overtake it.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IProtocol
from twisted.internet.posixbase import PosixReactorBase

from txconnect.transports import PromptWriter, StreamTransport
from txconnect.tunnel.kernel.clientsocket import ClientSocket
from txconnect.tunnel.kernel.nested import NestedEpoll, SocketChannel
from txconnect.tunnel.kernel.paired import PairedRelay
from txconnect.tunnel.kernel.relay import KernelRelay, KernelResources
from txconnect.tunnel.kernel.socketleg import SocketLeg
from txconnect.tunnel.kernel.transportchannel import ParentChannel, TransportChannel
from txconnect.tunnel.pair import ProxyClient, ProxyServer, join
from txconnect.tunnel.relay import RelayEvents
from txconnect.tunnel.taps import TapGate
from txconnect.tunnel.transport.leg import Leg, Side
from txconnect.tunnel.transport.relay import TransportRelay

_STOCK = (ProxyServer, ProxyClient)
_PLAIN = (tcp.Client, tcp.Server)


def makeNested(reactor: object) -> NestedEpoll | None:
    """
    Make the nested epoll of a reactor, or return L{None} where it cannot work: it
    needs Linux, and a reactor that watches real descriptors.
    """
    able = hasattr(select, "epoll") and hasattr(os, "splice")
    if not able or not isinstance(reactor, PosixReactorBase):
        return None
    return NestedEpoll(reactor)


def kernelServes(
    client: object,
    leg: Leg | SocketLeg,
    pair: tuple[IProtocol, IProtocol] | None,
) -> bool:
    """
    Tell whether the kernel relay serves: both halves of the pair do without the
    bytes; the accepted transport is exactly a C{tcp.Server} (a C{unix.Server} is one
    by inheritance, and is not meant) without TLS; and the other leg is a socket that
    the dialler opened, or the reactor's plain TCP connection to a parent.
    """
    return (
        _isPlainClient(client)
        and (isinstance(leg, SocketLeg) or _isPlain(leg))
        and (pair is None or all(map(_doesWithoutBytes, pair)))
    )


def _isPlainClient(client: object) -> bool:
    kind = type(client)
    return kind is ClientSocket or (kind is tcp.Server and not client.TLS)  # type: ignore[attr-defined]


def currentTransport(client: Any) -> Any:
    """
    Return the transport that a client's connection has now: the reactor's, where
    one has been made of a bare socket.
    """
    return (
        client
        if type(client) is ClientSocket and client.isBare
        else reactorTransport(client)
    )


def reactorTransport(client: Any) -> Any:
    """Return the reactor's transport of a client's connection, made where it must be."""
    return client.asTransport() if type(client) is ClientSocket else client


def _isPlain(leg: Leg) -> bool:
    """
    Tell whether a leg's bytes are those of its socket: the transport is exactly one
    of TCP without TLS, still whole, with nothing of ours left to be sent.
    """
    transport = leg.transport
    return (
        type(transport) in _PLAIN
        and not transport.TLS
        and not transport.disconnecting
        and leg.lost is None
        and not leg.ended
        and transport not in transport.reactor.getWriters()
    )


def _doesWithoutBytes(half: IProtocol) -> bool:
    """
    Tell whether a half sees no bytes: a stock one, or one whose own class says
    so.  Subclasses must opt in again.
    """
    kind = type(half)
    # Set on the instance: it wants the bytes, whatever its class says.
    if "dataReceived" in vars(half):
        return False
    return kind in _STOCK or vars(kind).get("kernelRelay") is True


def startKernelRelay(
    kernel: KernelResources,
    events: RelayEvents,
    client: tcp.Connection | ClientSocket,
    leg: Leg | SocketLeg,
    pair: tuple[IProtocol, IProtocol] | None,
    gate: TapGate | None,
    answer: bytes,
) -> KernelRelay:
    """
    Make the relay, take the client's socket from the reactor, and also the
    destination's if it is the reactor's, and send C{answer}.

    @raise OSError: no more sockets can be watched; nothing has been sent.
    """
    nested = kernel.nested
    near: SocketChannel
    if isinstance(client, ClientSocket):
        near = client
    else:
        near = TransportChannel(nested, client)
    far = leg if isinstance(leg, SocketLeg) else ParentChannel(nested, leg)
    relay: KernelRelay
    if pair is None:
        relay = KernelRelay(kernel.pipes, events, near, far)
    else:
        relay = PairedRelay(kernel.pipes, events, near, far, pair, nested.reactor)
    if gate is not None:
        relay.closeGate(gate)
    # Before the 200, as it may fail: the client can still be refused then.
    relay.takeChannels()
    try:
        sent = near.send(answer)
    except OSError:
        # Full, or reset already: the relay will see which.
        sent = 0
    relay.unsent = answer[sent:]
    return relay


def startTransportRelay(
    events: RelayEvents,
    client: StreamTransport | ClientSocket,
    adopt: Callable[[Side], None],
    leg: Leg | SocketLeg,
    pair: tuple[IProtocol, IProtocol] | None,
    gate: TapGate | None,
    answer: bytes,
    inputEnded: bool = False,
) -> TransportRelay:
    """
    Make the relay, and send C{answer}.

    @param inputEnded: whether the client's FIN has been read already.
    @raise OSError: there is no descriptor for the destination's transport;
        nothing has been sent.
    """
    if isinstance(leg, SocketLeg):
        leg = leg.asTransport()
    client = reactorTransport(client)
    isStock = pair is None
    if pair is None:
        pair = ProxyServer(), ProxyClient()
        join(*pair)
    relay = TransportRelay(events, client, adopt, leg, pair, gate, isStock, inputEnded)
    PromptWriter.of(client).write(answer)
    return relay
