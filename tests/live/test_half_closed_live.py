"""
Clients that send FIN right behind their head: scripts with netcat, ncat, socat and
bare sockets, by each way through the real command; and the watch for their reset.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from certificates import CertificateAuthority
from halfclosepromises import *  # noqa: F403 - the tests themselves
from halfclosepromises import Undecided, halfClosed
from kernelrig import KernelRig
from loopback import ESTABLISHED, Deaf, Server, afterTheEnd, readAll, reset
from proxyprocess import DEADLINE, DENIED, ProxyProcess, environment, eventually
from relaypromises import MakeRig, noise
from rig import connect
from test_kernel_pairs import Pairs
from test_tunnels import connected, head

from txconnect.tunnel.kernel.paired import PairedRelay
from txconnect.values import Cause, Named

# The promises, where a pair's halves are told of all


@pytest.fixture(params=["epoll", "asyncio", "uvloop"])
def makeRig(request: pytest.FixtureRequest) -> Iterator[MakeRig]:
    """Real sockets, and the kernel relay with a pair."""
    made: list[KernelRig] = []

    def make(chunk: Any = None, **arguments: Any) -> KernelRig:
        made.append(KernelRig(kind=request.param, pairFactory=Pairs(), **arguments))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


def test_aPairServes(makeRig: MakeRig) -> None:
    """What is promised above is promised of a pair on the kernel relay."""
    rig = makeRig()
    rig.tunnel()
    assert isinstance(rig.relay(), PairedRelay)


def test_resetBehindFin(makeRig: MakeRig) -> None:
    """[F04] [TU-05] Behind its FIN a client's reset still cancels the step."""
    rig, client, _, _ = halfClosed(makeRig, b"early")
    client.abort()
    rig.assertOver()
    assert [each.cause for each in rig.events.refused] == [Cause.CLIENT_LEFT]
    assert len(rig.proxy.halfClosed) == 0


def test_endsBehindMuchEarlyData(makeRig: MakeRig) -> None:
    """[F04] A FIN that waits behind more early data than is read counts as any other:
    nobody gets around the bound by sending more."""
    router = Undecided()
    settings = {"halfClosedRequests": 1, "earlyDataLimit": 1000}
    rig = makeRig(routers=[Named("undecided", router)], settings=settings)
    destination = rig.serve()
    early = noise(100_000)
    clients = []
    for _ in range(2):
        clients.append(rig.client(connect() + early))
        rig.flush()
        clients[-1].end()
        rig.flush()
    assert len(rig.proxy.halfClosed) == 1
    assert clients[1].received.startswith(b"HTTP/1.1 503 refused: half-closed ")
    assert clients[1].closed
    assert [each.cause for each in rig.events.refused] == [Cause.HALF_CLOSED]
    # The other is served as if its octets had been read.
    del router.asked[1]
    router.answer()
    rig.flush()
    peer = destination.peers[-1]
    assert (peer.received, peer.ended) == (early, True)
    peer.end()
    rig.flush()
    assert clients[0].ended
    rig.assertOver()
    assert len(rig.proxy.halfClosed) == 0


def test_resetBehindFinAndMuchEarlyData(makeRig: MakeRig) -> None:
    """[F04] [TU-05] A reset behind such a FIN still cancels the step."""
    settings = {"earlyDataLimit": 1000}
    rig, client, _, _ = halfClosed(makeRig, noise(100_000), settings=settings)
    assert len(rig.proxy.halfClosed) == 1
    client.abort()
    rig.assertOver()
    assert [each.cause for each in rig.events.refused] == [Cause.CLIENT_LEFT]
    assert len(rig.proxy.halfClosed) == 0


@pytest.mark.parametrize(("room", "legs"), [(0, "sockets"), (1, "transports")])
def test_noRoomForTheRelayBehindFin(
    makeRig: MakeRig, monkeypatch: pytest.MonkeyPatch, room: int, legs: str
) -> None:
    """[F04] [T12] Where a leg cannot be watched, the client is still told so."""
    rig, client, _, router = halfClosed(makeRig, b"early", legs=legs)
    rig.watchesNoMore(monkeypatch, room)
    router.answer()
    rig.flush()
    assert client.received.startswith(b"HTTP/1.1 503 ")
    assert client.closed
    rig.assertOver()
    assert [each.cause for each in rig.events.refused] == [Cause.EXHAUSTED]


# Real clients

SENDING = {
    "nc": ["nc", "-N"],
    "ncat": ["ncat"],
    "socat": ["socat", "-t60", "-"],
}


def answerTo(
    name: str, proxy: ProxyProcess, typed: bytes, directory: Path, program: Any
) -> bytes:
    """Return the answer to octets that a program sends, and FIN behind them."""
    command = [program(name), *SENDING[name][1:]]
    port = str(proxy.port)
    place = [f"TCP:127.0.0.1:{port}"] if name == "socat" else ["127.0.0.1", port]
    done = subprocess.run(
        [*command, *place],
        env=environment(directory),
        input=typed,
        capture_output=True,
        timeout=DEADLINE,
    )
    return done.stdout


