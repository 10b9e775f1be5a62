"""
The kinds of plugin: which interfaces belong together, and what they are called.
"""

from __future__ import annotations

from typing import Any

import attrs

from txconnect.interfaces import (
    IAddressPolicy,
    IAuthScheme,
    IAuthSchemePlugin,
    IDestinationPolicy,
    IObserverPlugin,
    IPairFactory,
    IPairPlugin,
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

    @ivar noun: what messages call it; C{"--" + noun} is its option.
    @ivar plural: the same, several.
    @ivar factory: the interface of what stands behind a name.
    @ivar provides: the interfaces of what the factory makes: one or more.
    @ivar declare: the helpers of L{txconnect.plugins} to declare one with.
    """

    noun: str
    plural: str
    factory: Any
    provides: tuple[Any, ...]
    declare: str

    @property
    def option(self) -> str:
        """The command-line option that takes such a plugin."""
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
"""All of them, in the order in which they are documented."""
