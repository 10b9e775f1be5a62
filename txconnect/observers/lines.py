"""
An event as one line, for the access log and the console.

The names of the fields are constant over releases, and every line has all of
them.  Text from a client, a resolver or a policy is escaped: no line break, no
quote and no control character of theirs reaches a log (T16), and no field grows
without bound.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import lru_cache

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress

from txconnect.values import (
    Event,
    Request,
    TunnelClosed,
    TunnelEstablished,
    TunnelInfo,
    TunnelRefused,
)
from txconnect.wire.attempted import Attempted
from txconnect.wire.authority import addressText

__all__ = [
    "FIELDS",
    "Record",
    "closedLine",
    "jsonLine",
    "lostRecord",
    "peerText",
    "printable",
    "record",
    "textLine",
]

Record = dict[str, object]

FIELDS = (
    "time",
    "event",
    "id",
    "client",
    "user",
    "authority",
    "address",
    "route",
    "status",
    "cause",
    "rule",
    "reason",
    "up",
    "down",
    "seconds",
    "lookup_seconds",
    "connect_seconds",
    "closed",
    "notes",
    "attempted_user",
    "method",
    "target",
    "lost",
)
"""The fields of a record, in order."""

EVENTS = ("opened", "closed", "refused", "lost")
"""The values of the field C{event}."""

# Longest texts, in characters; a record that is still too long for its line
# is made again with a tenth of the longer ones.
_NAME = 64
_USER = 100
_REASON = 300
_NOTE = 200
_NOTES = 8
_METHOD = 16
_TARGET = 300

LINE = 4096
"""
The most octets of a line: PIPE_BUF on Linux, so that even a pipe takes a line whole
or not at all.
"""

_NO_RULING = '"rule":null,"reason":null'

_dumps = json.JSONEncoder(separators=(",", ":")).encode
_quoted = json.encoder.encode_basestring_ascii


def record(event: Event, moment: float, share: int = 1) -> Record:
    """
    Make the record of an event for a log.

    @param moment: now, in seconds since the epoch.
    @param share: the divisor of the longest texts' bounds: with 10 they are cut
        to a tenth.
    """
    kept: Record = dict.fromkeys(FIELDS)
    kept["time"] = timestamp(moment)
    if isinstance(event, TunnelRefused):
        _fillRefused(kept, event, share)
    elif isinstance(event, TunnelEstablished):
        kept["event"] = "opened"
        _fillTunnel(kept, event.tunnel, share)
    else:
        _fillClosed(kept, event, share)
    return kept


def lostRecord(lost: int, moment: float) -> Record:
    """
    Make the record that tells of lost lines, in the place where they are missing.

    @param lost: the number of them.
    """
    kept: Record = dict.fromkeys(FIELDS)
    kept["time"] = timestamp(moment)
    kept["event"] = "lost"
    kept["reason"] = "lines of this log are lost before this one"
    kept["lost"] = lost
    return kept


def jsonLine(kept: Record) -> str:
    """Write a record as one JSON object, in ASCII."""
    return _dumps(kept) + "\n"


def closedLine(event: TunnelClosed, moment: float, share: int = 1) -> str:
    """
    Write the same line as L{jsonLine} of the L{record}.

    It makes no record on the way, which is half of the work, because every
    tunnel costs one line.
    """
    # The names, their order and the rounding must be those of record(): a test
    # holds the two together.
    tunnel = event.tunnel
    request = tunnel.request
    identity = request.identity
    user = None if identity is None else cutText(identity.user, _USER // share)
    rest = _CONNECT_REST if request.method == "CONNECT" else _jsonRest(request.method)
    address = None if tunnel.address is None else addressText(tunnel.address)
    ruling = _jsonRuling(event, share) if event.rule else _NO_RULING
    return (
        f'{{"time":"{timestamp(moment)}","event":"closed","id":{_jsonText(request.id)},'
        f'"client":{_jsonText(peerText(request.client))},"user":{_jsonText(user)},'
        f'"authority":{_jsonText(str(request.authority))},"address":{_jsonText(address)},'
        f'"route":{_jsonText(cutText(tunnel.route, _NAME))},'
        f'"status":200,"cause":null,{ruling},'
        f'"up":{event.up},"down":{event.down},"seconds":{round(event.seconds, 6)!r},'
        f'"lookup_seconds":{round(tunnel.lookupSeconds, 6)!r},'
        f'"connect_seconds":{round(tunnel.connectSeconds, 6)!r},'
        f'"closed":"{event.reason.value}","notes":{_jsonNotes(tunnel.notes, share)}{rest}'
    )


def _jsonRest(method: str) -> str:
    """Write the fields behind the notes, and the end of the line."""
    named = _quoted(cutText(method, _METHOD))
    return f',"attempted_user":null,"method":{named},"target":null,"lost":null}}\n'


def _jsonRuling(event: TunnelClosed, share: int) -> str:
    rule, reason = cutText(event.rule, _NAME), cutText(event.detail, _REASON // share)
    return f'"rule":{_jsonText(rule)},"reason":{_jsonText(reason)}'


def _jsonText(text: str | None) -> str:
    return "null" if text is None else _quoted(text)


def _jsonNotes(notes: Sequence[str], share: int) -> str:
    return _dumps(_cutNotes(notes, share)) if notes else "null"


def textLine(kept: Record) -> str:
    """
    Write a record as C{name=value} pairs (logfmt); C{-} for a value that is not
    known or does not apply.
    """
    return (
        " ".join([f"{name}={_fieldText(value)}" for name, value in kept.items()]) + "\n"
    )


def printable(text: str) -> str:
    """
    Return C{text} in printable ASCII on one line, with quotes and backslashes
    escaped, so that double quotes can enclose it.
    """
    # Nearly every text is plain already, and then this costs the least.
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.encode("unicode_escape").decode("ascii").replace('"', '\\"')


def peerText(address: IAddress | None) -> str | None:
    """Return C{host:port} of an address, or the kind of address that it is."""
    if address is None:
        return None
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is None or port is None:
        return "unix" if isinstance(address, UNIXAddress) else type(address).__name__
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def cutText(text: str, most: int) -> str:
    """Return C{text}, cut to no more than C{most} characters."""
    return text if len(text) <= most else text[: most - 3] + "..."


def timestamp(moment: float) -> str:
    """Format a moment as in RFC 3339, in UTC with milliseconds."""
    # In whole milliseconds first: the seconds must not be rounded apart from them.
    milliseconds = int(moment * 1000)
    return f"{_secondText(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


# A busy second has many lines, and strftime is then called once for them.
@lru_cache(maxsize=4)
def _secondText(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _fillRefused(kept: Record, event: TunnelRefused, share: int) -> None:
    kept["event"] = "refused"
    kept["id"] = event.id
    kept["client"] = peerText(event.client)
    if event.request is not None:
        _fillRequest(kept, event.request, share)
    if event.attempted is not None:
        _fillAttempted(kept, event.attempted, share)
    kept["status"] = event.cause.status
    kept["cause"] = event.cause.label
    kept["rule"] = cutText(event.rule, _NAME)
    kept["reason"] = cutText(event.reason, _REASON // share)
    kept["seconds"] = round(event.seconds, 6)
    kept["notes"] = _cutNotes(event.notes, share)


def _fillAttempted(kept: Record, attempted: Attempted, share: int) -> None:
    if attempted.user:
        kept["attempted_user"] = cutText(attempted.user, _USER // share)
    if attempted.method:
        kept["method"] = cutText(attempted.method, _METHOD)
        kept["target"] = cutText(attempted.target, _TARGET // share)


def _fillClosed(kept: Record, event: TunnelClosed, share: int) -> None:
    kept["event"] = "closed"
    _fillTunnel(kept, event.tunnel, share)
    kept["up"] = event.up
    kept["down"] = event.down
    kept["seconds"] = round(event.seconds, 6)
    kept["closed"] = event.reason.value
    if event.rule:
        kept["rule"] = cutText(event.rule, _NAME)
        kept["reason"] = cutText(event.detail, _REASON // share)


def _fillTunnel(kept: Record, tunnel: TunnelInfo, share: int) -> None:
    kept["id"] = tunnel.request.id
    kept["client"] = peerText(tunnel.request.client)
    _fillRequest(kept, tunnel.request, share)
    kept["address"] = None if tunnel.address is None else str(tunnel.address)
    kept["route"] = cutText(tunnel.route, _NAME)
    kept["status"] = 200
    kept["lookup_seconds"] = round(tunnel.lookupSeconds, 6)
    kept["connect_seconds"] = round(tunnel.connectSeconds, 6)
    kept["notes"] = _cutNotes(tunnel.notes, share)


def _cutNotes(notes: Sequence[str], share: int) -> list[str] | None:
    if not notes:
        return None
    return [cutText(note, _NOTE // share) for note in notes[:_NOTES]]


def _fillRequest(kept: Record, request: Request, share: int) -> None:
    kept["authority"] = str(request.authority)
    kept["method"] = cutText(request.method, _METHOD)
    if request.identity is not None:
        kept["user"] = cutText(request.identity.user, _USER // share)


def _fieldText(value: object) -> str:
    if value is None:
        return "-"
    text = printable("; ".join(value) if isinstance(value, list) else str(value))
    # A text "-" in quotes differs from the mark of a value that is missing.
    if text in ("", "-") or " " in text or "=" in text or "\\" in text:
        return f'"{text}"'
    return text


# Nearly every tunnel's.
_CONNECT_REST = _jsonRest("CONNECT")
