"""The access log: whole lines, and nothing that goes wrong stops a tunnel."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
from test_observers_lines import CLOSED, NOW, REFUSED, REQUEST, TUNNEL
from twisted.application.service import IService
from twisted.logger import globalLogPublisher
from zope.interface.verify import verifyObject

from txconnect.errors import ConfigurationError
from txconnect.interfaces import IDestinationPolicy, IReopens, ITrafficObserver
from txconnect.observers.accesslog import AccessLog, RequiredAccessLog
from txconnect.observers.lines import LINE
from txconnect.values import (
    Allow,
    Cause,
    Decision,
    Deny,
    Identity,
    TunnelEstablished,
)


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
        ("log", "xml", "'xml' is not known"),
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
    """
    Takes so many octets more, or fails.

    @ivar room: the octets that are free; L{None}: any number.
    """

    def __init__(self) -> None:
        self.room: int | None = None

    def write(self, descriptor: int, data: bytes) -> int:
        if self.room is None:
            return os.write(descriptor, data)
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = os.write(descriptor, data[: self.room])
        self.room -= count
        return count


@pytest.mark.parametrize("room", [0, 1, 17])
def test_fullDisk(tmp_path: Path, room: int, said: list[str]) -> None:
    """
    [F28] A full disk stops no tunnel: counted, said once in the system's words, and
    over when it is over. A line of which a part was written spoils no other.
    """
    disk = Disk()
    log = started(tmp_path / "log", write=disk.write)
    log.observe(CLOSED)
    disk.room = room
    for _ in range(3):
        log.observe(CLOSED)
    assert log.lost == 3
    assert len(said) == 1 and "No space left" in said[0]
    disk.room = None
    log.observe(REFUSED)
    log.observe(REFUSED)
    assert len(said) == 2 and said[1].endswith("lines lost: 3")
    log.stopService()
    lines = (tmp_path / "log").read_text().splitlines()
    if room:
        assert len(lines.pop(1)) == room
    events = [json.loads(line)["event"] for line in lines]
    assert events == ["closed", "lost", "refused", "refused"]
    assert json.loads(lines[1])["lost"] == 3


def test_countAtTheEnd(tmp_path: Path) -> None:
    """[F22] Lines lost at last are told when the log is closed."""
    disk = Disk()
    log = started(tmp_path / "log", "text", write=disk.write)
    disk.room = 0
    log.observe(CLOSED)
    disk.room = None
    log.stopService()
    assert (tmp_path / "log").read_text().endswith(" lost=1\n")


def test_readerThatDoesNotRead(tmp_path: Path, said: list[str]) -> None:
    """
    [F22] A FIFO that nobody reads holds up neither a tunnel nor the stop; when it is
    read again, the number of lost lines stands where they are missing.
    """
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    _fillPipe(tmp_path / "pipe")
    log = started(tmp_path / "pipe")
    taken = 0
    while not log.lost:
        log.observe(CLOSED)
        taken += 1
    log.observe(CLOSED)
    assert len(said) == 1 and "does not keep up" in said[0]
    os.set_blocking(reader, True)
    lines = (each for each in _lines(reader) if each != "\n")
    first = [json.loads(next(lines)) for _ in range(taken - 1)]
    assert {each["event"] for each in first} == {"closed"}
    log.observe(REFUSED)
    assert json.loads(next(lines))["lost"] == 2
    assert json.loads(next(lines))["event"] == "refused"
    assert said[1:] == [f"the access log {log.path} is written again; lines lost: 2"]
    log.stopService()
    assert list(lines) == []
    os.close(reader)


def _fillPipe(path: Path) -> None:
    """
    Fill a pipe with empty lines, to its last octet: with room in it, a line that comes
    after a lost one might still be taken.
    """
    writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    for size in (4096, 1):
        with suppress(BlockingIOError):
            while True:
                os.write(writer, b"\n" * size)
    os.close(writer)


def _lines(descriptor: int) -> Iterator[str]:
    with open(os.dup(descriptor), encoding="ascii") as file:
        yield from file


def test_readerThatComesLate(tmp_path: Path) -> None:
    """A FIFO without a reader stops the start, in words."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="nobody reads it"):
        started(tmp_path / "pipe")


@pytest.mark.parametrize("path", ["/dev/stderr", "/dev/stdout"])
def test_ownStreams(path: str, capfd: pytest.CaptureFixture[str]) -> None:
    """[F22] The program's own streams are used as they are, and not opened anew."""
    log = started(path)
    log.observe(CLOSED)
    log.reopen()
    log.stopService()
    got = capfd.readouterr()
    lines = got.err if path == "/dev/stderr" else got.out
    assert json.loads(lines)["event"] == "closed"


EACH = {
    "open": TunnelEstablished(TUNNEL),
    "close": CLOSED,
    "refuse": REFUSED,
}


