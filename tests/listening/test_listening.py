"""
Listening: what an endpoint string may be, what an open proxy is, and how the
program ends when it cannot listen.
"""

from __future__ import annotations

import resource
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from rig import logging
from twisted.application.service import Service
from twisted.internet.address import (
    HostnameAddress,
    IPv4Address,
    IPv6Address,
    UNIXAddress,
)
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactor
from twisted.logger import formatEvent
from twisted.python.failure import Failure

from txconnect.errors import ConfigurationError
from txconnect.listening import (
    CannotStart,
    Exit,
    Listener,
    ListeningService,
    isLocal,
    parseListener,
    raiseDescriptorLimit,
    shownAddress,
)

LOOPBACK = IPv4Address("TCP", "127.0.0.1", 3128)
ANYWHERE = IPv4Address("TCP", "0.0.0.0", 3128)


# Endpoint strings


def listened(description: str) -> tuple[Any, ...]:
    """What the reactor is asked for: port, interface, backlog."""
    reactor = MemoryReactor()
    parseListener(reactor, description).endpoint.listen(Factory())
    servers = reactor.tcpServers or reactor.unixServers
    port, _, *rest = servers[0]
    return (port, *rest)


@pytest.mark.parametrize(
    ("description", "port", "interface", "backlog"),
    [
        pytest.param("3128", 3128, "127.0.0.1", 1024, id="a port: this machine only"),
        pytest.param("0.0.0.0:80", 80, "0.0.0.0", 1024, id="an address and a port"),
        pytest.param("localhost:80", 80, "localhost", 1024, id="localhost"),
        pytest.param("[::1]:3128", 3128, "::1", 1024, id="IPv6 in brackets"),
        pytest.param("[::]:3128", 3128, "::", 1024, id="every address"),
        pytest.param("tcp:3128", 3128, "", 1024, id="an endpoint gets our backlog"),
        pytest.param("tcp:1:backlog=5", 1, "", 5, id="a backlog that is given stays"),
        pytest.param("tcp6:1:interface=\\:\\:1", 1, "::1", 1024, id="tcp6, quoted"),
        pytest.param("haproxy:tcp:9", 9, "", 1024, id="an endpoint in an endpoint"),
    ],
)
def test_endpointsAndTheirShortForms(
    description: str, port: int, interface: str, backlog: int
) -> None:
    got = listened(description)
    assert (got[0], got[2], got[1]) == (port, interface, backlog)


