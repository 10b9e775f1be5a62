"""
Going through a proxy: what a Twisted program takes to reach a host by way of
an HTTP proxy's CONNECT, or of a SOCKS5 proxy.

Nothing here needs the proxy of this package to be the one that is asked.
"""

from __future__ import annotations

from txconnect.client.proxyurl import ProxyURL, proxyEndpoint

__all__ = ["ProxyURL", "proxyEndpoint"]
