"""
Credentials from files and the environment: what is read, and what is told of
what cannot be.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from txconnect.client.credentials import Bearer, Password
from txconnect.client.secrets import (
    LIMIT,
    StoredCredentials,
    loadCredentials,
    readCredentials,
)

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alice:open sesame", StoredCredentials("alice", "open sesame")),
        ("alice:a:b\n", StoredCredentials("alice", "a:b")),
        ("alice: a \r\n", StoredCredentials("alice", " a ")),
        ("alice:", StoredCredentials("alice", "")),
        (":pass", StoredCredentials("", "pass")),
        ("\u00fc:\u00fc", StoredCredentials("\u00fc", "\u00fc")),
        ("bearer:pass", StoredCredentials("bearer", "pass")),
        ("Bearer abc.DEF-_~+/==", StoredCredentials(token="abc.DEF-_~+/==")),
        ("bearer  abc \n", StoredCredentials(token="abc")),
    ],
)
def test_whatIsRead(text: str, expected: StoredCredentials) -> None:
    assert readCredentials(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the credentials are empty: they are one line: user:password, or"),
        (" \n", "the credentials are empty"),
        (SECRET, "the credentials have no colon"),
        (f"alice:{SECRET}\nbob:{SECRET}", "have more than one line"),
        (f"alice:{SECRET}\n\n", "have more than one line"),
        (f"alice:{SECRET}\x00", "the password holds a control character"),
        (f"Bearer {SECRET}:x", "that no bearer token can have"),
        ("Bearer", "the token is empty"),
    ],
)
def test_whatIsNoneIsSaidWithoutIt(text: str, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        readCredentials(text)
    line = str(caught.value)
    assert complaint in line
    assert SECRET not in line and "\n" not in line


def test_nothingOfThemIsShown() -> None:
    for text in (f"alice:{SECRET}", f"Bearer {SECRET}"):
        assert SECRET not in repr(readCredentials(text))
        assert SECRET not in repr(readCredentials(text).forHTTP())


def test_whatEachKindOfProxyIsGiven() -> None:
    """A token is no password, and no SOCKS5 proxy is sent one."""
    named, token = readCredentials("alice:p"), readCredentials("Bearer abc")
    assert isinstance(named.forHTTP(), Password)
    assert named.forSOCKS() == ("alice", "p")
    assert isinstance(token.forHTTP(), Bearer)
    with pytest.raises(ValueError, match="and no token"):
        token.forSOCKS()


def test_fromAFile(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("alice:p\n")
    assert loadCredentials(str(path)) == StoredCredentials("alice", "p")


def test_fromTheEnvironment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loadCredentials("env:IT", {"IT": "a:b"}) == StoredCredentials("a", "b")
    monkeypatch.setenv("TXCONNECT_TEST", "c:d")
    assert loadCredentials("env:TXCONNECT_TEST") == StoredCredentials("c", "d")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file or directory"),
        (b"alice:\xff" + SECRET.encode(), "the file is not UTF-8"),
        (b"a:" + b"x" * LIMIT, "too large to hold credentials"),
        (SECRET.encode(), "the credentials have no colon"),
    ],
)
def test_badFilesAreNamedAndNotShown(
    tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    path = tmp_path / "credentials"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        loadCredentials(str(path))
    line = str(caught.value)
    assert line.startswith(f"credentials {str(path)!r}: ") and complaint in line
    assert SECRET not in line and "\n" not in line
    assert caught.value.__cause__ is None


def test_variableThatIsNotThere() -> None:
    with pytest.raises(ValueError, match="'env:IT': there is no such environment"):
        loadCredentials("env:IT", {})


@pytest.mark.parametrize("given", ["user:hunter2", "Bearer hunter2", "bearer\thunter2"])
def test_credentialsInPlaceOfAFile(given: str) -> None:
    """[T8] [T16] A likely mistake, and its message goes into the log."""
    with pytest.raises(ValueError, match="does not belong here") as raised:
        loadCredentials(given)
    assert "hunter2" not in str(raised.value)
    with pytest.raises(ValueError, match="no/such.file"):
        loadCredentials("no/such.file")
