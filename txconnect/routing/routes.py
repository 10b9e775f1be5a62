"""
The routes of one proxy: made from its rules, started and stopped with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txconnect.dialing.dialer import Dialer
from txconnect.dialing.lookups import Lookups
from txconnect.dialing.openers import Open, transportOpener
from txconnect.errors import ConfigurationError, Refused
from txconnect.plugins import Catalogue
from txconnect.roles import describedValue
from txconnect.routing.dialled import DialledEndpoint
from txconnect.routing.failover import Failover
from txconnect.routing.health import Health
from txconnect.routing.parent import Parent
from txconnect.routing.rules import Rule, RuleRouter, parseRoute
from txconnect.routing.targets import Bind, Direct, ParentTarget, Target
from txconnect.settings import Settings
from txconnect.values import Cause, IPAddress, Named, Reached, Request, Route

__all__ = ["Routes"]


class Routes(MultiService):
    """
    The rules of a proxy, and the parents that they lead to.

    @ivar rules: the rules, in order.
    """

    def __init__(self, rules: Iterable[Rule | str]) -> None:
        """
        @param rules: L{Rule}s, or texts that L{parseRoute} reads.
        @raise ConfigurationError: one is wrong, or can never be reached.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        catalogue = Catalogue()
        self.rules = tuple(_ruleOf(rule, catalogue) for rule in rules)
        for rule in self.rules:
            if IService.providedBy(rule.pattern) and rule.pattern.parent is None:
                # MultiService refuses a second service of one name, and two
                # patterns may have one name.
                holder = MultiService()
                holder.setServiceParent(self)
                rule.pattern.setServiceParent(holder)
        for before, rule in zip(self.rules, self.rules[1:], strict=False):
            if before.pattern is None:
                raise ConfigurationError(
                    f"{rule.text.label} is never taken: the one before it has no "
                    "pattern, and takes every request"
                )
        self._health: Health | None = None

    def makeRouters(
        self,
        reactor: Any,
        settings: Settings,
        lookups: Lookups,
        direct: Route,
        openFrom: Callable[[str], Open],
        pseudonym: str,
    ) -> tuple[Named, ...]:
        """
        Make the router of each rule; called once.

        @param reactor: provides C{IReactorTime} and C{IReactorTCP}.
        @param direct: the proxy's own direct route.
        @param openFrom: makes the seam that opens addresses from a source
            address of this machine.
        @param pseudonym: the proxy's in C{Via}.
        @raise ConfigurationError: a file or credentials are of no use.
        """
        health = self._health = Health(reactor)
        dialer = Dialer(reactor, settings, transportOpener(reactor))
        seconds = settings.connectTimeout
        parents: dict[ParentTarget, Parent] = {}

        def parentOf(target: ParentTarget) -> Parent:
            # Routes share a parent: once down, it is down in all of them.
            if target not in parents:
                endpoint = DialledEndpoint(lookups, dialer, target.url.authority)
                parents[target] = Parent(target, reactor, endpoint, seconds)
            return parents[target]

        def routeTo(targets: tuple[Target, ...]) -> Route:
            # splitRoute takes several targets only where all are parents.
            first = targets[0]
            if isinstance(first, Direct):
                return direct
            if isinstance(first, Bind):
                open = openFrom(str(first.address))
                return _makeBoundRoute(first, Dialer(reactor, settings, open))
            through = [parentOf(t) for t in targets if isinstance(t, ParentTarget)]
            return Failover(through, health, reactor, seconds).makeRoute(pseudonym)

        return tuple(
            Named(rule.text.label, RuleRouter(rule.pattern, routeTo(rule.text.targets)))
            for rule in self.rules
        )

    def stopService(self) -> Deferred[object]:
        """Stop the probes of parents, and the patterns."""
        if self._health is not None:
            self._health.stop()
        stopping: Deferred[object] = super().stopService()  # type: ignore[no-untyped-call]
        return stopping


def _makeBoundRoute(target: Bind, dialer: Dialer) -> Route:
    """Make a direct route from one source address, to addresses of its family."""
    source = target.address

    def connectBound(
        request: Request, addresses: Sequence[IPAddress]
    ) -> Deferred[Reached]:
        alike = [each for each in addresses if each.version == source.version]
        if not alike:
            raise Refused(
                Cause.UNROUTABLE,
                f"the route is bound to {source}, and the destination has no IPv"
                f"{source.version} address",
            )
        dialing = dialer.dial(alike, request.authority.port)
        return dialing.addErrback(addTarget)

    def addTarget(failure: Failure) -> NoReturn:
        # The source may be the reason, as one that this machine does not have
        # (EADDRNOTAVAIL), and the dialler's own sentence does not name it.
        failure.trap(Refused)
        refused: Any = failure.value
        raise Refused(refused.cause, f"{target}: {refused.reason}") from refused

    return Route(str(target), connectBound)


def _ruleOf(given: Rule | str, catalogue: Catalogue) -> Rule:
    rule: object = given
    if isinstance(rule, Rule):
        return rule
    if isinstance(rule, str):
        return parseRoute(rule, catalogue)
    if isinstance(rule, Route):
        raise ConfigurationError(
            f"the Route {rule.name!r} says where to, and not which requests: return "
            "it from a router, and give that as routers=[...]"
        )
    raise ConfigurationError(
        f"{describedValue(rule)} is no route: give a text, as of --route"
    )