@pytest.mark.parametrize(
    ("description", "path"),
    [
        ("unix:sock", "{cwd}/sock"),
        ("unix:address=./a\\:b:mode=600", "{cwd}/a:b"),
        ("unix:/run/sock:backlog=3", "/run/sock"),
        ("haproxy:unix:sock", "{cwd}/sock"),
    ],
)
def test_pathsAreMadeAbsolute(
    description: str, path: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C{--rundir} changes the directory between parsing and listening."""
    monkeypatch.chdir(tmp_path)
    reactor = MemoryReactor()
    listener = parseListener(reactor, description)
    monkeypatch.chdir("/")
    listener.endpoint.listen(Factory())
    assert reactor.unixServers[0][0] == path.format(cwd=tmp_path)


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ("", "Unknown endpoint type: ''"),
        ("foo", "Unknown endpoint type: 'foo'"),
        ("foo:3128", "Unknown endpoint type: 'foo'"),
        ("tcp", "missing 1 required positional argument: 'port'"),
        ("tcp:http", "'http' is no number"),
        ("tcp:3128:oops=1", "unexpected keyword argument 'oops'"),
        ("ssl:443:privateKey=/no/such.pem", "No such file"),
        ("unix", "missing 1 required positional argument: 'address'"),
    ],
)
def test_badEndpointsAreOneClearLine(description: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parseListener(MemoryReactor(), description)
    line = str(caught.value)
    assert f"--listen {description!r} is no endpoint: " in line
    kind = description.partition(":")[0]
    form = {"ssl": "ssl:3129:privateKey=KEY.pem:", "unix": "unix:/run/"}
    assert reason in line and f"write such as {form.get(kind, 'tcp:3128')}" in line
    assert "_parse" not in line and "\n" not in line


def test_ourOwnEndpointsComplaintsStandAlone() -> None:
    with pytest.raises(
        ConfigurationError, match=r"\A--listen proxytls: needs cert=PATH"
    ):
        parseListener(MemoryReactor(), "proxytls:3128")


@pytest.mark.parametrize(
    ("description", "which"),
    [
        ("systemd:domain=INET:name=proxy", "named 'proxy'"),
        ("systemd:domain=INET:index=7", "so numbered"),
        ("haproxy:systemd:domain=INET:name=proxy", "named 'proxy'"),
    ],
)
def test_socketThatSystemdDidNotHandOver(description: str, which: str) -> None:
    """A bare KeyError would be the name and nothing else."""
    with pytest.raises(ConfigurationError) as caught:
        parseListener(MemoryReactor(), description)
    line = str(caught.value)
    assert f"{description!r}: systemd handed over no socket {which} (" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("description", "encrypted"),
    [("tcp:1", False), ("3128", False), ("haproxy:tcp:1", False)],
)
def test_whichListenersAreEncrypted(description: str, encrypted: bool) -> None:
    assert parseListener(MemoryReactor(), description).encrypted is encrypted


# What only this machine can reach


@pytest.mark.parametrize(
    ("host", "local"),
    [
        (LOOPBACK, True),
        (IPv4Address("TCP", "127.9.9.9", 1), True),
        (IPv6Address("TCP", "::1", 1), True),
        (IPv6Address("TCP", "::ffff:127.0.0.1", 1), True),
        (UNIXAddress(b"/run/sock"), True),
        (UNIXAddress(None), True),
        (ANYWHERE, False),
        (IPv6Address("TCP", "::", 1), False),
        (IPv6Address("TCP", "::ffff:192.0.2.1", 1), False),
        (IPv6Address("TCP", "fe80::1%eth0", 1), False),
        (IPv4Address("TCP", "192.0.2.1", 1), False),
        (IPv4Address("TCP", "", 1), False),
        (HostnameAddress(b"localhost", 1), False),
    ],
)
def test_localIsLoopbackAndUnix(host: Any, local: bool) -> None:
    """An address of a kind that is not known counts as reachable."""
    assert isLocal(host) is local


def test_addressesForPeople() -> None:
    assert shownAddress(LOOPBACK) == "127.0.0.1:3128"
    assert shownAddress(IPv6Address("TCP", "::1", 80)) == "[::1]:80"
    assert shownAddress(UNIXAddress(b"/run/s")) == "unix:/run/s"
    assert shownAddress(HostnameAddress(b"h", 1)) == str(HostnameAddress(b"h", 1))


# The service


@attrs.define
class Port:
    """A listening port."""

    host: Any
    factory: Any
    happened: list[str]

    def getHost(self) -> Any:
        return self.host

    def stopListening(self) -> Deferred[None]:
        self.happened.append(f"close {self.host.port}")
        return succeed(None)


@attrs.define
class Endpoint:
    """An endpoint with a script: an address, an exception, or a Deferred."""

    outcome: Any
    happened: list[str]
    requiresClientCertificate: bool = False
    port: Port | None = None

    def listen(self, factory: Any) -> Deferred[Any]:
        self.port = Port(self.outcome, factory, self.happened)
        if isinstance(self.outcome, Deferred):
            return self.outcome.addCallback(self._at)
        if isinstance(self.outcome, Exception):
            return fail(self.outcome)
        self.happened.append(f"listen {self.outcome.port}")
        return succeed(self.port)

    def _at(self, host: Any) -> Port | None:
        if self.port is not None:
            self.port.host = host
        return self.port


class Proxy(Service):
    """A proxy that says what is done with it."""

    def __init__(self, happened: list[str], trouble: Exception | None = None) -> None:
        self.happened = happened
        self.trouble = trouble
        self.listeners: list[Any] = []

    def addListener(self, host: Any) -> None:
        self.listeners.append(host)

    def acceptBare(self, port: Any, factory: Any) -> None:
        """Whose connections are accepted."""

    def startService(self) -> None:
        super().startService()
        self.happened.append("start proxy")
        if self.trouble is not None:
            raise self.trouble

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self.happened.append("stop proxy")
        return succeed(None)


class Connections(Factory):
    """Counts the connections that get through."""

    noisy = False

    def __init__(self) -> None:
        self.through = 0

    def buildProtocol(self, addr: Any) -> Any:
        self.through += 1
        return Protocol()


class Setting:
    """A service over scripted endpoints, and all that becomes of it."""

    def __init__(
        self,
        *outcomes: Any,
        guarded: bool = False,
        foreground: bool = True,
        certified: bool = False,
        forwarded: bool = False,
        pidfile: str = "",
        trouble: Exception | None = None,
    ) -> None:
        self.happened: list[str] = []
        self.announced: list[Any] = []
        self.reactor = MemoryReactor()
        self.endpoints = [Endpoint(each, self.happened, certified) for each in outcomes]
        self.proxy = Proxy(self.happened, trouble)
        self.connections = Connections()
        self.service = ListeningService(
            self.proxy,
            self.connections,
            [
                Listener(f"e{n}", each, forwarded=forwarded)
                for n, each in enumerate(self.endpoints)
            ],
            Exit(self.reactor, foreground, pidfile=pidfile),
            guarded=guarded,
            announce=self._announce,
        )

    def _announce(self, listening: Sequence[Any]) -> None:
        self.announced.append([host for _, host in listening])

    def start(self) -> None:
        """As C{twistd} does."""
        self.service.privilegedStartService()
        self.service.startService()

    def accepts(self, number: int = 0) -> bool:
        port = self.endpoints[number].port
        return port is not None and port.factory.buildProtocol(None) is not None


OTHER = IPv4Address("TCP", "127.0.0.2", 3129)
LONGEST = IPv4Address("TCP", "198.151.100.200", 65535)
BUSY = CannotListenError("127.0.0.1", 3128, OSError(98, "Address already in use"))


@pytest.mark.parametrize("privileged", [True, False])
def test_listensThenRunsThenAnnounces(privileged: bool) -> None:
    """twistd binds while it has its privileges; twist only starts services."""
    setting = Setting(LOOPBACK, OTHER)
    if privileged:
        setting.service.privilegedStartService()
        assert setting.happened == ["listen 3128", "listen 3129"]
        assert setting.announced == []
    setting.service.startService()
    assert setting.happened == ["listen 3128", "listen 3129", "start proxy"]
    assert setting.announced == [[LOOPBACK, OTHER]]
    assert setting.accepts(0) and setting.accepts(1)


def test_proxyIsToldWhereItListens() -> None:
    """[TU-12] Only so can it refuse to dial itself."""
    setting = Setting(LOOPBACK, OTHER)
    setting.start()
    assert setting.proxy.listeners == [LOOPBACK, OTHER]


def test_stopClosesThePortsFirst() -> None:
    setting = Setting(LOOPBACK, OTHER)
    setting.start()
    setting.happened.clear()
    done: list[None] = []
    setting.service.stopService().addCallback(done.append)
    assert setting.happened == ["close 3128", "close 3129", "stop proxy"]
    assert done == [None]
    assert not setting.service.running


def test_mayBeStartedAgain() -> None:
    setting = Setting(LOOPBACK)
    setting.start()
    setting.service.stopService()
    setting.happened.clear()
    setting.start()
    assert setting.happened == ["listen 3128", "start proxy"]


@pytest.mark.parametrize("host", [ANYWHERE, IPv6Address("TCP", "::", 3128)])
def test_unguardedOpenListenerStopsTheStart(
    host: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing accepted, every port closed, one line, status 1."""
    setting = Setting(LOOPBACK, host)
    with pytest.raises(SystemExit) as caught:
        setting.service.privilegedStartService()
    assert caught.value.code == 1
    assert sorted(setting.happened) == sorted(
        ["listen 3128", "listen 3128", "close 3128", "close 3128"]
    )
    assert not setting.accepts(1)
    assert setting.connections.through == 0
    said = capfd.readouterr().err
    assert said.startswith("txconnect: refusing to start: ")
    assert shownAddress(host) in said and "--auth" in said and "--open-proxy" in said
    assert said.count("\n") == 1


def test_balancersClientsAreNotLocal(capfd: pytest.CaptureFixture[str]) -> None:
    """[T15] Only the balancer is on loopback; whom it forwards may be anywhere."""
    setting = Setting(LOOPBACK, forwarded=True)
    with pytest.raises(SystemExit):
        setting.service.privilegedStartService()
    assert not setting.accepts()
    said = capfd.readouterr().err
    assert "--auth" in said and "--open-proxy" in said
    assert "listen on 127.0.0.1" not in said
    setting = Setting(LOOPBACK, forwarded=True, guarded=True)
    setting.start()
    assert setting.accepts()


@pytest.mark.parametrize(
    ("description", "forwarded"),
    [
        ("haproxy:tcp:3128:interface=127.0.0.1", True),
        ("haproxy:unix:sock", True),
        ("3128", False),
        ("unix:haproxy", False),
    ],
)
def test_whichListenersAreForwarded(description: str, forwarded: bool) -> None:
    listener = parseListener(MemoryReactor(), description)
    assert listener.forwarded is forwarded
    assert listener.isLocal(LOOPBACK) is not forwarded


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"guarded": True}, id="passwords are asked, or --open-proxy"),
        pytest.param({"certified": True}, id="a client certificate is required"),
    ],
)
def test_guardedListenersMayBeOpen(arguments: dict[str, bool]) -> None:
    setting = Setting(ANYWHERE, **arguments)
    setting.start()
    assert setting.announced == [[ANYWHERE]]
    assert setting.accepts()


