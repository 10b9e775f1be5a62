"""
Which relay serves: each row of the rule.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import tcp, unix
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from txconnect.testing import MemoryNetwork
from txconnect.tunnel.choice import kernelServes, makeNested
from txconnect.tunnel.kernel.socketleg import SocketLeg
from txconnect.tunnel.pair import ProxyClient, ProxyServer
from txconnect.tunnel.transport.leg import Leg


class Watching(ProxyServer):
    """Says that it does without the bytes."""

    kernelRelay = True


class Inheriting(Watching):
    """Says nothing itself."""


class Refusing(Watching):
    kernelRelay = False


class NoBool(Watching):
    kernelRelay = "yes"  # type: ignore[assignment]


class OfItsOwn(Protocol):
    """No subclass of ours; says so too."""

    kernelRelay = True


class Subclass(ProxyClient):
    pass


def made(kind: Any, **attributes: Any) -> Any:
    """An object of a class that opens sockets when it is called."""
    it = kind.__new__(kind)
    for name, value in attributes.items():
        setattr(it, name, value)
    return it


def patched(half: Any) -> Any:
    """A half of which one object sees bytes after all."""
    half.dataReceived = lambda data: None
    return half


class Writing:
    """A reactor that has these to write."""

    def __init__(self, *writers: Any) -> None:
        self._writers = list(writers)

    def getWriters(self) -> list[Any]:
        return self._writers


def leg(
    transport: Any, ended: bool = False, lost: bool = False, writing: bool = False
) -> Leg:
    """A leg that was connected by the reactor."""
    one = Leg()
    one.transport = transport
    if type(transport) is tcp.Client:
        transport.reactor = Writing(*([transport] if writing else []))
    if ended:
        one.readConnectionLost()
    if lost:
        one.connectionLost(Failure(ConnectionDone()))
    return one


PLAIN = made(tcp.Server)
SOCKET = made(SocketLeg)


@pytest.mark.parametrize(
    ("client", "leg", "pair", "serves"),
    [
        pytest.param(PLAIN, SOCKET, None, True, id="plain"),
        pytest.param(made(tcp.Server, TLS=True), SOCKET, None, False, id="TLS"),
        pytest.param(made(unix.Server), SOCKET, None, False, id="unix"),
        pytest.param(made(tcp.Client), SOCKET, None, False, id="client"),
        pytest.param(object(), SOCKET, None, False, id="stream"),
        pytest.param(PLAIN, leg(made(tcp.Client)), None, True, id="parent"),
        pytest.param(
            PLAIN, leg(made(tcp.Client, TLS=True)), None, False, id="parent, TLS"
        ),
        pytest.param(PLAIN, leg(object()), None, False, id="other transport leg"),
        pytest.param(
            PLAIN,
            leg(made(tcp.Client, disconnecting=True)),
            None,
            False,
            id="parent that is being left",
        ),
        pytest.param(
            PLAIN,
            leg(made(tcp.Client), ended=True),
            None,
            False,
            id="parent that has ended",
        ),
        pytest.param(
            PLAIN,
            leg(made(tcp.Client), lost=True),
            None,
            False,
            id="parent that is gone",
        ),
        pytest.param(
            PLAIN,
            leg(made(tcp.Client), writing=True),
            None,
            False,
            id="parent that has not taken its CONNECT",
        ),
        *(
            pytest.param(PLAIN, SOCKET, pair, serves, id=name)
            for name, pair, serves in [
                ("stock pair", (ProxyServer(), ProxyClient()), True),
                ("subclass", (ProxyServer(), Subclass()), False),
                ("says so", (Watching(), ProxyClient()), True),
                ("says so, beside a subclass", (Watching(), Subclass()), False),
                ("inherits it", (Inheriting(), ProxyClient()), False),
                ("takes it back", (Refusing(), ProxyClient()), False),
                ("says something", (NoBool(), ProxyClient()), False),
                ("of its own", (OfItsOwn(), OfItsOwn()), True),
                ("patched", (patched(ProxyServer()), ProxyClient()), False),
            ]
        ),
    ],
)
def test_whichRelayServes(client: Any, leg: Any, pair: Any, serves: bool) -> None:
    """Bytes that a pair wants, or that are not plain, are not the kernel's."""
    assert kernelServes(client, leg, pair) is serves


def test_withoutDescriptorsThereIsNoNestedEpoll() -> None:
    """A reactor that has no real descriptors watches none."""
    assert makeNested(MemoryNetwork()) is None
