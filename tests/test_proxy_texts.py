"""
Embedding: every kind of plugin as a text, as on the command line, or as an object.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rig import ESTABLISHED, Rig, connect, status

from txconnect.errors import ConfigurationError
from txconnect.policy import HostsPolicy
from txconnect.proxy import ConnectProxy, ConnectProxyFactory
from txconnect.testing import MemoryNetwork, RecordingObserver
from txconnect.values import Named

FILE = """
from txconnect.plugins import *
from txconnect.tunnel.pair import ProxyClient, ProxyServer
from txconnect.values import Allow

tap = tapPlugin("tap", "Tap.")(lambda tunnel: None)
router = routerPlugin("router", "Router.")(lambda request: None)
pair = pairPlugin("pair", "Pair.")(lambda tunnel: (ProxyServer(), ProxyClient()))
watch = observerPlugin("watch", "Watch.")(lambda event: None)
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one, with a file of plugins and one of passwords."""
    (tmp_path / "mine.py").write_text(FILE)
    (tmp_path / "users").write_text("alice:secret\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_textsOfEveryKind(directory: Path) -> None:
    """[F56] They are made as the command line makes them, objects among them."""
    own, heard = HostsPolicy("example.com"), RecordingObserver()
    proxy = ConnectProxy(
        MemoryNetwork(),
        policies=["ports:443,8443", own],
        observers=["accesslog:x.log,format=text", heard],
        checkers=["file:users"],
        schemes=["basic"],
        taps=["./mine.py:tap"],
        routers=["./mine.py:router"],
        routes=["hosts:a.example=direct"],
        pairFactory="./mine.py:pair",
        plugins=["./mine.py:watch", "deny-hosts:b.example"],
    )
    rules = proxy.rules
    names = [each.name for each in rules.policies]
    assert names == ["networks", "ports", "hosts", "deny-hosts"]
    assert rules.policies[2].plugin is own
    assert [each.name for each in rules.observers] == [
        "accesslog",
        "RecordingObserver",
        "watch",
    ]
    assert [each.name for each in rules.taps] == ["tap"]
    assert [each.name for each in rules.routers] == [
        "router",
        "route 'hosts:a.example'",
    ]
    assert rules.pairFactory is not None and rules.pairFactory.name == "pair"
    assert rules.authenticator is not None
    assert not (directory / "x.log").exists()


def test_logOfATextIsWritten(directory: Path) -> None:
    """[F56] What is a service is started and stopped with the proxy."""
    rig = Rig(observers=["accesslog:x.log"], checkers=["file:users"])
    assert status(rig.client(connect("example.com:443"))) == 407
    assert "credentials-missing" in (directory / "x.log").read_text()
    rig.proxy.stopService()
    rig.flush()


def test_rulesAreReplacedByTexts() -> None:
    """[F56] C{makeRules} takes what the constructor takes."""
    rig = Rig()
    rig.serve()
    assert rig.client(connect()).received == ESTABLISHED
    rig.proxy.replaceRules(rig.proxy.makeRules(policies=["hosts:other.example"]))
    assert status(rig.client(connect())) == 403


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"policies": ["prots:443"]},
            "policies 'prots:443': policy 'prots' is not installed; did you mean "
            "'ports'? Installed policies: clients, deny-hosts, hosts, networks, ports, users.",
        ),
        (
            {"policies": ["ports:x"]},
            "policies 'ports:x': 'x' is not a port: write a number from 1 to 65535, a "
            "range such as 8000-8999, or 'any'",
        ),
        (
            {"observers": ["accesslog"]},
            "observers 'accesslog': the argument does not fit, missing a required "
            "argument: 'path'; write accesslog:PATH|-[,format=json|text][,events=EVENTS][,required=yes|no]",
        ),
        (
            {"checkers": ["file:none"]},
            "checkers 'file': {directory}/none: No such file or directory",
        ),
        (
            {"taps": ["./mine.py:tpa"]},
            "taps './mine.py:tpa': {directory}/mine.py has no 'tpa'; did you mean 'tap'?",
        ),
        (
            {"pairFactory": "./mine.py:tap"},
            "pairFactory './mine.py:tap': it is declared as a tap: give it with --tap",
        ),
        ({"policies": "ports:443"}, "policies: give a list, not a value of type str"),
        ({"plugins": None}, "plugins: give a list, not None"),
        (
            {"schemes": ["basic"]},
            "there are schemes, which say how clients send who they are, but no "
            "checker, which says who may pass",
        ),
        (
            {"policies": [Named("staff", "prots:443")]},
            "policies 'prots:443': policy 'prots' is not installed; did you mean "
            "'ports'? Installed policies: clients, deny-hosts, hosts, networks, ports, users.",
        ),
    ],
)
def test_mistakesNameTheArgument(
    arguments: dict[str, Any], sentence: str, directory: Path
) -> None:
    """[F57] A ConfigurationError with one sentence, from the factory too."""
    for make in (ConnectProxy, ConnectProxyFactory):
        with pytest.raises(ConfigurationError) as caught:
            make(MemoryNetwork(), **arguments)
        assert str(caught.value) == sentence.format(directory=directory)
