"""
docs/howto/logging.rst: its tables are those of the code, and its commands answer the
questions above them.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import attrs
import pytest
from test_observers_lines import CLIENT, CLOSED, NOW, REFUSED, REQUEST, TUNNEL, UNPARSED
from twisted.internet.address import IPv6Address

from txconnect.observers import AccessLog, accesslog
from txconnect.observers.console import ConsoleLog
from txconnect.observers.lines import EVENTS, FIELDS, jsonLine, record
from txconnect.values import (
    Attempted,
    Authority,
    Cause,
    Closed,
    Identity,
    TunnelClosed,
    TunnelEstablished,
)

PAGE = Path(__file__).parent.parent.parent / "docs" / "howto" / "logging.rst"
TEXT = PAGE.read_text(encoding="utf-8")
HOUR = 3600.0
KINDS = {"string": str, "number": (int, float), "list": list}


def section(title: str) -> str:
    """The text below a title, up to the next one."""
    _, _, rest = TEXT.partition(f"\n{title}\n")
    assert rest, title
    return re.split(r"\n[^\n]+\n(?:-{4,}|~{4,})\n", rest)[0]


def rows(text: str) -> list[list[str]]:
    """The rows of a list-table, without its head; each cell on one line."""
    table = text.partition(".. list-table::")[2]
    found = []
    for row in re.split(r"^   \* - ", table, flags=re.MULTILINE)[1:]:
        cells = re.split(r"^     - ", row, flags=re.MULTILINE)
        found.append([" ".join(cell.split()) for cell in cells])
    return found[1:]


def names(text: str) -> list[str]:
    return re.findall(r"``([^`]+)``", text)


def test_fields() -> None:
    """Each field is a row, in the order of the log."""
    table = rows(section("The access log"))
    assert [names(row[0])[0] for row in table] == list(FIELDS)
    for _, kind, example, meaning in table:
        (shown,) = names(example)
        assert meaning
        value = shown if kind == "string" else json.loads(shown)
        assert isinstance(value, KINDS[kind])


def test_typesOfFields() -> None:
    """A field has the type that its row says, or is null."""
    types = {names(row[0])[0]: row[1] for row in rows(section("The access log"))}
    for kept in (record(event, NOW) for event in SAMPLE):
        for name, value in kept.items():
            assert value is None or isinstance(value, KINDS[types[name]]), name
    seen = {name for event in SAMPLE for name, v in record(event, NOW).items() if v}
    assert seen == {*FIELDS} - {"lost"}


def test_exampleLine() -> None:
    """The line that is shown has all fields."""
    (line,) = re.findall(r"^   (\{.*\})$", TEXT, re.MULTILINE)
    assert tuple(json.loads(line)) == FIELDS


def test_events() -> None:
    """Each value of C{event} is a row."""
    assert [names(row[0])[0] for row in rows(section("Events"))] == list(EVENTS)
    meaning = rows(section("The access log"))[1][3]
    assert set(names(meaning)) == set(EVENTS)


def test_ends() -> None:
    """Each way for a tunnel to end is in a row."""
    found = [
        name for row in rows(section("The end of a tunnel")) for name in names(row[0])
    ]
    assert sorted(found) == sorted(reason.value for reason in Closed)


def test_options() -> None:
    """Each option is described, with the words that it takes."""
    text = section("The access log")
    keys = re.findall(r"^``(\w+)``$", text, re.MULTILINE)
    assert keys == ["PATH", "format", "events", "required"]
    for word in (*accesslog._EVENTS, *accesslog._FORMATS, "yes"):
        assert f"``{word}``" in text
    assert AccessLog.fromItems("log", "text", "open+close+refuse", "no")


def test_consoleLines() -> None:
    """The console's lines that are shown have the form of those that it writes."""
    shown = re.findall(
        r"^   \d{4}-\d\d-\d\d \d\d:\d\d:\d\d (\w+ +)\S+ ", TEXT, re.MULTILINE
    )
    written: list[str] = []
    console = ConsoleLog(written.append, lambda: NOW)
    for event in (SAMPLE[0], CLOSED, REFUSED, UNPARSED):
        console.observe(event)
    assert shown == [re.split(r"(?<= )(?=\w)", line)[2] for line in written]


