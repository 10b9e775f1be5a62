"""
Finding the plugin that a word on the command line means.

C{NAME} and C{NAME:ARGUMENT} are looked for among the installed plugins;
C{./file.py:NAME} and C{package.module:NAME}, with or without C{:ARGUMENT},
say themselves where to look.  Whatever cannot be had stops start-up, with a
sentence that says what and where: a policy that is asked for is never left
out.
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
from typing import Any

from twisted.plugin import getPlugins
from twisted.python.modules import getModule
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from txconnect.errors import ConfigurationError
from txconnect.plugins.declaring import construct
from txconnect.plugins.kinds import KINDS, Kind
from txconnect.values import Named

_PACKAGE = "twisted.plugins"


class Catalogue:
    """
    The installed plugins, looked for once a kind: each look walks every plugin
    directory.
    """

    def __init__(self) -> None:
        self._found: dict[str, list[Any]] = {}

    def of(self, kind: Kind) -> list[Any]:
        """The factories of one kind, each once, by name."""
        if kind.noun not in self._found:
            self._found[kind.noun] = installed(kind)
        return self._found[kind.noun]


def installed(kind: Kind) -> list[Any]:
    """
    The factories of one kind that are installed, sorted by name.

    A module of C{twisted.plugins} that fails to import is left out, and its
    failure logged by Twisted: L{importFailures} shows them.
    """
    found = {id(plugin): plugin for plugin in getPlugins(kind.factory)}
    return sorted(found.values(), key=lambda plugin: str(plugin.name))


def importFailures() -> list[tuple[str, BaseException]]:
    """Import every module of C{twisted.plugins}: the files of those that fail."""
    failures: list[tuple[str, BaseException]] = []
    for module in getModule(_PACKAGE).iterModules():
        try:
            module.load()
        except (Exception, SystemExit) as error:
            failures.append((module.filePath.path, error))
    return failures


def loadPlugin(
    kind: Kind, description: str, catalogue: Catalogue | None = None
) -> Named:
    """
    Find and make the plugin that a description means.

    @param description: C{NAME}, C{NAME:ARGUMENT}, C{./file.py:NAME[:ARGUMENT]}
        or C{package.module:NAME[:ARGUMENT]}.
    @param catalogue: what is installed, when several are loaded.
    @return: the object, verified, under the name that it goes by.
    @raise ConfigurationError: with what is wrong, where, and what to do.
    """
    where, colon, rest = description.partition(":")
    if "." not in where and "/" not in where:
        factory = _byName(kind, where, catalogue or Catalogue())
        return _fromFactory(kind, f"{kind.noun} {where!r}", factory, rest)
    attribute, _, argument = rest.partition(":")
    if not attribute:
        raise ConfigurationError(
            f"{kind.noun} {where!r}: say what in it is meant, as {where}:NAME"
        )
    label = f"{kind.noun} '{where}:{attribute}'"
    module = _importFrom(label, where)
    thing = _member(kind, label, module, attribute)
    return _fromObject(kind, label, attribute, thing, argument)


def _byName(kind: Kind, name: str, catalogue: Catalogue) -> Any:
    found = [plugin for plugin in catalogue.of(kind) if plugin.name == name]
    if not found:
        raise ConfigurationError(_unknown(kind, name, catalogue))
    if len(found) > 1:
        files = " and ".join(sorted(_whereDeclared(plugin) for plugin in found))
        raise ConfigurationError(
            f"{kind.noun} {name!r} is declared {len(found)} times, in {files}: "
            "rename or uninstall one"
        )
    return found[0]


def _unknown(kind: Kind, name: str, catalogue: Catalogue) -> str:
    names = [str(plugin.name) for plugin in catalogue.of(kind)]
    near = get_close_matches(name, names, 1)
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
    """An exception's traceback, from the plugin's own file on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != path:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()


