"""
C{--plugin}: one object in all its roles, and what its hooks hand on to each other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rig import ESTABLISHED, Rig, connect

from txconnect.command.startup import standingPolicies
from txconnect.configuration import Configuration, build
from txconnect.errors import ConfigurationError
from txconnect.plugins import PLUGIN, loadPlugin, pluginFactory
from txconnect.plugins.gathering import PluginLoader, gatherPlugins
from txconnect.plugins.listing import listed
from txconnect.proxy import ConnectProxy
from txconnect.testing import MemoryNetwork, checkPlugin

FILE = """
from txconnect.interfaces import *
from txconnect.plugins import *
from txconnect.values import *
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from zope.interface import implementer

@implementer(IDestinationPolicy, ITrafficObserver, ITrafficTap)
class Quota:
    made = 0
    def __init__(self, limit):
        Quota.made += 1
        self.limit, self.open, self.seen = int(limit), 0, []
    def decide(self, request):
        request.state[Quota] = ["decided"]
        if self.open >= self.limit:
            return Deny("the quota is used up", Cause.LIMIT)
        return Allow()
    def tap(self, tunnel):
        tunnel.request.state.setdefault(Quota, []).append("tapped")
    def observe(self, event):
        request = event.request if isinstance(event, TunnelRefused) else event.tunnel.request
        if request is None:
            return
        said = request.state.setdefault(Quota, [])
        said.append(type(event).__name__)
        self.open += isinstance(event, TunnelEstablished)
        self.open -= isinstance(event, TunnelClosed)
        self.seen.append(list(said))

@implementer(ICredentialsChecker, IAuthScheme)
class Login:
    name = "Own"
    credentialInterfaces = (IUsernamePassword,)
    def challenge(self, reason, realm):
        return b"Own"
    def parse(self, attempt):
        raise NotImplementedError
    def requestAvatarId(self, credentials):
        return b"bob"

@implementer(IPairFactory)
class Pair:
    def buildPair(self, tunnel):
        raise NotImplementedError

class Duck:
    def observe(self, event):
        pass

