"""
A tunnel that a tap has ended, in the access log and on the console.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from txconnect.observers.accesslog import AccessLog
from txconnect.observers.console import ConsoleLog
from txconnect.observers.lines import LINE, closedLine, jsonLine, record
from txconnect.testing import makeTunnel
from txconnect.values import Closed, TunnelClosed, TunnelEnded

EVIL = 'said "no"\r\n{"event":"closed"} \N{SNOWMAN}'


def ended(reason: Closed, rule: str, detail: str) -> TunnelClosed:
    tunnel = makeTunnel()
    if not rule:
        return TunnelClosed(tunnel, 1, 2, 3.0, reason)
    return TunnelEnded(tunnel, 1, 2, 3.0, reason, rule, detail)


@pytest.mark.parametrize("share", [1, 10])
@pytest.mark.parametrize(
    ("rule", "detail"),
    [
        ("", ""),
        ("sni", "the client sends no TLS"),
        (EVIL, EVIL),
        ("x" * 999, EVIL * 999),
    ],
)
def test_theLineHasRuleAndReason(rule: str, detail: str, share: int) -> None:
    """[F54] Both ways of writing it agree; bounded, escaped, null without a tap."""
    event = ended(Closed.POLICY, rule, detail)
    line = closedLine(event, 0.0, share)
    assert line == jsonLine(record(event, 0.0, share))
    assert line.isascii()
    assert line.count("\n") == 1
    fields = json.loads(line)
    assert fields["closed"] == "policy"
    if not rule:
        assert (fields["rule"], fields["reason"]) == (None, None)
    else:
        assert rule.startswith(fields["rule"].removesuffix("..."))
        assert detail.startswith(fields["reason"].removesuffix("..."))


def test_aLongReasonFitsItsLine(tmp_path: Path) -> None:
    """[F54] However much of it has to be escaped."""
    log = AccessLog(str(tmp_path / "log"))
    log.startService()
    log.observe(ended(Closed.POLICY, "\N{SNOWMAN}" * 999, "\N{SNOWMAN}" * 9999))
    log.stopService()
    (line,) = (tmp_path / "log").read_text("utf-8").splitlines(keepends=True)
    assert len(line) <= LINE
    assert json.loads(line)["rule"]


@pytest.mark.parametrize(
    ("event", "end"),
    [
        (ended(Closed.POLICY, "sni", "no TLS"), "ended by a policy  sni: no TLS"),
        (
            ended(Closed.TAP_FAILED, "copy", "OSError: full"),
            "tap failed  copy: OSError: full",
        ),
        (ended(Closed.POLICY, "a\nb", "c\nd"), "ended by a policy  a\\nb: c\\nd"),
        (ended(Closed.CLIENT, "", ""), "client closed"),
    ],
)
def test_theConsoleSaysWhy(event: TunnelClosed, end: str) -> None:
    """[F54] The rule and its reason behind the end, on one line."""
    lines: list[str] = []
    ConsoleLog(lines.append, lambda: 0.0).observe(event)
    (line,) = lines
    assert line.endswith(f"  {end}\n")
