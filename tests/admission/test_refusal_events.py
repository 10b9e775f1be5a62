"""
The events of what strangers can cause without a request, and their lines.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rig import Rig, connect

from txconnect.linelimit import LINES, PERIOD
from txconnect.observers import AccessLog, ConsoleLog, Counters
from txconnect.plugins.functions import FunctionPolicy
from txconnect.testing import CHUNKS
from txconnect.values import Cause, Deny

SOCKS = b"\x05\x01\x00"


def flood(rig: Rig, times: int, octets: bytes = SOCKS) -> None:
    """Connect so often, each time with another protocol."""
    for _ in range(times):
        rig.client(octets).close()
    rig.flush()


def test_countsAreComplete(tmp_path: Path) -> None:
    """[F15] [T16] Logs have a few lines; every event is counted."""
    lines: list[str] = []
    counters = Counters()
    log = AccessLog(str(tmp_path / "log"))
    rig = Rig(observers=[ConsoleLog(lines.append), counters, log])
    flood(rig, 40)
    assert len(lines) == LINES
    assert len((tmp_path / "log").read_text().splitlines()) == LINES
    assert counters.refusals["other-protocol"] == 40
    assert [each.quiet for each in rig.events.refused].count(True) == 40 - LINES


def test_theNextLineHasTheRest(tmp_path: Path) -> None:
    """[F15] In words, and as a number."""
    log = AccessLog(str(tmp_path / "log"))
    rig = Rig(observers=[log])
    flood(rig, LINES + 412)
    rig.network.advance(PERIOD + 1)
    flood(rig, 1)
    last = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    assert last["reason"].endswith(" (and 412 more like it in the last 61 s)")
    assert rig.events.refused[-1].leftOut == 412


def test_otherCausesHaveTheirOwn() -> None:
    """[F15] A flood of one hides no other, and no request."""
    rig = Rig()
    flood(rig, 20)
    flood(rig, 1, b"PRI * HTTP/2.0\r\n")
    flood(rig, 1, b"GET / HTTP/1.1\r\n\r\n")
    assert [each.quiet for each in rig.events.refused[-2:]] == [False, False]


def test_aPolicysRefusalIsNoStrangers() -> None:
    """[F15] Whatever cause it names: there is a request."""

    def refuse(request: Any) -> Deny:
        return Deny("no", Cause.OTHER_PROTOCOL)

    rig = Rig(policies=[FunctionPolicy("mine", "Refuses.", refuse)])
    for _ in range(2 * LINES):
        rig.client(connect()).close()
    assert not any(each.quiet for each in rig.events.refused)


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), "TLS"),
        (SOCKS, "SOCKS 5"),
        (b"\x04\x01\x01\xbb\x5d\xb8\xd8\x22\x00", "SOCKS 4"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 5 443\r\n" + connect(), "a PROXY header"),
        (b"\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0c", "a PROXY header"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2"),
    ],
)
def test_namesOfProtocols(chunk: Any, octets: bytes, name: str) -> None:
    """[F15] In the reason, with the client's address; one event, however cut."""
    rig = Rig(chunk=chunk)
    client = rig.client(octets)
    client.close()
    rig.assertOver()
    (event,) = rig.events.events
    assert f"this looks like {name}" in event.reason  # type: ignore[union-attr]
    assert str(event.client.host) == "127.0.0.1"  # type: ignore[union-attr]