nothing = object()
quota = pluginFactory("quota", "So many tunnels at once.", Quota, "NUMBER")
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one, with a file of plugins."""
    (tmp_path / "mine.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(*plugins: str, **more: Any) -> str:
    """What start-up says."""
    with pytest.raises(ConfigurationError) as caught:
        build(MemoryNetwork(), Configuration(plugins=plugins, **more), print)
    return str(caught.value)


@pytest.mark.parametrize("text", ["./mine.py:Quota:1", "./mine.py:quota:1"])
def test_oneObjectServesInAllItsRoles(text: str) -> None:
    """[F53] The one that judges hears of the end: the slot is free again."""
    rig = Rig(plugins=[text])
    (judge,) = rig.proxy.rules.destination[-1:]
    quota = judge.plugin
    assert rig.proxy.rules.observers[-1].plugin is quota
    assert rig.proxy.rules.taps[-1].plugin is quota
    assert type(quota).made == 1
    client, destination = rig.tunnel()
    refused = rig.client(connect("example.com:443"))
    assert b"503" in refused.received.splitlines()[0]
    assert judge.name.encode() in refused.received
    client.abort()
    rig.flush()
    assert quota.open == 0
    again = rig.client(connect())
    assert again.received == ESTABLISHED
    assert quota.open == 1
    again.abort()
    rig.flush()


def test_stateTravelsBetweenTheHooksOfOneRequest() -> None:
    """[F53] From the policy to the tap and the observer, and to no other request."""
    rig = Rig(plugins=["./mine.py:Quota:1"])
    client, _ = rig.tunnel()
    rig.client(connect())
    client.abort()
    rig.flush()
    quota = rig.proxy.rules.taps[-1].plugin
    assert quota.seen == [
        ["decided", "tapped", "TunnelEstablished"],
        ["decided", "TunnelRefused"],
        ["decided", "tapped", "TunnelEstablished", "TunnelClosed"],
    ]


def test_commandLineLoadsItOnce() -> None:
    """[F53] Behind what was given for a role alone; the lines for people stay."""
    configuration = Configuration(
        policies=("ports:443",), plugins=("./mine.py:Quota:1", "deny-hosts:b.example")
    )
    built = build(MemoryNetwork(), configuration, print)
    rules = built.proxy.rules
    names = [each.name for each in rules.policies]
    assert names == ["networks", "ports", "Quota", "deny-hosts"]
    assert [each.name for each in rules.observers] == ["console", "Quota"]
    assert rules.observers[1].plugin is rules.taps[0].plugin
    assert built.pluginSet.observers == rules.observers
    assert standingPolicies(built.pluginSet) == [
        "networks:public",
        "ports:443",
        "Quota",
        "deny-hosts",
    ]


def test_checkerAndSchemeInOne() -> None:
    """[F53] A listener is guarded by it, as by C{--auth}."""
    built = build(MemoryNetwork(), Configuration(plugins=("./mine.py:Login",)), print)
    assert built.pluginSet.guarded
    (checker,), (scheme,) = built.pluginSet.checkers, built.pluginSet.schemes
    assert checker.plugin is scheme.plugin and checker.name == "Login"
    assert built.proxy.rules.authenticator is not None


def test_objectsInPython() -> None:
    """[F53] C{plugins=} takes objects and texts, and verifies each."""
    duck = loadPlugin(PLUGIN, "./mine.py:Quota:2").plugin
    proxy = ConnectProxy(MemoryNetwork(), plugins=[duck, "ports:80"])
    assert proxy.rules.observers[0].plugin is duck
    assert [each.name for each in proxy.policies] == ["networks", "Quota", "ports"]
    with pytest.raises(ConfigurationError) as caught:
        ConnectProxy(MemoryNetwork(), plugins=[object])
    assert str(caught.value).startswith(
        "plugins 'object': it is the class object, which provides none of IDestinationPolicy, "
        "IAddressPolicy, IRouter, ITrafficObserver, ITrafficTap, IPairFactory, "
        "IAuthScheme, ICredentialsChecker ("
    )


def test_objectWithoutARoleStopsTheStart(directory: Path) -> None:
    """[F53] With all the interfaces, and the one that it nearly has."""
    text = refusal("./mine.py:nothing")
    assert text.startswith("--plugin ./mine.py:nothing: it is an object")
    assert text.split(", which ", 1)[1].startswith(
        "provides none of IDestinationPolicy, IAddressPolicy, IRouter, "
        "ITrafficObserver, ITrafficTap, IPairFactory, IAuthScheme, "
        "ICredentialsChecker ("
    )
    text = refusal("./mine.py:Duck")
    assert text.endswith(
        "; it has observe(): decorate its class with @implementer(ITrafficObserver) "
        f"({directory}/mine.py)"
    )


def test_secondPairStopsTheStart() -> None:
    """[F53] Wherever the two come from."""
    pair = "./mine.py:Pair"
    assert refusal(pair, pair=pair) == (
        "'Pair' and 'Pair' are pair factories both: a tunnel has one pair"
    )


def test_nameOfTwoKindsIsNotGuessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """[F53] An installed policy and an observer of one name are two plugins."""
    from txconnect.plugins import observerFactory, policyFactory

    loader = PluginLoader()
    twins: list[Any] = [
        policyFactory("twin", "A.", object),
        observerFactory("twin", "B.", object),
    ]
    monkeypatch.setattr(loader.catalogue, "of", lambda kind: twins)
    with pytest.raises(ConfigurationError) as caught:
        gatherPlugins(loader, plugins=["twin"])
    assert str(caught.value) == (
        "--plugin twin: 'twin' is a policy and an observer: say which with --policy "
        "or --observer"
    )


def test_declaredFactoryIsListedAndChecked() -> None:
    """[F53] C{pluginFactory} declares one for an installed distribution."""
    factory = loadPluginFactory()
    made = checkPlugin(factory, "3")
    assert made.limit == 3
    text = listed(PLUGIN)
    assert text.startswith("Usage: --plugin NAME[:ARGUMENT]\n")
    assert "  ports:PORT|FIRST-LAST|any,...\n      (policy) Allow these ports" in text


def loadPluginFactory() -> Any:
    """The factory of the file, which is no plugin of a single kind."""
    loadPlugin(PLUGIN, "./mine.py:quota:1")
    import sys

    (module,) = [
        module
        for name, module in sys.modules.items()
        if name.startswith("txconnect_file_") and hasattr(module, "quota")
    ][-1:]
    assert isinstance(module.quota, type(pluginFactory("x", "X.", object)))
    return module.quota
