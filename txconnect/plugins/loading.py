"""
Finding the plugin that a description on the command line names.

C{NAME} and C{NAME:ARGUMENT} name an installed plugin; C{./file.py:NAME} and
C{package.module:NAME}, with or without C{:ARGUMENT}, name the place too.  A
plugin that cannot be loaded stops start-up, with a sentence that has the
reason and the place: to leave a policy out would let through the requests that
it is there to refuse.

A description with a dot or a slash before its first colon is a file or a
module, any other a name; plugin names have neither for this reason.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
import zlib
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any, TypeVar

from twisted.plugin import getPlugins
from twisted.python.modules import getModule
from zope.interface import Interface
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from txconnect.errors import ConfigurationError
from txconnect.interfaces import IPluginFactory
from txconnect.plugins.declaring import buildFromArgument
from txconnect.plugins.kinds import KINDS, Kind
from txconnect.values import Named

_PACKAGE = "twisted.plugins"

_T = TypeVar("_T")


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


def loadPlugin(
    kind: Kind, description: str, catalogue: Catalogue | None = None
) -> Named:
    """
    Find the plugin that a description names, and make its object.

    @param description: C{NAME}, C{NAME:ARGUMENT}, C{./file.py:NAME[:ARGUMENT]}
        or C{package.module:NAME[:ARGUMENT]}.
    @param catalogue: the installed plugins, when several are loaded.
    @return: the object, verified, with the name that logs give it.
    @raise ConfigurationError: with the mistake, its place, and the remedy.
    """
    where, colon, rest = description.partition(":")
    if "." not in where and "/" not in where:
        factory = _findByName(kind, where, catalogue or Catalogue())
        return _fromFactory(kind, f"{kind.noun} {where!r}", factory, rest)
    attribute, _, argument = rest.partition(":")
    if not attribute:
        raise ConfigurationError(
            f"{kind.noun} {where!r}: say what in it is meant, as {where}:NAME"
        )
    label = f"{kind.noun} '{where}:{attribute}'"
    module = _importFrom(label, where)
    thing = _getAttribute(kind, label, module, attribute)
    return _fromObject(kind, label, attribute, thing, argument)


def _findByName(kind: Kind, name: str, catalogue: Catalogue) -> IPluginFactory:
    found = [plugin for plugin in catalogue.of(kind) if plugin.name == name]
    if not found:
        raise ConfigurationError(_explainUnknown(kind, name, catalogue))
    if len(found) > 1:
        files = " and ".join(sorted(_whereDeclared(plugin) for plugin in found))
        raise ConfigurationError(
            f"{kind.noun} {name!r} is declared {len(found)} times, in {files}: "
            "rename or uninstall one"
        )
    return found[0]


def _explainUnknown(kind: Kind, name: str, catalogue: Catalogue) -> str:
    names = [str(plugin.name) for plugin in catalogue.of(kind)]
    near = get_close_matches(name, names, 1)
    # Hints in the order of the likely mistakes: a letter, the wrong option, a
    # file without its path, a plugin that does not import.
    text = f"{kind.noun} {name!r} is not installed"
    text += f"; did you mean {near[0]!r}?" if near else "."
    text += f" Installed {kind.plural}: {', '.join(names) or 'none'}."
    for other in KINDS:
        if other is not kind and name in [p.name for p in catalogue.of(other)]:
            text += (
                f" There is an installed {other.noun} of that name ({other.option})."
            )
    if os.path.exists(name + ".py"):
        text += f" For a file, write {kind.option} ./{name}.py:NAME."
    return text + "".join(
        f"\n{path} could not be imported:\n{shownFailure(path, error)}"
        for path, error in importFailures()
    )


def shownFailure(path: str, error: BaseException) -> str:
    """Format an exception's traceback, from the plugin's own file on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != path:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()


def _whereDeclared(plugin: object) -> str:
    for name, module in sorted(sys.modules.items()):
        # By identity: a plugin may define == in any way, or not return a bool.
        if name.startswith(_PACKAGE + ".") and any(
            value is plugin for value in vars(module).values()
        ):
            return str(module.__file__)
    return _sourceOf(plugin)


def _sourceOf(thing: Any) -> str:
    """Return the file that defines an object, or failing that, its class."""
    for candidate in (inspect.unwrap(thing), type(thing)):
        try:
            return inspect.getsourcefile(candidate) or inspect.getfile(candidate)
        except TypeError:
            continue
    return f"module {type(thing).__module__}"


