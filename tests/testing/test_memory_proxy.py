"""The kit's whole proxy, and its check for checkers."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.cred.checkers import (
    AllowAnonymousAccess,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import LoginDenied, UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from zope.interface import implementer

from txconnect.auth import hashes
from txconnect.auth.basic import BasicCredentials
from txconnect.auth.htpasswd import HtpasswdChecker
from txconnect.interfaces import IRequestHandler, ITunnelFields
from txconnect.testing import (
    CHUNKS,
    MemoryNetwork,
    checkChecker,
    checkRequestHandler,
    checkTunnelFields,
    proxyOnMemory,
)
from txconnect.values import Answer, Closed, Identity

PUBLIC = "93.184.216.34"


@pytest.mark.parametrize("chunk", CHUNKS)
def test_oneLine(chunk: Any) -> None:
    """[F56] A proxy, a client, a destination: bytes pass both ways."""
    network = MemoryNetwork(chunk=chunk)
    with proxyOnMemory(hosts={"a.example": PUBLIC}, network=network) as net:
        client = net.connectThrough("a.example:443", early=b"hel")
        client.send(b"lo")
        client.destination.send(b"welcome")
        net.flush()
        assert (client.status, client.phrase) == (200, "Connection established")
        assert client.header("Content-Length") is None
        assert client.destination.received == b"hello"
        assert client.received == b"welcome" and not client.ended
        assert client.destination.host.host == PUBLIC
        client.abort()
        assert client.destination.reset
        assert net.events.closed[0].reason is Closed.CLIENT_RESET


def test_destinationsOfItsOwn() -> None:
    """[F56] One that echoes, one with a banner, one that cannot be reached."""
    with proxyOnMemory(hosts={"a.example": [PUBLIC, "2606:4700::1111"]}) as net:
        net.serve("a.example:443", banner=b"hello\n", echo=True)
        first = net.connectThrough("A.example:443", early=b"x")
        second = net.connectThrough(f"{PUBLIC}:443")
        assert (first.received, second.received) == (b"hello\nx", b"hello\n")
        assert first.destination is not second.destination
        sixth = net.connectThrough("[2606:4700::1111]:443")
        assert sixth.destination.host.host == "2606:4700::1111"
        net.network.refuse(PUBLIC)
        assert net.connectThrough(f"{PUBLIC}:443").status == 502
        with pytest.raises(ValueError, match="none of the hosts"):
            net.serve("b.example:443")


def test_refusals() -> None:
    """[F56] The default policies stand; names that do not exist are no hosts."""
    with proxyOnMemory(hosts={"in.example": "10.0.0.1"}) as net:
        for target, status in {
            "in.example:443": 403,
            "in.example:25": 403,
            "b.example:443": 502,
            "127.0.0.1:3128": 403,
            "no target": 400,
        }.items():
            client = net.connectThrough(target)
            assert client.status == status
            assert client.ended and client.header("Content-Type") is not None
            with pytest.raises(AssertionError, match="has not connected"):
                assert client.destination
        assert len(net.events.refused) == 5 and not net.events.established
        assert net.lookup.calls.count("b.example") == 1


def test_waiting() -> None:
    """[F56] A client that has no answer yet says so; time is the test's."""
    with proxyOnMemory() as net:
        net.network.blackhole(PUBLIC)
        client = net.connectThrough(f"{PUBLIC}:443", client="192.0.2.77")
        assert not client.isAnswered
        with pytest.raises(AssertionError, match="has not answered: .* b''"):
            assert client.status
        net.advance(net.proxy.settings.connectTimeout + 1)
        assert client.status == 504
        assert net.events.refused[0].client.host == "192.0.2.77"  # type: ignore[union-attr]
        client.close()


def test_leftOpen() -> None:
    """[F56] What the code under test leaves behind fails the test."""
    net = proxyOnMemory()
    net.network.callLater(5.0, len, ())
    with pytest.raises(AssertionError, match="delayed"):
        net.stop()
    with pytest.raises(ZeroDivisionError), proxyOnMemory() as other:
        other.network.callLater(5.0, len, ())
        raise ZeroDivisionError


# Checkers


@implementer(ICredentialsChecker)
class Checker:
    """Answers with what a function makes of the password's being right."""

    def __init__(self, answer: Any, takes: Any = (IUsernamePassword,)) -> None:
        self.answer = answer
        self.credentialInterfaces = takes

    def requestAvatarId(self, credentials: Any) -> Any:
        user, password = credentials.username, credentials.password
        if isinstance(user, str):
            user, password = user.encode(), password.encode()
        return self.answer((user, password) == (b"ada", b"lovelace"))


def right(good: bool) -> bytes:
    if good:
        return b"ada"
    raise UnauthorizedLogin("no")


def test_goodCheckers() -> None:
    """[F56] Those that answer at once, later, and with groups."""
    grouped = Identity("ada", "x", ("staff",))
    for answer in (right, lambda good: maybeDeferred(right, good)):
        identity = checkChecker(Checker(answer), ("ada", "lovelace"))
        assert identity == Identity("ada", "Checker")
    identity = checkChecker(
        Checker(lambda good: grouped if good else right(good)), ("ada", "lovelace")
    )
    assert identity == Identity("ada", "Checker", ("staff",))


