"""
The command C{python -m benchmarks.taps}: the instructions that a tap takes.

A tunnel that begins with a ClientHello, and a round trip in one, are counted without a
tap, with C{sni}, which lets go after its verdict, and with a tap that stays and only
looks.  The counting is that of L{benchmarks.instructions}.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.callgrind import underCallgrind
from benchmarks.conditions import show
from benchmarks.connections import OneShot, Trips
from benchmarks.counting import FULL
from benchmarks.instructions import counts
from benchmarks.peers import Peer, txconnect
from benchmarks.surcharges import writeLooks
from benchmarks.units import ALLOWED, Unit

__all__ = ["HELLO", "UNITS", "main"]


def _helloOf(name: bytes, size: int) -> bytes:
    """Make a ClientHello of so many octets, by its padding (RFC 7685)."""

    def vector(length: int, content: bytes) -> bytes:
        return len(content).to_bytes(length) + content

    names = vector(2, vector(2, b"\0" + vector(2, name)))
    body = b"\3\3" + bytes(32) + vector(1, bytes(32)) + vector(2, bytes(32))
    fixed = 5 + 4 + len(body) + 2 + 2 + 2 + len(names) + 4
    extensions = b"\0\0" + names + b"\0\x15" + vector(2, bytes(size - fixed))
    body += vector(1, b"\0") + vector(2, extensions)
    return b"\x16\3\1" + vector(2, b"\1" + vector(3, body))


HELLO = _helloOf(b"127.0.0.1", 517)
"""As long as OpenSSL's; it names the destination of the benchmarks."""


class _Hello(OneShot):
    """Open, echo a ClientHello, close; over and over."""

    message = HELLO


class _HelloTrips(Trips):
    """A ClientHello, there and back, over and over in one tunnel."""

    message = HELLO


UNITS = (Unit("tunnel", _Hello, 64, 256), Unit("trip", _HelloTrips, 64, 2048))


def _subjects(directory: Path) -> dict[str, Peer]:
    options = {
        "no tap": (),
        "sni": ("--tap", "sni"),
        "looks": ("--tap", writeLooks(directory)),
    }
    return {
        name: Peer(name, sys.executable, txconnect(*more, ports=ALLOWED))
        for name, more in options.items()
    }


def main() -> int:
    """
    Count, and print the instructions of each unit.

    @return: 0, or 1 where something could not be counted.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        show("This needs valgrind.")
        return 1
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as directory:
        proxies = {
            name: (underCallgrind(peer, valgrind), sys.executable)
            for name, peer in _subjects(Path(directory)).items()
        }
        for one in counts(proxies, UNITS, FULL, failed):
            print(f"{one.proxy:8} {one.unit:8} {one.each:12,.0f}")
    for name, why in failed.items():
        print(f"INVALID: {name}: {why}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
