"""
The installed plugins: what C{twisted.plugins} holds of each kind.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from twisted.plugin import getPlugins
from twisted.python.modules import getModule

from txconnect.errors import ConfigurationError
from txconnect.interfaces import IPluginFactory
from txconnect.plugins.kinds import KINDS, Kind
from txconnect.plugins.places import describeException, sourceOf

__all__ = ["Catalogue", "importFailures", "installed", "kindsOf", "nearest"]

_PACKAGE = "twisted.plugins"


class Catalogue:
    """
    The installed plugins, searched once for each kind: each search walks every
    plugin directory.
    """

    def __init__(self) -> None:
        self._found: dict[str, list[IPluginFactory]] = {}

    def of(self, kind: Kind) -> list[IPluginFactory]:
        """Return the factories of one kind, each once, sorted by name."""
        if kind.noun not in self._found:
            self._found[kind.noun] = installed(kind)
        return self._found[kind.noun]

    def find(self, kind: Kind, name: str) -> IPluginFactory:
        """
        Return the one factory of a name.

        @raise ConfigurationError: there is none, or more than one.
        """
        found = [plugin for plugin in self.of(kind) if plugin.name == name]
        if not found:
            raise ConfigurationError(self._explainUnknown(kind, name))
        if len(found) > 1:
            raise ConfigurationError(_explainSeveral(kind, name, found))
        return found[0]

    def _explainUnknown(self, kind: Kind, name: str) -> str:
        names = [str(plugin.name) for plugin in self.of(kind)]
        near = nearest(name, names)
        # Hints in the order of the likely mistakes: a letter, the wrong option, a
        # file without its path, a plugin that does not import.
        text = f"{kind.noun} {name!r} is not installed"
        text += f"; did you mean {near!r}?" if near else "."
        text += f" Installed {kind.plural}: {', '.join(names) or 'none'}."
        for other in KINDS:
            if other is not kind and name in [p.name for p in self.of(other)]:
                text += (
                    f" There is an installed {other.noun} of that name "
                    f"({other.option})."
                )
        return text + "".join(
            f" {path} could not be imported: {describeException(error)}."
            for path, error in importFailures()
        )


def installed(kind: Kind) -> list[IPluginFactory]:
    """
    Return the installed factories of one kind, sorted by name.

    A module of C{twisted.plugins} that fails to import is left out, and Twisted
    logs its failure: L{importFailures} returns them.
    """
    # By identity: Twisted yields a plugin once for each attribute that holds it,
    # such as the import of it in another plugin file.
    found = {id(plugin): plugin for plugin in getPlugins(kind.factory)}
    return sorted(found.values(), key=lambda plugin: str(plugin.name))


def importFailures() -> list[tuple[str, BaseException]]:
    """
    Import every module of C{twisted.plugins}.

    @return: the path and the exception of each module that fails.
    """
    failures: list[tuple[str, BaseException]] = []
    for module in getModule(_PACKAGE).iterModules():
        try:
            module.load()
        except (Exception, SystemExit) as error:
            # A script put there by mistake may call sys.exit.
            failures.append((module.filePath.path, error))
    return failures


def kindsOf(factory: object) -> list[Kind]:
    """Return the kinds as which a factory is declared."""
    return [kind for kind in KINDS if kind.factory.providedBy(factory)]


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the one of several names that was probably meant, or nothing."""
    known = list(names)
    # Of every name, case and all, before one of another case: PORTS is ports.
    folded = {each.lower(): each for each in known}
    near = get_close_matches(name.lower(), folded, 1)
    return folded[near[0]] if near else ""


def _explainSeveral(kind: Kind, name: str, found: list[IPluginFactory]) -> str:
    kinds = {other.noun: other for each in found for other in kindsOf(each)}
    if len(kinds) == len(found) > 1:
        nouns = " and ".join(each.withArticle for each in kinds.values())
        options = " or ".join(each.option for each in kinds.values())
        return f"{name!r} is {nouns}: say which with {options}"
    files = " and ".join(sorted(_whereDeclared(plugin) for plugin in found))
    return (
        f"{kind.noun} {name!r} is declared {len(found)} times, in {files}: "
        "rename or uninstall one"
    )


def _whereDeclared(plugin: Any) -> str:
    for name, module in sorted(sys.modules.items()):
        # By identity: a plugin may define == in any way, or not return a bool.
        if name.startswith(_PACKAGE + ".") and any(
            value is plugin for value in vars(module).values()
        ):
            return str(module.__file__)
    return sourceOf(plugin)
