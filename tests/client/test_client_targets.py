"""
The URLs that an agent is asked for, as a proxy is told them.
"""

from __future__ import annotations

import pytest

from txconnect.client.targets import Target


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        (b"http://a.example", "a.example:80", b"http://a.example/"),
        (b"http://a.example:80/", "a.example:80", b"http://a.example/"),
        (b"http://a.example:8080/", "a.example:8080", b"http://a.example:8080/"),
        (b" http://A.Example/x ", "a.example:80", b"http://A.Example/x"),
        (b"http://a.example?q", "a.example:80", b"http://a.example/?q"),
        (b"http://a.example/?#f", "a.example:80", b"http://a.example/"),
        (b"http://a.example/p;x?q=a%20b#f", None, b"http://a.example/p;x?q=a%20b"),
        (b"http://a.example//b/@c", None, b"http://a.example//b/@c"),
        (b"http://[2001:DB8::1]/", "[2001:db8::1]:80", b"http://[2001:DB8::1]/"),
        (b"http://[::1]:81/", "[::1]:81", b"http://[::1]:81/"),
        (b"http://192.0.2.1/", "192.0.2.1:80", b"http://192.0.2.1/"),
    ],
)
def test_absoluteForm(url: bytes, authority: str | None, target: bytes) -> None:
    """A path, no fragment, and the authority as Twisted's Host has it."""
    parsed = Target.parse(url)
    assert parsed.absoluteForm(b"GET") == target
    assert authority in (None, str(parsed.authority))
    assert not parsed.secure


@pytest.mark.parametrize(
    ("url", "target"),
    [
        (b"http://a.example", b"http://a.example"),
        (b"http://a.example#f", b"http://a.example"),
        (b"http://a.example/", b"http://a.example/"),
        (b"http://a.example?q", b"http://a.example/?q"),
    ],
)
def test_options(url: bytes, target: bytes) -> None:
    """OPTIONS of a bare authority is a question about the server."""
    assert Target.parse(url).absoluteForm(b"OPTIONS") == target


@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_secure(scheme: str) -> None:
    parsed = Target.parse(f"{scheme}://a.example/".encode())
    assert parsed.secure
    assert parsed.scheme == scheme
    assert str(parsed.authority) == "a.example:443"


@pytest.mark.parametrize(
    "url",
    [
        b"http://",
        b"http://a.example:/",
        b"http://a.example:x/",
        b"http://a.example:99999/",
        b"http://a b/",
        b"http://[::1/",
        b"http://127.1/",
        b"http://a.example@b.example/",
    ],
)
def test_noTarget(url: bytes) -> None:
    """[T5] What two readers could read in two ways is asked of nobody."""
    with pytest.raises(ValueError):
        Target.parse(url)
