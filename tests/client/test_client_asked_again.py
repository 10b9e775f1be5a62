"""
A proxy that asks for credentials: who is asked, how often, and on which connection
the next CONNECT goes.
"""

from __future__ import annotations

from typing import Any

import pytest
from connectrig import ASKED, OK, PROXY, ClientRig
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectingCancelledError, ConnectionRefusedError

from txconnect.client.credentials import Basic, Bearer, Digest, ProxyAttempt
from txconnect.client.errors import (
    ProxyAuthenticationRequired,
    ProxyClosed,
    ProxyRefused,
    ProxyTimeout,
)
from txconnect.testing import CHUNKS

everyChunk = pytest.mark.parametrize("chunk", CHUNKS)

STAYS = (
    b"HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=x\r\n"
    b"Content-Length: 4\r\n\r\nbody"
)
CLOSES = STAYS.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
CHUNKED = (
    b"HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=x\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"
)
UNFRAMED = b"HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=x\r\n\r\nbody"


def request(value: bytes | None) -> bytes:
    """A CONNECT with this Proxy-Authorization."""
    if value is None:
        return ASKED + b"\r\n"
    return ASKED + b"Proxy-Authorization: " + value + b"\r\n\r\n"


class Asked:
    """
    Credentials that give one thing after the other.

    @ivar attempts: what was asked.
    """

    def __init__(self, *values: Any) -> None:
        self._values = list(values)
        self.attempts: list[ProxyAttempt] = []

    def __call__(self, attempt: ProxyAttempt) -> Any:
        self.attempts.append(attempt)
        value = self._values.pop(0)
        if isinstance(value, Exception):
            raise value
        return value


def test_firstRequest() -> None:
    """Credentials are asked before the first request, with nothing to answer."""
    asked = Asked(b"Basic dTpw")
    rig = ClientRig(credentials=asked)
    rig.connect()
    assert rig.peer.take() == request(b"Basic dTpw")
    [attempt] = asked.attempts
    assert (attempt.challenges, attempt.refused) == ((), ())
    assert (attempt.method, attempt.target) == (b"CONNECT", b"example.com:443")
    assert str(attempt.authority) == "example.com:443"


@everyChunk
@pytest.mark.parametrize("answer", [STAYS, CHUNKED])
def test_sameConnection(chunk: Any, answer: bytes) -> None:
    """[T4] A 407 that leaves the connection is followed by CONNECT on that one."""
    asked = Asked(None, b"Basic dTpw")
    rig = ClientRig(chunk, credentials=asked)
    rig.connect()
    assert rig.peer.take() == request(None)
    assert rig.says(answer) == request(b"Basic dTpw")
    assert rig.says(OK + b"banner") == b""
    assert rig.caller.heard == ["made", b"banner"]
    assert len(rig.proxy.peers) == 1
    assert [each.refused for each in asked.attempts] == [(), (None,)]
    [challenge] = asked.attempts[1].challenges
    assert challenge.scheme == "basic"


@everyChunk
@pytest.mark.parametrize(
    "answer",
    [
        CLOSES,
        STAYS.replace(b"HTTP/1.1", b"HTTP/1.0"),
        STAYS.replace(b": 4", b": 4\r\nContent-Length: 4"),
        CHUNKED.replace(b"bo\r\n", b"bo"),
        STAYS.replace(b": 4", b": 99999") + b"x" * 20_000,
    ],
)
@pytest.mark.parametrize("ends", [False, True])
def test_anotherConnection(chunk: Any, answer: bytes, ends: bool) -> None:
    """[T4] A 407 that closes, or whose end is in doubt, is followed by another."""
    rig = ClientRig(chunk, credentials=Asked(None, b"Basic dTpw"))
    rig.connect()
    first = rig.peer
    first.take()
    first.send(answer)
    if ends:
        first.end()
    rig.network.flush()
    if len(rig.proxy.peers) == 1:
        # Its framing says nothing of its end, and it does not close.
        rig.network.advance(5)
    assert first.take() == b"" and (first.reset or first.closed)
    assert rig.peer is not first and rig.peer.take() == request(b"Basic dTpw")
    rig.says(OK)
    assert rig.caller.heard == ["made"]
    assert (rig.factory.starts, rig.factory.stops) == (1, 0)


def test_moreThanWasAnnounced() -> None:
    """[T4] A connection on which something follows the 407 is not used again."""
    rig = ClientRig(credentials=Asked(None, b"Basic dTpw"))
    rig.connect()
    first = rig.peer
    first.take()
    first.send(STAYS + OK)
    rig.network.flush()
    assert first.take() == b"" and rig.peer is not first
    assert rig.outcome == []


