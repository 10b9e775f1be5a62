"""The access log: whole lines, and nothing that goes wrong stops a tunnel."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from test_observers_lines import CLOSED, NOW, REFUSED, TUNNEL
from twisted.application.service import IService
from twisted.logger import globalLogPublisher
from zope.interface.verify import verifyObject

from txconnect.errors import ConfigurationError
from txconnect.interfaces import IReopens, ITrafficObserver
from txconnect.observers.accesslog import AccessLog
from txconnect.observers.lines import LINE
from txconnect.values import Identity, TunnelEstablished


def started(path: Path | str, format: str = "json", **keywords: Any) -> AccessLog:
    log = AccessLog(str(path), format, now=lambda: NOW, **keywords)
    log.startService()
    return log


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the program's log says of the access log."""
    lines: list[str] = []

    def hear(event: Any) -> None:
        if "access log" in (event.get("log_format") or ""):
            lines.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(hear)
    yield lines
    globalLogPublisher.removeObserver(hear)


def test_lines(tmp_path: Path) -> None:
    """One line for a refusal and one for a close, there at once. [T16]"""
    path = tmp_path / "log"
    path.write_text("before\n")
    log = started(path)
    log.observe(TunnelEstablished(TUNNEL))
    log.observe(CLOSED)
    log.observe(REFUSED)
    before, closed, refused = path.read_text().splitlines()
    assert before == "before"
    assert json.loads(closed)["event"] == "closed"
    assert json.loads(refused)["event"] == "refused"
    log.stopService()


def test_text(tmp_path: Path) -> None:
    """The other format."""
    log = started(tmp_path / "log", "text")
    log.observe(CLOSED)
    log.stopService()
    assert (tmp_path / "log").read_text().startswith("time=2025-11-22T22:01:14.062Z ")


def test_standardOutput(capfd: pytest.CaptureFixture[str]) -> None:
    """A hyphen is the real standard output, which stays open."""
    for _ in range(2):
        log = started("-")
        log.observe(CLOSED)
        log.reopen()
        log.stopService()
    assert len(capfd.readouterr().out.splitlines()) == 2


