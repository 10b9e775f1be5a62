"""Files that are read again when they change: one set of rules, one clock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import globalLogPublisher

from txconnect import rereading
from txconnect.errors import ConfigurationError
from txconnect.rereading import RereadFile, readFile


def parse(path: str, data: bytes) -> list[bytes]:
    """A list of words, one a line; each ends with its line."""
    lines = data.split(b"\n")
    if lines.pop():
        raise ConfigurationError(f"{path}:{len(lines) + 1}: half a line")
    return lines


class Watched:
    """A file with its reader and a clock."""

    def __init__(self, path: Path, every: float = 0.0) -> None:
        self.path = path
        self.now = 1000.0
        self.put(b"one\n")
        self.file = RereadFile(
            path, parse, "the list", every=every, seconds=lambda: self.now
        )

    def put(self, data: bytes) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_bytes(data)
        fresh.replace(self.path)

    @property
    def content(self) -> list[bytes]:
        return self.file.content()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "list")


@pytest.fixture
def logged() -> Iterator[list[tuple[str, str]]]:
    """The level and text of each line of the reader's log."""
    lines: list[tuple[str, str]] = []

    def observe(event: Any) -> None:
        if event.get("log_namespace") == "txconnect.rereading":
            text = event["log_format"].format(**event)
            lines.append((event["log_level"].name, text))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


def test_changeCounts(watched: Watched, logged: list[tuple[str, str]]) -> None:
    """[F25] A new version counts when it is next asked for, an empty one too."""
    assert watched.content == [b"one"]
    watched.put(b"two\nthree\n")
    assert watched.content == [b"two", b"three"]
    watched.put(b"")
    assert watched.content == []
    assert logged == [("info", f"{watched.path} has been read again")] * 2