@everyChunk
@pytest.mark.parametrize("how", ["stays", "end", "close"])
def test_unframed(chunk: Any, how: str) -> None:
    """[T4] [F62] A 407 that lasts until the close is followed by another connection
    at once: its head says all, and its end may never come."""
    rig = ClientRig(chunk, credentials=Asked(None, b"Basic dTpw"))
    rig.connect()
    first = rig.peer
    first.take()
    first.send(UNFRAMED)
    if how != "stays":
        getattr(first, how)()
    rig.network.flush()
    assert len(rig.proxy.peers) == 2 and (first.closed or first.reset)
    assert rig.peer.take() == request(b"Basic dTpw")
    assert rig.network.seconds() == 0


@everyChunk
def test_unframedAndFinal(chunk: Any) -> None:
    """[F62] One that is final fails at once, with the words of a 407."""
    rig = ClientRig(chunk, credentials=Asked(b"Basic dTpw", None))
    rig.connect()
    rig.peer.take()
    rig.says(UNFRAMED)
    error = rig.failed(ProxyAuthenticationRequired)
    assert str(error) == (
        "no tunnel to example.com:443 through 192.0.2.9:3128: the proxy answered 407 "
        "Auth; it refuses the credentials that were given"
    )
    assert rig.network.seconds() == 0


BASIC = b"Proxy-Authenticate: Basic realm=x\r\n"
OTHERS = b"Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n"


@pytest.mark.parametrize(
    ("credentials", "challenges", "said"),
    [
        (None, b"", "it wants credentials, and none were given"),
        (None, BASIC, "it wants credentials, and none were given: it takes Basic"),
        (
            Digest("u", "hunter2"),
            OTHERS,
            "it wants credentials, and none were given that it takes: it takes "
            "Negotiate, NTLM",
        ),
        (
            Basic("u", "hunter2"),
            BASIC,
            "it refuses the credentials that were given",
        ),
        (
            Basic("u", "hunter2"),
            OTHERS,
            "it refuses the credentials that were given: it takes Negotiate, NTLM",
        ),
        (
            Bearer("hunter2"),
            b"",
            "it refuses the credentials that were given",
        ),
        (
            lambda attempt: b"hunter2",
            BASIC,
            "it refuses the credentials that were given: it takes Basic",
        ),
    ],
)
def test_wordsOfA407(credentials: Any, challenges: bytes, said: str) -> None:
    """[F62] A wrong password is one that was given; no word of it is shown."""
    rig = ClientRig(credentials=credentials)
    rig.connect()
    answer = b"HTTP/1.1 407 Auth\r\nContent-Length: 0\r\n%b\r\n" % challenges
    for _ in range(3):
        if not rig.outcome:
            rig.says(answer)
    error = rig.failed(ProxyAuthenticationRequired)
    assert str(error).endswith(f": the proxy answered 407 Auth; {said}")
    assert "hunter2" not in f"{error}{error!r}{vars(error)}"


def test_lateInA407ThatMayBeAnswered() -> None:
    """[F62] At the deadline a 407 whose credentials could not be sent yet does not
    say that there were none."""
    rig = ClientRig(credentials=Asked(None, b"Basic dTpw"), timeout=2.0)
    rig.connect()
    rig.says(STAYS.replace(b": 4", b": 99"))
    rig.network.advance(2)
    error = rig.failed(ProxyTimeout)
    assert "still waiting for the rest of the proxy's refusal after 2 s" in str(error)


@everyChunk
@pytest.mark.parametrize("how", ["end", "close", "abort"])
def test_closesInSpiteOfItsPromise(chunk: Any, how: str) -> None:
    """[T4] A connection that was to stay, and does not, costs only another one."""
    rig = ClientRig(chunk, credentials=Asked(None, b"Basic dTpw"))
    rig.connect()
    rig.peer.take()
    rig.peer.send(STAYS)
    rig.network.flush()
    getattr(rig.peer, how)()
    rig.network.flush()
    assert len(rig.proxy.peers) == 2
    assert rig.peer.take() == request(b"Basic dTpw")
    getattr(rig.peer, how)()
    rig.network.flush()
    rig.failed(ProxyClosed)
    assert len(rig.proxy.peers) == 2


def test_closesWithinTheSecondAnswer() -> None:
    """[T2] Closing within an answer is no reason to ask once more."""
    rig = ClientRig(credentials=Asked(None, b"Basic dTpw"))
    rig.connect()
    rig.says(STAYS)
    rig.says(OK[:-2])
    rig.peer.close()
    rig.network.flush()
    rig.failed(ProxyClosed)
    assert len(rig.proxy.peers) == 1


