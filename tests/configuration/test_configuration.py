"""
The configuration as a value, and what is built of it, without any command line.
"""

from __future__ import annotations

import gc
import json
import os
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from txconnect.configuration import Configuration, build, buildPluginSet, buildProxy
from txconnect.errors import ConfigurationError
from txconnect.settings import Settings
from txconnect.testing import MemoryNetwork

PLUGINS = """
from txconnect.plugins import *
from txconnect.values import Allow

nice = policyPlugin("nice", "Nice.")(lambda request: Allow())
pair = pairPlugin("pair", "Pair.")(lambda tunnel: None)
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one, with a file of plugins and one of passwords."""
    (tmp_path / "mine.py").write_text(PLUGINS)
    (tmp_path / "users").write_text("alice:secret\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def discard(line: str) -> None:
    """Nobody reads it."""


# The value

TEXTS = st.lists(st.text(), max_size=3).map(tuple)
CONFIGURATIONS = st.builds(
    Configuration,
    listeners=st.lists(st.text(), min_size=1, max_size=3).map(tuple),
    checkers=TEXTS,
    schemes=TEXTS,
    policies=TEXTS,
    routers=TEXTS,
    routes=TEXTS,
    observers=TEXTS,
    taps=TEXTS,
    pair=st.none() | st.text(),
    plugins=TEXTS,
    settings=st.builds(
        Settings,
        name=st.text(),
        idleTimeout=st.floats(0, 1e9),
        fieldLimit=st.integers(1, 10**9),
        errors=st.sampled_from(["brief", "full"]),
    ),
    openProxy=st.booleans(),
    workers=st.integers(1, 1024),
)


@given(CONFIGURATIONS)
def test_jsonCarriesIt(configuration: Configuration) -> None:
    """[F19] Whatever is in it: what a worker reads is equal to the parent's."""
    text = json.dumps(configuration.toData())
    assert Configuration.fromData(json.loads(text)) == configuration


def test_whatIsNotThereHasItsDefault() -> None:
    assert Configuration.fromData({}) == Configuration()
    some = Configuration.fromData({"policies": ["ports:1"], "settings": {"realm": "x"}})
    assert some == Configuration(policies=("ports:1",), settings=Settings(realm="x"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"polcies": []}, "polcies: there is nothing of this name"),
        ({"settings": {"relm": "x"}}, "relm: there is nothing of this name"),
        ({"settings": {"headLimit": 1}}, "headLimit: 1 must be 256 or more"),
        ({"settings": 1}, "settings: these are no settings"),
        ({"policies": "ports:1"}, "policies: this is no list of strings"),
        ({"checkers": ["memory:a:secret", 1]}, "checkers: this is no list of strings"),
        ({"listeners": []}, "listeners: there is nothing to listen on"),
        ({"pair": ["a", "b"]}, "pair: this is no string"),
        ({"openProxy": "no"}, "openProxy: 'no' is neither true nor false"),
        ({"workers": 0}, "workers: 0 is not 1 to 1024"),
        ({"workers": True}, "workers: True is not 1 to 1024"),
        ({"workers": 1025}, "workers: 1025 is not 1 to 1024"),
    ],
)
def test_whatCannotBeIsToldByItsName(data: dict[str, Any], reason: str) -> None:
    """In one line, and without any text that may be a password."""
    with pytest.raises(ConfigurationError) as caught:
        Configuration.fromData(data)
    assert str(caught.value) == reason


def test_itIsShownWithoutSecrets() -> None:
    """[AU-05] What a log or a traceback shows of it."""
    secret = Configuration(checkers=("memory:a:sesame",), policies=("ask:sesame",))
    assert "sesame" not in repr(secret)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        secret.workers = 2  # type: ignore[misc]


# What is built of it


def test_buildingOpensNothing(directory: Path) -> None:
    """So a configuration can be checked by building it."""
    configuration = Configuration(
        listeners=("0", "unix:sock"),
        checkers=("file:users",),
        policies=("./mine.py:nice",),
        observers=("accesslog:./log",),
        pair="./mine.py:pair",
        routes=("http://parent.example:3128",),
    )
    network = MemoryNetwork()
    files, threads = os.listdir("/proc/self/fd"), threading.active_count()
    listed, threshold = os.listdir(directory), gc.get_threshold()
    built = build(network, configuration, discard)
    assert os.listdir("/proc/self/fd") == files
    assert threading.active_count() == threads
    assert {*os.listdir(directory)} - {"__pycache__"} == {*listed}
    assert gc.get_threshold() == threshold
    assert network.clock.getDelayedCalls() == []
    assert not built.proxy.running
    assert built.configuration is configuration


def test_rulesAreBuiltApartFromWhatLives(directory: Path) -> None:
    """[F19] Everything that is replaceable is new each time, and alone."""
    configuration = Configuration(policies=("ports:443",), checkers=("file:users",))
    first, second = (buildPluginSet(configuration, discard) for _ in range(2))
    assert first.policies[0].plugin is not second.policies[0].plugin
    assert [named.name for named in first.schemes] in (["basic"], ["Basic"])
    assert first.settings is configuration.settings
    built = buildProxy(MemoryNetwork(), first)
    assert built.pluginSet is first
    assert built.proxy.policies[-1].plugin is first.policies[0].plugin


def test_listenersAskWhomTheyAreTold() -> None:
    """Workers share sockets by it."""
    asked: list[Any] = []

    class Listening:
        def listenTCP(self, port: int, *_: Any, **__: Any) -> None:
            asked.append((self, port))

    reactors = [Listening(), Listening()]
    configuration = Configuration(listeners=("1", "2"))
    built = build(MemoryNetwork(), configuration, discard, reactors)
    for listener in built.listeners:
        listener.endpoint.listen(None)  # type: ignore[arg-type]
    assert asked == [(reactors[0], 1), (reactors[1], 2)]


@pytest.mark.parametrize(
    ("configuration", "guarded"),
    [
        (Configuration(), False),
        (Configuration(openProxy=True), True),
        (Configuration(checkers=("memory:a:b",)), True),
    ],
)
def test_guardedIsWhatAsksOrIsMeantToBeOpen(
    configuration: Configuration, guarded: bool
) -> None:
    assert buildPluginSet(configuration, discard).guarded is guarded


@pytest.mark.parametrize(
    ("configuration", "reason"),
    [
        (Configuration(policies=("prots:1",)), "policy 'prots' is not installed"),
        (
            Configuration(checkers=("fiel:x",)),
            "--auth fiel: there is no checker 'fiel'",
        ),
        (Configuration(schemes=("basic",)), "--auth-scheme says how clients send"),
        (Configuration(routes=("nowhere",)), "a route has no target"),
        (Configuration(pair="./no.py:P"), "there is no file"),
        (Configuration(listeners=("tcp:x",)), "--listen 'tcp:x' is no endpoint"),
        (Configuration(policies=("users:a",)), "users: needs --auth or a proxytls:"),
    ],
)
@pytest.mark.usefixtures("directory")
def test_whatCannotBeBuiltNamesItsOption(
    configuration: Configuration, reason: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(MemoryNetwork(), configuration, discard)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
