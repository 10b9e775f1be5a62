"""
From a configuration to a proxy with its listeners, not yet started.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from txconnect.configuration.configuration import Configuration
from txconnect.configuration.pluginset import PluginSet, buildPluginSet
from txconnect.errors import ConfigurationError
from txconnect.listening import Listener, parseListener
from txconnect.proxy import ConnectProxy


@attrs.frozen
class BuiltProxy:
    """
    A proxy, its rules, and the listeners that clients will reach it by.

    The listeners and the proxy live as long as the process; C{pluginSet} holds
    the rules that the proxy was made with.
    """

    pluginSet: PluginSet
    listeners: tuple[Listener, ...]
    proxy: ConnectProxy

    @property
    def configuration(self) -> Configuration:
        """The configuration that all of it is made of."""
        return self.pluginSet.configuration


def build(
    reactor: Any,
    configuration: Configuration,
    write: Callable[[str], object],
    listenWith: Sequence[Any] | None = None,
) -> BuiltProxy:
    """
    Make everything of a configuration.  Opens and binds nothing.

    @param write: takes one line for people; used where the configuration names
        no observer.
    @param listenWith: as of L{buildProxy}.
    @raise ConfigurationError: with the first thing that cannot be made, in one
        line that names its option.
    """
    return buildProxy(reactor, buildPluginSet(configuration, write), listenWith)


def buildProxy(
    reactor: Any, pluginSet: PluginSet, listenWith: Sequence[Any] | None = None
) -> BuiltProxy:
    """
    Make the part that lives with the process, with its first rules.

    @param listenWith: for each listener the reactor that its endpoint asks to
        listen; by default C{reactor} for all.
    @raise ConfigurationError: an endpoint string means nothing, a key cannot be
        read, the rules do not go together.
    """
    texts = pluginSet.configuration.listeners
    reactors = [reactor] * len(texts) if listenWith is None else listenWith
    listeners = tuple(map(parseListener, reactors, texts))
    pluginSet.checkListeners(listeners)
    return BuiltProxy(pluginSet, listeners, _proxy(reactor, pluginSet))


def _proxy(reactor: Any, pluginSet: PluginSet) -> ConnectProxy:
    try:
        return ConnectProxy(
            reactor,
            policies=pluginSet.policies,
            routers=pluginSet.routers,
            routes=pluginSet.routes,
            observers=pluginSet.observers,
            taps=pluginSet.taps,
            pairFactory=pluginSet.pairFactory,
            schemes=pluginSet.schemes,
            checkers=pluginSet.checkers,
            settings=pluginSet.settings,
        )
    except ConfigurationError as error:
        # zope's sentences come on several lines.
        raise ConfigurationError(" ".join(str(error).split())) from error