@everyChunk
def test_threeTimes(chunk: Any) -> None:
    """Credentials are asked three times at most; the last answer is told."""
    asked = Asked(b"a x", b"a y", b"a z", b"a never")
    rig = ClientRig(chunk, credentials=asked)
    rig.connect()
    assert rig.peer.take() == request(b"a x")
    assert rig.says(STAYS) == request(b"a y")
    assert rig.says(CHUNKED) == request(b"a z")
    assert rig.says(STAYS.replace(b"body", b"last")) == b""
    error = rig.failed(ProxyAuthenticationRequired)
    assert error.body == b"last"
    assert [challenge.scheme for challenge in error.challenges] == ["basic"]
    assert asked.attempts[2].refused == (b"a x", b"a y")
    assert len(asked.attempts) == 3


def test_givesUp() -> None:
    """None after a 407 is the end, with that 407."""
    rig = ClientRig(credentials=Asked(b"a x", None))
    rig.connect()
    rig.says(STAYS)
    error = rig.failed(ProxyAuthenticationRequired)
    assert (error.status, error.body) == (407, b"body")


def test_noCredentials() -> None:
    """Without credentials a 407 is the end, at once."""
    rig = ClientRig()
    rig.connect()
    rig.says(b"HTTP/1.1 407 x\r\nContent-Length: 0\r\n\r\n")
    error = rig.failed(ProxyAuthenticationRequired)
    assert error.challenges == ()


def test_refusedThen() -> None:
    """Another refusal after a 407 is told as what it is."""
    rig = ClientRig(credentials=Asked(None, b"a x"))
    rig.connect()
    rig.says(STAYS)
    rig.says(b"HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n")
    assert rig.failed(ProxyRefused).status == 403


def test_notAskedForOthers() -> None:
    """[T4] Only a 407 asks for credentials."""
    asked = Asked(None, b"a x")
    rig = ClientRig(credentials=asked)
    rig.connect()
    rig.says(STAYS.replace(b"407", b"401"))
    assert rig.failed(ProxyRefused).status == 401
    assert len(asked.attempts) == 1


def test_basic() -> None:
    """The credentials of this package work so: wrong ones are not sent again."""
    rig = ClientRig(credentials=Basic("user", "pass"))
    rig.connect()
    assert rig.peer.take() == request(b"Basic dXNlcjpwYXNz")
    assert rig.says(STAYS) == b""
    error = rig.failed(ProxyAuthenticationRequired)
    assert "pass" not in str(error) and "dXNl" not in repr(vars(error))


# Credentials that take their time, or fail.


async def later(value: Any, waiting: Deferred[Any]) -> Any:
    """What a coroutine gives, once it may."""
    await waiting
    return value


@everyChunk
def test_coroutine(chunk: Any) -> None:
    """Credentials may be a coroutine, before the first request and after it."""
    first: Deferred[Any] = Deferred()
    second: Deferred[Any] = Deferred()
    asked = Asked(later(b"a x", first), later(b"a y", second))
    rig = ClientRig(chunk, credentials=asked)
    rig.connect()
    assert rig.peer.take() == b""
    first.callback(None)
    rig.network.flush()
    assert rig.peer.take() == request(b"a x")
    assert rig.says(STAYS) == b""
    second.callback(None)
    rig.network.flush()
    assert rig.peer.take() == request(b"a y")
    assert len(rig.proxy.peers) == 1
    rig.says(OK)
    assert rig.caller.heard == ["made"]


@pytest.mark.parametrize("value", [succeed(b"a x"), later(b"a x", succeed(None))])
def test_atOnce(value: Any) -> None:
    """What is there already is taken at once."""
    rig = ClientRig(credentials=Asked(value))
    rig.connect()
    assert rig.peer.take() == request(b"a x")


@everyChunk
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("how", ["end", "close", "abort", "speak"])
def test_lostWhileAsking(chunk: Any, first: bool, how: str) -> None:
    """
    [T4] A connection that ends while credentials are fetched, or on which something
    arrives that nobody asked for, is not used: another is.
    """
    waiting: Deferred[Any] = Deferred()
    asked = Asked(waiting) if first else Asked(None, waiting)
    rig = ClientRig(chunk, credentials=asked)
    rig.connect()
    if not first:
        rig.says(STAYS)
    old = rig.peer
    old.take()
    if how == "speak":
        rig.says(OK)
    else:
        getattr(old, how)()
        rig.network.flush()
    assert rig.outcome == []
    waiting.callback(b"a x")
    rig.network.flush()
    assert old.take() == b"" and rig.peer is not old
    assert rig.peer.take() == request(b"a x")
    rig.says(OK)
    assert rig.caller.heard == ["made"]


