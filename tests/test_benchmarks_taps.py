"""
The load of the benchmark of taps.
"""

from __future__ import annotations

from benchmarks.taps import HELLO, UNITS
from txconnect.wire.clienthello import ClientHello, ClientHelloParser


def test_theLoadIsAClientHello() -> None:
    """[F54] It names the destination, so that C{sni} lets its tunnels go."""
    assert len(HELLO) == 517
    assert ClientHelloParser().feed(HELLO) == ClientHello("127.0.0.1")
    assert {unit.kind.message for unit in UNITS} == {HELLO}
