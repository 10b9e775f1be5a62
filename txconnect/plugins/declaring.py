"""
Declaring a plugin that is made from the argument after its name's colon.

A factory may name the class or function that it calls as a string, which is
imported only when the plugin is used.  Twisted imports every plugin file to
list any plugin, so a file that imports its classes makes C{twistd --help} slow
for everyone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from operator import attrgetter

import attrs
from zope.interface import implementer

from txconnect.interfaces import (
    IAuthSchemePlugin,
    IObserverPlugin,
    IPairPlugin,
    IPluginFactory,
    IPolicyPlugin,
    IRouterPlugin,
    ITapPlugin,
)
from txconnect.plugins.arguments import buildFromArgument
from txconnect.roles import describedValue

Build = Callable[..., object] | str
"""A class or function that makes plugins, or its place, C{"package.module:Class"}."""

# ASCII: a refusal shows the name to the client, in its status line.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def checkedName(name: str) -> str:
    """
    Return a plugin's name if it can be one.

    @raise ValueError: the command line could not tell this name from a file, a
        module or an argument, or a client could not be sent it.
    """
    given: object = name
    if not isinstance(given, str) or not _NAME.fullmatch(given):
        raise ValueError(
            f"{name!r} is no plugin name: write letters, digits, - and _, "
            "and begin with a letter or a digit"
        )
    return name


def _checkedBuild(build: Build) -> Build:
    given: object = build
    if isinstance(given, str):
        module, colon, attribute = given.partition(":")
        if not (module and colon and attribute):
            raise ValueError(
                f"{given!r} is no place of a class or function: write "
                "package.module:Class"
            )
    elif not callable(given):
        raise ValueError(
            f"{describedValue(given)} makes no plugin: give a class, a function, or "
            "its place, package.module:Class"
        )
    return build


def _importBuild(build: Build) -> Callable[..., object]:
    if not isinstance(build, str):
        return build
    module, _, attribute = build.partition(":")
    resolved: Callable[..., object] = attrgetter(attribute)(import_module(module))
    return resolved


@attrs.frozen(eq=False)
class _Factory:
    """Base class of the plugins that C{policyFactory} and its siblings make."""

    name: str = attrs.field(converter=checkedName)
    summary: str
    build: Build = attrs.field(converter=_checkedBuild)
    argumentHelp: str = ""

    @property
    def form(self) -> str:
        """Return the form of the plugin on the command line."""
        return f"{self.name}:{self.argumentHelp}" if self.argumentHelp else self.name

    def fromString(self, argument: str) -> object:
        """See L{txconnect.interfaces.IPluginFactory.fromString}."""
        return buildFromArgument(_importBuild(self.build), argument, self.form)


@implementer(IPolicyPlugin)
class PolicyFactory(_Factory):
    """A policy plugin that takes an argument."""


@implementer(IObserverPlugin)
class ObserverFactory(_Factory):
    """An observer plugin that takes an argument."""


@implementer(ITapPlugin)
class TapFactory(_Factory):
    """A tap plugin that takes an argument."""


@implementer(IRouterPlugin)
class RouterFactory(_Factory):
    """A router plugin that takes an argument."""


@implementer(IPairPlugin)
class PairPluginFactory(_Factory):
    """A plugin that makes a pair factory from an argument."""


@implementer(IAuthSchemePlugin)
class AuthSchemeFactory(_Factory):
    """An authentication scheme plugin."""


@implementer(IPluginFactory)
class RolesFactory(_Factory):
    """A plugin of several roles that takes an argument."""


def policyFactory(
    name: str, summary: str, build: Build, argumentHelp: str = ""
) -> PolicyFactory:
    """
    Declare a policy that is made from an argument, as C{ports:443,8443} is.

    @param name: the name on the command line: letters, digits, C{-} and C{_}.
    @param summary: one sentence for C{--help-policy}.
    @param build: a class or function, called at start-up with the argument's
        items, all strings, and its C{key=value} items as keywords; it returns
        an object that provides L{IDestinationPolicy}, L{IAddressPolicy} or
        both, and raises L{ValueError} with a sentence for a bad argument.  Or
        its place, C{"package.module:Class"}, imported only when it is used.
    @param argumentHelp: the form of the argument, such as C{"PORT,..."}.
    """
    return PolicyFactory(name, summary, build, argumentHelp)


def observerFactory(
    name: str, summary: str, build: Build, argumentHelp: str = ""
) -> ObserverFactory:
    """Declare an L{ITrafficObserver} made from an argument: see L{policyFactory}."""
    return ObserverFactory(name, summary, build, argumentHelp)


def tapFactory(
    name: str, summary: str, build: Build, argumentHelp: str = ""
) -> TapFactory:
    """Declare an L{ITrafficTap} made from an argument: see L{policyFactory}."""
    return TapFactory(name, summary, build, argumentHelp)


def routerFactory(
    name: str, summary: str, build: Build, argumentHelp: str = ""
) -> RouterFactory:
    """Declare an L{IRouter} made from an argument: see L{policyFactory}."""
    return RouterFactory(name, summary, build, argumentHelp)


def pairFactory(
    name: str, summary: str, build: Build, argumentHelp: str = ""
) -> PairPluginFactory:
    """Declare an L{IPairFactory} made from an argument: see L{policyFactory}."""
    return PairPluginFactory(name, summary, build, argumentHelp)


def authSchemeFactory(
    name: str, summary: str, build: Build, argumentHelp: str = ""
) -> AuthSchemeFactory:
    """Declare an L{IAuthScheme} made from an argument: see L{policyFactory}."""
    return AuthSchemeFactory(name, summary, build, argumentHelp)


def pluginFactory(
    name: str, summary: str, build: Build, argumentHelp: str = ""
) -> RolesFactory:
    """
    Declare a plugin of several roles, such as a policy that also observes, for
    C{--plugin}: see L{policyFactory}.  C{build} returns an object that provides
    the interface of each of its roles.
    """
    return RolesFactory(name, summary, build, argumentHelp)
