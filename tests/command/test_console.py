"""
What a person at a terminal sees.
"""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.logger import ILogObserver, Logger, LogPublisher
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from txconnect import __version__
from txconnect.command.console import Terminal, Welcome, logObserver, makeLogObserver
from txconnect.listening import Listener

LOOPBACK = IPv4Address("TCP", "127.0.0.1", 3128)
ANYWHERE = IPv4Address("TCP", "0.0.0.0", 3128)


class Certified:
    """An endpoint that asks for certificates."""

    requiresClientCertificate = True


PLAIN: Any = Listener("tcp:3128", None)  # type: ignore[arg-type]
FORWARDED: Any = Listener("haproxy:tcp:1", None, forwarded=True)  # type: ignore[arg-type]
TLS: Any = Listener("ssl:3128", None, encrypted=True)  # type: ignore[arg-type]
CERTIFIED: Any = Listener("proxytls:3128", Certified(), encrypted=True)  # type: ignore[arg-type]


def test_fourLinesWithoutOptions() -> None:
    """Where it listens, who may, where to, what to try."""
    first, who, where, attempt = Welcome(reactor="EPollReactor").lines(
        [(PLAIN, LOOPBACK)]
    )
    assert first.startswith(f"txconnect {__version__} on http://127.0.0.1:3128  ")
    assert first.endswith(", epoll, 1 process)")
    assert who == (
        "  who   anyone on this machine (loopback only)"
        "        add users:  --auth htpasswd:users"
    )
    assert where == (
        "  where public addresses, port 443; private, link-local and metadata "
        "addresses refused"
    )
    assert attempt == "  try   curl -x http://127.0.0.1:3128 https://example.com/"


@pytest.mark.parametrize(
    ("listening", "checkers", "who"),
    [
        pytest.param(
            [(PLAIN, LOOPBACK)],
            ["file", "htpasswd"],
            "users that file or htpasswd knows",
            id="passwords",
        ),
        pytest.param(
            [(PLAIN, ANYWHERE)],
            [],
            "ANYONE who can reach it, as --open-proxy says",
            id="an open proxy says so",
        ),
        pytest.param(
            [(FORWARDED, LOOPBACK)],
            [],
            "ANYONE who can reach it, as --open-proxy says",
            id="behind a balancer",
        ),
        pytest.param(
            [(CERTIFIED, ANYWHERE)], [], "clients with a certificate", id="certificates"
        ),
        pytest.param(
            [(CERTIFIED, ANYWHERE), (PLAIN, LOOPBACK)],
            [],
            "anyone on this machine (loopback only), and clients with a certificate",
            id="both",
        ),
        pytest.param(
            [(PLAIN, LOOPBACK), (PLAIN, ANYWHERE)],
            [],
            "ANYONE who can reach it, as --open-proxy says",
            id="one open listener is enough",
        ),
    ],
)
def test_whoMayIsTheTruth(listening: Any, checkers: list[str], who: str) -> None:
    assert Welcome(checkers=checkers).lines(listening)[1] == "  who   " + who


def test_policiesThatStandAreNamed() -> None:
    lines = Welcome(["networks:public", "ports:any"]).lines([(PLAIN, LOOPBACK)])
    assert lines[2] == "  where what all of these allow:  networks:public  ports:any"


def test_routesAreSaid() -> None:
    """[TU-11] Where tunnels leave, and which policies cannot be asked there."""
    welcome = Welcome(
        routes=[("hosts:*.corp.example", "http://p:1|http://q:1"), ("", "direct")],
        unasked=["networks", "deny-hosts"],
    )
    lines = welcome.lines([(PLAIN, LOOPBACK)])
    assert lines[2].startswith("  where ")
    assert lines[3:-1] == [
        "  via   http://p:1|http://q:1  for what hosts:*.corp.example allows",
        "  via   direct  for everything else",
        "        a parent looks names up itself: networks, deny-hosts cannot judge "
        "their addresses there",
    ]
    assert lines[-1].startswith("  try ")
    one = Welcome(routes=[("", "direct")]).lines([(PLAIN, LOOPBACK)])
    assert one[3:-1] == ["  via   direct  for everything"]


