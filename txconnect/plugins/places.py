"""
The place of a plugin that is not installed: a file, or a module on the import path.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
import zlib
from difflib import get_close_matches
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

from txconnect.errors import ConfigurationError

__all__ = ["describeException", "importPlace", "isPlace", "sourceOf"]


def isPlace(where: str) -> bool:
    """
    Tell whether the part before a description's first colon is a file or a
    module, and no name: names have neither dots nor slashes for this reason.
    """
    return "." in where or "/" in where


def importPlace(where: str) -> ModuleType:
    """
    Import a file or a module.

    @raise ConfigurationError: it is not there, or its import fails.
    """
    isFile = "/" in where or where.endswith(".py")
    if isFile and not os.path.isfile(where):
        raise ConfigurationError(
            f"there is no file {os.path.abspath(where)}{_nearestFile(where)}"
        )
    try:
        return _importFile(where) if isFile else import_module(where)
    except ModuleNotFoundError as error:
        # The module itself or a package around it: else one of its own imports
        # has failed, and it is that import that the message must name.
        if not isFile and error.name and f"{where}.".startswith(error.name + "."):
            raise ConfigurationError(
                f"there is no module {error.name!r} on the import path (for a file, "
                f"write {where.replace('.', '/')}.py:NAME with its path)"
            ) from None
        raise ConfigurationError(describeException(error)) from error
    except (Exception, SystemExit) as error:
        raise ConfigurationError(describeException(error)) from error


def _nearestFile(where: str) -> str:
    directory, name = os.path.split(where)
    try:
        names = [each for each in os.listdir(directory or ".") if each.endswith(".py")]
    except OSError:
        return ""
    near = get_close_matches(name, names, 1)
    return f"; did you mean {os.path.join(directory, near[0])}?" if near else ""


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


def describeException(error: BaseException, secret: bool = False) -> str:
    """
    Put an unexpected exception in one line: its own last line, and its place.

    @param secret: whether its text may hold a password; then its type alone is in
        the line.
    """
    last = traceback.format_exception_only(type(error), error)[-1].strip()
    if secret:
        last = type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError):
        where = f"{error.filename}, line {error.lineno}"
    else:
        where = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else "?"
    return f"{' '.join(last.split())} ({where})"


def sourceOf(thing: Any) -> str:
    """Return the file that defines an object, or failing that, its class."""
    for candidate in (inspect.unwrap(thing), type(thing)):
        try:
            return inspect.getsourcefile(candidate) or inspect.getfile(candidate)
        except TypeError:
            continue
    return f"module {type(thing).__module__}"
