"""
Scrapy through the proxies of txconnect.client: https:// proxies for https://
pages, SOCKS5, IPv6, and a deadline for each tunnel.

    scrapy runspider examples/scrapy_through_proxy.py -a url=https://example.com/ \\
        -a proxy=https://alice:secret@proxy.example.org:3129

In a project, DOWNLOAD_HANDLERS names the handler, and requests name their proxies
in meta["proxy"] as before.  It stands on two things that Scrapy does not promise
to keep: _ScrapyAgent, and its method _get_agent.  It was written for Scrapy 2.19.
"""
# mypy: disallow-subclassing-any=False

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import attrs
import scrapy
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler, _ScrapyAgent
from scrapy.utils._download_handlers import (
    normalize_bind_address,
    wrap_twisted_exceptions,
)
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.web.iweb import IAgent

from txconnect.client import ProxyURL, proxyAgent


class ProxyDownloadHandler(HTTP11DownloadHandler):
    """Scrapy's own handler for all but the requests that have a proxy."""

    async def download_request(self, request: Any) -> Any:
        if not request.meta.get("proxy"):
            return await super().download_request(request)
        agent = _ThroughProxy(
            contextFactory=self._contextFactory,
            bindAddress=self._bind_address,
            pool=self._pool,
            maxsize=self._default_maxsize,
            warnsize=self._default_warnsize,
            fail_on_dataloss=self._fail_on_dataloss,
            crawler=self._crawler,
        )
        with wrap_twisted_exceptions():
            return await maybe_deferred_to_future(agent.download_request(request))


class _ThroughProxy(_ScrapyAgent):
    def _get_agent(self, request: Any, timeout: float) -> IAgent:
        from twisted.internet import reactor

        proxy, fields = proxyOf(request)
        bind = request.meta.get("bindaddress") or self._bindAddress
        return proxyAgent(
            reactor,
            proxy,
            # One pool for all: it keeps proxies and users apart.
            pool=self._pool,
            contextFactory=self._contextFactory,
            connectTimeout=timeout,
            bindAddress=normalize_bind_address(bind),
            headers=fields,
        )


def proxyOf(request: Any) -> tuple[ProxyURL, list[tuple[bytes, bytes]]]:
    """
    The proxy of a request, and what else it is to be told.  Scrapy has taken
    the user out of the URL, and made a field of it.
    """
    url = request.meta["proxy"]
    proxy = ProxyURL.parse(url if "://" in url else f"http://{url}", 80)
    value = request.headers.get(b"Proxy-Authorization")
    if value is None:
        return proxy, []
    if value.startswith(b"Basic "):
        user, _, password = b64decode(value[6:]).decode("latin-1").partition(":")
        return attrs.evolve(proxy, user=user, password=password), []
    return proxy, [(b"Proxy-Authorization", value)]


class PageSpider(scrapy.Spider):
    """Prints the status of one page, and how long it is."""

    name = "page"
    custom_settings = {
        "DOWNLOAD_HANDLERS": {
            "http": ProxyDownloadHandler,
            "https": ProxyDownloadHandler,
        },
    }
    url: str
    proxy: str

    async def start(self) -> AsyncIterator[Any]:
        yield scrapy.Request(self.url, meta={"proxy": self.proxy})

    def parse(self, response: Any) -> None:
        print(response.status, len(response.body))
