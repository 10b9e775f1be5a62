"""Files of items: what is good, what is bad, what stands meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from txconnect.errors import ConfigurationError
from txconnect.policy import (
    ClientsPolicy,
    DenyHostsPolicy,
    HostsPolicy,
    NetworksPolicy,
)
from txconnect.policy.itemlists import ItemList
from txconnect.testing import makeRequest
from txconnect.values import Allow


class Listed:
    """A file, the clocks that lists look at it by, and their log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.log: list[tuple[str, str]] = []

    @property
    def item(self) -> str:
        return f"@{self.path}"

    def put(self, data: bytes | str) -> None:
        """Replace the file, as careful editors do."""
        fresh = self.path.with_suffix(".new")
        fresh.write_bytes(data.encode() if isinstance(data, str) else data)
        fresh.replace(self.path)

    def settle(self) -> None:
        """Let as much time pass as a change takes to count."""
        self.clock.advance(2.0)

    def wall(self) -> float:
        """The time at which every change has settled."""
        return os.stat(self.path).st_ctime_ns / 1e9 + 2.0

    def observe(self, event: Any) -> None:
        if str(event.get("log_namespace")).startswith("txconnect."):
            text = event["log_format"].format(**event)
            self.log.append((event["log_level"].name, text))


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listed]:
    made = Listed(tmp_path / "list")
    monkeypatch.setattr(ItemList, "seconds", staticmethod(made.clock.seconds))
    monkeypatch.setattr(ItemList, "wall", staticmethod(made.wall))
    globalLogPublisher.addObserver(made.observe)
    yield made
    globalLogPublisher.removeObserver(made.observe)


def hosts(policy: HostsPolicy | DenyHostsPolicy) -> str:
    """Of three hosts those that a policy allows, a letter each."""
    return "".join(
        name
        for name in "abc"
        if policy.decide(makeRequest(f"{name}.test:443")) == Allow()
    )


def test_fileOfItems(listed: Listed) -> None:
    """[F28] [F31] One item a line; comments, blank lines, any line's end."""
    listed.put(
        "\ufeff# München\n\na.test\r\n  *.b.test\t # below\n.c.test:8443#x\n"
        "192.0.2.1\n[2001:db8::1]:22\n2001:db8::2\n"
    )
    policy = HostsPolicy(listed.item, "d.test")
    for target, allowed in [
        ("a.test:443", True),
        ("b.test:443", False),
        ("x.b.test:443", True),
        ("c.test:443", False),
        ("x.c.test:8443", True),
        ("192.0.2.1:1", True),
        ("[2001:db8::1]:22", True),
        ("[2001:db8::1]:23", False),
        ("[2001:db8::2]:23", True),
        ("d.test:443", True),
    ]:
        assert (policy.decide(makeRequest(target)) == Allow()) == allowed, target
    assert policy.opensPort(makeRequest("c.test:8443")) == "c.test:8443"
    assert listed.log == []