def test_unchangedIsNotReadAgain(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unchanged file is looked at and not read."""
    monkeypatch.setattr(rereading, "_readWhole", None)
    assert watched.content == [b"one"]


def test_badVersion(watched: Watched, logged: list[tuple[str, str]]) -> None:
    """[F25] A half-written version changes nothing; the log has file and line
    at once, and again each minute until a good one is there."""
    watched.put(b"two\nthr")
    for _ in range(3):
        assert watched.content == [b"one"]
    said = f"{watched.path}:2: half a line; the version before it stays in force"
    assert logged == [("error", said)]
    watched.now += 59
    assert watched.content == [b"one"] and len(logged) == 1
    watched.now += 1
    assert watched.content == [b"one"] and logged == [("error", said)] * 2
    watched.put(b"two\nthree\n")
    assert watched.content == [b"two", b"three"]
    assert logged[2:] == [
        ("info", f"{watched.path} has been read again and is good again")
    ]
    watched.now += 600
    assert watched.content == [b"two", b"three"] and len(logged) == 3


def test_anotherErrorIsLoggedAtOnce(
    watched: Watched, logged: list[tuple[str, str]]
) -> None:
    """An error of other words has a line of its own."""
    watched.put(b"thr")
    assert watched.content == [b"one"]
    watched.put(b"two\nthr")
    assert watched.content == [b"one"]
    assert [line.split(";")[0] for _, line in logged] == [
        f"{watched.path}:{line}: half a line" for line in (1, 2)
    ]


def test_gone(watched: Watched, logged: list[tuple[str, str]]) -> None:
    """[F25] A file that is gone keeps what was read, and is an error each minute
    until it is back, even as it was."""
    aside = watched.path.with_suffix(".aside")
    watched.path.rename(aside)
    for minutes in (1, 1, 2, 3):
        assert watched.content == [b"one"]
        assert len(logged) == minutes
        watched.now += 30 if minutes == 1 else 60
    assert set(logged) == {
        (
            "error",
            f"{watched.path}: the list cannot be read: No such file or directory; "
            "the version before it stays in force",
        )
    }
    aside.rename(watched.path)
    assert watched.content == [b"one"]
    assert logged[-1] == (
        "info",
        f"{watched.path} has been read again and is good again",
    )


def test_unreadable(
    watched: Watched, logged: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """[F25] A file that may not be read is tried again whenever it is asked for."""
    watched.put(b"two\n")

    def refuse(*arguments: Any) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(rereading.os, "open", refuse)
        assert watched.content == watched.content == [b"one"]
    assert len(logged) == 1 and "cannot be read: Permission denied" in logged[0][1]
    assert watched.content == [b"two"]


@pytest.mark.parametrize("kind", ["directory", "pipe"])
def test_noFileAnyMore(
    watched: Watched, logged: list[tuple[str, str]], kind: str
) -> None:
    """A pipe in the file's place does not hold the process; nor does a directory
    count as a list."""
    watched.path.unlink()
    (os.mkdir if kind == "directory" else os.mkfifo)(watched.path)
    assert watched.content == [b"one"]
    assert len(logged) == 1 and str(watched.path) in logged[0][1]


def test_pipeIsReadOnce(tmp_path: Path, logged: list[tuple[str, str]]) -> None:
    """What a shell's <(...) gives is read once: a second reading would be empty."""
    reads, writes = os.pipe()
    os.write(writes, b"one\n")
    os.close(writes)
    file = RereadFile(f"/dev/fd/{reads}", parse)
    os.close(reads)
    assert file.content() == file.content() == [b"one"] and logged == []


def test_everyFewSeconds(tmp_path: Path) -> None:
    """Where a look at each request is too dear, a change counts some seconds late."""
    watched = Watched(tmp_path / "list", every=2.0)
    watched.put(b"two\n")
    assert watched.content == [b"one"]
    watched.now += 2
    assert watched.content == [b"two"]


def test_noMoreLooksThanThat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """[F31] However often the content is asked for, the file is looked at once in a
    period."""
    watched = Watched(tmp_path / "list", every=2.0)
    looks: list[str] = []
    look = rereading._signatureOf
    monkeypatch.setattr(
        rereading, "_signatureOf", lambda path: (looks.append(path), look(path))[1]
    )
    for _ in range(40):
        watched.now += 0.5
        assert watched.content == [b"one"]
    assert len(looks) == 10


def test_firstVersion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first version that is missing, bad or too long is an error at once."""
    path = tmp_path / "list"
    with pytest.raises(ConfigurationError, match="the file cannot be read: No such"):
        RereadFile(path, parse)
    path.write_bytes(b"half")
    with pytest.raises(ConfigurationError, match=r"list:1: half a line$"):
        RereadFile(path, parse)
    monkeypatch.setattr(rereading, "LIMIT", 3)
    with pytest.raises(ConfigurationError, match="the list has more than 3 octets"):
        readFile(str(path), "the list")
    path.write_bytes(b"two")
    assert readFile(str(path), "the list") == b"two"


class Settling:
    """A file that must rest before it is read, with both its clocks."""

    def __init__(self, path: Path, every: float = 1.0) -> None:
        self.path = path
        self.now = 1000.0
        # Seconds since the file's last change, by the clock of its server.
        self.age = 0.0
        path.write_bytes(b"one\n")
        self.file = RereadFile(
            path,
            parse,
            "the list",
            every=every,
            settle=1.0,
            seconds=lambda: self.now,
            wall=lambda: os.stat(path).st_ctime_ns / 1e9 + self.age,
        )

    def lookAfter(self, seconds: float) -> list[bytes]:
        self.now += seconds
        self.age += seconds
        return self.file.content()

    def write(self, data: bytes) -> None:
        """Change the file in place, which has another inode's time at least."""
        before = os.stat(self.path)
        self.path.write_bytes(data)
        os.utime(self.path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        self.age = 0.0


@pytest.fixture
def settling(tmp_path: Path) -> Settling:
    return Settling(tmp_path / "list")


def test_halfIsNotTheWhole(settling: Settling, logged: list[tuple[str, str]]) -> None:
    """[F31] A file that has just changed is read when it has rested."""
    settling.write(b"two\n")
    assert settling.lookAfter(0.5) == [b"one"]
    assert settling.lookAfter(0.5) == [b"two"]
    settling.write(b"two\nthr")
    settling.write(b"two\nthree\n")
    assert settling.lookAfter(1.0) == [b"two", b"three"]
    assert [level for level, _ in logged] == ["info", "info"]


def test_oldChangeCountsAtOnce(settling: Settling) -> None:
    """[F31] Who asks for the first time in an hour gets what is an hour old."""
    settling.write(b"two\n")
    assert settling.lookAfter(3600.0) == [b"two"]


@pytest.mark.parametrize("skew", [-3600.0, -1.0])
def test_otherClock(settling: Settling, skew: float) -> None:
    """[F31] A file server's clock that is ahead delays a change by one look."""
    settling.write(b"two\n")
    settling.age = skew
    assert settling.lookAfter(1.0) == [b"one"]
    settling.age = skew
    assert settling.lookAfter(1.0) == [b"two"]


def test_otherClockAndManyLooks(tmp_path: Path) -> None:
    """[F31] By this process's clock, too, it must have rested, and not only be the same
    at two looks."""
    settling = Settling(tmp_path / "list", every=0.25)
    settling.write(b"two\n")
    settling.age = -3600.0
    for _ in range(4):
        assert settling.lookAfter(0.25) == [b"one"]
    assert settling.lookAfter(0.25) == [b"two"]


def test_restlessFromFiveSecondsOn(
    settling: Settling, logged: list[tuple[str, str]]
) -> None:
    """[F31] Who writes a long list in pieces is not complained about at once."""
    for number in range(6):
        assert logged == []
        settling.write(b"%d\n" % number)
        settling.age = -0.9
        settling.lookAfter(1.0)
    assert len(logged) == 1


def test_restless(settling: Settling, logged: list[tuple[str, str]]) -> None:
    """[F31] A file that is written all the time is an error, once a minute."""
    for number in range(60):
        settling.write(b"%d\n" % number)
        settling.age = -0.9
        assert settling.lookAfter(1.0) == [b"one"]
    path = settling.path
    assert logged == [
        (
            "error",
            f"{path}: the list is being written all the time; the version before it "
            "stays in force",
        )
    ]
    assert settling.lookAfter(2.0) == [b"59"]
    assert logged[1:] == [("info", f"{path} has been read again and is good again")]


def test_changedWhileRead(settling: Settling, monkeypatch: pytest.MonkeyPatch) -> None:
    """[F31] What was read while the file changed is dropped."""
    readWhole = rereading._readWhole

    def readAndChange(*arguments: Any, **more: Any) -> Any:
        read = readWhole(*arguments, **more)
        settling.write(b"three\n")
        return read

    settling.write(b"two\n")
    with monkeypatch.context() as patched:
        patched.setattr(rereading, "_readWhole", readAndChange)
        assert settling.lookAfter(1.0) == [b"one"]
    assert settling.lookAfter(1.0) == [b"three"]


def test_goneDoesNotSettle(settling: Settling, logged: list[tuple[str, str]]) -> None:
    """[F31] A deleted file is an error at the next look, and its content stays."""
    settling.path.unlink()
    settling.file._wall = lambda: 0.0
    assert settling.lookAfter(1.0) == [b"one"]
    assert [level for level, _ in logged] == ["error"]
    assert "cannot be read: No such file" in logged[0][1]


def test_tooLongIsNotRead(
    settling: Settling,
    logged: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """[F31] A file that is too long changes nothing, and is said once a minute."""
    monkeypatch.setattr(rereading, "LIMIT", 8)
    settling.write(b"a line of\nmore\n")
    assert settling.lookAfter(1.0) == settling.lookAfter(1.0) == [b"one"]
    assert [text for _, text in logged] == [
        f"{settling.path}: the list has more than 8 octets; the version before it "
        "stays in force"
    ]
    settling.write(b"two\n")
    assert settling.lookAfter(1.0) == [b"two"]
