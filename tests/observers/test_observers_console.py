"""The console's lines, as a newcomer sees them."""

from __future__ import annotations

import io
import time
from typing import Any

import attrs
import pytest
from test_observers_lines import CLIENT, CLOSED, NOW, REFUSED, REQUEST, TUNNEL, UNPARSED
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.logger import Logger
from zope.interface.verify import verifyObject

from txconnect.interfaces import ITrafficObserver
from txconnect.observers import terminal
from txconnect.observers.console import ConsoleLog, octetsText, secondsText
from txconnect.values import Attempted, Cause, Closed, Identity, TunnelEstablished

ANONYMOUS = attrs.evolve(REQUEST, identity=None)


def line(event: Any) -> str:
    written: list[str] = []
    ConsoleLog(written.append, lambda: NOW).observe(event)
    (text,) = written
    clock = time.strftime("%Y-%m-%d %H:%M:%S ", time.localtime(NOW))
    assert text.startswith(clock) and text.endswith("\n") and text.count("\n") == 1
    return text[len(clock) : -1]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            TunnelEstablished(attrs.evolve(TUNNEL, request=ANONYMOUS)),
            "open   7f3a-1 127.0.0.1 -> example.com:443 [93.184.215.14]  "
            "look-up 11 ms  connect 24 ms",
        ),
        (
            TunnelEstablished(TUNNEL),
            "open   7f3a-1 alice@127.0.0.1 -> example.com:443 [93.184.215.14]  "
            "look-up 11 ms  connect 24 ms",
        ),
        (
            TunnelEstablished(
                attrs.evolve(TUNNEL, address=None, route="parent", lookupSeconds=0.0)
            ),
            "open   7f3a-1 alice@127.0.0.1 -> example.com:443  by parent  connect 24 ms",
        ),
        (
            CLOSED,
            "close  7f3a-1 alice@127.0.0.1 -> example.com:443  up 1.1 kB  down 5.6 kB  "
            "0.31 s  client closed",
        ),
        (
            REFUSED,
            "refuse 7f3a-2 127.0.0.1 -> example.com:443  403 networks: 10.0.0.5 is "
            "private-use (10.0.0.0/8)",
        ),
        (
            attrs.evolve(
                REFUSED,
                notes=(
                    "networks: dropped 10.0.0.5: 10.0.0.5 is private-use (10.0.0.0/8)",
                    "networks: dropped 10.0.0.6: not today",
                    "mine: dropped 10.0.0.5: private-use",
                ),
            ),
            "refuse 7f3a-2 127.0.0.1 -> example.com:443  403 networks: 10.0.0.5 is "
            "private-use (10.0.0.0/8)  (networks: dropped 10.0.0.6: not today; mine: "
            "dropped 10.0.0.5: private-use)",
        ),
        (UNPARSED, "refuse 7f3a-3 ? -> ?  400 malformed-request: no"),
        (
            attrs.evolve(UNPARSED, client=IPv6Address("TCP", "::1", 5)),
            "refuse 7f3a-3 ::1 -> ?  400 malformed-request: no",
        ),
        (
            attrs.evolve(UNPARSED, client=UNIXAddress("/run/proxy")),
            "refuse 7f3a-3 unix -> ?  400 malformed-request: no",
        ),
        (
            attrs.evolve(UNPARSED, cause=Cause.CLIENT_LEFT, client=CLIENT),
            "refuse 7f3a-3 127.0.0.1 -> ?  malformed-request: no",
        ),
        (
            attrs.evolve(
                UNPARSED, attempted=Attempted("", "GET", "http://packages.example/")
            ),
            "refuse 7f3a-3 ? -> GET http://packages.example/  400 malformed-request: no",
        ),
        (
            attrs.evolve(REFUSED, attempted=Attempted("alice"), notes=("Host: odd",)),
            "refuse 7f3a-2 127.0.0.1 -> example.com:443  403 networks: 10.0.0.5 is "
            'private-use (10.0.0.0/8)  (as "alice")  (Host: odd)',
        ),
    ],
)
def test_lines(event: Any, text: str) -> None:
    """
    [F28] One line a tunnel opened, closed or refused, with the user where it is
    known, behind the local date and time; [F12] a user that nothing proves is in
    quotes; nothing is said twice.
    """
    assert line(event) == text


