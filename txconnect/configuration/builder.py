"""
The builder: from a configuration to a proxy with its listeners, not yet started.

The order is chosen for the operator.  Plugins come first, as most mistakes are
theirs; endpoints next; the proxy last, which checks that the parts go together.
The first mistake ends it, and as nothing has been opened there is nothing to
undo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.interfaces import IReactorTime

from txconnect.configuration.configuration import Configuration
from txconnect.configuration.pluginset import PluginSet, buildPluginSet
from txconnect.errors import ConfigurationError
from txconnect.listening import Listener, parseListener
from txconnect.plugins import CHECKER, KINDS
from txconnect.proxy import ConnectProxy


@attrs.frozen
class BuiltProxy:
    """
    A proxy, its rules, and the listeners through which clients will reach it.

    The listeners and the proxy live as long as the process; C{pluginSet} holds
    the rules that the proxy was made with.
    """

    pluginSet: PluginSet
    listeners: tuple[Listener, ...]
    proxy: ConnectProxy

    @property
    def configuration(self) -> Configuration:
        """The configuration from which all of it was made."""
        return self.pluginSet.configuration


def build(
    reactor: IReactorTime,
    configuration: Configuration,
    write: Callable[[str], object],
    listenWith: Sequence[object] | None = None,
) -> BuiltProxy:
    """
    Make everything that a configuration describes.  Opens and binds nothing.

    @param write: as of L{buildPluginSet}.
    @param listenWith: as of L{buildProxy}.
    @raise ConfigurationError: with the first part that cannot be made, in one
        line that names its option.
    """
    return buildProxy(reactor, buildPluginSet(configuration, write), listenWith)


def buildProxy(
    reactor: IReactorTime,
    pluginSet: PluginSet,
    listenWith: Sequence[object] | None = None,
) -> BuiltProxy:
    """
    Make the part that lives as long as the process, with its first rules.

    @param listenWith: for each listener the reactor that its endpoint asks to
        listen; by default C{reactor} for all.
    @raise ConfigurationError: an endpoint string is not valid, a key cannot be
        read, the rules do not go together.
    """
    # Workers listen on sockets that their parent has bound: each endpoint gets
    # a reactor that finds its own among them, and the proxy the real one.
    texts = pluginSet.configuration.listeners
    reactors = [reactor] * len(texts) if listenWith is None else listenWith
    listeners = tuple(map(parseListener, reactors, texts))
    pluginSet.checkListeners(listeners)
    return BuiltProxy(pluginSet, listeners, _makeProxy(reactor, pluginSet))


def _makeProxy(reactor: IReactorTime, pluginSet: PluginSet) -> ConnectProxy:
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
        raise ConfigurationError(_withOptions(str(error))) from error


def _withOptions(message: str) -> str:
    """Return a message that names an argument of the proxy, with its option."""
    if message.startswith("routes: "):
        return "--route: " + message.removeprefix("routes: ")
    for kind in (*KINDS, CHECKER):
        begins = f"{kind.keyword} '"
        if message.startswith(begins):
            name, _, rest = message.removeprefix(begins).partition("'")
            return f"{kind.option} {name}{rest}"
    return message