def _importFrom(label: str, where: str) -> ModuleType:
    isFile = "/" in where or where.endswith(".py")
    if isFile and not os.path.isfile(where):
        raise ConfigurationError(f"{label}: there is no file {os.path.abspath(where)}")
    try:
        return _importFile(where) if isFile else import_module(where)
    except ModuleNotFoundError as error:
        # The module itself or a package around it: else one of its own imports
        # has failed, and it is that import that the message must name.
        if not isFile and error.name and f"{where}.".startswith(error.name + "."):
            raise ConfigurationError(
                f"{label}: there is no module {error.name!r} on the import path "
                f"(for a file, write {where.replace('.', '/')}.py:NAME with its path)"
            ) from None
        raise ConfigurationError(_explainException(label, error)) from error
    except (Exception, SystemExit) as error:
        raise ConfigurationError(_explainException(label, error)) from error


def _importFile(path: str) -> ModuleType:
    path = os.path.realpath(path)
    # The name is made from the path, so that ./random.py hides no other module,
    # and so that two plugins of one file share one module and its state.
    stem = os.path.splitext(os.path.basename(path))[0]
    name = f"txconnect_file_{zlib.crc32(path.encode('utf-8', 'surrogateescape')):08x}_{stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file: its name must end in .py")
    module = module_from_spec(spec)
    # Before it runs: dataclasses and pickle look their module up by its name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _explainException(label: str, error: BaseException) -> str:
    """Put an unexpected exception in one line: its own last line, and its place."""
    last = traceback.format_exception_only(type(error), error)[-1].strip()
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError):
        where = f"{error.filename}, line {error.lineno}"
    else:
        where = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else "?"
    return f"{label}: {last} ({where})"


def _getAttribute(kind: Kind, label: str, module: ModuleType, attribute: str) -> object:
    try:
        found: object = getattr(module, attribute)
    except AttributeError:
        names = [name for name, value in vars(module).items() if _fitsKind(kind, value)]
        near = get_close_matches(attribute, names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(
            f"{label}: {module.__file__} has no {attribute!r}{hint}"
        ) from None
    return found


def _fitsKind(kind: Kind, value: object) -> bool:
    return any(face.providedBy(value) for face in (kind.factory, *kind.provides))


def _fromObject(
    kind: Kind, label: str, name: str, thing: object, argument: str
) -> Named:
    if kind.factory.providedBy(thing):
        return _fromFactory(kind, label, thing, argument)
    # A class is its own factory: the argument's items are its parameters.
    if isinstance(thing, type):
        made = _makeObject(
            label, lambda: buildFromArgument(thing, argument, f"{name}:ARGUMENT")
        )
        return _nameObject(kind, label, name, made)
    for other in KINDS:
        if not _fitsKind(kind, thing) and other.factory.providedBy(thing):
            raise ConfigurationError(
                f"{label} is declared as {_withArticle(other.noun)}: give it with {other.option}"
            )
    if inspect.isroutine(thing):
        raise ConfigurationError(
            f"{label} is a bare function: decorate it with "
            f"txconnect.plugins.{kind.declare}"
        )
    if argument:
        raise ConfigurationError(f"{label} is an object already: it takes no argument")
    return _nameObject(kind, label, name, thing)


def _fromFactory(
    kind: Kind, label: str, factory: IPluginFactory, argument: str
) -> Named:
    _verifyProvides(label, kind.factory, factory)
    made = _makeObject(label, lambda: factory.fromString(argument))
    return _nameObject(kind, label, str(factory.name), made)


def _makeObject(label: str, make: Callable[[], _T]) -> _T:
    try:
        return make()
    except ValueError as error:
        raise ConfigurationError(f"{label}: {error}") from error
    except Exception as error:
        raise ConfigurationError(_explainException(label, error)) from error


def _nameObject(kind: Kind, label: str, name: str, made: object) -> Named:
    provided = [face for face in kind.provides if face.providedBy(made)]
    if not provided:
        wanted = " or ".join(face.__name__ for face in kind.provides)
        raise ConfigurationError(
            f"{label}: {made!r} does not provide {wanted} ({_sourceOf(made)})"
        )
    for face in provided:
        _verifyProvides(label, face, made)
    # An object's own name wins: so two made by one factory can be told apart.
    own = getattr(made, "name", None)
    return Named(own if own and isinstance(own, str) else name, made)


def _verifyProvides(label: str, face: type[Interface], thing: object) -> None:
    try:
        verifyObject(face, thing)
    except Invalid as error:
        sentence = " ".join(str(error).split())
        raise ConfigurationError(f"{label}: {sentence} ({_sourceOf(thing)})") from error


def _withArticle(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
