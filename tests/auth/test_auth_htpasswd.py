"""The password file's checker: no thread, no wait, a clock of its own."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import InvalidAuthArgumentString, makeChecker
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.threads import deferToThread
from twisted.logger import globalLogPublisher
from zope.interface.verify import verifyObject

from txconnect.auth import hashes as hashesModule
from txconnect.auth.authenticator import Authenticator
from txconnect.auth.basic import BasicCredentials
from txconnect.auth.hashes import makeHash
from txconnect.auth.htpasswd import HtpasswdChecker, readUsers
from txconnect.errors import ConfigurationError, Refused
from txconnect.values import Authority, Cause, Identity, Request


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that cost next to nothing."""
    monkeypatch.setattr(hashesModule, "LOG_ROUNDS", 2)


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """The errors that are logged."""
    events: list[Any] = []

    def observe(event: Any) -> None:
        if event["log_level"].name == "error":
            events.append(event)

    globalLogPublisher.addObserver(observe)
    yield events
    globalLogPublisher.removeObserver(observe)


class Threads:
    """What stands for the threads: runs what it is given when told to."""

    def __init__(self, at: bool = True) -> None:
        self.atOnce = at
        self.verified: list[tuple[Any, bytes]] = []
        self.waiting: list[Callable[[], None]] = []

    def run(self, verify: Callable[[bytes], bool], password: bytes) -> Deferred[bool]:
        self.verified.append((verify.__self__, password))  # type: ignore[attr-defined]
        if self.atOnce:
            return succeed(verify(password))
        result = Deferred[bool]()
        self.waiting.append(lambda: result.callback(verify(password)))
        return result

    def finish(self) -> None:
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            one()


class Rig:
    """A password file with its checker."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.now = 1000.0
        self.threads = Threads()
        self.write(alice="wonder", bob="builder")
        self.checker = HtpasswdChecker(
            path, seconds=lambda: self.now, run=self.threads.run, **options
        )

    def write(self, **users: str) -> None:
        self.put(
            b"".join(
                user.encode() + b":" + makeHash(password.encode()).text + b"\n"
                for user, password in users.items()
            )
        )

    def put(self, content: bytes) -> None:
        # A new file in the old one's place, as every careful writer does it.
        fresh = self.path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.replace(self.path)

    def ask(self, user: str | bytes, password: str | bytes) -> list[Any]:
        octets = [
            one.encode() if isinstance(one, str) else one for one in (user, password)
        ]
        found: list[Any] = []
        self.checker.requestAvatarId(BasicCredentials(*octets)).addBoth(found.append)
        return found

    def accepts(self, user: str | bytes, password: str | bytes) -> bool:
        (answer,) = self.ask(user, password)
        if isinstance(answer, bytes):
            return True
        assert answer.check(UnauthorizedLogin), answer
        return False


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Alice and Bob, scrypt both."""
    return Rig(tmp_path / "users")


def test_provides(rig: Rig) -> None:
    """The checker keeps cred's contract."""
    assert verifyObject(ICredentialsChecker, rig.checker)


def test_accepts(rig: Rig) -> None:
    """The right password of the right user, and nothing else."""
    assert rig.ask("alice", "wonder") == [b"alice"]
    assert rig.accepts("bob", "builder")
    for user, password in (
        ("alice", "builder"),
        ("alice", ""),
        ("alice", "wonde"),
        ("alice", "wonder "),
        ("Alice", "wonder"),
        ("alic", "ewonder"),
        ("", ""),
        ("", "wonder"),
        ("eve", "wonder"),
        (b"\xff", b"\xff"),
    ):
        assert not rig.accepts(user, password)


def test_passwordsOfAllKinds(rig: Rig) -> None:
    """[AU-03] An empty password, colons and UTF-8 are passwords like any."""
    rig.write(empty="", colons=":a:b:", ümlaut="pä")
    assert rig.accepts("empty", "")
    assert rig.accepts("colons", ":a:b:")
    assert rig.accepts("ümlaut", "pä")
    assert not rig.accepts("empty", "x")


def test_textCredentials(rig: Rig) -> None:
    """Another server may ask with str."""
    found: list[Any] = []
    asked: Any = UsernamePassword("alice", "wonder")  # type: ignore[arg-type]
    rig.checker.requestAvatarId(asked).addBoth(found.append)
    assert found == [b"alice"]


def test_throughTheAuthenticator(rig: Rig) -> None:
    """A wrong password is verified once: the checker takes bytes."""
    authenticator = Authenticator((), [rig.checker])
    request = Request(Authority("example.com", 443))
    good = b"Basic YWxpY2U6d29uZGVy"
    assert authenticator.authenticate(request, good) == Identity("alice", "htpasswd")
    rig.threads.verified.clear()
    with pytest.raises(Refused):
        authenticator.authenticate(request, b"Basic YWxpY2U6eA==")
    assert len(rig.threads.verified) == 1


