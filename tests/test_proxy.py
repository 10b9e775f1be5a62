"""
The proxy as a service, and as a factory for any endpoint.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from rig import (
    ANYTHING,
    DESTINATION,
    ESTABLISHED,
    Logged,
    Rig,
    connect,
    logging,
    status,
)
from twisted.application.service import IService, MultiService, Service
from twisted.cred.checkers import (
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import IUsernamePassword
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from zope.interface import implementer

from txconnect.auth.basic import BasicScheme
from txconnect.errors import ConfigurationError
from txconnect.interfaces import (
    IAddressPolicy,
    IDestinationPolicy,
    IPairFactory,
    IRouter,
    ITrafficObserver,
    ITrafficTap,
)
from txconnect.proxy import ConnectProxy, ConnectProxyFactory
from txconnect.settings import Settings
from txconnect.testing import (
    ImmediatePool,
    ManualPool,
    MemoryNetwork,
    Peer,
    RecordingObserver,
    scriptedLookup,
)
from txconnect.tunnel.pair import ProxyClient, ProxyServer
from txconnect.values import Allow, Cause, Closed, Deny, Named, Route


@pytest.fixture(autouse=True)
def logged() -> Iterator[Logged]:
    """The log; no test may leave a Deferred's error that nobody looked at."""
    with logging() as logged:
        yield logged
        assert logged.unhandled == []


@implementer(IDestinationPolicy)
class NameOnly:
    """Allows every name."""

    name = "name-only"

    def decide(self, request: Any) -> Any:
        return Allow()


class Embedding:
    """A program that embeds the proxy in one line."""

    def __init__(self, **arguments: Any) -> None:
        self.network = MemoryNetwork()
        self.events = RecordingObserver()
        arguments.setdefault("policies", ANYTHING)
        arguments.setdefault("pool", ImmediatePool())
        self.factory = ConnectProxyFactory(
            self.network,
            getaddrinfo=scriptedLookup({"example.com": [DESTINATION]}),
            observers=[self.events],
            **arguments,
        )
        self.proxy = self.factory.proxy
        self.destination = self.network.serve(DESTINATION, 443)

    def listen(self, port: int = 3128) -> IListeningPort:
        """Listen on one more port."""
        listening: list[Any] = []
        endpoint = serverFromString(self.network, f"tcp:{port}:interface=127.0.0.1")
        endpoint.listen(self.factory).addBoth(listening.append)
        (found,) = listening
        return found  # type: ignore[no-any-return]

    def client(self, port: int = 3128, data: bytes | None = None) -> Peer:
        """A client that asks for a tunnel."""
        peer = self.network.connect("127.0.0.1", port)
        peer.send(connect() if data is None else data)
        self.network.flush()
        return peer

    def close(self, port: IListeningPort) -> None:
        """Listen no more."""
        port.stopListening()
        self.network.flush()


class TestEmbedding:
    """C{serverFromString(...).listen(ConnectProxyFactory(reactor))}."""

    def test_one_line(self) -> None:
        """Listening starts it, and it serves."""
        program = Embedding()
        assert not program.proxy.running
        program.listen()
        assert program.proxy.running
        assert program.client().received == ESTABLISHED

    def test_stops_with_the_last_port(self) -> None:
        """It runs while one port is left, and stops with the last."""
        program = Embedding()
        first, second = program.listen(3128), program.listen(3129)
        program.close(first)
        assert program.proxy.running
        assert program.client(3129).received == ESTABLISHED
        program.destination.peer.abort()
        program.network.flush()
        program.close(second)
        assert not program.proxy.running
        program.network.assertClean()

    def test_stops_after_the_last_tunnel(self) -> None:
        """C{stopFactory} is called while tunnels live: they live on, with the
        plugins that they need, and then it stops."""
        program = Embedding()
        port = program.listen()
        client = program.client()
        program.close(port)
        assert program.proxy.running
        client.send(b"still here")
        program.network.flush()
        assert program.destination.peer.received == b"still here"
        client.close()
        program.destination.peer.close()
        program.network.flush()
        assert not program.proxy.running
        assert program.events.closed[0].reason is Closed.CLIENT
        program.network.assertClean()

    def test_listens_again_before_the_last_tunnel_is_gone(self) -> None:
        """Then it goes on."""
        program = Embedding()
        port = program.listen()
        client = program.client()
        program.close(port)
        program.listen()
        client.abort()
        program.network.flush()
        assert program.proxy.running
        assert program.client().received == ESTABLISHED

    def test_listens_again_afterwards(self) -> None:
        """Then it starts again."""
        program = Embedding()
        program.close(program.listen())
        assert not program.proxy.running
        program.listen()
        assert program.proxy.running
        assert program.client().received == ESTABLISHED

    def test_a_proxy_of_ones_own(self) -> None:
        """A proxy that was given is started and stopped by its giver."""
        program = Embedding()
        factory = ConnectProxyFactory(program.network, program.proxy)
        port = program.network.listenTCP(3130, factory)
        assert not program.proxy.running
        program.proxy.startService()
        program.close(port)
        assert program.proxy.running

    def test_not_both(self) -> None:
        """A proxy, or the arguments for one."""
        program = Embedding()
        with pytest.raises(TypeError):
            ConnectProxyFactory(program.network, program.proxy, policies=())

    def test_before_it_runs(self) -> None:
        """[T12] A client that comes before the start, or behind the stop, is
        closed; it does not wait."""
        program = Embedding()
        factory = ConnectProxyFactory(program.network, program.proxy)
        program.network.listenTCP(3130, factory)
        client = program.client(3130)
        assert client.closed or client.ended or client.reset
        assert program.events.events == []


