"""[F12] A refused login: who was tried, and why it was refused, in words."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from rig import Rig, connect, status
from twisted.cred.checkers import (
    FilePasswordDB,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import succeed
from zope.interface import implementer

from txconnect.auth.hashes import makeHash
from txconnect.auth.htpasswd import HtpasswdChecker
from txconnect.errors import Refused
from txconnect.observers.console import ConsoleLog
from txconnect.observers.lines import jsonLine, record
from txconnect.policy import HostsPolicy
from txconnect.values import Cause, Named, TunnelRefused

NOW = 1763848874.0625


@implementer(ICredentialsChecker)
class Raising:
    """A checker that refuses everybody in its own way."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, error: BaseException | type[BaseException]) -> None:
        self.error = error

    def requestAvatarId(self, credentials: Any) -> Any:
        raise self.error


def basic(user: str, password: str, encoding: str = "utf-8") -> str:
    token = b64encode(f"{user}:{password}".encode(encoding)).decode()
    return f"Proxy-Authorization: Basic {token}"


def refusal(checker: object, field: str, **settings: Any) -> TunnelRefused:
    """The event of a request with these credentials."""
    rig = Rig(checkers=[Named("list", checker)], settings=settings)
    client = rig.client(connect("example.com:443", field))
    (event,) = rig.events.events
    assert isinstance(event, TunnelRefused)
    assert status(client) == event.cause.status
    for secret in ("hushhush", b64encode(b"hushhush").decode()):
        lines: list[str] = []
        ConsoleLog(lines.append, lambda: NOW).observe(event)
        assert secret not in jsonLine(record(event, NOW)) + lines[0] + repr(event)
        assert secret.encode() not in client.received
    return event


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UnauthorizedLogin, "list: unknown user or wrong password"),
        (UnauthorizedLogin(), "list: unknown user or wrong password"),
        (UnauthorizedLogin("the account is locked"), "list: the account is locked"),
        (
            UnauthorizedLogin("hushhush is wrong"),
            "list: unknown user or wrong password",
        ),
    ],
)
def test_reasonIsInWords(error: Any, words: str) -> None:
    """[F12] Never the name of an exception's class, and never the password."""
    event = refusal(Raising(error), basic("alice", "hushhush"))
    assert event.reason == words
    assert event.attempted is not None and event.attempted.user == "alice"
    assert record(event, NOW)["attempted_user"] == "alice"
    assert record(event, NOW)["user"] is None


def test_unreadableIsInWords() -> None:
    """[F12] Nor where the scheme refuses; no name is known then."""
    field = "Proxy-Authorization: Basic !!!"
    event = refusal(Raising(UnauthorizedLogin), field)
    assert event.reason == "Basic: the credentials are not base64"
    assert event.attempted is None


def test_checkersOwnRefusal() -> None:
    """[F12] A checker that is too busy leaves the name that it was asked about."""
    event = refusal(Raising(Refused(Cause.EXHAUSTED)), basic("alice", "hushhush"))
    assert event.cause is Cause.EXHAUSTED
    assert event.attempted is not None and event.attempted.user == "alice"


@pytest.mark.parametrize(
    ("user", "words"),
    [("alice", "wrong password"), ("mallory", "unknown user")],
)
@pytest.mark.parametrize("errors", ["brief", "full"])
def test_passwordFile(tmp_path: Path, user: str, words: str, errors: str) -> None:
    """
    [F12] The log tells an unknown user from a wrong password; the client gets one
    answer for both, even where it is told reasons.
    """
    path = tmp_path / "users"
    path.write_bytes(b"alice:" + makeHash(b"sesame").text + b"\n")
    checker = HtpasswdChecker(path, run=lambda call, given: succeed(call(given)))
    rig = Rig(checkers=[Named("list", checker)], settings={"errors": errors})
    client = rig.client(connect("example.com:443", basic(user, "hushhush")))
    (event,) = rig.events.events
    assert isinstance(event, TunnelRefused)
    assert event.reason.partition(": ")[2] == words
    assert b"unknown" not in client.received and b"wrong" not in client.received
    assert status(client) == 407


def test_twistedsOwnChecker(tmp_path: Path) -> None:
    """[F12] strcred's C{file:} gives no words of its own."""
    (tmp_path / "users").write_text("alice:sesame\n")
    checker = FilePasswordDB(str(tmp_path / "users"))
    event = refusal(checker, basic("alice", "hushhush"))
    assert event.reason == "list: unknown user or wrong password"


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("b\xfcb", "b\xfcb"),
        ("", None),
        ("a" * 300, "a" * 97 + "..."),
    ],
)
def test_anyName(user: str, shown: str | None) -> None:
    """[F12] Any name that a client claims is cut, and is text."""
    event = refusal(Raising(UnauthorizedLogin), basic(user, "hushhush"))
    assert record(event, NOW)["attempted_user"] == shown


def test_nameThatIsNoUtf8() -> None:
    """[F12] Octets that are no UTF-8 are shown escaped, or read as Latin-1."""
    field = basic("b\xfcb", "hushhush", "latin-1")
    event = refusal(Raising(UnauthorizedLogin), field)
    assert record(event, NOW)["attempted_user"] in ("b\\xfcb", "b\xfcb")


def test_whoIsProvedIsNotAttempted() -> None:
    """A request that a policy refuses has its user, and no attempted one."""
    rig = Rig(
        checkers=[InMemoryUsernamePasswordDatabaseDontUse(ada=b"sesame")],
        policies=[HostsPolicy("a.example")],
    )
    rig.client(connect("example.com:443", basic("ada", "sesame")))
    (event,) = rig.events.events
    kept = record(event, NOW)
    assert (kept["user"], kept["attempted_user"]) == ("ada", None)