@pytest.mark.parametrize(
    ("listener", "host", "checkers", "attempt"),
    [
        (PLAIN, ANYWHERE, [], "curl -x http://127.0.0.1:3128 https://example.com/"),
        (
            PLAIN,
            IPv6Address("TCP", "::", 80),
            ["file"],
            "curl -U USER -x http://[::1]:80 https://example.com/",
        ),
        (TLS, LOOPBACK, [], "curl -x https://127.0.0.1:3128 https://example.com/"),
        (
            CERTIFIED,
            LOOPBACK,
            [],
            "curl --proxy-cert CERT --proxy-key KEY -x https://127.0.0.1:3128 "
            "https://example.com/",
        ),
        (
            PLAIN,
            UNIXAddress(b"/run/s"),
            [],
            r"printf 'CONNECT example.com:443 HTTP/1.1\r\n"
            r"Host: example.com:443\r\n\r\n' | nc -U /run/s",
        ),
    ],
)
def test_whatToTryWouldWork(
    listener: Any, host: Any, checkers: list[str], attempt: str
) -> None:
    lines = Welcome(checkers=checkers).lines([(listener, host)])
    assert lines[3] == "  try   " + attempt


def test_everyListenerIsNamed() -> None:
    listening: Any = [(PLAIN, LOOPBACK), (PLAIN, UNIXAddress(b"/run/s"))]
    first = Welcome().lines(listening)[0]
    assert "on http://127.0.0.1:3128, unix:/run/s" in first


# The terminal


def test_terminalWritesWholeLines() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    terminal.write("one")
    terminal.write("two\n")
    assert stream.getvalue() == "one\ntwo\n"


def test_readerThatGoesAwayEndsTheLinesOnly(monkeypatch: pytest.MonkeyPatch) -> None:
    """C{txconnect | head -4} must not end any tunnel."""

    class Gone(io.StringIO):
        writes = 0

        def flush(self) -> None:
            self.writes += 1
            raise BrokenPipeError(32, "Broken pipe")

    events: list[Any] = []
    monkeypatch.setattr(Terminal, "_log", Logger(observer=events.append))
    stream = Gone()
    terminal = Terminal(stream)
    terminal.write("one")
    terminal.write("two")
    assert stream.writes == 1
    assert [event["log_level"].name for event in events] == ["warn"]


def test_readerThatDoesNotKeepUpLosesLines() -> None:
    """A full pipe must not stop the reactor; what is lost is counted."""
    reading, writing = os.pipe()
    # Not a hang but an exception, should a write to the full pipe be tried.
    os.set_blocking(writing, False)
    with open(reading, "rb", 0) as reader, open(writing, "w") as stream:
        terminal = Terminal(stream)
        terminal.write("first")
        assert reader.read(100) == b"first\n"
        filled = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                filled += os.write(writing, b"x" * 4096)
        for _ in range(3):
            terminal.write("lost")
        while filled:
            filled -= len(reader.read(filled))
        terminal.write("then")
        terminal.write("last")
        assert reader.read(1000) == b"(lines lost, nobody read them: 3)\nthen\nlast\n"


# The log of txconnect


def logged(namespace: str, level: str) -> str:
    """What becomes of one event."""
    stream = io.StringIO()
    log = Logger(namespace, observer=LogPublisher(makeLogObserver(stream)))
    getattr(log, level)("the {what}", what="words")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("namespace", "level", "shown"),
    [
        pytest.param("twisted.application.app.AppLogger", "info", False, id="boiler"),
        pytest.param("log_legacy", "info", False, id="Received SIGTERM"),
        pytest.param("txconnect.observers.counters", "info", True, id="our notices"),
        pytest.param("mypolicy", "info", True, id="a plugin's notices"),
        pytest.param("stdout", "info", True, id="a plugin's print"),
        pytest.param("mypolicy", "debug", False, id="details"),
        pytest.param("twisted.internet", "warn", True, id="warnings"),
        pytest.param("log_legacy", "critical", True, id="errors"),
    ],
)
def test_logKeepsBoilerplateAwayAndTroubleIn(
    namespace: str, level: str, shown: bool
) -> None:
    text = logged(namespace, level)
    assert ("the words\n" in text) is shown
    if level in ("warn", "critical"):
        assert f" {level} the words" in text


def test_logShowsTracebacks() -> None:
    stream = io.StringIO()
    log = Logger("x", observer=LogPublisher(makeLogObserver(stream)))
    log.failure("it broke", Failure(ValueError("because")))
    assert "critical it broke" in stream.getvalue()
    assert "ValueError: because" in stream.getvalue()


def test_logObserverIsWhatTwistdWants() -> None:
    assert verifyObject(ILogObserver, logObserver())