class TestStopping:
    """What C{stopService} ends."""

    def test_tunnels(self) -> None:
        """Tunnels are reset on both sides, visibly, for the reason of
        shutdown."""
        rig = Rig()
        client, destination = rig.tunnel()
        stopped: list[Any] = []
        rig.proxy.stopService().addBoth(stopped.append)
        rig.flush()
        assert client.reset and destination.reset
        assert [event.reason for event in rig.events.closed] == [Closed.SHUTDOWN]
        assert len(rig.events.events) == 2
        assert stopped == [None]
        rig.assertOver()

    def test_fires_when_all_is_gone(self) -> None:
        """Not before the last transport is gone, and the observers have heard."""
        rig = Rig()
        rig.tunnel()
        heard: list[Any] = []
        rig.proxy.stopService().addBoth(lambda _: heard.extend(rig.events.closed))
        assert heard == []
        rig.flush()
        assert len(heard) == 1

    def test_idle(self) -> None:
        """Without a connection it fires at once."""
        rig = Rig()
        stopped: list[Any] = []
        rig.proxy.stopService().addBoth(stopped.append)
        assert stopped == [None]
        assert not rig.proxy.running

    def test_half_a_head(self) -> None:
        """A client that has sent half a head is accounted for, one that has
        sent nothing is not; both are closed."""
        rig = Rig()
        half, silent = rig.client(b"CONNECT exam"), rig.client()
        rig.proxy.stopService()
        rig.flush()
        assert half.reset and silent.reset
        (event,) = rig.events.refused
        assert (event.cause, event.request) == (Cause.SHUTDOWN, None)
        rig.assertOver()

    def test_refused_and_lingering(self) -> None:
        """One that has had its answer is closed, and not told of again."""
        rig = Rig()
        client = rig.client(connect("example.com:443", version="9.9"))
        assert len(rig.events.events) == 1
        rig.proxy.stopService()
        rig.flush()
        assert status(client) in (400, 505)
        assert len(rig.events.events) == 1
        rig.assertOver()

    def test_twice(self) -> None:
        """Two that stop it are both told, when it has stopped once."""
        plugin = Plugin()
        rig = Rig(policies=[plugin])
        rig.tunnel()
        stopped: list[int] = []
        rig.proxy.stopService().addBoth(lambda _: stopped.append(1))
        rig.proxy.stopService().addBoth(lambda _: stopped.append(2))
        rig.flush()
        assert stopped == [1, 2]
        assert plugin.life == ["start", "stop"]
        rig.assertOver()

    def test_clients_that_come_meanwhile(self) -> None:
        """[T12] Who connects while it stops is closed, and does not keep it."""
        plugin = Plugin()
        plugin.gate = Deferred()
        rig = Rig(policies=[plugin])
        stopped: list[Any] = []
        rig.proxy.stopService().addBoth(stopped.append)
        rig.client(connect())
        assert rig.events.events == []
        plugin.gate.callback(None)
        assert stopped == [None]
        rig.assertOver()

    def test_when_idle(self) -> None:
        """C{whenIdle} fires behind the last connection, however many ask."""
        rig = Rig()
        fired: list[int] = []
        rig.proxy.whenIdle().addCallback(lambda _: fired.append(0))
        assert fired == [0]
        client, destination = rig.tunnel()
        for number in (1, 2):
            rig.proxy.whenIdle().addCallback(lambda _, n=number: fired.append(n))
        client.close()
        rig.flush()
        assert fired == [0]
        destination.close()
        rig.flush()
        assert fired == [0, 1, 2]

    def test_restart(self) -> None:
        """It starts again, and serves."""
        rig = Rig()
        rig.tunnel()
        rig.proxy.stopService()
        rig.flush()
        rig.proxy.startService()
        destination = rig.network.serve("192.0.2.7", 443)
        rig.lookup.answers["example.com"] = ["192.0.2.7"]
        assert rig.client(connect()).received == ESTABLISHED
        assert len(destination.peers) == 1


