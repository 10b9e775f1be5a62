"""
Plugins: declaring them, and finding them for the command line.

A plugin is a module attribute, in a file C{twisted/plugins/<dist>_plugin.py}
of an installed distribution, or in any file or module that the command line
names::

    from txconnect.plugins import policyPlugin
    from txconnect.values import Allow, Deny

    @policyPlugin("weekdays", "Allow on weekdays only.")
    def weekdays(request):
        return Allow() if date.today().weekday() < 5 else Deny("it is the weekend")

Nothing heavy is imported here: C{twistd --help} imports every plugin file, and
with it this package.
"""

from txconnect.plugins.arguments import parseArgument
from txconnect.plugins.catalogue import Catalogue, installed
from txconnect.plugins.declaring import (
    authSchemeFactory,
    observerFactory,
    pairFactory,
    pluginFactory,
    policyFactory,
    routerFactory,
    tapFactory,
)
from txconnect.plugins.functions import (
    addressPolicyPlugin,
    observerPlugin,
    pairPlugin,
    policyPlugin,
    routerPlugin,
    tapPlugin,
)
from txconnect.plugins.kinds import (
    AUTH_SCHEME,
    CHECKER,
    KINDS,
    OBSERVER,
    PAIR,
    PLUGIN,
    POLICY,
    ROUTER,
    TAP,
    Kind,
)
from txconnect.plugins.loading import loadPlugin

__all__ = [
    "AUTH_SCHEME",
    "CHECKER",
    "KINDS",
    "OBSERVER",
    "PAIR",
    "PLUGIN",
    "POLICY",
    "ROUTER",
    "TAP",
    "Catalogue",
    "Kind",
    "addressPolicyPlugin",
    "authSchemeFactory",
    "installed",
    "loadPlugin",
    "observerFactory",
    "observerPlugin",
    "pairFactory",
    "pairPlugin",
    "parseArgument",
    "pluginFactory",
    "policyFactory",
    "policyPlugin",
    "routerFactory",
    "routerPlugin",
    "tapFactory",
    "tapPlugin",
]