def test_nothingIsAcceptedBeforeTheJudgement() -> None:
    """An endpoint that listens late may accept before it says where."""
    later: Deferred[Any] = Deferred()
    setting = Setting(later, foreground=False)
    setting.start()
    assert setting.announced == []
    assert not setting.accepts()
    later.callback(LOOPBACK)
    assert setting.announced == [[LOOPBACK]]
    assert setting.accepts()


def test_gatePassesStartAndStopOn() -> None:
    setting = Setting(LOOPBACK)
    setting.start()
    port = setting.endpoints[0].port
    assert port is not None
    port.factory.doStart()
    assert setting.connections.numPorts == 1
    port.factory.doStop()
    assert setting.connections.numPorts == 0


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (BUSY, "cannot listen on 127.0.0.1:3128: Address already in use"),
        (
            CannotListenError("", 80, PermissionError(13, "Permission denied")),
            "cannot listen on *:80: Permission denied",
        ),
        (
            CannotListenError("::1", 80, OSError(99, "Cannot assign address")),
            "cannot listen on [::1]:80: Cannot assign address",
        ),
        (
            CannotListenError(None, b"/run/s", "Cannot acquire lock"),
            "cannot listen on unix:/run/s: Cannot acquire lock",
        ),
        (
            OverflowError("port must be 0-65535."),
            "cannot listen on e1: port must be 0-65535.",
        ),
        (OSError(9, "Bad file descriptor"), "cannot listen on e1: Bad file descriptor"),
        # Its own sentence names what it is about.
        (ConfigurationError("no such thing"), "cannot listen: no such thing"),
    ],
)
def test_cannotListenIsOneLineAndStatusOne(
    error: Exception, line: str, capfd: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    """[F21] In the foreground; and the file with our pid does not stay behind."""
    pidfile = tmp_path / "twistd.pid"
    pidfile.write_text("1")
    setting = Setting(LOOPBACK, error, pidfile=str(pidfile))
    with pytest.raises(SystemExit) as caught:
        setting.service.privilegedStartService()
    assert caught.value.code == 1
    assert capfd.readouterr().err == f"txconnect: {line}\n"
    assert "close 3128" in setting.happened
    assert not pidfile.exists()


def test_daemonRaisesTheAddressAndTheReasonFirst() -> None:
    """A SystemExit there leaves the parent waiting; twistd shows ~98 octets."""
    for outcome, short in [
        (BUSY, "127.0.0.1:3128: Address already in use"),
        (ANYWHERE, "0.0.0.0:3128: needs --auth or --open-proxy"),
        (LONGEST, "198.151.100.200:65535: needs --auth or --open-proxy"),
    ]:
        setting = Setting(outcome, foreground=False)
        with pytest.raises(CannotStart) as caught:
            setting.service.privilegedStartService()
        assert str(caught.value) == short
        shown = f"{CannotStart.__module__}.CannotStart: {short}"
        assert len(shown) <= 98


def test_daemonsCallerGetsTheLine(tmp_path: Any) -> None:
    """[F21] As in the foreground; the log has one line, and no traceback."""
    pidfile = tmp_path / "twistd.pid"
    pidfile.write_text("1")
    setting = Setting(BUSY, foreground=False)
    lines: list[str] = []
    ending = Exit(setting.reactor, False, "twistd x", str(pidfile), lines.append)
    setting.service._exit = ending
    with logging() as logged, pytest.raises(SystemExit) as caught:
        setting.service.privilegedStartService()
    assert caught.value.code == 1
    reason = "cannot listen on 127.0.0.1:3128: Address already in use"
    assert lines == [f"twistd x: {reason}\n"]
    assert [formatEvent(each) for each in logged.events] == [reason]
    assert "log_failure" not in logged.events[0]
    assert not pidfile.exists()


@pytest.mark.parametrize("foreground", [True, False])
def test_listeningThatFailsLateStopsTheReactor(
    foreground: bool,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line, and status 1 once all has been shut down."""
    left: list[int] = []
    monkeypatch.setattr("os._exit", left.append)
    later: Deferred[Any] = Deferred()
    setting = Setting(LOOPBACK, later, foreground=foreground)
    setting.start()
    later.errback(Failure(BUSY))
    assert setting.reactor.hasStopped
    line = "txconnect: cannot listen on 127.0.0.1:3128: Address already in use\n"
    assert capfd.readouterr().err == (line if foreground else "")
    assert setting.announced == []
    assert left == []
    for trigger, arguments, keywords in setting.reactor.triggers["after"]["shutdown"]:
        trigger(*arguments, **keywords)
    assert left == [1]


def test_stopWhileStillBinding() -> None:
    """A port that comes after the stop is closed again."""
    later: Deferred[Any] = Deferred(canceller=lambda _: None)
    never: Deferred[Any] = Deferred()
    setting = Setting(later, never)
    setting.start()
    setting.service.stopService()
    port = setting.endpoints[0].port
    assert port is not None
    if not later.called:
        later.callback(LOOPBACK)
    assert not setting.accepts()
    assert setting.announced == []
    assert "stop proxy" in setting.happened


def test_pluginThatCannotStartIsOneLine(capfd: pytest.CaptureFixture[str]) -> None:
    """A log that cannot be opened, say; no thread is left to wait for."""
    setting = Setting(LOOPBACK, trouble=PermissionError(13, "Permission denied", "/x"))
    with pytest.raises(SystemExit) as caught:
        setting.start()
    assert caught.value.code == 1
    assert capfd.readouterr().err == (
        "txconnect: cannot start: [Errno 13] Permission denied: '/x'\n"
    )
    assert setting.happened[-2:] == ["close 3128", "stop proxy"]


# The limit of descriptors


@pytest.mark.parametrize(
    ("limits", "asked"),
    [((1024, 4096), [(4096, 4096)]), ((4096, 4096), [])],
)
def test_softLimitOfDescriptorsIsRaised(
    limits: tuple[int, int],
    asked: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda which, both: calls.append(both))
    raiseDescriptorLimit()
    assert calls == asked


def test_limitThatCannotBeRaisedIsAWarning(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []

    class Log:
        def warn(self, text: str, **values: Any) -> None:
            warnings.append(text.format(**values))

    def refuse(which: int, both: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr("txconnect.listening.service._log", Log())
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    raiseDescriptorLimit()
    assert warnings == [
        "The limit of open descriptors stays at 1024: not allowed to raise maximum limit"
    ]


def test_standardEndpointsAreStillUnderstood() -> None:
    """What is not ours is handed to Twisted as it is."""
    reactor = MemoryReactor()
    for text in ("tcp:3128:interface=127.0.0.1", "unix:/run/s:mode=600"):
        ours = parseListener(reactor, text).endpoint
        assert type(ours) is type(serverFromString(reactor, text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tpc:3128", "Unknown endpoint type: 'tpc'; did you mean tcp:?"),
        ("proxytsl:1", "Unknown endpoint type: 'proxytsl'; did you mean proxytls:?"),
        (
            "tcp:3128:interfac=::1",
            "got an unexpected keyword argument 'interfac'; did you mean interface=?",
        ),
        ("zzz:1", "Unknown endpoint type: 'zzz'"),
        ("tcp:x", "'x' is no number"),
        (
            ":3128",
            "Unknown endpoint type: ''; did you mean tcp:3128 (all addresses) or 3128 "
            "(this machine)?",
        ),
        (
            "*:80",
            "Unknown endpoint type: '*'; did you mean tcp:80 (all addresses) or 80 "
            "(this machine)?",
        ),
    ],
)
def test_wrongEndpointGetsTheNearest(text: str, reason: str) -> None:
    """[F28] A kind and a key, whole lines."""
    with pytest.raises(ConfigurationError) as caught:
        parseListener(MemoryReactor(), text)
    assert str(caught.value) == (
        f"--listen {text!r} is no endpoint: {reason} (write such as "
        "tcp:3128:interface=127.0.0.1, or 127.0.0.1:3128)"
    )