def test_noStandardOutput(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without one says so at start-up."""
    monkeypatch.setattr("sys.__stdout__", None)
    with pytest.raises(ConfigurationError, match="no standard output"):
        started("-")


def test_severalProcesses(tmp_path: Path) -> None:
    """Lines of several writers stand one behind the other, each whole."""
    logs = [started(tmp_path / "log") for _ in range(3)]
    for _ in range(20):
        for log in logs:
            log.observe(CLOSED)
    for log in logs:
        log.stopService()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["7f3a-1"] * 60


def test_onlyTheOwnerAndTheGroupRead(tmp_path: Path) -> None:
    """Who went where is nobody else's business."""
    started(tmp_path / "log").stopService()
    assert (tmp_path / "log").stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("format", ["json", "text"])
def test_longLines(tmp_path: Path, format: str) -> None:
    """A line is never longer than what a pipe takes at once. [T16]"""
    log = started(tmp_path / "log", format)
    asked = attrs.evolve(REFUSED.request, identity=Identity("\U0001f600" * 999, "x"))
    log.observe(attrs.evolve(REFUSED, request=asked, reason="\U0001f600" * 999))
    log.stopService()
    line = (tmp_path / "log").read_text()
    assert line.count("\n") == 1
    assert len(line) <= LINE


def test_pathIsAbsoluteAtOnce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is of where the program was started, not of --rundir."""
    monkeypatch.chdir(tmp_path)
    log = AccessLog("log")
    monkeypatch.chdir("/")
    assert log.path == str(tmp_path / "log")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert AccessLog("~/log").path == str(tmp_path / "log")


def test_opensNothingBeforeItStarts(tmp_path: Path) -> None:
    """It is made before the program forks."""
    AccessLog.fromItems(str(tmp_path / "log"), format="text")
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    ("path", "format", "words"),
    [
        ("log", "xml", "'xml' is no format"),
        ("", "json", "no file is named"),
        ("/", "json", "is a directory"),
        ("/nonesuch/log", "json", "/nonesuch is no directory"),
    ],
)
def test_badArgumentsStopStartUp(path: str, format: str, words: str) -> None:
    """What cannot work is a sentence at start-up."""
    with pytest.raises(ValueError, match=words):
        AccessLog(path, format)


def test_cannotBeOpened(tmp_path: Path) -> None:
    """A file that cannot be opened stops the start, with its name and why."""
    (tmp_path / "log").symlink_to(tmp_path / "no" / "such")
    with pytest.raises(ConfigurationError, match="log: No such file"):
        started(tmp_path / "log")


def test_reopen(tmp_path: Path) -> None:
    """After a rename, reopening goes on in a new file."""
    path, old = tmp_path / "log", tmp_path / "log.1"
    log = started(path)
    log.observe(CLOSED)
    path.rename(old)
    log.observe(CLOSED)
    log.reopen()
    log.observe(CLOSED)
    log.stopService()
    assert (len(old.read_text().splitlines()), len(path.read_text().splitlines())) == (
        2,
        1,
    )


def test_reopenFails(tmp_path: Path) -> None:
    """When the new file cannot be opened, the old one stays in use."""
    path, old = tmp_path / "log", tmp_path / "log.1"
    log = started(path)
    path.rename(old)
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        log.reopen()
    log.observe(CLOSED)
    log.stopService()
    assert len(old.read_text().splitlines()) == 1


def test_descriptorsAreGivenBack(tmp_path: Path) -> None:
    """Starting, reopening and stopping leave no descriptor open."""
    before = os.listdir("/proc/self/fd")
    log = started(tmp_path / "log")
    log.reopen()
    log.stopService()
    log.reopen()
    assert os.listdir("/proc/self/fd") == before


class Disk:
    """Takes so many octets of a write, or fails."""

    def __init__(self) -> None:
        self.room: int | OSError | None = None

    def write(self, descriptor: int, data: bytes) -> int:
        if isinstance(self.room, OSError):
            raise self.room
        return os.write(descriptor, data[: self.room])


def test_fullDisk(tmp_path: Path, said: list[str]) -> None:
    """A full disk stops no tunnel: counted, said once, and over when it is over."""
    disk = Disk()
    log = started(tmp_path / "log", write=disk.write)
    disk.room = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for _ in range(3):
        log.observe(CLOSED)
    assert log.lost == 3
    assert len(said) == 1 and "No space left" in said[0]
    disk.room = None
    log.observe(CLOSED)
    log.observe(CLOSED)
    assert len(said) == 2 and said[1].endswith("lines lost: 3")
    log.stopService()
    assert len((tmp_path / "log").read_text().splitlines()) == 2


@pytest.mark.parametrize("room", [0, 1, 17])
def test_tornLine(tmp_path: Path, room: int, said: list[str]) -> None:
    """A line of which a part was written does not spoil the next one."""
    disk = Disk()
    log = started(tmp_path / "log", write=disk.write)
    log.observe(CLOSED)
    disk.room = room
    log.observe(CLOSED)
    log.observe(REFUSED)
    disk.room = None
    log.observe(REFUSED)
    log.stopService()
    lines = (tmp_path / "log").read_text().splitlines()
    assert json.loads(lines[0])["event"] == "closed"
    assert json.loads(lines[-1])["event"] == "refused"
    assert (log.lost, len(said)) == (2, 2)


def test_readerThatDoesNotRead(tmp_path: Path, said: list[str]) -> None:
    """A pipe that nobody reads holds up no tunnel."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    log = started(tmp_path / "pipe")
    while not log.lost:
        log.observe(CLOSED)
    assert "does not keep up" in said[0]
    data = b""
    while piece := _read(reader):
        data += piece
    assert all(json.loads(line) for line in data.splitlines())
    log.observe(CLOSED)
    assert len(said) == 2
    os.close(reader)
    log.observe(CLOSED)
    assert log.lost == 2
    log.stopService()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return b""


def test_notStarted(tmp_path: Path, said: list[str]) -> None:
    """A log that nobody started says so instead of raising."""
    log = AccessLog(str(tmp_path / "log"))
    log.observe(CLOSED)
    assert log.lost == 1
    assert "it is not open" in said[0]


def test_interfaces(tmp_path: Path) -> None:
    """It keeps its interfaces' contracts; several may be in one proxy."""
    log = AccessLog(str(tmp_path / "log"))
    assert verifyObject(ITrafficObserver, log)
    assert verifyObject(IReopens, log)
    assert verifyObject(IService, log)
    assert log.name is None
