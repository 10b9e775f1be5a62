r"""
The argument of a plugin: items, keys, and C{\} before what would split them.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, strategies as st

from txconnect.errors import ConfigurationError
from txconnect.plugins import POLICY, loadPlugin, parseArgument, policyFactory
from txconnect.plugins.arguments import formOf, shownText


@pytest.mark.parametrize(
    ("argument", "items", "keys"),
    [
        (r"a\,b,c", ("a,b", "c"), {}),
        (r"a\\,b", ("a\\", "b"), {}),
        (r"a\\\,b", ("a\\,b",), {}),
        (r"a\=b", ("a=b",), {}),
        (r"path=/x\,y,mode=a\=b", (), {"path": "/x,y", "mode": "a=b"}),
        (r"\ a \ , b\ ", (" a  ", "b "), {}),
        (r"\:\|\"", (':|"',), {}),
        ("a\\\n", ("a\n",), {}),
    ],
)
def test_backslashTakesTheMeaningAway(
    argument: str, items: tuple[str, ...], keys: dict[str, str]
) -> None:
    """[F61] Commas, equals signs, spaces and backslashes can be written."""
    assert parseArgument(argument) == (items, keys)


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("a\\", r"a backslash at the end escapes nothing; write \\"),
        ("a,b\\", r"a backslash at the end escapes nothing; write \\"),
        (r"c:\new", r"\n is no escape: a backslash itself is written \\"),
        (r"k=\d", r"\d is no escape: a backslash itself is written \\"),
    ],
)
def test_backslashThatEscapesNothingIsRefused(argument: str, reason: str) -> None:
    """[F61] It would be lost without a word."""
    with pytest.raises(ValueError) as caught:
        parseArgument(argument)
    assert str(caught.value) == reason
    with pytest.raises(ConfigurationError) as refused:
        loadPlugin(POLICY, f"hosts:{argument}")
    assert str(refused.value) == f"--policy hosts:{argument}: {reason}"


@given(st.lists(st.text(min_size=1), max_size=4))
def test_whateverIsEscapedComesThrough(items: list[str]) -> None:
    """[F61] Any text is an item once what is special in it is escaped."""
    written = ",".join(
        "".join(c if c.isalnum() else "\\" + c for c in item) for item in items
    )
    assert parseArgument(written) == (tuple(items), {})


def test_wrongKeyNamesTheNearest() -> None:
    """[F28] As a wrong plugin does."""

    def build(path: str, format: str = "json") -> str:
        return path + format

    factory = policyFactory("log", "Logs.", build, "PATH[,format=json|text]")
    with pytest.raises(ValueError) as caught:
        factory.fromString("a,fromat=text")
    assert str(caught.value) == (
        "the argument does not fit, got an unexpected keyword argument 'fromat' (did "
        "you mean format=?); write log:PATH[,format=json|text]"
    )


def test_messagesRepeatALittleOfAnArgument() -> None:
    """[F28] Nobody's terminal is written to, or filled, by a message."""
    assert shownText("ports:x") == "ports:x"
    assert shownText("") == "''"
    assert shownText("a\x1b[2J") == r"'a\x1b[2J'"
    assert shownText("x" * 500) == "x" * 117 + "..."


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        ("package.module.Class", "write package.module:Class"),
        (":Class", "':Class' is no place of a class or function"),
        ("package:", "'package:' is no place of a class or function"),
        (object(), "an object makes no plugin: give a class, a function, or its place"),
        (None, "None makes no plugin"),
    ],
)
def test_declaredWithoutAClass(build: Any, sentence: str) -> None:
    """[F57] Where it is declared, and not where it is first used."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        policyFactory("mine", "Mine.", build)


def plain() -> None:
    """Takes nothing."""


def required(path: str, mode: str) -> None:
    """Takes two."""


def optional(path: str, octets: str = "1", *, mode: str = "") -> None:
    """Takes one, and perhaps more."""


def allOptional(octets: str = "1", mode: str = "") -> None:
    """Takes what it is given."""


def several(*items: str) -> None:
    """Takes many."""


def keys(**parents: str) -> None:
    """Takes any key."""


def keyed(*, path: str) -> None:
    """Takes one by its name."""


@pytest.mark.parametrize(
    ("build", "form"),
    [
        (plain, "mine"),
        (required, "mine:PATH,MODE"),
        (optional, "mine:PATH[,octets=OCTETS][,mode=MODE]"),
        (allOptional, "mine[:octets=OCTETS][,mode=MODE]"),
        (several, "mine:ITEMS,..."),
        (keys, "mine:KEY=VALUE,..."),
        (keyed, "mine:path=PATH"),
    ],
)
def test_formOfParameters(build: Any, form: str) -> None:
    """[F57] A class of a file has no argumentHelp: its parameters say as much."""
    assert formOf("mine", build) == form