def talk(client: socket.socket, data: bytes) -> bytes:
    """Send octets and FIN, and return all that comes."""
    with client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return readAll(client)


@pytest.mark.parametrize("payload", [b"", b"early words"], ids=["head", "payload"])
@pytest.mark.parametrize("name", SENDING)
def test_programsThatEndAtOnce(
    name: str,
    payload: bytes,
    plain: ProxyProcess,
    tmp_path: Path,
    program: Callable[[str], str],
) -> None:
    """[F04] [TU-03] A request from a pipe: 200, and the answer of a destination that
    waits for the end."""
    with Server(afterTheEnd) as server:
        typed = head(server.authority) + payload
        answer = answerTo(name, plain, typed, tmp_path, program)
    assert answer == ESTABLISHED + b"you said " + payload
    record = plain.told(event="closed", authority=server.authority)
    assert (record["closed"], record["up"]) == ("client", len(payload))


@pytest.mark.parametrize("name", SENDING)
def test_programsAreToldWhy(
    name: str,
    plain: ProxyProcess,
    guarded: ProxyProcess,
    tmp_path: Path,
    program: Callable[[str], str],
) -> None:
    """[F04] They are sent each refusal, as anybody is."""
    with Server(afterTheEnd) as gone:
        pass
    asked = head(f"{DENIED}:443"), head(gone.authority) + b"early"
    answers = [answerTo(name, plain, each, tmp_path, program) for each in asked]
    answers.append(answerTo(name, guarded, head("x.example:443"), tmp_path, program))
    assert [answer[9:12] for answer in answers] == [b"403", b"502", b"407"]
    assert all(b"\r\n\r\n" in answer for answer in answers)


# By each way

WAYS = {
    "kernel": [],
    "transport": ["--relay", "transport"],
    "workers": ["--workers", "2"],
    "unix": [],
}


@pytest.mark.parametrize("way", WAYS)
def test_everyWay(way: str, tmp_path: Path) -> None:
    """[F04] Both relays, workers, and a C{unix:} listener."""
    arguments = list(WAYS[way])
    if way == "unix":
        arguments += ["--listen", "unix:socket"]
    proxy = ProxyProcess(tmp_path, arguments)
    try:
        with Server(afterTheEnd) as server:
            if way == "unix":
                client = socket.socket(socket.AF_UNIX)
                client.settimeout(DEADLINE)
                client.connect(str(tmp_path / "socket"))
            else:
                client = connected(proxy)
            answer = talk(client, head(server.authority) + b"words")
            refusal = talk(connected(proxy), head(f"{DENIED}:443"))
        assert answer == ESTABLISHED + b"you said words"
        assert refusal.startswith(b"HTTP/1.1 403 ")
    finally:
        proxy.kill()


def test_throughParents(plain: ProxyProcess, tmp_path: Path) -> None:
    """[F04] FIN goes on through a parent, and the parent's refusal comes back."""
    route = ["--route", f"http://{plain.address}"]
    proxy = ProxyProcess(tmp_path, route)
    try:
        with Server(afterTheEnd) as server:
            answer = talk(connected(proxy), head(server.authority) + b"words")
        assert answer == ESTABLISHED + b"you said words"
        with Server(afterTheEnd) as gone:
            pass
        refusal = talk(connected(proxy), head(gone.authority))
        assert refusal.startswith(b"HTTP/1.1 502 ")
    finally:
        proxy.kill()


# TLS


