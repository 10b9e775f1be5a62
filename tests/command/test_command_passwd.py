"""Writing a password file, from Python and as a command."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest

from txconnect.auth import hashes as hashesModule
from txconnect.auth.htpasswd import readUsers
from txconnect.command.passwd import main, setPassword


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that cost next to nothing."""
    monkeypatch.setattr(hashesModule, "LOG_ROUNDS", 2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a password file may be made."""
    return tmp_path / "users"


def verifies(path: Path, user: bytes, password: bytes) -> bool:
    return readUsers(str(path)).hashes[user].verify(password)


def test_makesTheFile(path: Path) -> None:
    """A new file has one user and is its owner's alone."""
    assert setPassword(path, "ärne", "pä:ss") is True
    assert verifies(path, "ärne".encode(), "pä:ss".encode())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["users"]


def test_keepsTheRest(path: Path) -> None:
    """Other lines stay as they are, in their order, understood or not."""
    path.write_bytes(b"# ours\r\n\nold:{SHA}x=\nbob:x\nbobby:y")
    path.chmod(0o644)
    assert setPassword(path, "bob", b"p") is False
    first, second, third, fourth, fifth, last = path.read_bytes().split(b"\n")
    assert (first, second, third) == (b"# ours\r", b"", b"old:{SHA}x=")
    assert fourth.startswith(b"bob:$scrypt$")
    assert (fifth, last) == (b"bobby:y", b"")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_addsAtTheEnd(path: Path) -> None:
    """A new user's line is the last, the others' stay good."""
    for user in ("a", "b", "c"):
        assert setPassword(path, user, user * 3)
    assert list(readUsers(str(path)).hashes) == [b"a", b"b", b"c"]
    assert setPassword(path, "b", "new") is False
    assert list(readUsers(str(path)).hashes) == [b"a", b"b", b"c"]
    assert verifies(path, b"b", b"new") and verifies(path, b"c", b"ccc")


def test_secondLineGoes(path: Path) -> None:
    """No second line keeps an old password alive."""
    path.write_bytes(b"bob:x\na:y\nbob:z\n")
    setPassword(path, "bob", "p")
    assert [line.partition(b":")[0] for line in path.read_bytes().splitlines()] == [
        b"bob",
        b"a",
    ]


def test_replacedInOneStep(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails leaves the old file, and nothing beside it."""
    setPassword(path, "a", "p")
    before = path.read_bytes()

    def broken(source: str, target: str) -> None:
        assert Path(source).stat().st_size > len(before)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="No space"):
        setPassword(path, "b", "p")
    assert path.read_bytes() == before and os.listdir(path.parent) == ["users"]


def test_symbolicLinkStays(path: Path) -> None:
    """The file that a link leads to is changed, not the link."""
    real = path.with_name("real")
    setPassword(real, "a", "p")
    path.symlink_to(real)
    setPassword(path, "a", "q")
    assert path.is_symlink() and verifies(real, b"a", b"q")


def test_ownerStays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When root changes the file, the proxy's user can still read it."""
    setPassword(path, "a", "p")
    owners: list[tuple[int, int]] = []
    found = path.stat()
    monkeypatch.setattr("os.geteuid", lambda: found.st_uid + 1)
    monkeypatch.setattr("os.fchown", lambda fd, uid, gid: owners.append((uid, gid)))
    setPassword(path, "a", "q")
    assert owners == [(found.st_uid, found.st_gid)]


@pytest.mark.parametrize(
    ("user", "password", "said"),
    [
        ("", "p", "empty"),
        ("a:b", "p", "colon"),
        ("a\nb", "p", "control"),
        ("a\0", "p", "control"),
        ("a\x7f", "p", "control"),
        ("a\x85", "p", "control"),
        ("#a", "p", "comment"),
        ("a\udcff", "p", "user is not UTF-8"),
        ("a", "p\n", "control"),
        ("a", b"p\0", "control"),
        ("a", "p\udcff", "password is not UTF-8"),
    ],
)
def test_whatCannotBeSent(
    path: Path, user: str, password: str | bytes, said: str
) -> None:
    """[AU-03] What no client can send, or no line hold, is refused, and the
    password is not repeated."""
    with pytest.raises(ValueError, match=said):
        setPassword(path, user, password)
    assert not path.exists()


# The command.


class Terminal(io.StringIO):
    """Standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


class Command:
    """One run of the command."""

    def __init__(
        self, *argv: str, stdin: str | None = None, typed: tuple[object, ...] = ()
    ) -> None:
        out, err = io.StringIO(), io.StringIO()
        answers = iter(typed)
        self.prompts: list[str] = []

        def prompt(text: str) -> str:
            self.prompts.append(text)
            answer = next(answers)
            if isinstance(answer, BaseException):
                raise answer
            return str(answer)

        source = Terminal() if stdin is None else io.StringIO(stdin)
        self.status = main(argv, source, out, err, prompt)
        self.out, self.err = out.getvalue(), err.getvalue()


def test_asksTwice(path: Path) -> None:
    """On a terminal the password is asked for twice and not shown."""
    run = Command(str(path), "bob", typed=("p w", "p w"))
    assert (run.status, run.err) == (0, "")
    assert run.out == f"{path}: added bob\n"
    assert len(run.prompts) == 2 and "bob" in run.prompts[0]
    assert verifies(path, b"bob", b"p w")
    assert "changed" in Command(str(path), "bob", typed=("q", "q")).out


@pytest.mark.parametrize("line", ["pä w\n", "pä w", "pä w\r\n", "pä w\nmore\n"])
def test_readsOneLine(path: Path, line: str) -> None:
    """From a pipe the first line is the password."""
    run = Command(str(path), "bob", stdin=line)
    assert (run.status, run.prompts) == (0, [])
    assert verifies(path, b"bob", "pä w".encode())


@pytest.mark.parametrize(
    ("user", "stdin", "typed", "said"),
    [
        ("bob", "", (), "no password"),
        ("bob", "\n", (), "empty"),
        ("bob", None, ("", ""), "empty"),
        ("bob", None, ("p", "q"), "differ"),
        ("bob", None, (EOFError(),), "nothing was changed"),
        ("bob", None, (KeyboardInterrupt(),), "nothing was changed"),
        ("a:b", None, (), "colon"),
        ("bob", "p\tq\n", (), "control"),
        ("bob", "p\udcff\n", (), "UTF-8"),
    ],
)
def test_oneClearLine(
    path: Path, user: str, stdin: str | None, typed: tuple[object, ...], said: str
) -> None:
    """What is wrong is one line on standard error, and exit status 1; a bad
    user is told before anything is typed."""
    run = Command(str(path), user, stdin=stdin, typed=typed)
    assert (run.status, run.out) == (1, "")
    assert said in run.err and len(run.err.strip().splitlines()) == 1
    assert not path.exists()


def test_fileThatCannotBeWritten(path: Path) -> None:
    """A missing directory is one line too, and is told before anything is typed."""
    run = Command(str(path / "missing" / "users"), "bob", stdin="p\n")
    assert run.status == 1 and "is no directory; make it first" in run.err
    # There is no password at all, and yet it is not missed.
    run = Command(str(path.parent), "bob", stdin="")
    assert run.status == 1 and "is a directory: name a file in it" in run.err


@pytest.mark.parametrize(
    "argv", [(), ("users",), ("a", "b", "c"), ("--force", "b"), ("-x", "b")]
)
def test_usage(argv: tuple[str, ...]) -> None:
    """Wrong usage shows the usage, and exit status 2."""
    run = Command(*argv)
    assert (run.status, run.out) == (2, "") and run.err.startswith("Usage: ")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(flag: str) -> None:
    """Asked for, the usage is an answer."""
    run = Command(flag)
    assert (run.status, run.err) == (0, "") and run.out.startswith("Usage: ")