def test_checkerOfOtherCredentials() -> None:
    """[F56] Of other kinds a test gives them itself, and some that are invalid."""
    good, bad = BasicCredentials(b"ada", b"lovelace"), BasicCredentials(b"ada", b"")
    assert checkChecker(Checker(right), good, [bad]).user == "ada"
    with pytest.raises(AssertionError, match="give checkChecker credentials that are"):
        checkChecker(Checker(right), good)


def test_checkerThatWaits() -> None:
    """[F56] One that waits is let answer, or it has not."""
    waiting: list[Any] = []

    def later(good: bool) -> Any:
        result: Deferred[bytes] = Deferred()
        waiting.append(lambda: maybeDeferred(right, good).chainDeferred(result))
        return result

    def drive() -> None:
        while waiting:
            waiting.pop()()

    assert checkChecker(Checker(later), ("ada", "lovelace"), drive=drive).user == "ada"
    with pytest.raises(AssertionError, match="has not answered over the user 'ada'"):
        checkChecker(Checker(later), ("ada", "lovelace"))


def raising(error: BaseException) -> Any:
    def answer(good: bool) -> Any:
        if good:
            return b"ada"
        raise error

    return answer


@pytest.mark.parametrize(
    ("checker", "said"),
    [
        (Checker(lambda good: b"ada"), "accepted the user 'ada'; a refusal fails"),
        (Checker(lambda good: "ada" if good else "wrong!"), "accepted the user 'ada'"),
        (Checker(lambda good: b"ada" if good else False), "failed over .*answer"),
        (Checker(lambda good: b"ada" if good else None), "failed over .*answer"),
        (Checker(lambda good: good), "failed over .*not a name"),
        (Checker(lambda good: b"" if good else right(good)), "refused the valid"),
        (Checker(lambda good: () if good else right(good)), "refused the valid"),
        (Checker(raising(KeyError("ada"))), "failed over .*KeyError"),
        (Checker(raising(LoginDenied())), "failed over .*LoginDenied"),
        (Checker(lambda good: fail(ValueError("x"))), "failed over .*ValueError"),
        (Checker(right, ()), "credentialInterfaces are empty"),
        (Checker(right, (IUsernameHashedPassword,)), "refused the valid"),
        (AllowAnonymousAccess(), "refused the valid"),
        (object(), "ICredentialsChecker"),
        (InMemoryUsernamePasswordDatabaseDontUse(bob=b"x"), "refused the valid"),
    ],
)
def test_badCheckers(checker: object, said: str) -> None:
    """[F56] Each mistake is one sentence: a truthy refusal, an exception of another
    kind, nobody."""
    with pytest.raises(AssertionError, match=said) as raised:
        checkChecker(checker, ("ada", "lovelace"))
    assert "lovelace" not in str(raised.value)


def test_stockCheckers(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """[F56] Twisted's own in memory, and our password file pass."""
    memory = InMemoryUsernamePasswordDatabaseDontUse(ada=b"lovelace")
    assert checkChecker(memory, ("ada", "lovelace")).user == "ada"
    monkeypatch.setattr(hashes, "LOG_ROUNDS", 2)
    path = tmp_path / "users"
    path.write_bytes(b"ada:%b\n" % hashes.makeHash(b"lovelace").text)
    checker = HtpasswdChecker(path, run=lambda verify, given: succeed(verify(given)))
    assert checkChecker(checker, ("ada", "lovelace")) == Identity("ada", "htpasswd")


# Handlers and fields


@implementer(IRequestHandler, ITunnelFields)
class Both:
    """Answers with what a function makes of the request or the tunnel."""

    def __init__(self, answer: Any, without: Any = False) -> None:
        self.answer = answer
        self.withoutCredentials = without

    def handle(self, request: Any) -> Any:
        return self.answer(request)

    def tunnelFields(self, tunnel: Any) -> Any:
        return self.answer(tunnel)


@pytest.mark.parametrize(
    "answer", [Answer("x"), None, Deferred(), succeed(None)], ids=repr
)
def test_goodHandlers(answer: Any) -> None:
    """[F60] What answers, leaves it, or waits, passes."""
    checkRequestHandler(Both(lambda request: answer))


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (Both(lambda request: "x"), "answered str over GET /, not an Answer or None"),
        (Both(lambda request: 1 / 0), "raised over GET /: ZeroDivisionError"),
        (Both(lambda request: Answer(status=407)), "raised over GET /: ValueError"),
        (Both(lambda request: None, 1), "its withoutCredentials is 1"),
        (object(), "IRequestHandler"),
    ],
)
def test_badHandlers(handler: object, said: str) -> None:
    """[F60] Each mistake is one sentence."""
    with pytest.raises(AssertionError, match=said):
        checkRequestHandler(handler)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (lambda tunnel: [("Content-Length", "0")], "Content-Length rules"),
        (lambda tunnel: [("X-User", tunnel.request.identity.user)], "AttributeError"),
        (lambda tunnel: None, "TypeError"),
    ],
)
def test_badFields(fields: Any, said: str) -> None:
    """[F60] Fields that cannot be sent, and tunnels without all that they may have."""
    checkTunnelFields(Both(lambda tunnel: [("X-Id", tunnel.request.id)]))
    with pytest.raises(AssertionError, match=said):
        checkTunnelFields(Both(fields))
