"""
Which requests take which route: a pattern, and where it leads.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from txconnect.errors import ConfigurationError
from txconnect.interfaces import IAddressPolicy, IDestinationPolicy, IRouter
from txconnect.maybeasync import settle
from txconnect.plugins import POLICY, Catalogue, loadPlugin
from txconnect.routing.targets import RouteText, splitRoute
from txconnect.values import Allow, ConnectRequest, Deny, MaybeAsync, Named, Route

__all__ = ["Rule", "RuleRouter", "parseRoute"]


class Rule:
    """
    One route of an operator's.

    @ivar text: what was written.
    @ivar pattern: an L{IDestinationPolicy}, or L{None} for every request.
    """

    def __init__(self, text: RouteText, pattern: Any = None) -> None:
        """
        @raise ConfigurationError: the pattern judges addresses.
        """
        self.text = text
        self.pattern = pattern.plugin if isinstance(pattern, Named) else pattern
        if self.pattern is not None:
            _checkPattern(text.label, self.pattern)

    def __str__(self) -> str:
        return str(self.text)


def parseRoute(text: str, catalogue: Catalogue | None = None) -> Rule:
    """
    Read C{[PATTERN=]TARGET[|TARGET...]}: see L{txconnect.routing.targets}.

    @param catalogue: the installed plugins, when several routes are read.
    @raise ConfigurationError: with what is wrong, and what to write.
    """
    split = splitRoute(text)
    if not split.pattern:
        return Rule(split)
    try:
        pattern = loadPlugin(POLICY, split.pattern, catalogue)
    except ConfigurationError as error:
        raise ConfigurationError(f"{split.label}: {error}") from error
    return Rule(split, pattern)


def _checkPattern(label: str, pattern: Any) -> None:
    if IAddressPolicy.providedBy(pattern):
        raise ConfigurationError(
            f"{label}: a route is chosen before any address is known, so its pattern "
            "cannot be a policy that judges addresses; use hosts:, ports:, users: or "
            "one of your own"
        )
    if not IDestinationPolicy.providedBy(pattern):
        raise ConfigurationError(f"{label}: {pattern!r} is no policy")


@implementer(IRouter)
class RuleRouter:
    """
    One rule, as the proxy asks it: L{Allow} of its pattern means that the
    request takes this route, L{Deny} that it does not.
    """

    def __init__(self, pattern: Any, route: Route) -> None:
        self.pattern = pattern
        self._route = route

    def route(self, request: ConnectRequest) -> MaybeAsync[Route | None]:
        """See L{IRouter.route}."""
        if self.pattern is None:
            return self._route
        answer = settle(self.pattern.decide(request))
        if isinstance(answer, Deferred):
            return answer.addCallback(self._taken)
        return self._taken(answer)

    def _taken(self, answer: Any) -> Route | None:
        if type(answer) is Allow:
            return self._route
        if type(answer) is Deny:
            return None
        kind = type(answer).__name__
        raise TypeError(f"the pattern answered {kind}, not Allow or Deny")