class Secure:
    """A proxy with a TLS listener, and clients that end with C{close_notify}."""

    def __init__(
        self, directory: Path, authority: CertificateAuthority, *arguments: str
    ) -> None:
        issued = authority.server()
        listen = f"ssl:0:privateKey={issued.key}:certKey={issued.certificate}"
        listen += ":interface=127.0.0.1"
        self.proxy = ProxyProcess(directory, ["--listen", listen, *arguments])
        eventually("it speaks TLS", lambda: "https://" in self._said(directory))
        self._trust = ssl.create_default_context(cafile=str(authority.certificate))

    def _said(self, directory: Path) -> str:
        return (directory / "output").read_text()

    def connected(self) -> ssl.SSLSocket:
        """Return a connection whose handshake is over."""
        address = ("127.0.0.1", self.proxy.securePort)
        client = socket.create_connection(address, DEADLINE)
        return self._trust.wrap_socket(client, server_hostname="localhost")

    def talk(self, data: bytes) -> bytes:
        """Send octets and C{close_notify} in one piece, and return all that comes."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._trust.wrap_bio(incoming, outgoing, server_hostname="localhost")
        address = ("127.0.0.1", self.proxy.securePort)
        with socket.create_connection(address, DEADLINE) as client:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    client.sendall(outgoing.read())
                    incoming.write(client.recv(65536))
            tls.write(data)
            with pytest.raises(ssl.SSLWantReadError):
                tls.unwrap()
            client.sendall(outgoing.read())
            incoming.write(readAll(client))
        read = b""
        with suppress(ssl.SSLZeroReturnError, ssl.SSLWantReadError):
            while piece := tls.read(65536):
                read += piece
        return read


@pytest.fixture
def secure(
    tmp_path: Path, authority: CertificateAuthority
) -> Iterator[Callable[..., Secure]]:
    """Makes a L{Secure} with further arguments."""
    made: list[Secure] = []

    def make(*arguments: str) -> Secure:
        made.append(Secure(tmp_path, authority, *arguments))
        return made[-1]

    yield make
    for each in made:
        try:
            each.proxy.end()
        finally:
            each.proxy.kill()


def test_closeNotifyAheadOfTheAnswer(secure: Callable[..., Secure]) -> None:
    """[F04] Over TLS, too: the 200, the early data, the end, and what comes back."""
    proxy = secure()
    with Server(afterTheEnd) as server:
        answer = proxy.talk(head(server.authority) + b"words")
    assert answer == ESTABLISHED + b"you said words"
    record = proxy.proxy.told(event="closed", authority=server.authority)
    assert (record["closed"], record["up"]) == ("client", 5)


def test_closeNotifyBehindTheAnswer(secure: Callable[..., Secure]) -> None:
    """[F04] Behind the 200 it ends the tunnel: nothing keeps it from Twisted there."""
    proxy = secure()
    with Server(afterTheEnd) as server, proxy.connected() as client:
        client.sendall(head(server.authority))
        assert client.recv(1000) == ESTABLISHED
        client.sendall(b"words")
        with suppress(OSError):
            client.unwrap()
        record = proxy.proxy.told(event="closed", authority=server.authority)
    assert (record["closed"], record["up"]) == ("client", 5)


def test_closeNotifyAheadOfARefusal(secure: Callable[..., Secure]) -> None:
    """[F04] Each refusal is sent ahead of our close_notify."""
    proxy = secure("--keep-after-challenge", "curl/")
    with Server(afterTheEnd) as gone:
        pass
    assert proxy.talk(head(f"{DENIED}:443")).startswith(b"HTTP/1.1 403 ")
    assert proxy.talk(head(gone.authority) + b"x").startswith(b"HTTP/1.1 502 ")


def test_tooManyOverTLS(secure: Callable[..., Secure]) -> None:
    """[F04] They are counted like any others."""
    proxy = secure("--half-closed-requests", "0")
    assert proxy.talk(head("a.example:443")).startswith(b"HTTP/1.1 503 ")


def test_closeNotifyIsLeaving(secure: Callable[..., Secure]) -> None:
    """[F04] [TU-05] Where ends are not carried, and in the middle of a head."""
    proxy = secure("--half-close", "close-both")
    with Deaf() as deaf:
        assert proxy.talk(head(f"127.0.0.1:{deaf.port}")) == b""
        assert proxy.talk(b"CONNECT a.exam") == b""

    def causes() -> list[str]:
        return [record["cause"] for record in proxy.proxy.records()[-2:]]

    eventually("both", lambda: causes() == ["client-left", "client-left"])


def test_socatOverTLS(
    secure: Callable[..., Secure], tmp_path: Path, program: Callable[[str], str]
) -> None:
    """[F04] As a script has it.  The end of one that comes behind the 200 ends a tunnel
    over TLS, and a dial on loopback may be the quicker: then another try counts."""
    port = secure().proxy.securePort

    def talk() -> bytes:
        with Server(afterTheEnd) as server:
            done = subprocess.run(
                [program("socat"), "-t60", "-", f"OPENSSL:127.0.0.1:{port},verify=0"],
                env=environment(tmp_path),
                input=head(server.authority) + b"words",
                capture_output=True,
                timeout=DEADLINE,
            )
        assert done.stdout.startswith(ESTABLISHED)
        return done.stdout.removeprefix(ESTABLISHED)

    eventually("an answer", lambda: talk() == b"you said words")


def test_aResetBehindFinCancelsTheDial(plain: ProxyProcess) -> None:
    """[F04] [TU-05] The dial of one that has ended goes on; its reset ends it."""
    with Deaf() as deaf:
        client = connected(plain)
        client.sendall(head(f"127.0.0.1:{deaf.port}"))
        client.shutdown(socket.SHUT_WR)
        # Ours, the client's, and the dial's.
        eventually("it dials", lambda: plain._more()["socket"] == 2)
        reset(client)
        record = plain.told(event="refused", authority=f"127.0.0.1:{deaf.port}")
    assert record["cause"] == "client-left"


def test_strangersThatEndAtOnce(plain: ProxyProcess) -> None:
    """[F04] One address's are bounded by the default: the 65th is refused at once."""
    with Deaf() as deaf:
        asked = head(f"127.0.0.1:{deaf.port}")
        clients = []
        for _ in range(64):
            clients.append(connected(plain))
            clients[-1].sendall(asked)
            clients[-1].shutdown(socket.SHUT_WR)
        eventually("all dial", lambda: plain._more()["socket"] == 128)
        assert talk(connected(plain), asked).startswith(b"HTTP/1.1 503 ")
        assert plain.told(event="refused")["cause"] == "half-closed"
        for client in clients:
            reset(client)
        eventually("all are gone", lambda: plain._more()["socket"] == 0)