def _whereDeclared(plugin: Any) -> str:
    for name, module in sorted(sys.modules.items()):
        # By identity: a plugin's == is its own affair.
        if name.startswith(_PACKAGE + ".") and any(
            value is plugin for value in vars(module).values()
        ):
            return str(module.__file__)
    return _sourceOf(plugin)


def _sourceOf(thing: Any) -> str:
    """The file that defines an object, or failing that, its class."""
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
        if not isFile and error.name and f"{where}.".startswith(error.name + "."):
            raise ConfigurationError(
                f"{label}: there is no module {error.name!r} on the import path "
                f"(for a file, write {where.replace('.', '/')}.py:NAME with its path)"
            ) from None
        raise ConfigurationError(_because(label, error)) from error
    except (Exception, SystemExit) as error:
        raise ConfigurationError(_because(label, error)) from error


def _importFile(path: str) -> ModuleType:
    path = os.path.realpath(path)
    # A name of its own, so that ./random.py hides no other module; and one
    # module a file, so that two plugins of a file share its state.
    stem = os.path.splitext(os.path.basename(path))[0]
    name = f"txconnect_file_{zlib.crc32(path.encode('utf-8', 'surrogateescape')):08x}_{stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file: its name must end in .py")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _because(label: str, error: BaseException) -> str:
    """An unexpected exception in one line: the last line of its traceback, and where."""
    last = traceback.format_exception_only(type(error), error)[-1].strip()
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError):
        where = f"{error.filename}, line {error.lineno}"
    else:
        where = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else "?"
    return f"{label}: {last} ({where})"


def _member(kind: Kind, label: str, module: ModuleType, attribute: str) -> Any:
    try:
        return getattr(module, attribute)
    except AttributeError:
        names = [name for name, value in vars(module).items() if _fits(kind, value)]
        near = get_close_matches(attribute, names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(
            f"{label}: {module.__file__} has no {attribute!r}{hint}"
        ) from None


def _fits(kind: Kind, value: object) -> bool:
    return any(face.providedBy(value) for face in (kind.factory, *kind.provides))


def _fromObject(kind: Kind, label: str, name: str, thing: Any, argument: str) -> Named:
    if kind.factory.providedBy(thing):
        return _fromFactory(kind, label, thing, argument)
    if isinstance(thing, type):
        made = _called(label, lambda: construct(thing, argument, f"{name}:ARGUMENT"))
        return _named(kind, label, name, made)
    for other in KINDS:
        if not _fits(kind, thing) and other.factory.providedBy(thing):
            raise ConfigurationError(
                f"{label} is declared as {_a(other.noun)}: give it with {other.option}"
            )
    if inspect.isroutine(thing):
        raise ConfigurationError(
            f"{label} is a bare function: decorate it with "
            f"txconnect.plugins.{kind.declare}"
        )
    if argument:
        raise ConfigurationError(f"{label} is an object already: it takes no argument")
    return _named(kind, label, name, thing)


def _fromFactory(kind: Kind, label: str, factory: Any, argument: str) -> Named:
    _verified(label, kind.factory, factory)
    made = _called(label, lambda: factory.fromString(argument))
    return _named(kind, label, str(factory.name), made)


def _called(label: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ValueError as error:
        raise ConfigurationError(f"{label}: {error}") from error
    except Exception as error:
        raise ConfigurationError(_because(label, error)) from error


def _named(kind: Kind, label: str, name: str, made: Any) -> Named:
    provided = [face for face in kind.provides if face.providedBy(made)]
    if not provided:
        wanted = " or ".join(face.__name__ for face in kind.provides)
        raise ConfigurationError(
            f"{label}: {made!r} does not provide {wanted} ({_sourceOf(made)})"
        )
    for face in provided:
        _verified(label, face, made)
    own = getattr(made, "name", None)
    return Named(own if own and isinstance(own, str) else name, made)


def _verified(label: str, face: Any, thing: Any) -> None:
    try:
        verifyObject(face, thing)
    except Invalid as error:
        sentence = " ".join(str(error).split())
        raise ConfigurationError(f"{label}: {sentence} ({_sourceOf(thing)})") from error


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