def test_unknownUserCostsTheSame(rig: Rig) -> None:
    """[AU-05] [T8] An unknown user is verified against a hash of the kind
    that most users have, once, as a known one with a wrong password is."""
    cheapest = bcrypt.hashpw(b"p", bcrypt.gensalt(4))
    scrypt = makeHash(b"p").text
    rig.put(b"a:%s\nb:%s\nc:%s\n" % (scrypt, cheapest, cheapest))
    for user in ("nobody", "", "a"):
        rig.threads.verified.clear()
        assert not rig.accepts(user, "wrong")
        assert len(rig.threads.verified) == 1
    rig.threads.verified.clear()
    assert not rig.accepts("nobody", "p")
    assert rig.threads.verified[0][0].kind == ("bcrypt", 4)


def test_decoyLetsNobodyIn(rig: Rig) -> None:
    """[T8] The password of the decoy is no password of an unknown user."""
    rig.write(alice="wonder")
    assert rig.accepts("alice", "wonder")
    for _ in range(2):
        assert not rig.accepts("eve", "wonder")


def test_bcryptBeyond72Octets(rig: Rig) -> None:
    """[T8] A password that bcrypt cannot take is a 407, not a traceback."""
    rig.put(b"a:" + bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)) + b"\n")
    assert rig.accepts("a", "x" * 72)
    assert not rig.accepts("a", "x" * 73)
    assert not rig.accepts("nobody", "x" * 73)


def test_verifiedOffTheReactorsThread(rig: Rig, tmp_path: Path) -> None:
    """Nothing is verified in the caller's thread: by default in a thread of
    the reactor's pool."""
    rig.threads.atOnce = False
    found = rig.ask("alice", "wonder")
    assert found == []
    rig.threads.finish()
    assert found == [b"alice"]
    assert HtpasswdChecker(rig.path)._run is deferToThread


# The cache.


def test_goodAnswersAreKept(rig: Rig) -> None:
    """A good answer is kept for 60 seconds, and a bad one is not."""
    assert rig.accepts("alice", "wonder")
    rig.now += 59.9
    assert rig.accepts("alice", "wonder")
    assert len(rig.threads.verified) == 1
    rig.now += 0.1
    assert rig.accepts("alice", "wonder")
    assert len(rig.threads.verified) == 2
    for count in (3, 4):
        assert not rig.accepts("alice", "wrong")
        assert len(rig.threads.verified) == count


def test_cacheTellsPairsApart(rig: Rig) -> None:
    """[T8] What one pair has earned opens nothing for another."""
    rig.write(ab="c", a="x")
    assert rig.accepts("ab", "c")
    assert not rig.accepts("a", "bc")
    assert not rig.accepts("abc", "")
    assert not rig.accepts("", "abc")
    key = rig.checker._accepted.keyFor
    assert len({key(b"ab", b"c"), key(b"a", b"bc"), key(b"abc"), key(b"abc", b"")}) == 4


def test_cacheIsBounded(tmp_path: Path) -> None:
    """The oldest answers go first; none are kept when none may be."""
    rig = Rig(tmp_path / "users", cacheSize=2)
    rig.write(a="1", b="2", c="3")
    for user, password in (("a", "1"), ("b", "2"), ("c", "3")):
        assert rig.accepts(user, password)
    rig.threads.verified.clear()
    assert rig.accepts("c", "3") and rig.accepts("b", "2")
    assert rig.threads.verified == []
    assert rig.accepts("a", "1") and len(rig.threads.verified) == 1
    none = Rig(tmp_path / "others", cacheSize=0)
    assert none.accepts("alice", "wonder") and none.accepts("alice", "wonder")
    assert len(none.threads.verified) == 2


def test_cacheHoldsNoPassword(rig: Rig) -> None:
    """[AU-05] What is kept is a keyed hash: two proxies keep two of them."""
    other = HtpasswdChecker(rig.path, run=rig.threads.run)
    keys = []
    for checker in (rig.checker, other):
        checker.requestAvatarId(BasicCredentials(b"alice", b"wonder"))
        (key,) = checker._accepted._until
        assert b"wonder" not in key and len(key) == 32
        keys.append(key)
    assert keys[0] != keys[1]


# The queue.


def test_oneVerificationForAll(rig: Rig) -> None:
    """Who asks the same while it is verified gets the same answer."""
    rig.threads.atOnce = False
    found = [rig.ask("alice", "wonder") for _ in range(3)]
    wrong = [rig.ask("alice", "x") for _ in range(2)]
    assert len(rig.threads.waiting) == 2
    rig.threads.finish()
    assert found == [[b"alice"]] * 3
    assert all(one[0].check(UnauthorizedLogin) for one in wrong)
    assert rig.accepts("alice", "wonder")