@implementer(IDestinationPolicy)
class Plugin(Service):
    """A policy that is a service."""

    gate: Deferred[None] | None = None

    def __init__(self, name: str | None = None) -> None:
        self.life: list[str] = []
        if name is not None:
            self.name = name  # type: ignore[assignment]

    def startService(self) -> None:
        super().startService()
        self.life.append("start")

    def stopService(self) -> Deferred[None] | None:
        super().stopService()
        self.life.append("stop")
        return self.gate

    def decide(self, request: Any) -> Any:
        return Allow()


@implementer(ITrafficObserver, ITrafficTap, IRouter, IPairFactory, ICredentialsChecker)
class Everything(Plugin):
    """A plugin of every other kind, and a service."""

    credentialInterfaces = (IUsernamePassword,)

    def observe(self, event: Any) -> None:
        """Nothing."""

    def tap(self, tunnel: Any) -> Any:
        return None

    def route(self, request: Any) -> Any:
        return None

    def buildPair(self, tunnel: Any) -> Any:
        return ProxyServer(), ProxyClient()

    def requestAvatarId(self, credentials: Any) -> Any:
        return "ada"


class SchemeService(BasicScheme, Plugin):
    """A scheme that is a service."""

    name = "Basic"

    def __init__(self) -> None:
        Plugin.__init__(self)


class TestPluginServices:
    """A plugin object may be an IService."""

    @pytest.mark.parametrize(
        "kind", ["policies", "routers", "observers", "taps", "checkers"]
    )
    def test_every_kind(self, kind: str) -> None:
        """Of whatever kind, it is started and stopped with the proxy."""
        plugin = Everything()
        rig = Rig(**{kind: [plugin]})
        assert plugin.life == ["start"]
        rig.proxy.stopService()
        assert plugin.life == ["start", "stop"]

    def test_pair_and_scheme(self) -> None:
        """Likewise."""
        pair, scheme, checker = Everything(), SchemeService(), Everything()
        rig = Rig(pairFactory=pair, schemes=[scheme], checkers=[checker])
        rig.proxy.stopService()
        assert pair.life == scheme.life == checker.life == ["start", "stop"]

    def test_of_several_kinds(self) -> None:
        """One object of several kinds is started once."""
        plugin = Everything()
        Rig(policies=[plugin], observers=[plugin], taps=[Named("tap", plugin)])
        assert plugin.life == ["start"]

    def test_of_one_name(self) -> None:
        """Two plugins of one name may both be services."""
        first, second = Plugin("same"), Plugin("same")
        Rig(policies=[first, second])
        assert first.life == second.life == ["start"]

    def test_with_a_parent(self) -> None:
        """One that the program around starts itself is left to it."""
        program = MultiService()
        plugin = Plugin()
        plugin.setServiceParent(program)
        rig = Rig(policies=[plugin])
        assert plugin.parent is program
        assert plugin.life == []
        rig.proxy.stopService()
        assert plugin.life == []

    def test_stopped_behind_the_last_tunnel(self) -> None:
        """An observer that is a service hears of the last tunnel before
        it is stopped, and the stop waits for it."""
        plugin = Plugin()
        plugin.gate = Deferred()
        rig = Rig(policies=[plugin])
        rig.tunnel()
        stopped: list[Any] = []
        rig.proxy.stopService().addBoth(stopped.append)
        assert plugin.life == ["start"]
        rig.flush()
        assert plugin.life == ["start", "stop"]
        assert stopped == []
        plugin.gate.callback(None)
        assert stopped == [None]

    def test_it_is_a_service(self) -> None:
        """The proxy itself can be any program's service."""
        rig = Rig()
        assert IService.providedBy(rig.proxy)
        rig.proxy.stopService()
        program = MultiService()
        rig.proxy.setServiceParent(program)
        program.startService()
        assert rig.proxy.running


