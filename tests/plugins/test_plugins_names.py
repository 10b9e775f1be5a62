"""
What a plugin is called: the name that it was given, everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import Service

from txconnect.configuration import Configuration, build
from txconnect.errors import ConfigurationError
from txconnect.plugins import (
    CHECKER,
    OBSERVER,
    PLUGIN,
    POLICY,
    Kind,
    observerFactory,
    policyPlugin,
)
from txconnect.plugins.gathering import PluginLoader
from txconnect.policy import PortsPolicy, anyOf
from txconnect.proxy import ConnectProxy
from txconnect.testing import MemoryNetwork, decide
from txconnect.values import Allow, Deny, Named

FILE = """
from txconnect.policy import HostsPolicy, NetworksPolicy, PortsPolicy, reportOnly
from txconnect.plugins import policyPlugin, policyFactory
from txconnect.values import Allow
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse

staffPorts = PortsPolicy("80")
ports = PortsPolicy("80")
trial = reportOnly(HostsPolicy("a.example"))
networks = reportOnly(NetworksPolicy.fromItems("public"))
made = policyFactory("other", "Other.", PortsPolicy, "PORT")
nice = policyPlugin("agreeable", "Nice.")(lambda request: Allow())
staff = InMemoryUsernamePasswordDatabaseDontUse(bob=b"x")
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current one, with a file of plugins."""
    (tmp_path / "w.py").write_text(FILE)
    (tmp_path / "dotted").mkdir()
    (tmp_path / "dotted" / "__init__.py").write_text("")
    (tmp_path / "dotted" / "w.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "text", "name"),
    [
        (POLICY, "ports:80", "ports"),
        (POLICY, "./w.py:staffPorts", "staffPorts"),
        (POLICY, "dotted.w:staffPorts", "staffPorts"),
        (POLICY, "./w.py:PortsPolicy:80", "PortsPolicy"),
        (POLICY, "./w.py:made:80", "made"),
        (POLICY, "./w.py:nice", "nice"),
        (POLICY, "./w.py:trial", "trial"),
        (OBSERVER, "accesslog:-", "accesslog"),
        (PLUGIN, "./w.py:staffPorts", "staffPorts"),
        (CHECKER, "./w.py:staff", "staff"),
        (CHECKER, "memory:bob:x", "memory"),
    ],
)
def test_nameIsThatOfTheText(kind: Kind, text: str, name: str) -> None:
    """[F59] Whatever the object calls itself."""
    assert PluginLoader().load(kind, text).name == name


def test_givenNameSaysWhichDefaultIsReplaced() -> None:
    """[F59] C{staffPorts} stands beside C{ports}; C{ports} stands in its place."""
    for text, standing in (
        ("./w.py:staffPorts", ["ports", "networks", "staffPorts"]),
        ("./w.py:ports", ["networks", "ports"]),
    ):
        built = build(MemoryNetwork(), Configuration(policies=(text,)), print)
        assert [each.name for each in built.proxy.policies] == standing


def test_reportThatWouldReplaceADefaultIsRefused() -> None:
    """[F59] A rule that only reports must not take the place of one that refuses."""
    with pytest.raises(ConfigurationError) as caught:
        build(MemoryNetwork(), Configuration(policies=("./w.py:networks",)), print)
    assert str(caught.value) == (
        "policy 'networks' would replace the default of that name, but only reports: "
        "give it another name"
    )


class Named1:
    """Has a name of its own."""

    name = "own"


class Nameless(Service):
    """A service, whose name is None."""


def function() -> None:
    """A function."""


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (Named("given", Named1()), "given"),
        (Named1(), "own"),
        (Nameless(), "Nameless"),
        (function, "function"),
        (policyPlugin("declared", "D.")(lambda request: Allow()), "declared"),
        (PortsPolicy("1"), "ports"),
    ],
)
def test_nameOfAnObject(given: Any, name: str) -> None:
    """[F59] Its L{Named}'s, its own, its class's or function's, in this order."""
    assert Named.of(given).name == name
    assert Named.of(Named.of(given)) is Named.of(given) or not isinstance(given, Named)


def test_textMayBeGivenAnotherName() -> None:
    """[F59] C{Named("staff", "ports:80")} has the name that it says."""
    proxy: Any = ConnectProxy(MemoryNetwork(), policies=[Named("staff", "ports:80")])
    assert [each.name for each in proxy.policies] == ["ports", "networks", "staff"]


def test_combinatorsNameTheirMembersSo() -> None:
    """[F59] In reasons, too."""
    both = anyOf(Named("staff", PortsPolicy("80")), PortsPolicy("81"))
    answer = decide(both, "a.example:443")
    assert isinstance(answer, Deny)
    assert answer.reason.startswith("staff: ") and "; ports: " in answer.reason


@pytest.mark.parametrize(
    "name", ["a b", "-a", "a=b", "a|b", "é", "a\n", "a\\", None, 3]
)
def test_impossibleNamesAreRefusedWhenTheyAreDeclared(name: Any) -> None:
    """[F61] Before anything is installed that nobody could ever name."""
    for declare in (
        lambda: policyPlugin(name, "")(lambda request: Allow()),
        lambda: observerFactory(name, "", object),
    ):
        with pytest.raises(ValueError) as caught:
            declare()
        assert str(caught.value) == (
            f"{name!r} is no plugin name: write letters, digits, - and _, and begin "
            "with a letter or a digit"
        )


@pytest.mark.parametrize("thing", [Named1, None, 3])
def test_onlyFunctionsAreDecorated(thing: Any) -> None:
    """[F61] A class would answer every request with an object of it."""
    with pytest.raises(ValueError) as caught:
        policyPlugin("mine", "Mine.")(thing)
    assert str(caught.value) == (
        f"mine: {thing!r} is no function; a class needs no decorator but @implementer, "
        "and is loaded as it is"
    )
