"""
Endpoint strings: C{proxytls:} to listen, C{connect:} to go through a proxy.

Imported whenever any program parses an endpoint: nothing heavy here.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IPlugin, IStreamServerEndpointStringParser)
class ProxyTLSParser:
    """See L{txconnect.listening.proxytls}."""

    prefix = "proxytls"

    def parseStreamServer(self, reactor: Any, *args: Any, **kwargs: Any) -> Any:
        """See L{txconnect.listening.proxytls.parseProxyTLS}."""
        from txconnect.listening.proxytls import parseProxyTLS

        return parseProxyTLS(reactor, *args, **kwargs)


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
class ConnectParser:
    """See L{txconnect.client.strings}."""

    prefix = "connect"

    def parseStreamClient(self, reactor: Any, *args: Any, **kwargs: Any) -> Any:
        """See L{txconnect.client.strings.parseConnect}."""
        from txconnect.client.strings import parseConnect

        return parseConnect(reactor, *args, **kwargs)


proxyTLSParser = ProxyTLSParser()
connectParser = ConnectParser()