class TestDefaults:
    """The defaults stand until a policy of the same name is given."""

    def names(self, *policies: Any) -> list[str]:
        return [each.name for each in ConnectProxy(None, policies=policies).policies]

    def test_stand(self) -> None:
        """[H1-25] Without a policy, and with another."""
        assert self.names() == ["ports", "networks"]
        assert self.names(NameOnly()) == ["ports", "networks", "name-only"]

    def test_replaced_by_name(self) -> None:
        """One of the same name takes a default's place; the other stands."""

        @implementer(IDestinationPolicy)
        @attrs.frozen
        class Ports:
            name = "ports"

            def decide(self, request: Any) -> Any:
                return Allow()

        assert self.names(Ports()) == ["networks", "ports"]
        assert self.names(Named("ports", NameOnly())) == ["networks", "ports"]

    def test_replaced_by_half(self) -> None:
        """[T7] What takes the place of the one address policy must judge
        addresses, or nothing would."""
        with pytest.raises(ConfigurationError, match="IAddressPolicy"):
            ConnectProxy(None, policies=[Named("networks", NameOnly())])

    def test_still_in_force(self) -> None:
        """[H1-25] A policy that allows all does not open what the defaults
        close."""
        program = Embedding(policies=[NameOnly()])
        program.listen()
        assert status(program.client(data=connect("example.com:25"))) == 403
        assert status(program.client(data=connect("10.0.0.1:443"))) == 403


class TestVerification:
    """What is no plugin stops the start."""

    @pytest.mark.parametrize(
        "kind", ["policies", "routers", "observers", "taps", "schemes", "checkers"]
    )
    @pytest.mark.parametrize("wrong", [object(), b"text", lambda request: Allow()])
    def test_wrong(self, kind: str, wrong: Any) -> None:
        """An object of another kind is told by name."""
        with pytest.raises(ConfigurationError, match="mine"):
            ConnectProxy(None, **{kind: [Named("mine", wrong)]})

    def test_wrong_pair_factory(self) -> None:
        """Likewise."""
        with pytest.raises(ConfigurationError, match="mine"):
            ConnectProxy(None, pairFactory=Named("mine", object()))

    def test_method_missing(self) -> None:
        """Who promises an interface and lacks its method is told zope's
        sentence."""

        @implementer(IDestinationPolicy)
        class Hollow:
            """Nothing in it."""

        with pytest.raises(ConfigurationError, match="decide"):
            ConnectProxy(None, policies=[Hollow()])

    def test_wrong_arguments(self) -> None:
        """So is who takes other arguments."""

        @implementer(IAddressPolicy)
        class Odd:
            def decideAddress(self, request: Any) -> Any:
                return Allow()

        with pytest.raises(ConfigurationError, match="decideAddress"):
            ConnectProxy(None, policies=[Odd()])

    def test_class_for_an_object(self) -> None:
        """A class that was not called is no policy."""
        with pytest.raises(ConfigurationError):
            ConnectProxy(None, policies=[NameOnly])

    @pytest.mark.parametrize(
        "kind",
        ["policies", "routers", "routes", "observers", "taps", "schemes", "checkers"],
    )
    @pytest.mark.parametrize(
        ("wrong", "called"),
        [
            (None, "None"),
            ("text", "a value of type str"),
            ({"a": 1}, "a value of type dict"),
            (RecordingObserver(), "a value of type RecordingObserver"),
        ],
    )
    def test_no_list(self, kind: str, wrong: Any, called: str) -> None:
        """[F57] One plugin, a text or nothing where a list belongs: one sentence."""
        with pytest.raises(ConfigurationError) as caught:
            ConnectProxy(None, **{kind: wrong})
        assert str(caught.value) == f"{kind}: give a list, not {called}"

    @pytest.mark.parametrize("wrong", [{}, {"idleTimeout": 5}])
    def test_no_settings(self, wrong: Any) -> None:
        """[F57] So do settings in a dict, for the factory as well, and for new rules."""
        sentence = re.escape("settings: give Settings(...), not a value of type dict")
        for make in (ConnectProxy, ConnectProxyFactory):
            with pytest.raises(ConfigurationError, match=sentence):
                make(None, settings=wrong)
        with pytest.raises(ConfigurationError, match=sentence):
            ConnectProxy(None).makeRules(settings=wrong)

    def test_schemes_without_a_checker(self) -> None:
        """[T8] [H1-38] A scheme alone would authenticate nobody and let all
        pass: it stops the start."""
        with pytest.raises(ConfigurationError, match="checker"):
            ConnectProxy(None, schemes=[BasicScheme()])

    def test_iterables(self) -> None:
        """Plugins may come from a generator."""
        users = InMemoryUsernamePasswordDatabaseDontUse(ada=b"x")
        proxy = ConnectProxy(
            None,
            policies=(each for each in [NameOnly()]),
            schemes=(each for each in [BasicScheme()]),
            checkers=(each for each in [users]),
        )
        assert len(proxy.policies) == 3
        assert proxy.rules.authenticator is not None


