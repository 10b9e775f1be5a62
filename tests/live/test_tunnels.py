"""
Tunnels through the real command by bare sockets and by netcat: who speaks
first, who ends first, early bytes, resets, and 100 MB each way at once.
"""

from __future__ import annotations

import hashlib
import socket
import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PASSWORD, USER
from loopback import (
    BANNER,
    ESTABLISHED,
    Load,
    Server,
    afterTheEnd,
    bannerThenEcho,
    digestOfAll,
    echo,
    endThenListen,
    exchange,
    readAll,
    readExactly,
    reset,
)
from proxyprocess import DEADLINE, DENIED, ProxyProcess, environment

BASIC = b64encode(f"{USER}:{PASSWORD}".encode())


def head(authority: str, *fields: bytes) -> bytes:
    """A CONNECT's head."""
    lines = [
        b"CONNECT %b HTTP/1.1" % authority.encode(),
        b"Host: " + authority.encode(),
    ]
    return b"\r\n".join([*lines, *fields, b"", b""])


def connected(proxy: ProxyProcess) -> socket.socket:
    """A connection to the proxy."""
    return socket.create_connection(("127.0.0.1", proxy.port), DEADLINE)


def tunnel(proxy: ProxyProcess, authority: str, *fields: bytes) -> socket.socket:
    """An established tunnel."""
    client = connected(proxy)
    client.sendall(head(authority, *fields))
    assert readExactly(client, len(ESTABLISHED)) == ESTABLISHED
    return client


# By sockets


def test_destinationSpeaksFirst(plain: ProxyProcess) -> None:
    """[H1-31] [T3] What stands behind the 200's blank line is the destination's."""
    with Server(bannerThenEcho) as server, connected(plain) as client:
        client.sendall(head(server.authority))
        expected = ESTABLISHED + BANNER
        assert readExactly(client, len(expected)) == expected
        client.sendall(b"EHLO")
        assert readExactly(client, 4) == b"EHLO"


@pytest.mark.parametrize("pieces", ["whole", "two", "bytes"])
def test_earlyData(plain: ProxyProcess, pieces: str) -> None:
    """[H1-17] [TU-07] [T1] Bytes sent with the head reach the destination, once
    and first."""
    with Server(afterTheEnd) as server, connected(plain) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        said = head(server.authority) + b"early, "
        step = {"whole": len(said), "two": len(said) - 4, "bytes": 1}[pieces]
        for begin in range(0, len(said), step):
            client.sendall(said[begin : begin + step])
        client.sendall(b"and late")
        assert readExactly(client, len(ESTABLISHED)) == ESTABLISHED
        client.shutdown(socket.SHUT_WR)
        assert readAll(client) == b"you said early, and late"


def test_endOfTheClientFirst(plain: ProxyProcess) -> None:
    """[TU-03] [T11] A destination that answers only after FIN is heard."""
    with Server(afterTheEnd) as server, tunnel(plain, server.authority) as client:
        client.sendall(b"all of it")
        client.shutdown(socket.SHUT_WR)
        assert readAll(client) == b"you said all of it"
    assert plain.told(event="closed", authority=server.authority)["closed"] == "client"


def test_endOfTheDestinationFirst(plain: ProxyProcess) -> None:
    """[TU-03] [T11] A client that goes on behind the destination's FIN is heard."""
    with Server(endThenListen) as server, tunnel(plain, server.authority) as client:
        assert readAll(client) == b"that is all"
        client.sendall(b"not for me")
        client.shutdown(socket.SHUT_WR)
        assert server.result() == b"not for me"
    assert (
        plain.told(event="closed", authority=server.authority)["closed"]
        == "destination"
    )


def test_resetOfTheDestination(plain: ProxyProcess) -> None:
    """[TU-04] [T11] A reset is passed on as a reset: what was cut off shows."""
    with Server(lambda one: reset(one) if one.recv(1) else None) as server:
        client = tunnel(plain, server.authority)
        client.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        client.close()
    assert (
        plain.told(event="closed", authority=server.authority)["closed"]
        == "destination-reset"
    )


def test_resetOfTheClient(plain: ProxyProcess) -> None:
    """[TU-04] [T11] So is the client's."""

    def resetSeen(connection: socket.socket) -> bool:
        try:
            return connection.recv(1) != b""
        except ConnectionResetError:
            return True

    with Server(resetSeen) as server:
        reset(tunnel(plain, server.authority))
        assert server.result() is True
    assert (
        plain.told(event="closed", authority=server.authority)["closed"]
        == "client-reset"
    )


