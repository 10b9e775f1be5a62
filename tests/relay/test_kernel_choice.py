"""
Which relay serves: each row of the rule.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import tcp, unix
from twisted.internet.protocol import Protocol

from txconnect.relay.choice import kernelServes, makeNested
from txconnect.relay.leg import Leg
from txconnect.relay.pair import ProxyClient, ProxyServer
from txconnect.relay.socketleg import SocketLeg
from txconnect.testing import MemoryNetwork


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


def tap(direction: Any, data: bytes) -> None:
    """Sees."""


PLAIN = made(tcp.Server)
SOCKET = made(SocketLeg)


@pytest.mark.parametrize(
    ("client", "leg", "taps", "pair", "serves"),
    [
        pytest.param(PLAIN, SOCKET, (), None, True, id="plain"),
        pytest.param(PLAIN, SOCKET, (tap,), None, False, id="tap"),
        pytest.param(made(tcp.Server, TLS=True), SOCKET, (), None, False, id="TLS"),
        pytest.param(made(unix.Server), SOCKET, (), None, False, id="unix"),
        pytest.param(made(tcp.Client), SOCKET, (), None, False, id="client"),
        pytest.param(object(), SOCKET, (), None, False, id="stream"),
        pytest.param(PLAIN, Leg(), (), None, False, id="transport leg"),
        *(
            pytest.param(PLAIN, SOCKET, (), pair, serves, id=name)
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
def test_whichRelayServes(
    client: Any, leg: Any, taps: Any, pair: Any, serves: bool
) -> None:
    """Bytes that somebody wants to see, or that are not plain, are not the kernel's."""
    assert kernelServes(client, leg, taps, pair) is serves


def test_withoutDescriptorsThereIsNoNestedEpoll() -> None:
    """A reactor that has no real descriptors watches none."""
    assert makeNested(MemoryNetwork()) is None
