"""
The factory that makes a CONNECT proxy of any server endpoint.

Embedding is one line::

    serverFromString(reactor, "tcp:3128").listen(ConnectProxyFactory(reactor))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Unpack

from twisted.copyright import version as twistedVersion
from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory
from twisted.internet.protocol import Factory
from zope.interface import classImplements

from txconnect.admission.assembling import describedKind
from txconnect.dialing.lookups import Pool
from txconnect.dialing.openers import Open
from txconnect.errors import ConfigurationError
from txconnect.fronts.http1 import Http1Front
from txconnect.fronts.opening import FirstOctets, Opening
from txconnect.proxy.connectproxy import ConnectProxy
from txconnect.proxy.rulesmaking import RulesArguments

if TYPE_CHECKING:
    from txconnect.plugins.plugintypes import AnyReactor


class ProxyArguments(RulesArguments, total=False):
    """The keyword arguments of L{ConnectProxy}, for those who pass them on."""

    getaddrinfo: Callable[..., Iterable[Any]]
    pool: Pool | None
    open: Open | None


class ConnectProxyFactory(Factory):
    """
    Makes any server endpoint a CONNECT proxy.

    Without C{proxy} it makes a L{ConnectProxy} of the other arguments, starts
    it when the first port starts, and stops it after the last tunnel when the
    last port has stopped.  With one, whoever made that starts and stops it.

    @param first: see L{ConnectProxy.buildProtocol}.
    """

    noisy = False

    def __init__(
        self,
        reactor: AnyReactor,
        proxy: ConnectProxy | None = None,
        *,
        first: Callable[[], FirstOctets] | None = None,
        **arguments: Unpack[ProxyArguments],
    ) -> None:
        if proxy is not None and arguments:
            raise TypeError("give a proxy, or the arguments to make one, not both")
        given: object = proxy
        if not isinstance(given, ConnectProxy | None):
            raise ConfigurationError(
                f"proxy: give a ConnectProxy, not {describedKind(given)}; every other "
                "argument has its keyword"
            )
        self.proxy = ConnectProxy(reactor, **arguments) if proxy is None else proxy
        self._owned = proxy is None
        self._first = first

    def startFactory(self) -> None:
        if self._owned and not self.proxy.running:
            self.proxy.startService()

    def stopFactory(self) -> None:
        if self._owned:
            self.proxy.whenIdle().addCallback(self._lastTunnelGone)

    def buildProtocol(self, addr: IAddress | None) -> Http1Front | Opening | None:
        return self.proxy.buildProtocol(addr, self._first)

    def acceptableProtocols(self) -> list[bytes]:
        """
        Return the protocols that are spoken here, for clients that ask in the TLS
        handshake (RFC 7301), as curl and browsers do.  See
        C{IProtocolNegotiationFactory}.
        """
        return [b"http/1.1", b"http/1.0"]

    def _lastTunnelGone(self, _: None) -> Any:
        # It may listen again by now.
        if not self.numPorts and self.proxy.running:
            return self.proxy.stopService()
        return None


# Twisted 26.4 and newer ask, and end the handshake of a client that asks where
# there is no answer.  Older ones ignore what the client asks; told of an answer,
# they change the TLS context of a live connection, which pyOpenSSL forbids.
if tuple(map(int, twistedVersion.split(".")[:2])) >= (26, 4):
    classImplements(ConnectProxyFactory, IProtocolNegotiationFactory)