@pytest.mark.parametrize("format", ["json", "text"])
@pytest.mark.parametrize(
    "events",
    ["open", "close", "refuse", "refuse+close", "close + open", "open+close+refuse"],
)
def test_events(tmp_path: Path, format: str, events: str) -> None:
    """[F17] Those kinds of events have lines that were asked for, and no others."""
    log = AccessLog.fromItems(str(tmp_path / "log"), format, events)
    log.startService()
    for event in EACH.values():
        log.observe(event)
    log.stopService()
    text = (tmp_path / "log").read_text()
    values = {"open": "opened", "close": "closed", "refuse": "refused"}
    for word, value in values.items():
        shown = f'"event":"{value}"' if format == "json" else f"event={value} "
        assert (shown in text) is (word in events)


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (
            {"events": "opne"},
            "events='opne' is not known; did you mean 'open'? Write open, close or "
            "refuse with + between them",
        ),
        ({"events": "opened+close"}, "did you mean 'open'"),
        ({"events": "open close"}, "'open close' is not known"),
        ({"events": "open+"}, "events='' is not known. Write open, close or refuse"),
        (
            {"format": "jsn"},
            "format='jsn' is not known; did you mean 'json'? Write json",
        ),
        ({"required": "ye"}, "required='ye' is not known; did you mean 'yes'?"),
        ({"required": "true"}, "required='true' is not known. Write yes or no"),
    ],
)
def test_wrongWords(items: dict[str, str], words: str) -> None:
    """[F17] A wrong word stops the start, with the nearest right one."""
    with pytest.raises(ValueError, match=re.escape(words)):
        AccessLog.fromItems("log", **items)


def required(path: Path, **keywords: Any) -> RequiredAccessLog:
    log = RequiredAccessLog(str(path), **keywords)
    log.startService()
    return log


def test_requiredRefusesWhatCannotBeLogged(tmp_path: Path) -> None:
    """C{required=yes}: refused while the disk is full, and allowed again after."""
    disk = Disk()
    log = required(tmp_path / "log", write=disk.write)
    assert log.decide(REQUEST) == Allow()
    disk.room = 5
    log.observe(CLOSED)
    denied = log.decide(REQUEST)
    assert denied == Deny(
        f"the access log {log.path} cannot be written: No space left on device",
        Cause.UNLOGGED,
    )
    disk.room = None
    assert log.decide(REQUEST) == Allow()
    log.stopService()
    lines = (tmp_path / "log").read_text().splitlines()
    assert json.loads(lines[1])["lost"] == 1


def test_requiredNeedsNoFurtherEvent(tmp_path: Path) -> None:
    """Writing works again for whom it is tried: a log of opens has no refusals."""
    disk = Disk()
    log = required(tmp_path / "log", events="open", write=disk.write)
    disk.room = 0
    log.observe(TunnelEstablished(TUNNEL))
    assert isinstance(log.decide(REQUEST), Deny)
    disk.room = None
    assert log.decide(REQUEST) == Allow()
    log.stopService()


def test_requiredFileThatWasDeleted(tmp_path: Path, said: list[str]) -> None:
    """A deleted file is begun anew; where that fails, everything is refused."""
    home = tmp_path / "home"
    home.mkdir()
    log = required(home / "log")
    (home / "log").unlink()
    assert log.decide(REQUEST) == Allow()
    assert said == [f"the access log {log.path} was deleted: a new one is begun"]
    log.observe(CLOSED)
    assert len((home / "log").read_text().splitlines()) == 1
    (home / "log").rename(tmp_path / "log")
    assert log.decide(REQUEST) == Allow(), "logrotate renames it"
    (tmp_path / "log").unlink()
    home.rmdir()
    denied = log.decide(REQUEST)
    assert isinstance(denied, Deny) and "it was deleted; No such file" in denied.reason
    log.observe(REFUSED)
    home.mkdir()
    assert log.decide(REQUEST) == Allow()
    assert json.loads((home / "log").read_text())["lost"] == 1
    log.stopService()


def test_requiredBeforeItIsStarted(tmp_path: Path) -> None:
    """Nothing is allowed by a log that is not open, or not any more."""
    log = RequiredAccessLog(str(tmp_path / "log"))
    assert isinstance(log.decide(REQUEST), Deny)
    log.startService()
    assert log.decide(REQUEST) == Allow()
    log.stopService()
    assert isinstance(log.decide(REQUEST), Deny)


def test_requiredFifo(tmp_path: Path) -> None:
    """A reader that does not keep up refuses requests, too."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    log = required(tmp_path / "pipe")
    decision: Decision = Allow()
    while decision == Allow():
        log.observe(CLOSED)
        decision = log.decide(REQUEST)
    assert isinstance(decision, Deny)
    assert log.lost
    log.stopService()
    os.close(reader)


def test_requiredIsChosenByItsWord(tmp_path: Path) -> None:
    """By the operator's argument; a log that is not required judges nothing."""
    path = str(tmp_path / "log")
    assert IDestinationPolicy.providedBy(AccessLog.fromItems(path, required="yes"))
    assert not IDestinationPolicy.providedBy(AccessLog.fromItems(path))
    assert verifyObject(IDestinationPolicy, RequiredAccessLog(path))
    assert verifyObject(ITrafficObserver, RequiredAccessLog(path))


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