# Questions and answers


def at(host: str, user: str | None = None, id: str = "7f3a-1") -> Any:
    """A request for a host."""
    identity = None if user is None else Identity(user, "file")
    return attrs.evolve(
        REQUEST, authority=Authority(host, 443), identity=identity, id=id
    )


def ended(host: str, user: str | None, octets: int, seconds: float) -> TunnelClosed:
    tunnel = attrs.evolve(TUNNEL, request=at(host, user))
    return TunnelClosed(tunnel, 1, octets - 1, seconds, Closed.CLIENT)


def failed(user: str, client: Any = CLIENT) -> Any:
    return attrs.evolve(
        REFUSED,
        cause=Cause.CREDENTIALS_REFUSED,
        rule="credentials-refused",
        reason="htpasswd: wrong password",
        attempted=Attempted(user),
        client=client,
    )


OPEN = TunnelEstablished(attrs.evolve(TUNNEL, request=at("long.example", "eve", "1-1")))
SAMPLE: list[Any] = [
    OPEN,
    TunnelEstablished(TUNNEL),
    ended("example.com", "ada", 5000, 2.0),
    ended("example.com", "ada", 5000, 2 * HOUR),
    ended("big.example", None, 70000, 2.0),
    REFUSED,
    attrs.evolve(UNPARSED, attempted=Attempted("", "GET", "http://a.example/")),
    failed("alice"),
    failed("alice"),
    failed("bob", IPv6Address("TCP", "2001:db8::1", 5)),
]


@pytest.fixture
def answers(tmp_path: Path) -> list[list[list[str]]]:
    """What each command of the page says of the sample, line by line, in columns."""
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    log = "".join(jsonLine(record(event, NOW)) for event in SAMPLE)
    (tmp_path / "access.log").write_text(log)
    commands = re.findall(r"^   (jq .*)$", TEXT, re.MULTILINE)
    found = []
    for command in commands:
        ran = subprocess.run(
            ["sh", "-c", command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert ran.stderr == ""
        found.append([line.split("\t") for line in ran.stdout.splitlines()])
    return found


def test_questions(answers: list[list[list[str]]]) -> None:
    """Each of the five questions has its answer."""
    refused, octets, opened, long, still, logins = answers
    assert len(refused) == 5
    assert refused[0][1:] == [
        "127.0.0.1:40000",
        "-",
        "example.com:443",
        "networks",
        "10.0.0.5 is private-use (10.0.0.0/8)",
    ]
    assert refused[1][2:4] == ["-", "http://a.example/"]
    assert refused[2][2] == "alice"
    assert octets == [
        ["70000", "1", "big.example:443"],
        ["10000", "2", "example.com:443"],
    ]
    assert [(row[0].split(), row[1]) for row in opened] == [
        (["2", "ada"], "example.com:443"),
        (["1", "-"], "big.example:443"),
    ]
    assert [row[1:] for row in long] == [
        ["7f3a-1", "ada", "127.0.0.1:40000", "example.com:443", "7200"]
    ]
    assert [row[1:] for row in still] == [
        ["1-1", "eve", "127.0.0.1:40000", "long.example:443"]
    ]
    assert [(row[0].split(), row[1]) for row in logins] == [
        (["2", "127.0.0.1"], "alice"),
        (["1", "[2001:db8::1]"], "bob"),
    ]


def test_questionsWithoutJq() -> None:
    """The commands name fields that there are, whether or not they can be run here."""
    commands = re.findall(r"^   jq .*$", TEXT, re.MULTILINE)
    assert len(commands) == 6
    for command in commands:
        used = set(re.findall(r"\.([a-z_]{2,})", command)) - {"log"}
        assert used <= set(FIELDS)
        assert set(re.findall(r'event == "(\w+)"', command)) <= set(EVENTS)
