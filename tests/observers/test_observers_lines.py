"""Events as lines: fields, escaping, bounds."""

from __future__ import annotations

import json
import shlex
from ipaddress import ip_address
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st
from twisted.internet.address import (
    HostnameAddress,
    IPv4Address,
    IPv6Address,
    UNIXAddress,
)

from txconnect.observers.lines import (
    FIELDS,
    LINE,
    closedLine,
    cutText,
    jsonLine,
    lostRecord,
    peerText,
    printable,
    record,
    textLine,
    timestamp,
)
from txconnect.values import (
    Attempted,
    Authority,
    Cause,
    Closed,
    Identity,
    Request,
    TunnelClosed,
    TunnelEstablished,
    TunnelInfo,
    TunnelRefused,
)

NOW = 1763848874.0625
CLIENT = IPv4Address("TCP", "127.0.0.1", 40000)
REQUEST = Request(
    Authority("example.com", 443),
    client=CLIENT,
    identity=Identity("alice", "file"),
    id="7f3a-1",
)
TUNNEL = TunnelInfo(
    REQUEST, ip_address("93.184.215.14"), "direct", 0.0111, 0.024, ("hosts: known",)
)
CLOSED = TunnelClosed(TUNNEL, 1100, 5600, 0.3100004, Closed.CLIENT)
REFUSED = TunnelRefused(
    Cause.ADDRESS,
    "networks",
    "10.0.0.5 is private-use (10.0.0.0/8)",
    "7f3a-2",
    attrs.evolve(REQUEST, identity=None, id="7f3a-2"),
    CLIENT,
    0.25,
)
UNPARSED = TunnelRefused(Cause.MALFORMED, "malformed-request", "no", "7f3a-3")


def test_closed() -> None:
    """One line tells a tunnel's whole story, with its bytes exactly. [T16]"""
    assert record(CLOSED, NOW) == {
        "time": "2025-11-22T22:01:14.062Z",
        "event": "closed",
        "id": "7f3a-1",
        "client": "127.0.0.1:40000",
        "user": "alice",
        "authority": "example.com:443",
        "address": "93.184.215.14",
        "route": "direct",
        "status": 200,
        "cause": None,
        "rule": None,
        "reason": None,
        "up": 1100,
        "down": 5600,
        "seconds": 0.31,
        "lookup_seconds": 0.0111,
        "connect_seconds": 0.024,
        "closed": "client",
        "notes": ["hosts: known"],
        "attempted_user": None,
        "method": "CONNECT",
        "target": None,
        "lost": None,
    }


def test_opened() -> None:
    """[F17] The beginning of a tunnel has the fields that are known by then."""
    kept = record(TunnelEstablished(TUNNEL), NOW)
    ended = record(CLOSED, NOW)
    changed = {name for name in FIELDS if kept[name] != ended[name]}
    assert changed == {"event", "up", "down", "seconds", "closed"}
    assert kept["event"] == "opened"
    assert all(kept[name] is None for name in changed - {"event"})


def test_attemptedUser() -> None:
    """[F12] The user that was tried has a field of its own, beside the proved one."""
    tried = attrs.evolve(REFUSED, attempted=Attempted("alice"))
    kept = record(tried, NOW)
    assert (kept["attempted_user"], kept["user"]) == ("alice", None)
    assert (kept["method"], kept["target"]) == ("CONNECT", None)
    assert record(REFUSED, NOW)["attempted_user"] is None


def test_notConnect() -> None:
    """[F12] A request that is no CONNECT shows what was asked for."""
    asked = Attempted("", "GET", "http://packages.example/")
    kept = record(attrs.evolve(UNPARSED, attempted=asked), NOW)
    assert (kept["method"], kept["target"]) == ("GET", "http://packages.example/")
    assert kept["authority"] is None


def test_refusalsNotes() -> None:
    """[F44] What is odd about a refused request is a field of its line."""
    kept = record(attrs.evolve(REFUSED, notes=("Host: names b.example",)), NOW)
    assert kept["notes"] == ["Host: names b.example"]


