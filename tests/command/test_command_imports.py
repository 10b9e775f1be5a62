"""
The modules that the command loads: a start's time is the time of its imports, which is
counted here in modules and not measured.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import txconnect

ROOT = Path(txconnect.__file__).parent.parent

SERVICE = """
from txconnect.command import Options, makeService
options = Options()
options.parseOptions(["--listen", "0"])
makeService(options)
"""
"""All of a plain start but the binding of its port."""


def loadedBy(*arguments: str) -> set[str]:
    """The modules that a Python with these arguments has imported."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        # Coverage of subprocesses loads modules of its own.
        env={k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")},
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=60,
    )
    lines = (line for line in ran.stderr.splitlines() if line.startswith("import time"))
    return {line.rpartition("|")[2].strip() for line in lines}


def among(loaded: set[str], *packages: str) -> list[str]:
    """Those of the modules that are one of these, or in one."""
    return sorted(
        name
        for name in loaded
        if any(f"{name}.".startswith(f"{package}.") for package in packages)
    )


def test_versionNeedsNoTwistd() -> None:
    """The version is there at once: neither Twisted's code nor ours is loaded."""
    loaded = loadedBy("-m", "txconnect", "--version")
    assert among(loaded, "txconnect") == [
        "txconnect",
        "txconnect.command",
        "txconnect.command.versions",
        "txconnect.naming",
    ]
    heavy = ("scripts", "python", "plugin", "internet", "application", "logger")
    assert among(loaded, "zope", "attr", *(f"twisted.{name}" for name in heavy)) == []


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_helpNeedsNoProxy(option: str) -> None:
    """The help loads the options and settings; no reactor, TLS, proxy or plugin."""
    loaded = loadedBy("-m", "txconnect", option)
    assert "txconnect.settings" in loaded
    ours = ("proxy", "client", "routing", "plugins", "listening", "observers", "tunnel")
    assert among(loaded, *(f"txconnect.{name}" for name in ours)) == []
    twisteds = ("scripts", "application", "internet.reactor", "internet.tcp", "web")
    others = ("OpenSSL", "cryptography", "unittest")
    assert among(loaded, *others, *(f"twisted.{name}" for name in twisteds)) == []


def test_plainStartNeedsNoParentAndNoClient() -> None:
    """
    A start with a plain listener loads no parent's part, no client, no worker, no tap
    and no listener with TLS of its own.  (Twisted's reactor loads C{OpenSSL} itself.)
    """
    loaded = loadedBy("-c", SERVICE)
    assert "txconnect.proxy.connectproxy" in loaded
    ours = ("client", "routing", "workers", "taps", "testing", "listening.proxytls")
    assert among(loaded, *(f"txconnect.{name}" for name in ours)) == []
    assert among(loaded, "twisted.web", "twisted.conch", "sqlite3") == []
