"""
Pairs as their writers write them, with halves that write to their peer's transport.

It is read by mypy with and without its plugin for zope, and by pyright, and run by
nothing.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.interfaces import IAddress
from zope.interface import implementer

from txconnect import (
    ConnectProxyFactory,
    ProxyClient,
    ProxyServer,
    TunnelInfo,
    pairPlugin,
)
from txconnect.interfaces import IPairFactory


class Upper(ProxyServer):
    """Changes what passes, and answers the client itself."""

    def connectionMade(self) -> None:
        self.transport.write(b"hello\r\n")
        self.peer.transport.writeSequence([b"a", b"b"])

    def dataReceived(self, data: bytes) -> None:
        self.peer.transport.write(data.upper())
        if data == b"stop":
            self.transport.pauseProducing()
            self.peer.transport.loseConnection()

    def readConnectionLost(self) -> None:
        self.transport.resumeProducing()
        self.peer.transport.abortConnection()

    def ends(self) -> tuple[IAddress, IAddress]:
        """Tell both ends of the leg."""
        return self.transport.getPeer(), self.peer.transport.getHost()


class Wrong(ProxyClient):
    """Misuses its transport."""

    def dataReceived(self, data: bytes) -> None:
        self.peer.transport.write("text")  # type: ignore[arg-type]
        self.peer.transport.wirte(data)  # type: ignore[attr-defined]
        self.peer.tranport.write(data)  # type: ignore[attr-defined]


@implementer(IPairFactory)
class Upperer:
    """A factory that says so."""

    def buildPair(self, tunnel: TunnelInfo) -> tuple[ProxyServer, ProxyClient]:
        return Upper(), ProxyClient()


class Plain:
    """One that does not, and has other names for its argument."""

    def buildPair(self, which: TunnelInfo) -> tuple[Upper, ProxyClient]:
        return Upper(), ProxyClient()


class Single:
    """Builds one half only."""

    def buildPair(self, tunnel: TunnelInfo) -> ProxyServer:
        return Upper()


@pairPlugin("upper", "Upper case.")
def decorated(tunnel: TunnelInfo) -> tuple[Upper, ProxyClient]:
    """A function is enough."""
    return Upper(), ProxyClient()


def own(factory: IPairFactory) -> None:
    """What is annotated with the interface is taken."""
    ConnectProxyFactory(reactor, pairFactory=factory)


ConnectProxyFactory(reactor, pairFactory=Upperer())
ConnectProxyFactory(reactor, pairFactory=Plain())
ConnectProxyFactory(reactor, pairFactory=decorated)
ConnectProxyFactory(reactor, pairFactory=Single())  # type: ignore[arg-type]