@pytest.mark.parametrize("path", ["list", "./list"])
def test_relativePath(
    listed: Listed, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """[F31] A relative path counts from where the program was started."""
    listed.put("a.test\n")
    monkeypatch.chdir(listed.path.parent)
    policy = HostsPolicy(f"@{path}")
    monkeypatch.chdir("/")
    listed.put("b.test\n")
    listed.settle()
    assert hosts(policy) == "b"
    assert hosts(policy.joinedWith(HostsPolicy("c.test"))) == "bc"


def test_changeCounts(listed: Listed) -> None:
    """[F31] A new version counts within five seconds, and is said once."""
    listed.put("a.test\n")
    policy = HostsPolicy(listed.item, "c.test")
    assert hosts(policy) == "ac"
    listed.put("b.test\n")
    assert hosts(policy) == "ac"
    listed.clock.advance(5.0)
    assert hosts(policy) == "bc"
    listed.settle()
    assert hosts(policy) == "bc"
    assert listed.log == [("info", f"{listed.path} has been read again")]


BAD = [
    (b"a.test\n*b.test\n", 2, "'*b.test' is not a host: a star is allowed"),
    (
        b"a.test\n\n# x\n@/etc/more\n",
        4,
        "'@/etc/more': a file names no further file; give each",
    ),
    (b"a.test, b.test\n", 1, "it is more than one; in a file write one host a line"),
    (b"a.test\nb.tes", 2, "the last line has no end"),
    (b"a.test", 1, "the last line has no end"),
    (b"a.test\nb\xff.test\n", 2, "this is not UTF-8"),
    ("a.test\n".encode("utf-16"), 2, "the last line has no end"),
    ("a.test\r\nb\n".encode("utf-16-be"), 1, ""),
    (b"a.test\0\n", 1, "labels"),
    (b"a.test\x0bb.test\n", 1, "it is more than one"),
    ("a.test\u2028b.test\n".encode(), 1, "it is more than one"),
    ("b\u00fccher.test\n".encode(), 1, "write xn--bcher-kva.test"),
    (b"\x7fELF" + b"x" * 1000 + b"\n", 1, "..."),
]


@pytest.mark.parametrize(("data", "line", "words"), BAD)
@pytest.mark.parametrize("policy", [HostsPolicy, DenyHostsPolicy])
def test_badFileStopsStartUp(
    listed: Listed,
    policy: Callable[..., object],
    data: bytes,
    line: int,
    words: str,
) -> None:
    """[F31] A bad file stops the program, with file and line."""
    listed.put(data)
    with pytest.raises(ConfigurationError) as caught:
        policy("fine.test", listed.item)
    message = str(caught.value)
    assert message.startswith(f"{listed.path}:{line}: ")
    assert words in message
    assert len(message) < len(str(listed.path)) + 250


@pytest.mark.parametrize(("data", "line", "words"), BAD)
def test_badVersionChangesNothing(
    listed: Listed, data: bytes, line: int, words: str
) -> None:
    """[F31] The old list stands, the log says file and line, and once."""
    listed.put("a.test\n")
    allow, deny = HostsPolicy(listed.item), DenyHostsPolicy(listed.item)
    listed.put(data)
    for _ in range(5):
        listed.settle()
        assert (hosts(allow), hosts(deny)) == ("a", "bc")
    assert [level for level, _ in listed.log] == ["error"] * 2
    for _, text in listed.log:
        assert text.startswith(f"{listed.path}:{line}: ")
        assert words in text
        assert text.endswith("; the version before it stays in force")
    listed.put("b.test\n")
    listed.settle()
    assert (hosts(allow), hosts(deny)) == ("b", "ac")


def test_everyCutIsRefused(listed: Listed) -> None:
    """[F31] Wherever a file is cut inside a line, the whole of it stands."""
    whole = b"a.test\nlong.name.b.test\nc.test\n"
    listed.put(whole)
    policy = HostsPolicy(listed.item)
    for end in range(1, len(whole)):
        listed.put(whole[:end])
        listed.settle()
        cut = whole[end - 1 : end] != b"\n"
        assert (hosts(policy) == "ac") == (cut or whole[:end] == whole), end
        listed.put(whole)
        listed.settle()
        assert hosts(policy) == "ac"


@pytest.mark.parametrize("content", [b"", b"\n", b"# nobody\n"])
def test_emptied(listed: Listed, content: bytes) -> None:
    """[F31] An emptied list that allows refuses all; one that denies is bad."""
    listed.put("a.test\n")
    allow, deny = HostsPolicy(listed.item), DenyHostsPolicy(listed.item)
    listed.put(content)
    listed.settle()
    assert (hosts(allow), hosts(deny)) == ("", "bc")
    assert [level for level, _ in listed.log] == ["warn", "info", "error"]
    assert "it allows nothing" in listed.log[0][1]
    assert "it would deny nothing" in listed.log[2][1]
    assert hosts(HostsPolicy(listed.item)) == ""
    with pytest.raises(ConfigurationError, match="it would deny nothing"):
        DenyHostsPolicy("b.test", listed.item)


def test_gone(listed: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    """[F31] A deleted file's list stands, and that is said; a new one counts."""
    listed.put("a.test\n")
    policy = HostsPolicy(listed.item)
    listed.path.unlink()
    for _ in range(5):
        listed.settle()
        assert hosts(policy) == "a"
    assert listed.log == [
        (
            "error",
            f"{listed.path}: the list of hosts cannot be read: No such file or "
            "directory; the version before it stays in force",
        )
    ]
    listed.put("b.test\n")
    listed.settle()
    assert hosts(policy) == "b"


@pytest.mark.parametrize("kind", ["missing", "directory"])
def test_noFile(listed: Listed, kind: str) -> None:
    """[F31] What is no file stops start-up, and says what it is."""
    if kind == "directory":
        listed.path.mkdir()
    with pytest.raises(ConfigurationError, match="the list of hosts cannot be read"):
        HostsPolicy(listed.item)


def test_networksAndClients(listed: Listed) -> None:
    """[F31] Networks come from files, too, and an emptied file refuses all."""
    listed.put("10.0.0.0/8 # staff\n2001:db8::/32\nunix\n")
    clients = ClientsPolicy(listed.item)
    asked = makeRequest(client="10.1.2.3")
    assert clients.decide(asked) == Allow()
    listed.put("10.0.0.0/8\n")
    networks = NetworksPolicy(listed.item)
    address = ip_address("10.1.2.3")
    assert networks.decideAddress(asked, address) == Allow()
    listed.put("10.0.0.1/8\n")
    listed.settle()
    assert clients.decide(asked) == networks.decideAddress(asked, address) == Allow()
    assert [text.partition(" for")[0] for _, text in listed.log] == [
        f"{listed.path}:1: '10.0.0.1/8' has bits set after its prefix: write 10.0.0.0/8"
    ] * 2
    listed.put("")
    listed.settle()
    assert clients.decide(asked) != Allow()
    assert networks.decideAddress(asked, address) != Allow()


@pytest.mark.parametrize("word", ["any", "public"])
def test_aFileOpensNotEverything(listed: Listed, word: str) -> None:
    """[F31] What opens everything stands where the operator's eye falls."""
    listed.put(f"{word}\n")
    with pytest.raises(ConfigurationError, match=f"networks:{word}"):
        NetworksPolicy(listed.item)


@pytest.mark.parametrize(
    "policy",
    [HostsPolicy, DenyHostsPolicy, NetworksPolicy, ClientsPolicy],
)
def test_listInsteadOfItems(policy: Any) -> None:
    """[F57] C{HostsPolicy(["a.example"])} is the usual slip."""
    with pytest.raises(ValueError, match="an item is a text, not of type list; give"):
        policy(["192.0.2.1"])
