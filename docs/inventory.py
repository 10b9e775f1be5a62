"""
Write the inventories by which pydoctor links to Twisted's and Python's pages.

The usual way, C{--intersphinx URL}, fetches them; a build of these docs needs
no network.  So the names that this package imports, or links to with their
full names, are looked for in what is installed: one that is there is listed,
and one that is not stays a dangling link, which fails the build.

Usage: C{python docs/inventory.py DIRECTORY} writes C{twisted.inv} and the
others, and prints pydoctor's options for them.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "txconnect"
CONSTANTS = ("False", "None", "True", "NotImplemented", "Ellipsis")
LINK = re.compile(r"L\{(?:[^{}<]*<)?([A-Za-z_][\w.]+)>?\}")


def twistedPage(module: str, name: str) -> str:
    """Twisted's reference has a page a module and a page a class."""
    parts = name.split(".") if name else []
    page = ".".join([module, *parts[:1]])
    return f"{page}.html#{parts[1]}" if len(parts) > 1 else f"{page}.html"


def pythonPage(module: str, name: str) -> str:
    """Python's library reference has a page a module."""
    if module == "builtins":
        return "constants.html" if name in CONSTANTS else "functions.html"
    return f"{module}.html#{module}.{name}" if name else f"{module}.html"


SITES: dict[str, tuple[str, Callable[[str, str], str]]] = {
    "twisted": ("https://docs.twisted.org/en/stable/api", twistedPage),
    "python": ("https://docs.python.org/3/library", pythonPage),
    "OpenSSL": ("https://www.pyopenssl.org/en/stable", lambda *_: "api.html"),
    "zope": ("https://zopeinterface.readthedocs.io/en/latest", lambda *_: "api.html"),
}


def siteOf(name: str) -> str | None:
    """Which site documents a full name."""
    top = name.split(".")[0]
    if top in SITES:
        return top
    return "python" if top in sys.stdlib_module_names else None


def namesIn(source: str) -> Iterator[str]:
    """The full names that a module imports or links to."""
    imported: dict[str, str] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported.update((name.name, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.update(
                (name.asname or name.name, f"{node.module}.{name.name}")
                for name in node.names
            )
    yield from imported.values()
    for link in LINK.findall(source):
        first, _, rest = link.partition(".")
        yield f"{imported.get(first, first)}.{rest}".rstrip(".")


def split(name: str) -> tuple[str, str] | None:
    """A full name as its module and what is in it; L{None} if it is nothing."""
    module, rest = name, ""
    while module:
        try:
            found: object = importlib.import_module(module)
        except ImportError:
            module, _, last = module.rpartition(".")
            rest = f"{last}.{rest}".rstrip(".")
            continue
        return (module, rest) if _has(found, rest) else None
    return None


def _has(found: object, path: str) -> bool:
    for part in filter(None, path.split(".")):
        if part in getattr(found, "names", lambda **_: ())(all=True):
            return True  # what a zope interface declares is no attribute of it
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def entries() -> dict[str, dict[str, str]]:
    """For each site, its names and their pages."""
    listed: dict[str, dict[str, str]] = {site: {} for site in SITES}
    for name in vars(builtins):
        listed["python"][name] = pythonPage("builtins", name)
    for path in PACKAGE.rglob("*.py"):
        for name in namesIn(path.read_text("utf-8")):
            site, parts = siteOf(name), split(name) if siteOf(name) else None
            if site and parts:
                listed[site][name] = SITES[site][1](*parts)
    return listed


def write(path: Path, site: str, names: dict[str, str]) -> None:
    """Write one inventory, in version 2 of Sphinx's format."""
    head = f"# Sphinx inventory version 2\n# Project: {site}\n# Version: \n"
    head += "# The remainder of this file is compressed using zlib.\n"
    lines = [f"{name} py:obj 1 {page} -\n" for name, page in sorted(names.items())]
    path.write_bytes(head.encode() + zlib.compress("".join(lines).encode()))


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for site, names in entries().items():
        path = directory / f"{site}.inv"
        write(path, site, names)
        print(f"--intersphinx-file={path}::{SITES[site][0]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