def test_queueIsBounded(tmp_path: Path) -> None:
    """Beyond the bound a login is refused at once, with a 503 that leaves
    the client's password alone; answers that are kept still serve."""
    rig = Rig(tmp_path / "users", queue=2)
    assert rig.accepts("alice", "wonder")
    rig.threads.atOnce = False
    waiting = [rig.ask("alice", "1"), rig.ask("alice", "2")]
    (refused,) = rig.ask("bob", "builder")
    assert refused.value.cause is Cause.EXHAUSTED
    assert rig.accepts("alice", "wonder")
    same = rig.ask("alice", "2")
    assert same == []
    rig.threads.finish()
    assert all(waiting) and same
    found = rig.ask("bob", "builder")
    rig.threads.finish()
    assert found == [b"bob"]


def test_cancelled(rig: Rig) -> None:
    """Who leaves hears nothing more; who stays does, even when the one's
    leaving makes another leave."""
    rig.threads.atOnce = False
    credentials = BasicCredentials(b"alice", b"wonder")
    logins = [rig.checker.requestAvatarId(credentials) for _ in range(4)]
    found: list[list[Any]] = [[], [], [], []]
    logins[0].addBoth(found[0].append)
    logins[1].addCallback(lambda user: (logins[2].cancel(), user)[1])
    for login, answers in zip(logins[1:], found[1:], strict=True):
        login.addBoth(answers.append)
    logins[0].cancel()
    assert found[0][0].check(CancelledError)
    rig.threads.finish()
    assert found[1] == [b"alice"] and found[3] == [b"alice"]
    assert found[2][0].check(CancelledError)
    assert len(found[0]) == 1


def test_allCancelled(rig: Rig) -> None:
    """A verification for which nobody waits any more ends quietly."""
    rig.threads.atOnce = False
    login = rig.checker.requestAvatarId(BasicCredentials(b"alice", b"wonder"))
    found: list[Any] = []
    login.addBoth(found.append)
    login.cancel()
    rig.threads.finish()
    assert len(found) == 1 and rig.checker._waiting == {}


def test_threadsThatFail(rig: Rig) -> None:
    """An error in verifying is no wrong password."""

    def run(verify: Any, password: bytes) -> Any:
        raise RuntimeError("no thread")

    rig.checker._run = run
    (answer,) = rig.ask("alice", "wonder")
    assert answer.check(RuntimeError) and rig.checker._waiting == {}


# The file changes.


def test_readAgain(rig: Rig) -> None:
    """Changed and removed users count at once, whatever is kept."""
    assert rig.accepts("alice", "wonder") and rig.accepts("bob", "builder")
    rig.write(alice="other", carol="singer")
    assert not rig.accepts("alice", "wonder")
    assert rig.accepts("alice", "other")
    assert not rig.accepts("bob", "builder")
    assert rig.accepts("carol", "singer")


def test_readAgainWhenOnlyTheTimeDiffers(rig: Rig) -> None:
    """A change of the same length in the same file shows by its time."""
    content = rig.path.read_bytes()
    rig.path.write_bytes(content.replace(b"alice", b"alicf"))
    os.utime(rig.path, ns=(1, 1))
    assert rig.accepts("alicf", "wonder")
    assert not rig.accepts("alice", "wonder")


