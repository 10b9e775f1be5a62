"""
Declaring a plugin that is made from the argument after its name's colon.

A factory may name the class or function that it calls as a string, which is
imported only when the plugin is used.  Twisted imports every plugin file to
list any plugin, so a file that imports its classes makes C{twistd --help} slow
for everyone.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from importlib import import_module
from operator import attrgetter
from typing import TypeVar

import attrs
from zope.interface import implementer

from txconnect.interfaces import (
    IAuthSchemePlugin,
    IObserverPlugin,
    IPairPlugin,
    IPolicyPlugin,
    IRouterPlugin,
    ITapPlugin,
)

_T = TypeVar("_T")

Build = Callable[..., object] | str
"""A class or function that makes plugins, or its place, C{"package.module:Class"}."""

# A path with "=" in it, as /a=b/c, is an item and no key.
_KEY = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)=(.*)", re.DOTALL)


def parseArgument(argument: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """
    Read the argument of a plugin, the text after its name's colon: items
    between commas, C{key=value} items last.  White space around an item is
    dropped.

    @return: the items, and the keys with their values.
    @raise ValueError: for an empty item, an item after a key, or a key given
        twice.
    """
    items: list[str] = []
    keys: dict[str, str] = {}
    for part in argument.split(",") if argument.strip() else ():
        item = part.strip()
        match = _KEY.fullmatch(item)
        if match is None:
            _addItem(items, keys, item)
        elif match[1] in keys:
            raise ValueError(f"the key {match[1]!r} is given twice")
        else:
            keys[match[1]] = match[2]
    return tuple(items), keys


def _addItem(items: list[str], keys: dict[str, str], item: str) -> None:
    if not item:
        raise ValueError("an item of the argument is empty")
    if keys:
        # As in a Python call, which the argument becomes.
        raise ValueError(f"{item!r} follows a key=value item; those come last")
    items.append(item)


def buildFromArgument(build: Callable[..., _T], argument: str, form: str) -> _T:
    """
    Call C{build} with the items and keys of an argument.

    @param form: the correct form of the argument, for the message.
    @raise ValueError: when the argument does not fit C{build}'s parameters.
        Any error of C{build} itself passes through.
    """
    items, keys = parseArgument(argument)
    # Bound first, so that a TypeError inside C{build} is not taken for a wrong
    # argument of the operator's.
    try:
        inspect.signature(build).bind(*items, **keys)
    except TypeError as error:
        raise ValueError(f"the argument does not fit, {error}; write {form}") from None
    return build(*items, **keys)


def checkedName(name: str) -> str:
    """
    Return a plugin's name if it can be one.

    @raise ValueError: the command line could not tell this name from a file,
        a module or an argument.
    """
    if not name or any(mark in name for mark in "./:,") or name != name.strip():
        raise ValueError(f"{name!r} is no plugin name: none of . / : , and not empty")
    return name


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
    build: Build
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


def policyFactory(
    name: str, summary: str, build: Build, argumentHelp: str = ""
) -> PolicyFactory:
    """
    Declare a policy that is made from an argument, as C{ports:443,8443} is.

    @param name: the name on the command line: none of C{. / : ,} in it.
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
