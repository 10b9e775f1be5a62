"""
Signals to the real command, of one process and with workers: none but SIGINT
and SIGTERM ends it, and whatever ends it resets and logs every tunnel.
"""

from __future__ import annotations

import os
import re
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from proxyprocess import DEADLINE, ProxyProcess, eventually
from tunnelling import Echo, alive, echoing, tunnel

from txconnect.operating.signals import endingSignals, signalName

BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
"""Ignored in every Python program, whoever starts it."""

Start = Callable[..., "Program"]


class Program(ProxyProcess):
    """
    A proxy of one process or with workers.

    @ivar pids: all its processes, the one that an operator knows first.
    """

    def __init__(self, directory: Path, workers: int, *arguments: str) -> None:
        self._watched: list[int] = []
        super().__init__(directory, ["--workers", str(workers), *arguments])
        self.pids = [self.pid, *self.children()]
        self._watched = [os.pidfd_open(pid) for pid in self.pids]

    def children(self) -> list[int]:
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(child) for child in listed.split()]

    def serving(self) -> list[int]:
        """The processes that accept connections."""
        return self.pids[1:] or self.pids

    def output(self) -> str:
        return (self.directory / "output").read_text()

    def said(self, pattern: str, times: int = 1) -> list[str]:
        """What it has said that a pattern matches, once there is so much of it."""

        def look() -> list[str] | None:
            found = re.findall(pattern, self.output(), re.MULTILINE)
            return found if len(found) >= times else None

        return eventually(pattern, look)

    def lives(self) -> bool:
        """Whether its processes are those that there were at the beginning."""
        gone = select.select(self._watched, [], [], 0)[0]
        return not gone and self.children() == self.pids[1:]

    def awaitEnd(self) -> int:
        """Its status, once no process is left."""
        status = self._process.wait(DEADLINE)
        for watched in self._watched:
            assert select.select([watched], [], [], DEADLINE)[0], "a worker lives on"
        return status

    def kill(self) -> None:
        super().kill()
        for watched in self._watched:
            select.select([watched], [], [], DEADLINE)
            os.close(watched)


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A destination that says back what it hears."""
    with echoing() as made:
        yield made


@pytest.fixture
def start(tmp_path: Path, echo: Echo) -> Iterator[Start]:
    """C{start(workers, ...)} starts a program that is gone after the test."""
    with ExitStack() as stack:

        def made(workers: int, *arguments: str) -> Program:
            program = Program(tmp_path, workers, *arguments)
            stack.callback(program.kill)
            program.mark()
            return program

        yield made


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def program(request: pytest.FixtureRequest, start: Start) -> Program:
    """A program of either kind."""
    return start(request.param)


def masks(pid: int) -> dict[str, set[int]]:
    """
    The signals that a process ignores, blocks and catches, by the kernel's names;
    those that the C library keeps for itself are left out.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    found: list[tuple[str, str]] = re.findall(r"Sig(Ign|Blk|Cgt):\s+(\w+)", status)
    return {
        name: {n for n in signal.valid_signals() if int(mask, 16) >> (n - 1) & 1}
        for name, mask in found
    }


def test_noOtherSignalEndsIt(program: Program, echo: Echo) -> None:
    """[F10] Not the parent, not a worker; each is told of; the tunnels go on."""
    clients = [tunnel(program.port, echo.port) for _ in range(8)]
    for number in endingSignals():
        for pid in program.pids:
            os.kill(pid, number)
        if number not in BY_PYTHON:
            program.said(rf"\b{re.escape(signalName(number))}\b", len(program.pids))
    assert program.lives()
    assert all(alive(client) for client in clients)
    assert echo.ends == []
    for client in clients:
        client.close()
    program.end()


def test_aSignalWithoutAMeaningIsOneLine(program: Program) -> None:
    """[F10] It says what would end the program: the process that an operator knows."""
    for pid in program.pids:
        os.kill(pid, signal.SIGQUIT)
    line = (
        "SIGQUIT has no meaning here and is ignored; "
        rf"SIGTERM to process {program.pid} ends the program$"
    )
    assert len(program.said(line, len(program.pids))) == len(program.pids)
    program.end()


def test_programsThatPluginsStartInheritNothing(program: Program) -> None:
    """[F10] No signal is ignored or blocked but by Python, in any process."""
    for pid in program.pids:
        found = masks(pid)
        assert found["Ign"] == BY_PYTHON
        assert found["Blk"] == set()
        assert found["Cgt"] >= {*endingSignals()} - BY_PYTHON
    program.end()
