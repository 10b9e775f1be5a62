"""
A policy that asks an HTTP service about each destination.

    txconnect --policy './ask_service.py:ask:http://127.0.0.1:8080/may'

It is asked for ``/may?host=example.com&port=443&user=alice``: 204 allows,
anything else refuses with what the service says.  While it answers nothing
else waits, because the policy is a coroutine; when it does not answer within
``--hook-timeout`` the proxy refuses.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from twisted.web.client import Agent, HTTPConnectionPool, readBody
from twisted.web.iweb import IAgent
from zope.interface import implementer

from txconnect.interfaces import IDestinationPolicy
from txconnect.plugins import policyFactory
from txconnect.values import Allow, ConnectRequest, Decision, Deny


@implementer(IDestinationPolicy)
class AskPolicy:
    """
    Asks a service.  Made once, so that its connections are used again.

    @param url: where to ask.
    @param agent: who asks; made of the running reactor when not given.
    """

    def __init__(self, url: str, agent: Any = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is no http:// or https:// URL")
        self._url = url
        self._agent = agent

    async def decide(self, request: ConnectRequest) -> Decision:
        question = {"host": request.authority.host, "port": request.authority.port}
        if request.identity is not None:
            question["user"] = request.identity.user
        url = f"{self._url}?{urlencode(question)}"
        response = await self._asker().request(b"GET", url.encode("ascii"))
        said = await readBody(response)
        if response.code == 204:
            return Allow()
        return Deny(f"the service says {response.code}: {said[:200]!r}")

    def _asker(self) -> IAgent:
        if self._agent is None:
            # Here and not above: a plugin is made before the reactor is chosen.
            from twisted.internet import reactor

            self._agent = Agent(reactor, pool=HTTPConnectionPool(reactor))
        return self._agent


ask = policyFactory("ask", "Ask an HTTP service.", AskPolicy, argumentHelp="URL")
