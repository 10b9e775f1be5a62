"""
What must hold of the repository itself, so that what is installed works.
"""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import txconnect

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "txconnect"
SOURCES = sorted(PACKAGE.rglob("*.py"))
PLUGINS = sorted((ROOT / "twisted" / "plugins").glob("*.py"))


def name(path: Path) -> str:
    """A source file's path from the top, as the id of its test."""
    return str(path.relative_to(ROOT))


def configuration() -> configparser.ConfigParser:
    """C{setup.cfg}, read."""
    read = configparser.ConfigParser(interpolation=None)
    read.read(ROOT / "setup.cfg", "utf-8")
    return read


def importedAtLoading(tree: ast.Module) -> Iterator[str]:
    """What a module imports when it is itself imported: full dotted names."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)
        waiting.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("directory", ["twisted", "twisted/plugins"])
def test_twistedIsNoPackageHere(directory: str) -> None:
    """
    An C{__init__.py} would be installed over Twisted's own, and an
    uninstall would take Twisted's away.
    """
    assert (ROOT / directory).is_dir()
    assert not (ROOT / directory / "__init__.py").exists()


def test_pluginFilesAreOurs() -> None:
    """
    Two distributions with a plugin file of one name overwrite each other, so
    ours bear the distribution's name.
    """
    assert PLUGINS != []
    assert [
        path.name for path in PLUGINS if not path.name.startswith("txconnect_")
    ] == []


def test_typesAreShipped() -> None:
    """The package says that it is typed, and the build takes that along."""
    assert (PACKAGE / "py.typed").is_file()
    assert configuration()["options.package_data"]["txconnect"] == "py.typed"


def test_version() -> None:
    """The version is a calendar version, and reading it imports next to nothing."""
    assert re.fullmatch(r"\d\d\.\d{1,2}\.\d+(\.?(dev|rc)\d+)?", txconnect.__version__)
    loaded = "import sys, txconnect; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    assert "txconnect" in output
    assert [name for name in output if name.startswith(("twisted", "zope"))] == []


def test_editableInstallIsAPathFile() -> None:
    """Without this line Twisted does not find the plugins of a checkout."""
    assert configuration()["options"]["package_dir"].split() == ["=", "."]


def floors() -> list[set[str]]:
    """The modules of each floor of the import contract, the top one first."""
    lines = configuration()["importlinter:contract:floors"]["layers"].split("\n")
    return [set(re.findall(r"\w+", line)) for line in lines if line.strip()]


def test_everyModuleStandsOnOneFloor() -> None:
    """A new module has to say where it belongs before it is imported."""
    modules = {path.name for path in PACKAGE.iterdir() if path.suffix == ".py"}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    here = {name.removesuffix(".py") for name in modules - {"__init__.py"}} | packages
    listed = [name for floor in floors() for name in floor]
    assert sorted(listed) == sorted(set(listed)), "a module on two floors"
    assert here - set(listed) == set(), "modules on no floor"
    assert floors()[-1] == {"wire"}


def moduleName(path: Path) -> str:
    """A source file's name as it is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def importGraph(top: str) -> dict[str, set[str]]:
    """
    What each module of a package imports of it, anywhere: for types alone and
    within functions, too.
    """
    paths = {moduleName(path): path for path in sorted((ROOT / top).rglob("*.py"))}
    graph: dict[str, set[str]] = {name: set() for name in paths}
    for name, path in paths.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            found: list[str] = []
            if isinstance(node, ast.Import):
                found = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                inner = [f"{node.module}.{each.name}" for each in node.names]
                found = [each if each in paths else node.module for each in inner]
            graph[name].update(each for each in found if each in paths)
    return graph


@pytest.mark.parametrize("top", ["txconnect", "benchmarks"])
def test_noCircleOfImports(top: str) -> None:
    """Each module can be understood without those that use it."""
    graph = importGraph(top)
    assert len(graph) > 5
    # Raises CycleError, which names the circle.
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph)


def test_noInnerModuleImportsTheTop() -> None:
    """What C{txconnect} offers is for others; inside, each thing has a home."""
    importing = {
        name for name, found in importGraph("txconnect").items() if "txconnect" in found
    }
    assert importing == set()


def test_everyPackageHasItsInit() -> None:
    """A directory without one is a package by accident, and on no floor."""
    bare = {
        path.parent for path in SOURCES if not (path.parent / "__init__.py").exists()
    }
    assert bare == set()


@pytest.mark.parametrize("path", SOURCES + PLUGINS, ids=name)
def test_noModuleTakesTheReactor(path: Path) -> None:
    """
    Importing C{twisted.internet.reactor} installs one: then C{--reactor} and
    programs that bring their own come too late.
    """
    imported = set(importedAtLoading(ast.parse(path.read_text("utf-8"))))
    assert "twisted.internet.reactor" not in imported


@pytest.mark.parametrize("path", SOURCES + PLUGINS, ids=name)
def test_modulesSayWhatTheyAreFor(path: Path) -> None:
    """A docstring, and annotations that are not evaluated."""
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree), "no docstring"
    if any(isinstance(node, ast.ClassDef | ast.FunctionDef) for node in tree.body):
        assert "__future__.annotations" in set(importedAtLoading(tree))


@pytest.mark.parametrize("path", PLUGINS, ids=name)
def test_pluginFilesAreLight(path: Path) -> None:
    """
    Twisted imports every plugin file to list any plugin, so they import
    nothing of ours that serves, dials or hashes.
    """
    heavy = re.compile(
        r"txconnect\.(proxy|command|listening|fronts|tunnel|dialing|routing|exchange"
        r"|admission|testing|auth\.(htpasswd|certificate))\b"
    )
    imported = importedAtLoading(ast.parse(path.read_text("utf-8")))
    assert [name for name in imported if heavy.match(name)] == []


def test_testFilesHaveNamesOfTheirOwn() -> None:
    """Without packages in the tests' tree, two files of one name hide a file."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_testsAreNoPackage() -> None:
    """An C{__init__.py} among the tests would install a package C{tests}."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_pythonIsOneThatIsPromised() -> None:
    """The metadata name the oldest Python that this suite runs on."""
    assert configuration()["options"]["python_requires"] == ">=3.11"
    assert sys.version_info >= (3, 11)


def test_firstScreenOfReadme() -> None:
    """
    [F30] The first screen starts the proxy and shows, in this order, a client, an
    allow-list, users and a log, ahead of the first plugin; and it says what else
    is called C{txconnect}.
    """
    readme = (ROOT / "README.rst").read_text("utf-8")
    screen = readme[: readme.index("=====  ===")]
    wanted = (
        "pip install . &&",
        "curl -x http://",
        "--auth htpasswd:",
        "--policy 'hosts:",
        "--observer accesslog:",
        "@policyPlugin",
        "is another program",
    )
    assert sorted(wanted, key=screen.index) == list(wanted)


def test_readmeCommandsAreOneLineEach() -> None:
    """C{.ci/run} runs the two commands of the README word for word."""
    readme = (ROOT / "README.rst").read_text("utf-8")
    commands = re.findall(r"^    (python3 -m venv .*)$", readme, re.MULTILINE)
    assert len(commands) == 2
    assert commands[0].endswith("/txconnect")
    assert commands[1].endswith("/pytest")
