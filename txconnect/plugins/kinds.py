"""
The kinds of plugin: the interfaces that belong together, and their names.
"""

from __future__ import annotations

from typing import Any

import attrs
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.strcred import ICheckerFactory
from zope.interface import Interface

from txconnect.interfaces import (
    IAddressPolicy,
    IAuthScheme,
    IAuthSchemePlugin,
    IDestinationPolicy,
    IObserverPlugin,
    IPairFactory,
    IPairPlugin,
    IPluginFactory,
    IPolicyPlugin,
    IRouter,
    IRouterPlugin,
    ITapPlugin,
    ITrafficObserver,
    ITrafficTap,
)
from txconnect.roles import ROLES


@attrs.frozen
class Kind:
    """
    One kind of plugin.

    @ivar noun: its name in messages.
    @ivar plural: the plural of the noun.
    @ivar factory: the interface of the plugin that has a name.
    @ivar provides: the interfaces of the objects that the factory makes: each
        provides one or more.
    @ivar declare: the helpers of L{txconnect.plugins} that declare one.
    @ivar keyword: the argument of L{ConnectProxy<txconnect.proxy.ConnectProxy>}
        that takes such plugins.
    @ivar option: the command-line option that takes such a plugin.
    @ivar build: the factory's method that takes the argument.
    @ivar secret: whether an argument may be a password, which no message repeats.
    """

    noun: str
    plural: str
    factory: type[Any]
    provides: tuple[type[Interface], ...]
    declare: str
    keyword: str
    option: str = attrs.field()
    build: str = "fromString"
    secret: bool = False

    @option.default
    def _optionOfNoun(self) -> str:
        """Return the noun as an option."""
        return "--" + self.noun

    @property
    def withArticle(self) -> str:
        """Return the noun with its article."""
        return f"{'an' if self.noun[0] in 'aeiou' else 'a'} {self.noun}"


POLICY = Kind(
    "policy",
    "policies",
    IPolicyPlugin,
    (IDestinationPolicy, IAddressPolicy),
    "policyPlugin or addressPolicyPlugin",
    "policies",
)
OBSERVER = Kind(
    "observer",
    "observers",
    IObserverPlugin,
    (ITrafficObserver,),
    "observerPlugin",
    "observers",
)
TAP = Kind("tap", "taps", ITapPlugin, (ITrafficTap,), "tapPlugin", "taps")
ROUTER = Kind("router", "routers", IRouterPlugin, (IRouter,), "routerPlugin", "routers")
PAIR = Kind(
    "pair", "pair factories", IPairPlugin, (IPairFactory,), "pairPlugin", "pairFactory"
)
AUTH_SCHEME = Kind(
    "auth-scheme",
    "authentication schemes",
    IAuthSchemePlugin,
    (IAuthScheme,),
    "authSchemeFactory",
    "schemes",
)
KINDS = (POLICY, OBSERVER, TAP, ROUTER, PAIR, AUTH_SCHEME)
"""The kinds whose plugins are declared here, in the order of the documentation."""

CHECKER = Kind(
    "checker",
    "checkers",
    ICheckerFactory,
    (ICredentialsChecker,),
    "",
    "checkers",
    "--auth",
    "generateChecker",
    secret=True,
)
"""Checkers of C{twisted.cred}, which has plugins of its own for them."""

PLUGIN = Kind(
    "plugin",
    "plugins",
    IPluginFactory,
    tuple(ROLES),
    "policyPlugin, observerPlugin, ...",
    "plugins",
)
"""A plugin in all the roles that it has."""
