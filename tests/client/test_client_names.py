"""
The names of C{txconnect.client}: all there, each imported only when asked for.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from txconnect import client


@pytest.mark.parametrize("name", client.__all__)
def test_names(name: str) -> None:
    """Each public name is there, and is the one of its module."""
    home = f"txconnect.client{client._HOMES[name]}"
    found = getattr(client, name)
    assert getattr(sys.modules[home], name) is found
    assert name in sys.modules[home].__all__


def test_lists() -> None:
    """What the type checker is told, what is exported and what is found agree."""
    assert client.__file__ is not None
    tree = ast.parse(Path(client.__file__).read_text("utf-8"))
    [told] = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {
        alias.name: str(node.module)
        for node in told.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    homes = {name: f"txconnect.client{home}" for name, home in client._HOMES.items()}
    assert imported == homes
    assert sorted(client.__all__) == sorted(homes)


def test_noSuchName() -> None:
    """Another name is a plain mistake."""
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = client.Nothing


def test_light() -> None:
    """The room itself loads no web client, and installs no reactor."""
    program = (
        "import sys, txconnect.client; "
        "print([m for m in ('twisted.web', 'twisted.internet') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[]\n"