def test_readOnlyWhenItChanges(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unchanged file is not read again."""
    monkeypatch.setattr("txconnect.rereading._readWhole", None)
    assert rig.accepts("alice", "wonder")


@pytest.mark.parametrize("content", [b"", b"# nobody\n"])
def test_emptied(rig: Rig, content: bytes, logged: list[Any]) -> None:
    """[F25] An emptied file is an empty list: nobody may, whatever is kept, and
    that costs what any wrong password costs; a user who is added may again."""
    assert rig.accepts("alice", "wonder")
    rig.put(content)
    before = len(rig.threads.verified)
    assert not rig.accepts("alice", "wonder") and not rig.accepts("bob", "builder")
    assert len(rig.threads.verified) == before + 2 and not logged
    rig.write(alice="wonder")
    assert rig.accepts("alice", "wonder")


def test_emptyFromTheStart(tmp_path: Path) -> None:
    """[F25] A start with an empty file is as a change to one: nobody may, and a
    warning says how a user is added."""
    path = tmp_path / "users"
    path.write_bytes(b"# nobody\n\n")
    warned: list[Any] = []
    globalLogPublisher.addObserver(warned.append)
    try:
        users = readUsers(str(path))
    finally:
        globalLogPublisher.removeObserver(warned.append)
    assert users.hashes == {} and not users.decoy.verify(b"")
    (event,) = [each for each in warned if each["log_level"].name == "warn"]
    said = event["log_format"].format(**event)
    assert said == (
        f"{path}: the password file has no user, so nobody may; add one: "
        f"txconnect passwd {shlex.quote(str(path))} USER"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"alice:plain\n", ":1: user 'alice'"),
        (b"# users\ngarbage\n", ":2: no colon"),
        (None, ": the password file cannot be read: No such file"),
    ],
)
def test_badChangeKeepsTheUsers(
    rig: Rig, content: bytes | None, said: str, logged: list[Any]
) -> None:
    """[F25] A file that has become bad, or is gone, keeps its last good users; the
    log says so once a change, and again each minute; a good one is taken up."""
    if content is None:
        rig.path.unlink()
    else:
        rig.put(content)
    for _ in range(3):
        assert rig.accepts("alice", "wonder")
        assert not rig.accepts("alice", "plain")
    assert len(logged) == 1 and f"{rig.path}{said}" in logged[0]["error"]
    rig.now += 60
    assert rig.accepts("alice", "wonder") and len(logged) == 2
    rig.put(b"still bad\n")
    assert rig.accepts("alice", "wonder")
    assert len(logged) == 3
    rig.write(alice="new")
    assert rig.accepts("alice", "new") and not rig.accepts("alice", "wonder")
    rig.now += 60
    assert rig.accepts("alice", "new") and len(logged) == 3


def test_relativePathStays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that changes its directory still finds the file."""
    monkeypatch.chdir(tmp_path)
    rig = Rig(Path("users"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    rig.path = tmp_path / "users"
    rig.write(carol="singer")
    assert rig.accepts("carol", "singer")


# Start-up.


def test_commentsAndBlankLines(tmp_path: Path) -> None:
    """Comments, blank lines, CRLF and a missing last line's end are read."""
    text = makeHash(b"p").text
    path = tmp_path / "users"
    path.write_bytes(b"# users\r\n\r\na:%s\r\n  \n#b:x\nb:%s" % (text, text))
    assert set(readUsers(str(path)).hashes) == {b"a", b"b"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"# x\nbob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", r":2: user 'bob'.*SHA-1"),
        (b"bob:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00\n", r":1: user 'bob'.*MD5"),
        (b"bob:rl.3StKT.4T8M\n", r":1: .*old crypt.*txconnect passwd .*users'? bob"),
        (b"bob:hunter2\n", r":1: user 'bob'.*plain text"),
        (b"bob:hunter2:extra\n", r":1: user 'bob'.*plain text"),
        (b"hunter2\n", ":1: no colon"),
        (b":$scrypt$x\n", ":1: the user is empty"),
        (b"\xff:x\n", ":1: the user is not UTF-8"),
        (b"\0\n", ":1: no colon"),
    ],
)
def test_stopsStartUp(tmp_path: Path, content: bytes, said: str) -> None:
    """A file that is not good stops start-up, with the line and what to do,
    and without what may be a password."""
    path = tmp_path / "users"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=said) as caught:
        HtpasswdChecker(path)
    assert str(caught.value).startswith(str(path))
    # The directory is named after the test, and so after its parameters.
    sentence = str(caught.value).replace(str(path), "")
    assert "hunter2" not in sentence and "\n" not in sentence


def test_sameUserTwice(tmp_path: Path) -> None:
    """Which of two lines would count must not be a guess."""
    path = tmp_path / "users"
    text = makeHash(b"p").text
    path.write_bytes(b"a:%s\na:%s\n" % (text, text))
    with pytest.raises(ConfigurationError, match=":2: the user 'a'"):
        HtpasswdChecker(path)


def test_bcryptLibraryIsMissed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without bcrypt's library start-up stops and says what to install; a new
    password would be no help."""
    path = tmp_path / "users"
    path.write_bytes(b"bob:" + bcrypt.hashpw(b"p", bcrypt.gensalt(4)))
    hidden: Any = None
    monkeypatch.setitem(sys.modules, "bcrypt", hidden)
    with pytest.raises(ConfigurationError, match=r"pip install .*\[htpasswd\]'$"):
        HtpasswdChecker(path)


def test_missingOrUnreadable(tmp_path: Path) -> None:
    """A file that is not there, or is a directory, stops start-up."""
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            HtpasswdChecker(path)


def test_strcred(rig: Rig) -> None:
    """--auth htpasswd:PATH makes the checker, for any strcred program."""
    assert isinstance(makeChecker(f"htpasswd:{rig.path}"), HtpasswdChecker)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        makeChecker(f"htpasswd:{rig.path}.not")
    for empty in ("htpasswd", "htpasswd:"):
        with pytest.raises(InvalidAuthArgumentString, match="PATH"):
            makeChecker(empty)
