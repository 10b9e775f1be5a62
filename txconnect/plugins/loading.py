"""
Finding the plugin that a description names, on the command line or in Python.

C{NAME} and C{NAME:ARGUMENT} name an installed plugin; C{./file.py:NAME} and
C{package.module:NAME}, with or without C{:ARGUMENT}, name the place too.  The
plugin's name is C{NAME} in every case, whatever the object calls itself.

A plugin that cannot be loaded stops start-up, with one sentence that has the
option, the reason and the place: to leave a policy out would let through the
requests that it is there to refuse.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any, TypeVar

from zope.interface import implementedBy

from txconnect.errors import ConfigurationError
from txconnect.plugins.arguments import buildFromArgument, formOf, shownText
from txconnect.plugins.bareitems import bareHint
from txconnect.plugins.catalogue import Catalogue, nearest
from txconnect.plugins.kinds import KINDS, Kind
from txconnect.plugins.places import (
    describeException,
    importPlace,
    isPlace,
    sourceOf,
)
from txconnect.roles import missingRole, verifyRole
from txconnect.values import Named

__all__ = ["labelOf", "loadPlugin", "rolesOf", "verifyRoles"]

_T = TypeVar("_T")

_MOST_SHOWN = 8
"""The most names of a file that a message lists."""


def loadPlugin(
    kind: Kind, description: str, catalogue: Catalogue | None = None, label: str = ""
) -> Named:
    """
    Find the plugin that a description names, and make its object.

    @param description: C{NAME}, C{NAME:ARGUMENT}, C{./file.py:NAME[:ARGUMENT]}
        or C{package.module:NAME[:ARGUMENT]}.
    @param catalogue: the installed plugins, when several are loaded.
    @param label: the start of a message; by default the option and the
        description.
    @return: the object, verified, with the name in the description.
    @raise ConfigurationError: with the mistake, its place, and the remedy.
    """
    try:
        return _load(kind, description, catalogue or Catalogue())
    except ConfigurationError as error:
        label = label or f"{kind.option} {labelOf(kind, description)}"
        raise ConfigurationError(f"{label}: {error}") from error


def labelOf(kind: Kind, description: str) -> str:
    """
    Return a description for messages: all of it, or where the argument may be a
    password, all but that.
    """
    where, _, rest = description.partition(":")
    if not kind.secret:
        return shownText(description)
    named = isPlace(where) and rest
    return shownText(f"{where}:{rest.partition(':')[0]}" if named else where)


def rolesOf(kind: Kind, plugin: object) -> list[Any]:
    """Return the interfaces of a kind that an object provides."""
    # zope's interfaces are no types to a checker.
    faces: tuple[Any, ...] = kind.provides
    return [face for face in faces if face.providedBy(plugin)]


def _load(kind: Kind, description: str, catalogue: Catalogue) -> Named:
    where, _, rest = description.partition(":")
    if not isPlace(where):
        try:
            factory = catalogue.find(kind, where)
        except ConfigurationError as error:
            meant = _bareHint(kind, description, catalogue)
            hint = f" D{meant[1:]}" if meant else _fileHint(kind, where)
            raise ConfigurationError(f"{error}{hint}") from None
        return _fromFactory(kind, where, factory, rest)
    name, _, argument = rest.partition(":")
    if not name:
        if meant := _bareHint(kind, where, catalogue):
            raise ConfigurationError(f"no plugin is named; {meant}")
        fitting = _fittingNames(kind, importPlace(where))
        shown = f"; it has {', '.join(fitting[:_MOST_SHOWN])}" if fitting else ""
        raise ConfigurationError(f"say what in it is meant, as {where}:NAME{shown}")
    thing = _getAttribute(kind, _importMeant(kind, where, description), name)
    return _fromObject(kind, name, thing, argument)


def _importMeant(kind: Kind, where: str, description: str) -> ModuleType:
    try:
        return importPlace(where)
    except ConfigurationError as error:
        meant = bareHint(kind, description)
        raise ConfigurationError(f"{error}{meant and '; '}{meant}") from None


def _bareHint(kind: Kind, text: str, catalogue: Catalogue) -> str:
    """Return a hint for an argument without a name, and for C{hosts=a.example}."""
    name, equals, rest = text.partition("=")
    if equals and name in [each.name for each in catalogue.of(kind)]:
        return f"did you mean {kind.option} {name}:{rest}?"
    return bareHint(kind, text)


def _fileHint(kind: Kind, name: str) -> str:
    if name and os.path.exists(name + ".py"):
        return f" For a file, write {kind.option} ./{name}.py:NAME."
    return ""


def _getAttribute(kind: Kind, module: ModuleType, name: str) -> object:
    try:
        found: object = getattr(module, name)
    except AttributeError:
        near = nearest(name, _fittingNames(kind, module))
        hint = f"; did you mean {near!r}?" if near else ""
        raise ConfigurationError(f"{module.__file__} has no {name!r}{hint}") from None
    return found


def _fittingNames(kind: Kind, module: ModuleType) -> list[str]:
    return [each for each, value in vars(module).items() if _fits(kind, value)]


def _fits(kind: Kind, value: object) -> bool:
    made = isinstance(value, type) and any(
        face in implementedBy(value) for face in kind.provides
    )
    return made or kind.factory.providedBy(value) or bool(rolesOf(kind, value))


def _fromObject(kind: Kind, name: str, thing: object, argument: str) -> Named:
    if kind.factory.providedBy(thing):
        return _fromFactory(kind, name, thing, argument)
    if isinstance(thing, type) and kind.factory in implementedBy(thing):
        # A class of factories, of which no file needs more than one.
        return _fromFactory(kind, name, _make(kind, thing), argument)
    # Any other class is its own factory: the argument's items are its parameters.
    if isinstance(thing, type):
        form = partial(formOf, name, thing)
        made = _make(kind, lambda: buildFromArgument(thing, argument, form))
        return _named(kind, name, made)
    _refuseOther(kind, thing)
    if argument:
        raise ConfigurationError("it is an object already: it takes no argument")
    return _named(kind, name, thing)


def _refuseOther(kind: Kind, thing: object) -> None:
    """Refuse what is declared for another option, or not at all."""
    if rolesOf(kind, thing):
        return
    for other in KINDS:
        if other.factory.providedBy(thing):
            raise ConfigurationError(
                f"it is declared as {other.withArticle}: give it with {other.option}"
            )
    if inspect.isroutine(thing) and kind.declare:
        raise ConfigurationError(
            f"it is a bare function: decorate it with txconnect.plugins.{kind.declare}"
        )


def _fromFactory(kind: Kind, name: str, factory: Any, argument: str) -> Named:
    _verify(kind.factory, factory)
    build = getattr(factory, kind.build)
    return _named(kind, name, _make(kind, lambda: build(argument)))


def _make(kind: Kind, make: Callable[[], _T]) -> _T:
    try:
        return make()
    except ValueError as error:
        # A sentence for the operator, as every plugin is told to write one.
        raise ConfigurationError(" ".join(str(error).split())) from error
    except Exception as error:
        raise ConfigurationError(describeException(error, kind.secret)) from error


def _named(kind: Kind, name: str, made: object) -> Named:
    verifyRoles(kind, made)
    return Named(name, made)


def verifyRoles(kind: Kind, made: object) -> None:
    """
    Verify that an object has one role of a kind or more, and serves in each.

    @raise ConfigurationError: it does not; the message names the interfaces.
    """
    roles = rolesOf(kind, made)
    if not roles:
        raise ConfigurationError(
            f"{missingRole(kind.provides, made)} ({sourceOf(made)})"
        )
    for role in roles:
        _verify(role, made)


def _verify(role: Any, thing: object) -> None:
    try:
        verifyRole(role, thing)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} ({sourceOf(thing)})") from error