def test_lost() -> None:
    """[F22] The count of lost lines is a line with every field."""
    kept = lostRecord(12, NOW)
    assert tuple(kept) == FIELDS
    assert {name: value for name, value in kept.items() if value is not None} == {
        "time": "2025-11-22T22:01:14.062Z",
        "event": "lost",
        "reason": "lines of this log are lost before this one",
        "lost": 12,
    }


def test_refused() -> None:
    """One line tells what was refused, by which rule, and why. [T16]"""
    kept = record(REFUSED, NOW)
    assert {name: value for name, value in kept.items() if value is not None} == {
        "time": "2025-11-22T22:01:14.062Z",
        "event": "refused",
        "id": "7f3a-2",
        "client": "127.0.0.1:40000",
        "authority": "example.com:443",
        "status": 403,
        "cause": "address-prohibited",
        "rule": "networks",
        "reason": "10.0.0.5 is private-use (10.0.0.0/8)",
        "seconds": 0.25,
        "method": "CONNECT",
    }


def test_routeThatResolves() -> None:
    """A tunnel whose address is not known has none in its line."""
    elsewhere = attrs.evolve(TUNNEL, address=None, route="parent", notes=())
    kept = record(attrs.evolve(CLOSED, tunnel=elsewhere), NOW)
    assert (kept["address"], kept["route"], kept["notes"]) == (None, "parent", None)


@pytest.mark.parametrize(
    "event", [CLOSED, REFUSED, UNPARSED, TunnelEstablished(TUNNEL)]
)
def test_fieldsAreConstant(event: Any) -> None:
    """Every line has every field, in one order, in both formats."""
    kept = record(event, NOW)
    assert tuple(kept) == FIELDS
    assert tuple(json.loads(jsonLine(kept))) == FIELDS
    assert tuple(pair.split("=")[0] for pair in shlex.split(textLine(kept))) == FIELDS


def test_text() -> None:
    """As text: what needs quotes has them; what is not known is a hyphen."""
    kept = record(REFUSED, NOW)
    assert textLine(kept) == (
        "time=2025-11-22T22:01:14.062Z event=refused id=7f3a-2 "
        "client=127.0.0.1:40000 user=- authority=example.com:443 address=- route=- "
        "status=403 cause=address-prohibited rule=networks "
        'reason="10.0.0.5 is private-use (10.0.0.0/8)" up=- down=- seconds=0.25 '
        "lookup_seconds=- connect_seconds=- closed=- notes=- attempted_user=- "
        "method=CONNECT target=- lost=-\n"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("alice", "user=alice"),
        ("a b", 'user="a b"'),
        ("a=b", 'user="a=b"'),
        ("", 'user=""'),
        ("-", 'user="-"'),
        ('a"b', 'user="a\\"b"'),
        ("a\\", 'user="a\\\\"'),
        ("a\r\nid=x", 'user="a\\r\\nid=x"'),
        ("b\xfcb\x00\x7f\u2028\x1b", 'user="b\\xfcb\\x00\\x7f\\u2028\\x1b"'),
    ],
)
def test_hostileUsers(text: str, shown: str) -> None:
    """No user's name begins a line, ends a quote or moves the cursor. [T16]"""
    asked = attrs.evolve(REQUEST, identity=Identity(text, "file"))
    kept = record(attrs.evolve(REFUSED, request=asked), NOW)
    line = textLine(kept)
    assert f" {shown} authority=" in line
    assert json.loads(jsonLine(kept))["user"] == text


@given(st.text(), st.text(), st.text(), st.lists(st.text()))
def test_anyText(user: str, rule: str, reason: str, notes: list[str]) -> None:
    """Whatever is in a field, a line is one line of printable ASCII. [T16]"""
    asked = attrs.evolve(REQUEST, identity=Identity(user, "file"))
    tunnel = attrs.evolve(TUNNEL, request=asked, notes=tuple(notes), route=rule)
    refused = attrs.evolve(REFUSED, request=asked, rule=rule, reason=reason)
    for event in (refused, attrs.evolve(CLOSED, tunnel=tunnel)):
        kept = record(event, NOW)
        for line in (jsonLine(kept), textLine(kept)):
            assert line[-1] == "\n"
            assert line[:-1].isascii() and line[:-1].isprintable()
        assert len(shlex.split(textLine(kept))) == len(FIELDS)