@pytest.mark.parametrize(
    ("authority", "status", "cause"),
    [
        (f"{DENIED}:443", (403,), ("policy",)),
        ("nowhere.invalid:443", (502, 504), ("dns-error", "dns-timeout")),
        ("127.0.0.1:{gone}", (502,), ("connection-refused",)),
        ("127.0.0.1:{proxy}", (502,), ("loop",)),
        ("127.1:443", (400,), ("bad-target",)),
    ],
)
def test_refusals(
    plain: ProxyProcess, authority: str, status: tuple[int], cause: tuple[str]
) -> None:
    """[H1-33] [H1-35] [H1-36] [TU-12] [T15] Each refusal has its status, is read
    to its end, and what stood behind it is not looked at."""
    with Server(echo) as gone:
        pass
    authority = authority.format(gone=gone.port, proxy=plain.port)
    with connected(plain) as client:
        client.sendall(head(authority) + head(authority))
        answer = readAll(client)
    assert int(answer.split(b" ")[1]) in status
    assert answer.count(b"HTTP/1.1 ") == 1
    announced, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: %d\r\n" % len(body) in announced
    assert b"\r\nConnection: close\r\n" in announced + b"\r\n"
    (record,) = plain.records()
    assert (record["event"], record["cause"] in cause) == ("refused", True)


def test_bothWaysAtOnce(guarded: ProxyProcess) -> None:
    """[TU-01] [TU-06] [T16] 100 MB each way at the same time, by checksum, and
    counted to the byte."""
    up, down = Load(b"up"), Load(b"down")
    field = b"Proxy-Authorization: Basic " + BASIC
    with (
        Server(exchange(down)) as server,
        tunnel(guarded, server.authority, field) as client,
    ):
        sending = threading.Thread(target=up.send, args=(client,), daemon=True)
        sending.start()
        assert digestOfAll(client) == (down.size, down.digest)
        sending.join(DEADLINE)
        assert server.result() == (up.size, up.digest)
    record = guarded.told(event="closed", authority=server.authority, user=USER)
    assert (record["up"], record["down"]) == (up.size, down.size)


# By netcat


def netcat(
    program: Callable[[str], str], proxy: ProxyProcess, directory: Path, server: Server
) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """netcat through the proxy; -N ends its direction at the end of its input."""

    def run(**streams: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            [
                program("nc"),
                *("-N", "-X", "connect", "-x", proxy.address),
                *("127.0.0.1", str(server.port)),
            ],
            cwd=directory,
            env=environment(directory),
            stderr=subprocess.PIPE,
            timeout=DEADLINE,
            **streams,
        )

    return run


def test_netcatHearsABanner(
    plain: ProxyProcess, program: Callable[[str], str], tmp_path: Path
) -> None:
    """[H1-31] netcat is told the banner of a destination that speaks first."""
    with Server(bannerThenEcho) as server:
        run = netcat(program, plain, tmp_path, server)
        done = run(input=b"and I second", stdout=subprocess.PIPE)
    assert (done.stdout, done.stderr) == (BANNER + b"and I second", b"")


def test_netcatEndsFirst(
    plain: ProxyProcess, program: Callable[[str], str], tmp_path: Path
) -> None:
    """[TU-03] It hears what the destination answers to its FIN."""
    with Server(afterTheEnd) as server:
        run = netcat(program, plain, tmp_path, server)
        done = run(input=b"all of it", stdout=subprocess.PIPE)
    assert (done.stdout, done.stderr) == (b"you said all of it", b"")


def test_netcatBothWaysAtOnce(
    plain: ProxyProcess, program: Callable[[str], str], tmp_path: Path
) -> None:
    """[TU-01] 100 MB each way at the same time through netcat."""
    up, down = Load(b"nc up"), Load(b"nc down")
    given, got = up.write(tmp_path / "up"), tmp_path / "down"
    with Server(exchange(down)) as server:
        run = netcat(program, plain, tmp_path, server)
        with given.open("rb") as reading, got.open("wb") as writing:
            assert run(stdin=reading, stdout=writing).returncode == 0
        assert server.result() == (up.size, up.digest)
    with got.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == down.digest
