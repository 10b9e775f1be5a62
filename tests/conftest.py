"""
What all tests share: when the live ones run, and where their clients are.

C{pytest} alone runs the tests that need no socket.  C{pytest --live}, or a
path under C{tests/live} on the command line, runs the live ones too.
C{--no-skips} makes a skipped test fail the run: nothing is missing unseen.
"""

from __future__ import annotations

import gc
import importlib
import shutil
import unittest
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

LIVE = Path(__file__).parent / "live"

# The same examples in every run, and none that fails for a slow machine:
# time is no property here.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--live",
        action="store_true",
        help="run tests/live too: real sockets and real clients, on loopback",
    )
    parser.addoption(
        "--no-skips", action="store_true", help="a skipped test fails the run"
    )


def _asksForLive(config: pytest.Config) -> bool:
    named = (Path(argument.split("::")[0]).resolve() for argument in config.args)
    return bool(config.getoption("--live")) or any(
        path.is_relative_to(LIVE) for path in named
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the live tests, and their imports, alone unless they are asked for."""
    live = collection_path.is_relative_to(LIVE)
    return True if live and not _asksForLive(config) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(LIVE):
            item.add_marker(pytest.mark.live)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was collected stays to the end."""
    _leaveTrialAlone(session)
    _settle()


def _leaveTrialAlone(session: pytest.Session) -> None:
    """
    Do without pytest's support of C{unittest} where there is no such test: it
    reads the version of Twisted from the disk before each test, once anything
    has imported trial, as L{twisted.internet.testing} does.
    """
    classes = [getattr(item, "cls", None) or object for item in session.items]
    plugin = session.config.pluginmanager.get_plugin("unittest")
    if plugin and not any(issubclass(each, unittest.TestCase) for each in classes):
        session.config.pluginmanager.unregister(plugin)


@pytest.fixture(scope="module", autouse=True)
def settled() -> None:
    """
    Tests that look for what nobody holds any more, by a collection each, go
    through what came to be in their own module.

    Else they would go through all reports and modules of the tests before,
    again and again: half the time of all tests.  And so it does not matter
    that a test thaws all there is.
    """
    _settle()


def _settle() -> None:
    """
    Keep what is held now out of later collections.

    It is collected first, so that nothing is kept which nobody holds.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if not session.config.getoption("--no-skips") or session.exitstatus != 0:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.section("skipped, and --no-skips was given", red=True)


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """
    C{program("curl")} is where that program is; a test fails without it.
    """

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            pytest.fail(f"{name} is not installed; .ci/run names its Debian package")
        return path

    return find


@pytest.fixture(scope="session")
def library() -> Callable[[str], ModuleType]:
    """
    C{library("httpx")} is that client library; a test fails without it.
    """

    def find(name: str) -> ModuleType:
        try:
            return importlib.import_module(name)
        except ImportError:
            pytest.fail(f"{name}: pip install -r tests/live/requirements.txt")

    return find
