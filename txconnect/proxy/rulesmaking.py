"""
Making the rules of a proxy of what an embedding program gives: objects and texts.

Nothing is started, and nothing opened: so rules can be made while a proxy runs, and
replace the old ones wholly or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import attrs
from twisted.cred.checkers import ICredentialsChecker

from txconnect.admission.assembling import (
    assemble,
    describedKind,
    joinedLists,
    listed,
    withDefaults,
    withJudges,
)
from txconnect.admission.rules import Rules
from txconnect.auth.authenticator import Authenticator
from txconnect.auth.basic import BasicScheme
from txconnect.auth.certificate import certificateIdentity
from txconnect.dialing.lookups import Lookups
from txconnect.dialing.openers import Open
from txconnect.errors import ConfigurationError
from txconnect.interfaces import IAuthScheme, IRequestHandler, ITunnelFields
from txconnect.plugins.gathering import PluginLoader, gatherPlugins
from txconnect.policy import defaultPolicies
from txconnect.roles import verifiedPlugins
from txconnect.settings import Settings
from txconnect.values import Named, Route

if TYPE_CHECKING:
    from txconnect.plugins.plugintypes import (
        AnyChecker,
        AnyHandler,
        AnyObserver,
        AnyPairFactory,
        AnyPolicy,
        AnyRouter,
        AnyScheme,
        AnyTap,
        AnyTunnelFields,
        Several,
    )
    from txconnect.routing.routes import Routes
    from txconnect.routing.rules import Rule

__all__ = ["RulesArguments", "RulesMaker", "checkedSettings"]


class RulesArguments(TypedDict, total=False):
    """The keyword arguments that rules are made of, for those who pass them on."""

    policies: Several[AnyPolicy]
    routers: Several[AnyRouter]
    routes: Several[Rule | str]
    observers: Several[AnyObserver]
    taps: Several[AnyTap]
    pairFactory: AnyPairFactory | None
    schemes: Several[AnyScheme]
    checkers: Several[AnyChecker]
    handlers: Several[AnyHandler]
    tunnelFields: Several[AnyTunnelFields]
    plugins: Several[object]
    settings: Settings | None


@attrs.frozen
class RulesMaker:
    """
    Makes the rules of one proxy.

    @ivar name: the proxy's.
    @ivar direct: the route that dials the destination itself.
    @ivar openFrom: returns what opens addresses from a source address.
    """

    reactor: Any
    name: str
    lookups: Lookups
    direct: Route
    openFrom: Callable[[str | None], Open]

    def makeRules(
        self,
        *,
        policies: Several[AnyPolicy] = (),
        routers: Several[AnyRouter] = (),
        routes: Several[Rule | str] = (),
        observers: Several[AnyObserver] = (),
        taps: Several[AnyTap] = (),
        pairFactory: AnyPairFactory | None = None,
        schemes: Several[AnyScheme] = (),
        checkers: Several[AnyChecker] = (),
        handlers: Several[AnyHandler] = (),
        tunnelFields: Several[AnyTunnelFields] = (),
        plugins: Several[object] = (),
        settings: Settings | None = None,
    ) -> Rules:
        """
        Make rules.

        The parameters are those of C{ConnectProxy}.

        @raise ConfigurationError: an argument is of a wrong kind, a plugin does not
            provide its interface, or there are schemes and no checker.
        """
        settings = checkedSettings(settings)
        given = gatherPlugins(
            PluginLoader(embedded=True),
            policies=policies,
            routers=routers,
            observers=observers,
            taps=taps,
            pairFactory=pairFactory,
            schemes=schemes,
            checkers=checkers,
            plugins=plugins,
        )
        joined = joinedLists(given.policies)
        standing = withJudges(
            withDefaults(joined, defaultPolicies(joined)), given.observers
        )
        asking = verifiedPlugins(given.schemes, IAuthScheme)
        checking = verifiedPlugins(given.checkers, ICredentialsChecker)
        rules = assemble(
            standing,
            given.routers,
            given.observers,
            given.taps,
            given.pairFactory,
            settings=settings,
            name=self.name,
            authenticator=_authenticator(asking, checking, settings.realm),
            certificateIdentity=certificateIdentity,
            handlers=verifiedPlugins(listed("handlers", handlers), IRequestHandler),
            tunnelFields=verifiedPlugins(
                listed("tunnelFields", tunnelFields), ITunnelFields
            ),
        )
        plugins = (*standing, *asking, *checking, *rules.otherPlugins())
        rules = attrs.evolve(rules, plugins=plugins)
        texts = listed("routes", routes)
        try:
            leading = _routes(texts)
            return rules if leading is None else self._withRoutes(rules, leading)
        except ConfigurationError as error:
            raise ConfigurationError(f"routes: {error}") from error

    def _withRoutes(self, rules: Rules, routes: Routes) -> Rules:
        routers = routes.makeRouters(
            self.reactor,
            rules.settings,
            self.lookups,
            self.direct,
            self.openFrom,
            rules.pseudonym,
        )
        return attrs.evolve(
            rules,
            routers=(*rules.routers, *routers),
            plugins=(*rules.plugins, Named("routes", routes)),
        )


def checkedSettings(settings: object) -> Settings:
    """
    Return the settings, the defaults for L{None}.

    @raise ConfigurationError: it is something else, such as a C{dict}.
    """
    if settings is None:
        return Settings()
    if not isinstance(settings, Settings):
        raise ConfigurationError(
            f"settings: give Settings(...), not {describedKind(settings)}"
        )
    return settings


def _routes(rules: Sequence[Any]) -> Routes | None:
    if not rules:
        return None
    # Late: a proxy without parents does not pay for the code that reaches them.
    from txconnect.routing.routes import Routes

    return Routes(rules)


def _authenticator(
    schemes: Sequence[Named], checkers: Sequence[Named], realm: str
) -> Authenticator | None:
    """
    Make what asks every request who sends it; L{None} where everyone may come.

    @raise ConfigurationError: there are schemes and no checker.
    """
    if checkers:
        return Authenticator(schemes or [BasicScheme()], checkers, realm)
    if schemes:
        raise ConfigurationError(
            "there are schemes, which say how clients send who they are, but no "
            "checker, which says who may pass"
        )
    return None
