"""
Every requirement and pitfall that is due has a test that names it.

The list is C{requirements.toml}; a test names an id in square brackets, in
the docstring of its function, class or module, or in a parameter's id.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
ID = re.compile(r"\[((?:H[123]|[A-Z]{2})-\d{2}|[TK]\d{1,2}|F\d{2})\]")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def parts() -> list[dict[str, Any]]:
    """The parts of the list, as the file has them."""
    listed = tomllib.loads((TESTS / "requirements.toml").read_text("utf-8"))
    return list(listed["part"])


def idsOf(*, due: bool | None = None) -> list[str]:
    """The ids of the parts that are due, not yet due, or (L{None}) all."""
    return [
        name
        for part in parts()
        if due is None or part["due"] is due
        for name in part["ids"]
    ]


def holdsTests(node: ast.AST) -> bool:
    """Whether C{node} is a test, or has one inside it."""
    return any(
        isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
        and inner.name.startswith("test")
        for inner in ast.walk(node)
    )


def namedIn(source: str) -> Iterator[str]:
    """The ids that the tests in C{source} name."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and holdsTests(node):
            yield from ID.findall(ast.get_docstring(node) or "")
        elif isinstance(node, ast.keyword) and node.arg in ("id", "ids"):
            for inner in ast.walk(node.value):
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    yield from ID.findall(inner.value)


@cache
def namedByTests() -> dict[str, set[str]]:
    """Which files name which id."""
    named = defaultdict(set)
    for path in TESTS.rglob("test_*.py"):
        if path == Path(__file__):
            continue
        for name in namedIn(path.read_text("utf-8")):
            named[name].add(str(path.relative_to(TESTS)))
    return named


def test_idsAreListedOnce() -> None:
    """No id belongs to two parts."""
    ids = idsOf()
    assert sorted(ids) == sorted(set(ids))
    assert all(ID.fullmatch(f"[{name}]") for name in ids)


def test_whatIsDueHasATest() -> None:
    """Each id of a part that is due is named by a test."""
    named = namedByTests()
    missing = [name for name in idsOf(due=True) if name not in named]
    assert missing == [], f"due, but named by no test: {' '.join(missing)}"


def test_testsNameWhatIsListed() -> None:
    """No test names an id that the list does not have."""
    listed = set(idsOf())
    unknown = {
        name: sorted(files)
        for name, files in namedByTests().items()
        if name not in listed
    }
    assert unknown == {}


def test_namesAreReadWhereTestsStand() -> None:
    """
    Ids count in docstrings of tests and of what holds tests, and in the ids
    of parameters; not in comments, helpers or other strings.
    """
    x = "[H1-01]"
    source = f'''
"""{x.replace("01", "02")} of a module that holds a test."""
# {x}
def helper():
    """{x}"""
    return "{x}"
class Held:
    """{x.replace("01", "03")}"""
    async def test_it(self):
        """Two: {x.replace("01", "04")} {x.replace("H1-01", "T5")}."""
@pytest.mark.parametrize("a", [pytest.param(1, id="{x.replace("01", "06")} one")])
def test_other(a):
    "nothing"
'''
    assert sorted(namedIn(source)) == ["H1-02", "H1-03", "H1-04", "H1-06", "T5"]


def test_everyIdOfTheListsIsOwed() -> None:
    """
    The list is whole: no number is left out of a series, but where
    the requirements themselves leave a gap between two sections.
    """
    numbers = defaultdict(set)
    for name in idsOf():
        found = re.fullmatch(r"([A-Z]\d?(?=-)|[A-Z]+)-?(\d+)", name)
        assert found is not None
        series, number = found.groups()
        numbers[series].add(int(number))
    gaps = {
        series: sorted(set(range(1, max(seen) + 1)) - seen)
        for series, seen in numbers.items()
    }
    # Findings are numbered by where they were found, each place from a full ten on.
    assert {k: v for k, v in gaps.items() if v} == {
        "F": [8, 9, *range(33, 40), *range(45, 50)],
        "H1": [28, 29],
    }