class TestNames:
    """What refusals and logs call a plugin."""

    def test_given_own_class(self) -> None:
        """The name that it was given, else its own, else its class's."""

        @implementer(IDestinationPolicy)
        class Anonymous:
            def decide(self, request: Any) -> Any:
                return Allow()

        proxy = ConnectProxy(
            None, policies=[Named("given", NameOnly()), NameOnly(), Anonymous()]
        )
        assert [each.name for each in proxy.policies[2:]] == [
            "given",
            "name-only",
            "Anonymous",
        ]

    def test_nameless_service(self) -> None:
        """A service's name of None is no name."""
        proxy = ConnectProxy(None, policies=[Plugin()])
        assert proxy.policies[-1].name == "Plugin"

    def test_in_a_refusal(self) -> None:
        """The client is told the rule by its name."""

        @implementer(IDestinationPolicy)
        class No:
            def decide(self, request: Any) -> Any:
                return Deny("no")

        rig = Rig(policies=[Named("office-hours", No())])
        phrase = rig.client(connect()).received.split(b"\r\n")[0]
        assert b"office-hours" in phrase


class TestSettings:
    """Each proxy has its own."""

    def test_defaults(self) -> None:
        """Nothing is shared between two."""
        first, second = ConnectProxy(None), ConnectProxy(None)
        assert first.settings == second.settings == Settings()
        assert first.rules.name != second.rules.name
        assert first.rules.name.startswith("txconnect-")

    def test_name(self) -> None:
        """A name of one's own is what Proxy-Status bears."""
        rig = Rig(settings={"name": "edge-7"})
        rig.network.refuse(DESTINATION)
        assert b"Proxy-Status: edge-7;" in rig.client(connect()).received

    def test_look_ups_stop(self) -> None:
        """Its threads start and stop with it."""
        pool = ManualPool()
        rig = Rig(pool=pool)
        assert pool.started
        rig.proxy.stopService()
        assert not pool.started


class TestWrongKinds:
    """[F57] What is no plugin, where it is given: one sentence, before any request."""

    @pytest.mark.parametrize(
        ("make", "sentence"),
        [
            (
                lambda: ConnectProxyFactory([]),
                "reactor: give a reactor first, not a value of type list",
            ),
            (
                lambda: ConnectProxyFactory(MemoryNetwork(), Settings()),
                "proxy: give a ConnectProxy, not a value of type Settings; every other "
                "argument has its keyword",
            ),
            (
                lambda: ConnectProxy(
                    MemoryNetwork(),
                    routes=[Route.through("gate", lambda request, addresses: None)],
                ),
                "routes: the Route 'gate' says where to, and not which requests: return "
                "it from a router, and give that as routers=[...]",
            ),
            (
                lambda: ConnectProxy(MemoryNetwork(), routes=[3128]),
                "routes: an int is no route: give a text, as of --route",
            ),
            (
                lambda: ConnectProxy(MemoryNetwork(), handlers=["health"]),
                "handler 'str': it is a str, which does not provide IRequestHandler",
            ),
            (
                lambda: ConnectProxy(MemoryNetwork(), tunnelFields=[("X-A", "b")]),
                "tunnelFields 'tuple': it is a tuple, which does not provide "
                "ITunnelFields",
            ),
        ],
    )
    def test_sentence(self, make: Any, sentence: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            make()
        assert str(caught.value) == sentence