def test_logHasADateOfItsOwn(monkeypatch: pytest.MonkeyPatch) -> None:
    """[F28] In a daemon's log, which writes the date, a line has no second one."""
    events: list[Any] = []
    monkeypatch.setattr(terminal, "_log", Logger(observer=events.append))
    console = ConsoleLog(None, lambda: NOW)
    console.useWriter(terminal.logLine)
    console.observe(CLOSED)
    (event,) = events
    assert event["line"].startswith("close  7f3a-1 alice@")


def test_writerIsTheFirstThatIsGiven() -> None:
    """A console that was given a function keeps it."""
    own: list[str] = []
    console = ConsoleLog(own.append)
    console.useWriter(lambda line: None)
    console.observe(CLOSED)
    assert len(own) == 1


def test_standardOutputByDefault(monkeypatch: pytest.MonkeyPatch) -> None:
    """[F17] Who asks for it by name in a program of their own sees lines."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.__stdout__", stream)
    console = ConsoleLog.fromItems()
    console.observe(CLOSED)
    console.observe(REFUSED)
    assert stream.getvalue().count("\n") == 2


def test_hostileText() -> None:
    """What came from outside cannot write lines of its own. [T16]"""
    asked = attrs.evolve(REQUEST, identity=Identity("a\r\nb\x1b[2J", "file"))
    text = line(attrs.evolve(REFUSED, request=asked, reason="x\n" * 999, rule="\x00"))
    assert text.isascii() and text.isprintable()
    assert "a\\r\\nb\\x1b[2J@127.0.0.1" in text
    assert len(text) < 1000
    text = line(
        attrs.evolve(
            UNPARSED,
            attempted=Attempted('"\n\x1b' * 999, "\r\n" * 99, "\x1b[2J" * 999),
            notes=("\x1b\n" * 999,) * 99,
        )
    )
    assert text.isascii() and text.isprintable()
    assert len(text) < 4000


def test_hostileAddress() -> None:
    """Nor can what stands for an address in a balancer's PROXY header. [T16]"""
    client = IPv4Address("TCP", "1\n\x1b[2J" + "9" * 999, 1)
    for event in (
        attrs.evolve(UNPARSED, client=client),
        attrs.evolve(REFUSED, client=client),
        TunnelEstablished(
            attrs.evolve(TUNNEL, request=attrs.evolve(REQUEST, client=client))
        ),
    ):
        text = line(event)
        assert text.isascii() and text.isprintable()
        assert "1\\n\\x1b[2J999" in text
        assert "9" * 64 not in text


def test_everyEndHasWords() -> None:
    """Each way for a tunnel to end reads differently."""
    texts = {line(attrs.evolve(CLOSED, reason=reason)) for reason in Closed}
    assert len(texts) == len(Closed)


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (5600, "5.6 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1_500_000, "1.5 MB"),
        (2 * 10**9, "2.0 GB"),
        (3 * 10**12, "3.0 TB"),
        (3 * 10**15, "3000.0 TB"),
    ],
)
def test_size(octets: int, text: str) -> None:
    """Sizes for people."""
    assert octetsText(octets) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 s"),
        (0.31, "0.31 s"),
        (9.99, "9.99 s"),
        (9.996, "10 s"),
        (59.6, "60 s"),
        (119.4, "119 s"),
        (119.6, "2 min"),
        (7140, "119 min"),
        (7200, "2 h 0 min"),
        (11100, "3 h 5 min"),
    ],
)
def test_span(seconds: float, text: str) -> None:
    """Lengths of time for people."""
    assert secondsText(seconds) == text


def test_interface() -> None:
    """It keeps its interface's contract."""
    assert verifyObject(ITrafficObserver, ConsoleLog(lambda text: None))
