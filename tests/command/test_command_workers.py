"""
C{--workers}: the options, and the service that supervises workers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.scripts.twistd import ServerOptions

from txconnect.command import Options, makeService
from txconnect.configuration import Configuration
from txconnect.workers import supervisor
from txconnect.workers.files import RootFiles
from txconnect.workers.supervisor import Supervisor


def parsed(*arguments: str, twistd: Sequence[str] = ("-n",)) -> Options:
    """Our options, below twistd's."""
    config = ServerOptions()
    config.parseOptions([*twistd, "connectproxy", *arguments])
    assert isinstance(config.subOptions, Options)
    return config.subOptions


@pytest.mark.parametrize("number", ["0", "-1", "two", "", "1.5", "1025", "9" * 5000])
def test_workersAreANumber(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed(f"--workers={number}")
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert re.search("--workers: .* is not 1 to 1024", said)


def test_oneWorkerIsNoWorker() -> None:
    """The program stays one process, and nothing of this is in it."""
    options = parsed("--workers", "1")
    assert options["held"] is None
    assert not isinstance(served(options), Supervisor)
    assert isinstance(served(parsed("--workers=2")), Supervisor)


def served(options: Options) -> Any:
    """What the service has in the place of a proxy."""
    return makeService(options).service.proxy


def test_chrootHasNoProgramToStart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed("--workers=2", twistd=["-n", "--chroot", str(tmp_path)])
    assert caught.value.code == 1
    assert "--chroot" in capsys.readouterr().err


def test_workersHaveOneName(monkeypatch: pytest.MonkeyPatch) -> None:
    """[UP-07] [T15] What has been through one worker has been through the proxy."""
    given: list[Configuration] = []

    def files(configuration: Configuration) -> RootFiles:
        given.append(configuration)
        return RootFiles(configuration)

    monkeypatch.setattr(supervisor, "RootFiles", files)
    for arguments, name in (
        ([], "txconnect-[0-9a-f]{6}"),
        (["--name=mine"], "mine"),
    ):
        makeService(parsed("--workers=2", *arguments))
        assert re.fullmatch(name, given.pop().settings.name)