@pytest.mark.parametrize("first", [True, False])
def test_raising(first: bool) -> None:
    """What credentials raise is what the caller gets."""
    asked = [ZeroDivisionError()] if first else [None, ZeroDivisionError()]
    rig = ClientRig(credentials=Asked(*asked))
    rig.connect()
    if not first:
        rig.says(STAYS)
    rig.failed(ZeroDivisionError)


def test_failing() -> None:
    """So is what their Deferred fails with, now or later."""
    rig = ClientRig(credentials=Asked(fail(ZeroDivisionError())))
    rig.connect()
    rig.failed(ZeroDivisionError)
    waiting: Deferred[Any] = Deferred()
    rig = ClientRig(credentials=Asked(waiting))
    rig.connect()
    waiting.errback(ZeroDivisionError())
    rig.failed(ZeroDivisionError)


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize(
    ("value", "kind"),
    [("Basic x", TypeError), (7, TypeError), (b"a\r\nHost: b", ValueError)],
)
def test_wrongValues(wait: bool, value: Any, kind: Any) -> None:
    """A value that cannot be sent is not, and the message does not repeat it."""
    waiting: Deferred[Any] = Deferred()
    rig = ClientRig(credentials=Asked(waiting if wait else value))
    rig.connect()
    if wait:
        waiting.callback(value)
    error = rig.failed(kind)
    assert "Host" not in str(error) and "Basic" not in str(error)
    assert rig.peer.take() == b""


def test_raisingAtTheLimitOfContent() -> None:
    """Credentials that raise when content was given up fail the attempt too."""
    rig = ClientRig(credentials=Asked(None, ZeroDivisionError()))
    rig.connect()
    rig.says(UNFRAMED)
    rig.network.advance(5)
    rig.failed(ZeroDivisionError)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("how", ["cancel", "late"])
def test_givenUpWhileAsking(first: bool, how: str) -> None:
    """Cancelling, and the deadline, cancel the asking; what comes later is dropped."""
    heard: list[str] = []
    waiting: Deferred[Any] = Deferred(lambda _: heard.append("cancelled"))
    rig = ClientRig(credentials=Asked(waiting) if first else Asked(None, waiting))
    connecting = rig.connect()
    if not first:
        rig.says(STAYS)
    if how == "cancel":
        connecting.cancel()
        rig.failed(ConnectingCancelledError)
    else:
        rig.network.advance(30)
        assert "still waiting for the credentials" in str(rig.failed(ProxyTimeout))
    assert heard == ["cancelled"]


def test_coroutineThatSwallowsItsCancellation() -> None:
    """Credentials that come in spite of being cancelled are not sent."""

    async def stubborn(waiting: Deferred[Any]) -> bytes:
        try:
            await waiting
        except CancelledError:
            pass
        return b"a x"

    rig = ClientRig(credentials=Asked(stubborn(Deferred())))
    connecting = rig.connect()
    # Without a connection it would take another.
    rig.peer.close()
    rig.network.flush()
    connecting.cancel()
    rig.failed(ConnectingCancelledError)
    assert [peer.take() for peer in rig.proxy.peers] == [b""]


def test_oneDeadlineOverAll() -> None:
    """[T4] Rounds do not put the deadline off."""
    rig = ClientRig(timeout=10, credentials=Asked(None, b"a x", b"a y"))
    rig.connect()
    rig.network.advance(4)
    rig.says(CLOSES)
    rig.network.advance(4)
    rig.says(STAYS)
    rig.network.advance(1.9)
    assert rig.outcome == []
    rig.network.advance(0.1)
    rig.failed(ProxyTimeout)
    assert len(rig.proxy.peers) == 2


def test_secondConnectionFails() -> None:
    """Where the proxy cannot be reached again, that is what is told."""
    rig = ClientRig(credentials=Asked(None, b"a x"))
    rig.connect()
    rig.network.refuse(PROXY)
    rig.says(CLOSES)
    rig.failed(ConnectionRefusedError)


def test_cancelledOnTheSecondConnection() -> None:
    """Cancelling while the proxy is dialled again leaves nothing."""
    rig = ClientRig(credentials=Asked(None, b"a x"))
    connecting = rig.connect()
    rig.network.blackhole(PROXY)
    rig.says(CLOSES)
    connecting.cancel()
    rig.failed(ConnectingCancelledError)
