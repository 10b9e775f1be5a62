"""[F12] The claims of a refused client, without secrets in them."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from txconnect.wire.attempted import Attempted, attemptedLine


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("http://packages.example/pool/main/", "http://packages.example/pool/main/"),
        ("/healthz", "/healthz"),
        ("*", "*"),
        ("http://ada:sesame@packages.example/x", "http://...@packages.example/x"),
        ("http://sesame@packages.example", "http://...@packages.example"),
        ("http://a@b:sesame@packages.example/", "http://...@packages.example/"),
        ("ada:sesame@packages.example:443", "...@packages.example:443"),
        ("http:/ada:sesame@packages.example/", "http:/...@packages.example/"),
        ("http:///ada:sesame@packages.example/", "http:///...@packages.example/"),
        ("http:ada:sesame@packages.example/", "...@packages.example/"),
        ("//ada:sesame@packages.example/", "//...@packages.example/"),
        ("http://registry.example/@scope/p", "http://registry.example/@scope/p"),
        ("/@scope/p", "/@scope/p"),
        ("http://packages.example/?token=sesame", "http://packages.example/?..."),
        ("http://packages.example?sesame@x", "http://packages.example?..."),
        ("http://packages.example/#sesame", "http://packages.example/#..."),
        ("http://packages.example/#a?sesame", "http://packages.example/#..."),
    ],
)
def test_secrets(target: str, shown: str) -> None:
    """[F12] A password and a query, which may be one, are never kept."""
    attempted = attemptedLine(b"GET", target.encode())
    assert attempted == Attempted("", "GET", shown)


def test_long() -> None:
    """A password of any length is found before the target is cut."""
    attempted = attemptedLine(b"X" * 16000, b"http://a:" + b"s" * 9000 + b"@b.example/")
    assert attempted is not None
    assert attempted.target == "http://...@b.example/"
    attempted = attemptedLine(b"X" * 16000, b"/" + b"s" * 16000)
    assert attempted is not None
    assert (len(attempted.method), len(attempted.target)) == (2048, 2048)


def test_nothing() -> None:
    """Before a request line there is nothing to tell."""
    assert attemptedLine(b"", b"") is None


@given(st.binary(min_size=1), st.binary())
def test_anyOctets(method: bytes, target: bytes) -> None:
    """Whatever octets a request line has, they are text."""
    attempted = attemptedLine(method, target)
    assert attempted is not None
    assert attempted.target.encode("latin-1") is not None


@given(st.text("/:?#", max_size=6), st.text("ab:/@?#", max_size=9))
def test_noPasswordShows(before: str, after: str) -> None:
    """[F12] What stands before an "@" of an authority, wherever that begins."""
    target = f"http://{after}:sesame@host/{before}"
    attempted = attemptedLine(b"GET", target.encode())
    assert attempted is not None
    authority = target[7:].partition("/")[0].partition("?")[0].partition("#")[0]
    if "sesame@" in authority:
        assert "sesame" not in attempted.target
