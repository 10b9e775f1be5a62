"""
A router: each user, or each group of users, leaves through a parent of its own.

    txconnect --router ./parent_by_user.py:ParentByUser:ada=http://lab.example:3128,staff=socks5://office.example:1080

A user's own parent comes before those of the groups.  Everybody else is left to the
routers and routes behind this one, and without any goes direct.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from txconnect import IPAddress, Request, Route
from txconnect.client import ProxyURL, tunnelEndpoint
from txconnect.interfaces import IRouter


@implementer(IRouter)
class ParentByUser:
    """
    Made once, with the parents: C{user=URL} or C{group=URL}.

    @ivar reactor: who connects; the running reactor when not set.
    """

    reactor: Any = None

    def __init__(self, **parents: str) -> None:
        # A URL that cannot be read stops the start, with its ValueError's words.
        self._routes = {who: self._routeTo(url) for who, url in parents.items()}

    def route(self, request: Request) -> Route | None:
        identity = request.identity
        if identity is None:
            return None
        names = (identity.user, *identity.groups)
        return next(
            (self._routes[each] for each in names if each in self._routes), None
        )

    def _routeTo(self, text: str) -> Route:
        url = ProxyURL.parse(text)
        # The parent looks names up, so it has to refuse addresses of its own network:
        # no address policy of this proxy judges a name on this route.
        return Route.through(str(url), partial(self._endpoint, url), resolves=True)

    def _endpoint(
        self, url: ProxyURL, request: Request, addresses: Sequence[IPAddress]
    ) -> IStreamClientEndpoint:
        if self.reactor is None:
            # Here and not above: a plugin is made before the reactor is chosen.
            from twisted.internet import reactor

            self.reactor = reactor
        authority = request.authority
        return tunnelEndpoint(self.reactor, url, authority.host, authority.port)
