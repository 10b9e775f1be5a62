"""
Declaring a plugin that is made from the argument behind its name's colon.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from importlib import import_module
from operator import attrgetter
from typing import Any

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

_KEY = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)=(.*)", re.DOTALL)


def parseArgument(argument: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """
    Read what stands behind a plugin's name and its colon: items between
    commas, C{key=value} items last.  White space around an item is dropped.

    @return: the items, and the keys with their values.
    @raise ValueError: for an empty item, an item behind a key, or a key given
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
        raise ValueError(f"{item!r} stands behind a key=value item, which come last")
    items.append(item)


def construct(build: Callable[..., Any], argument: str, form: str) -> Any:
    """
    Call C{build} with the items and keys of an argument.

    @param form: how the argument is to be written, for the message.
    @raise ValueError: when the argument does not fit C{build}'s parameters, or
        what C{build} raises.
    """
    items, keys = parseArgument(argument)
    try:
        inspect.signature(build).bind(*items, **keys)
    except TypeError as error:
        raise ValueError(f"the argument does not fit, {error}; write {form}") from None
    return build(*items, **keys)


def checkedName(name: str) -> str:
    """A plugin's name, or L{ValueError}."""
    if not name or any(mark in name for mark in "./:,") or name != name.strip():
        raise ValueError(f"{name!r} is no plugin name: none of . / : , and not empty")
    return name


def _resolve(build: Callable[..., Any] | str) -> Callable[..., Any]:
    if not isinstance(build, str):
        return build
    module, _, attribute = build.partition(":")
    resolved: Callable[..., Any] = attrgetter(attribute)(import_module(module))
    return resolved


@attrs.frozen(eq=False)
class _Factory:
    """What C{policyFactory} and its siblings return."""

    name: str = attrs.field(converter=checkedName)
    summary: str
    build: Callable[..., Any] | str
    argumentHelp: str = ""

    @property
    def form(self) -> str:
        """How to write it on the command line."""
        return f"{self.name}:{self.argumentHelp}" if self.argumentHelp else self.name

    def fromString(self, argument: str) -> Any:
        return construct(_resolve(self.build), argument, self.form)


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
    name: str, summary: str, build: Callable[..., Any] | str, argumentHelp: str = ""
) -> PolicyFactory:
    """
    Declare a policy that is made from an argument, as C{ports:443,8443} is.

    @param name: the name on the command line: none of C{. / : ,} in it.
    @param summary: one sentence for C{--help-policy}.
    @param build: a class or function, called at start-up with the argument's
        items, all strings, and its C{key=value} items as keywords; it returns
        an object that provides L{IDestinationPolicy}, L{IAddressPolicy} or
        both, and raises L{ValueError} with a sentence for a bad argument.  Or
        where it is, C{"package.module:Class"}, imported only when it is used.
    @param argumentHelp: how to write the argument, such as C{"PORT,..."}.
    """
    return PolicyFactory(name, summary, build, argumentHelp)


def observerFactory(
    name: str, summary: str, build: Callable[..., Any] | str, argumentHelp: str = ""
) -> ObserverFactory:
    """Declare an L{ITrafficObserver} made from an argument: see L{policyFactory}."""
    return ObserverFactory(name, summary, build, argumentHelp)


def tapFactory(
    name: str, summary: str, build: Callable[..., Any] | str, argumentHelp: str = ""
) -> TapFactory:
    """Declare an L{ITrafficTap} made from an argument: see L{policyFactory}."""
    return TapFactory(name, summary, build, argumentHelp)


def routerFactory(
    name: str, summary: str, build: Callable[..., Any] | str, argumentHelp: str = ""
) -> RouterFactory:
    """Declare an L{IRouter} made from an argument: see L{policyFactory}."""
    return RouterFactory(name, summary, build, argumentHelp)


def pairFactory(
    name: str, summary: str, build: Callable[..., Any] | str, argumentHelp: str = ""
) -> PairPluginFactory:
    """Declare an L{IPairFactory} made from an argument: see L{policyFactory}."""
    return PairPluginFactory(name, summary, build, argumentHelp)


def authSchemeFactory(
    name: str, summary: str, build: Callable[..., Any] | str, argumentHelp: str = ""
) -> AuthSchemeFactory:
    """Declare an L{IAuthScheme} made from an argument: see L{policyFactory}."""
    return AuthSchemeFactory(name, summary, build, argumentHelp)
