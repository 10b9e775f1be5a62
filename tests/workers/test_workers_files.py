"""
Files that only root may read, handed to workers.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from txconnect.configuration import Configuration
from txconnect.settings import Settings
from txconnect.workers.files import LARGEST, RootFiles


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with files that options may name; the current one."""
    for name in ("users", "key", "a:b", "443", "token", "log", "a,b"):
        (tmp_path / name).write_text(f"it is {name}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rewritten(
    configuration: Configuration, readable: Sequence[str] = ()
) -> Configuration:
    """The configuration that a worker gets, with the contents for their paths."""
    files = RootFiles(configuration, lambda path: os.path.basename(path) in readable)
    files.open()
    files.keep()
    text = json.dumps(files.configuration(9000).toData())
    for number, descriptor in enumerate(files.descriptors, 9000):
        content = Path(f"/proc/self/fd/{descriptor}").read_text()
        text = text.replace(f"/proc/self/fd/{number}", f"<{content}>")
    files.close()
    return Configuration.fromData(json.loads(text))


def configured(field: str, text: str) -> Configuration:
    """One in which a field has one text."""
    value: Any = text if field in ("pair", "settings") else (text,)
    if field == "settings":
        value = Settings(realm=text)
    return Configuration(openProxy=True, **{field: value})


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        ("checkers", "htpasswd:users", "htpasswd:<it is users>"),
        ("checkers", "users", "users"),
        ("checkers", "memory:alice:users", "memory:alice:users"),
        ("checkers", "file:a:b", "file:<it is a:b>"),
        (
            "listeners",
            "ssl:443:privateKey=key:certKey=key",
            "ssl:443:privateKey=<it is key>:certKey=<it is key>",
        ),
        ("listeners", "ssl:1:privateKey=a\\:b", "ssl:1:privateKey=<it is a:b>"),
        ("listeners", "443", "443"),
        ("policies", "ports:443", "ports:443"),
        ("policies", "ask:1,token=./token", "ask:1,token=<it is token>"),
        (
            "routes",
            "./key:Name=http://p:1,credentials=users|https://q,ca=key,cert=./users",
            "./key:Name=http://p:1,credentials=<it is users>|https://q,ca=<it is key>,cert=<it is users>",
        ),
        ("routes", "ask:x=./token=socks5://p:1", "ask:x=<it is token>=socks5://p:1"),
        ("routes", "http://p:1,credentials=env:key", "http://p:1,credentials=env:key"),
        ("routes", "hosts:a=direct", "hosts:a=direct"),
        ("observers", "accesslog:./log", "accesslog:./log"),
        ("settings", "users", "users"),
        ("checkers", "htpasswd:missing", "htpasswd:missing"),
        ("pair", "./pair.py:P:./key", "./pair.py:P:<it is key>"),
        (
            "plugins",
            "./all.py:P:./key,x=./users",
            "./all.py:P:<it is key>,x=<it is users>",
        ),
        ("policies", r"ask:./a\,b,1", "ask:<it is a,b>,1"),
        ("checkers", r"./my.py:C:./a\,b,1", "./my.py:C:<it is a,b>,1"),
        ("checkers", "./my.py:C:users", "./my.py:C:users"),
        (
            "routes",
            r"http://p:1,credentials=a\,b|http://q:1",
            "http://p:1,credentials=<it is a,b>|http://q:1",
        ),
        ("taps", "./tap.py:T:x,./key", "./tap.py:T:x,<it is key>"),
        ("routers", "ask:./token", "ask:<it is token>"),
        ("policies", "hosts:@users", "hosts:@<it is users>"),
        (
            "policies",
            "hosts:a, @./key ,@users",
            "hosts:a, @<it is key> ,@<it is users>",
        ),
        ("policies", "hosts:@missing,@", "hosts:@missing,@"),
        ("routes", "hosts:@users=http://p:1", "hosts:@<it is users>=http://p:1"),
        ("schemes", "digest:./key,./token", "digest:<it is key>,<it is token>"),
    ],
)
@pytest.mark.usefixtures("directory")
def test_namedFilesAreHandedOn(field: str, text: str, told: str) -> None:
    """What is written, and what only looks like a file, is not. [F31]"""
    before = len(os.listdir("/proc/self/fd"))
    assert rewritten(configured(field, text)) == configured(field, told)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.usefixtures("directory")
def test_whatCanBeReadStaysAPath() -> None:
    """So a password file is still read again when it changes."""
    configuration = Configuration(checkers=("htpasswd:users",))
    assert rewritten(configuration, readable=["users"]) == configuration


def test_contentsCannotBeChanged(directory: Path) -> None:
    """One worker must not change what the next one reads."""
    files = RootFiles(configured("checkers", "htpasswd:users"), lambda path: False)
    files.open()
    (directory / "users").unlink()
    files.keep()
    [descriptor] = files.descriptors
    with pytest.raises(PermissionError):
        os.write(descriptor, b"x")
    assert stat.S_ISREG(os.fstat(descriptor).st_mode)
    files.close()


def test_largeFilesAreNoKeys(directory: Path) -> None:
    with open(directory / "users", "ab") as file:
        file.truncate(LARGEST + 1)
    configuration = configured("checkers", "htpasswd:users")
    assert rewritten(configuration) == configuration
