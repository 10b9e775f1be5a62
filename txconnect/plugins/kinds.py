"""
The kinds of plugin: the interfaces that belong together, and their names.
"""

from __future__ import annotations

import attrs
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


@attrs.frozen
class Kind:
    """
    One kind of plugin.

    @ivar noun: its name in messages; C{"--" + noun} is its option.
    @ivar plural: the plural of the noun.
    @ivar factory: the interface of the plugin that has a name.
    @ivar provides: the interfaces of the objects that the factory makes: each
        provides one or more.
    @ivar declare: the helpers of L{txconnect.plugins} that declare one.
    """

    noun: str
    plural: str
    factory: type[IPluginFactory]
    provides: tuple[type[Interface], ...]
    declare: str

    @property
    def option(self) -> str:
        """Return the command-line option that takes such a plugin."""
        return "--" + self.noun


POLICY = Kind(
    "policy",
    "policies",
    IPolicyPlugin,
    (IDestinationPolicy, IAddressPolicy),
    "policyPlugin or addressPolicyPlugin",
)
OBSERVER = Kind(
    "observer", "observers", IObserverPlugin, (ITrafficObserver,), "observerPlugin"
)
TAP = Kind("tap", "taps", ITapPlugin, (ITrafficTap,), "tapPlugin")
ROUTER = Kind("router", "routers", IRouterPlugin, (IRouter,), "routerPlugin")
PAIR = Kind("pair", "pair factories", IPairPlugin, (IPairFactory,), "pairPlugin")
AUTH_SCHEME = Kind(
    "auth-scheme",
    "authentication schemes",
    IAuthSchemePlugin,
    (IAuthScheme,),
    "authSchemeFactory",
)

KINDS = (POLICY, OBSERVER, TAP, ROUTER, PAIR, AUTH_SCHEME)
"""All kinds, in the order of the documentation."""
