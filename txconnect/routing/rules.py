"""
Rules: a pattern, and the route that a request takes when the pattern allows it.

A pattern is a policy, and asked as one, so that every policy that chooses who
may pass can also choose a route.  Only its use differs: L{Allow} takes the
route, and L{Deny} leaves the request to the next rule.
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
from txconnect.values import (
    Allow,
    Decision,
    Deny,
    MaybeAsync,
    Named,
    Request,
    Route,
)

__all__ = ["Rule", "RuleRouter", "parseRoute"]


class Rule:
    """
    One route of an operator's.

    @ivar text: the route as it was written.
    @ivar pattern: an L{IDestinationPolicy}, or L{None} for every request.
    """

    # May provide more than the policy, as IService: so Any and no interface.
    pattern: Any

    def __init__(self, text: RouteText, pattern: object = None) -> None:
        """
        @param pattern: a policy, or a L{Named} one.
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
    @raise ConfigurationError: with the mistake, and the correct form.
    """
    split = splitRoute(text)
    if not split.pattern:
        return Rule(split)
    return Rule(split, loadPlugin(POLICY, split.pattern, catalogue, split.label))


def _checkPattern(label: str, pattern: object) -> None:
    if IAddressPolicy.providedBy(pattern):
        raise ConfigurationError(
            f"{label}: a route is chosen before any address is known, so its pattern "
            "cannot be a policy that judges addresses; use hosts:, ports:, users:, "
            "clients: or one of your own"
        )
    if not IDestinationPolicy.providedBy(pattern):
        raise ConfigurationError(f"{label}: {pattern!r} is no policy")


@implementer(IRouter)
class RuleRouter:
    """
    One rule, as a router: L{Allow} of its pattern means that the request takes
    this route, L{Deny} that it does not.
    """

    def __init__(self, pattern: IDestinationPolicy | None, route: Route) -> None:
        self.pattern = pattern
        self._route = route

    @property
    def heldPlugins(self) -> tuple[object, ...]:
        """Return the pattern, which is a policy."""
        return () if self.pattern is None else (self.pattern,)

    def route(self, request: Request) -> MaybeAsync[Route | None]:
        """See L{IRouter.route}."""
        if self.pattern is None:
            return self._route
        answer: Decision | Deferred[Decision] = settle(self.pattern.decide(request))
        if isinstance(answer, Deferred):
            return answer.addCallback(self._routeFor)
        return self._routeFor(answer)

    def _routeFor(self, answer: object) -> Route | None:
        # By exact type, as everywhere: a pattern's bug must not choose a route.
        if type(answer) is Allow:
            return self._route
        if type(answer) is Deny:
            return None
        kind = type(answer).__name__
        raise TypeError(f"the pattern answered {kind}, not Allow or Deny")