ANY_TEXT = st.text(max_size=400)


@given(
    st.none() | ANY_TEXT,
    ANY_TEXT,
    st.lists(ANY_TEXT, max_size=10),
    st.tuples(*[st.floats(0, 1e9)] * 3),
    st.sampled_from(["CONNECT", "GET", 'X"\\n' * 20]),
    st.sampled_from(Closed),
    st.sampled_from([1, 10]),
)
def test_closedLineIsTheRecord(
    user: str | None,
    route: str,
    notes: list[str],
    seconds: tuple[float, float, float],
    method: str,
    reason: Closed,
    share: int,
) -> None:
    """[T16] The short way to a line ends at the same line, whatever is in it."""
    identity = None if user is None else Identity(user, "file")
    asked = attrs.evolve(REQUEST, identity=identity, method=method)
    tunnel = TunnelInfo(asked, TUNNEL.address, route, *seconds[:2], tuple(notes))
    event = TunnelClosed(tunnel, 2**40, 0, seconds[2], reason)
    expected = jsonLine(record(event, NOW, share))
    assert closedLine(event, NOW, share) == expected
    elsewhere = attrs.evolve(
        tunnel, address=None, request=attrs.evolve(asked, client=None)
    )
    event = attrs.evolve(event, tunnel=elsewhere)
    assert closedLine(event, NOW, share) == jsonLine(record(event, NOW, share))


@pytest.mark.parametrize("filling", ["a", "\x00", "\xff", "\U0001f600", '"', "\\"])
@pytest.mark.parametrize("render", [jsonLine, textLine])
def test_longestLine(filling: str, render: Any) -> None:
    """With its texts cut to a tenth, the longest line fits. [T16]"""
    text = filling * 10000
    asked = Request(
        Authority(".".join(["a" * 63] * 4)[:253], 65535),
        client=IPv6Address("TCP", "ffff:" * 7 + "ffff", 65535),
        identity=Identity(text, "file"),
        id="7f3a12-" + "9" * 19,
    )
    tunnel = TunnelInfo(
        asked, ip_address("ffff:" * 7 + "ffff"), text, 1e9, 1e9, (text,) * 50
    )
    for event in (
        TunnelClosed(tunnel, 2**64, 2**64, 1e9 / 3, Closed.DESTINATION_RESET),
        TunnelEstablished(tunnel),
        TunnelRefused(
            Cause.POLICY,
            text,
            text,
            asked.id,
            asked,
            asked.client,
            1e9 / 3,
            Attempted(text, text, text),
            (text,) * 50,
        ),
    ):
        kept = record(event, NOW, share=10)
        assert len(render(kept)) <= LINE


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (None, None),
        (CLIENT, "127.0.0.1:40000"),
        (IPv6Address("TCP", "::1", 5), "[::1]:5"),
        (UNIXAddress("/run/proxy"), "unix"),
        (HostnameAddress(b"name", 5), "HostnameAddress"),
    ],
)
def test_peer(address: Any, text: str | None) -> None:
    """Where a client is, for every transport."""
    assert peerText(address) == text


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (NOW, "2025-11-22T22:01:14.062Z"),
        (1763848874.9999, "2025-11-22T22:01:14.999Z"),
    ],
)
def test_timestamp(moment: float, text: str) -> None:
    """UTC, to the millisecond, never a millisecond ahead."""
    assert timestamp(moment) == text


def test_cut() -> None:
    """A cut text says that it was cut."""
    assert cutText("abcdef", 6) == "abcdef"
    assert cutText("abcdefg", 6) == "abc..."


def test_printable() -> None:
    """Escaping twice is escaping: nothing that is printed is taken for another."""
    assert printable("plain text") == "plain text"
    assert printable("\n") != printable("\\n")
