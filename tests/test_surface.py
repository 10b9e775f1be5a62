"""
The public surface: the names exist, the page lists them, a change of them is noticed,
and examples import nothing else.
"""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SURFACE = runpy.run_path(str(DOCS / "surface.py"))
PUBLIC = [*SURFACE["PUBLIC"], "txconnect.wire"]
LAZY = [
    "txconnect",
    "txconnect.auth",
    "txconnect.client",
    "txconnect.observers",
    "txconnect.policy",
]
PROGRAMS = sorted(
    path
    for directory in ("examples", "docs/tutorial", "docs/howto")
    for path in (ROOT / directory).rglob("*.py")
)


def test_theSurfaceIsAsItWasWritten() -> None:
    """
    [F55] A change of a public name is one on purpose: C{python docs/surface.py}
    writes it, and a fragment in C{newsfragments/} says it.
    """
    assert (DOCS / "surface.txt").read_text("utf-8").split() == SURFACE["surface"]()


def test_theReferenceListsIt() -> None:
    """[F55] The page for readers lists the same names."""
    assert SURFACE["referenceLists"]() in (DOCS / "reference.rst").read_text("utf-8")


@pytest.mark.parametrize("package", LAZY)
def test_lazyNamesAreTheImportsForTypes(package: str) -> None:
    """[F55] What a type-checker sees is what is imported when it is used."""
    loaded = import_module(package)
    source = Path(str(loaded.__file__)).read_text("utf-8")
    homes = {
        name: home if not home.startswith(".") else package + home
        for name, home in loaded._HOMES.items()
    }
    seen = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for inner in ast.walk(node):
                if isinstance(inner, ast.ImportFrom):
                    seen.update({each.name: inner.module for each in inner.names})
    assert seen == homes
    assert sorted(homes) == sorted({*loaded.__all__} - {"__version__"})
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        loaded.nothing  # noqa: B018


def test_importingItCostsNothing() -> None:
    """[F55] Neither Twisted nor zope is loaded until a name is used."""
    script = "import sys, txconnect; print(*sys.modules); txconnect.Allow"
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert [
        name for name in loaded if name.startswith(("twisted", "zope", "attr"))
    ] == []


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_programsImportWhatIsPublic(path: Path) -> None:
    """[F55] Examples, the tutorial and the sample package show nothing internal."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            imported.add(node.module)
        elif isinstance(node, ast.Import):
            imported.update(each.name for each in node.names)
    ours = {name for name in imported if name.split(".")[0] == "txconnect"}
    assert ours - set(PUBLIC) == set()


@pytest.mark.parametrize(
    "path",
    [ROOT / "README.rst", *sorted(DOCS.rglob("*.rst"))],
    ids=lambda path: path.name,
)
def test_pagesImportWhatIsPublic(path: Path) -> None:
    """[F55] So do the pieces of programs that stand in the pages themselves."""
    imported = re.findall(
        r"^ +(?:from|import) (txconnect[\w.]*)", path.read_text("utf-8"), re.MULTILINE
    )
    assert set(imported) - set(PUBLIC) == set()
