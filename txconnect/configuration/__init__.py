"""
The configuration of a proxy, and the builder that makes a proxy of it.

L{Configuration} is one frozen value of plain data: the strings that an
operator wrote, and the settings.  It comes from arguments
(L{txconnect.command}), from a file or from a parent process
(L{txconnect.workers}), and it is the same for all of them.  L{build} makes the
plugin objects, the listeners and the proxy of it, or raises
L{ConfigurationError<txconnect.errors.ConfigurationError>} with one line that
names the option.

Building keeps no file open, binds no port, starts no thread and changes
nothing of a running proxy: a configuration can be checked by building it.

The result has two parts.  L{PluginSet} holds everything that can be replaced,
as a whole or not at all: plugins, checkers, schemes, settings, from which the
proxy makes its L{Rules<txconnect.admission.rules.Rules>}.
L{BuiltProxy} adds what lives as long as the process: the listeners, which own
ports, and the L{ConnectProxy<txconnect.proxy.ConnectProxy>}, which owns
look-ups, timers and tunnels.
"""

from txconnect.configuration.builder import BuiltProxy, build, buildProxy
from txconnect.configuration.configuration import Configuration
from txconnect.configuration.pluginset import PluginSet, buildPluginSet
from txconnect.configuration.running import proxyService

__all__ = [
    "BuiltProxy",
    "Configuration",
    "PluginSet",
    "build",
    "buildProxy",
    "buildPluginSet",
    "proxyService",
]
