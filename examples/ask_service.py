"""
A policy that asks an HTTP service about each destination.

    txconnect --policy ./ask_service.py:ask:http://127.0.0.1:8080/may

It is asked for ``/may?host=example.com&port=443&user=alice``: 204 allows, and
403 refuses with the service's own words.  Any other answer, and a service that
cannot be reached, is an exception, and that refuses too: the client gets a 500
and the log has the whole story.

The policy is a coroutine, so nothing else waits while it does.  When there is
no answer within ``--hook-timeout``, the proxy refuses and cancels the question.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from twisted.web.client import Agent, HTTPConnectionPool, readBody
from zope.interface import implementer

from txconnect import Allow, Decision, Deny, Request, policyFactory
from txconnect.interfaces import IDestinationPolicy


class ServiceError(Exception):
    """The service answered neither yes nor no."""


@implementer(IDestinationPolicy)
class AskPolicy:
    """
    Asks a service.  Made once, so that its connections are used again.

    @param url: where to ask, without a query.
    @param agent: who asks, an C{IAgent}; made of the running reactor when not given.
    """

    def __init__(self, url: str, agent: Any = None) -> None:
        if not url.startswith(("http://", "https://")) or not url.isascii():
            raise ValueError(f"{url!r} is no http:// or https:// URL")
        self._url = url
        self._agent = agent

    async def decide(self, request: Request) -> Decision:
        question = {"host": request.authority.host, "port": request.authority.port}
        if request.identity is not None:
            question["user"] = request.identity.user
        url = f"{self._url}?{urlencode(question)}"
        response = await self._asker().request(b"GET", url.encode("ascii"))
        # Read also when nobody wants it: the connection serves the next one.
        said = await readBody(response)
        if response.code == 204:
            return Allow()
        if response.code == 403:
            return Deny(said[:200].decode("utf-8", "replace").strip())
        raise ServiceError(f"the service answered with status {response.code}")

    def _asker(self) -> Any:
        if self._agent is None:
            # Here and not above: a plugin is made before the reactor is chosen.
            from twisted.internet import reactor

            self._agent = Agent(reactor, pool=HTTPConnectionPool(reactor))
        return self._agent


ask = policyFactory("ask", "Ask an HTTP service.", AskPolicy, argumentHelp="URL")
