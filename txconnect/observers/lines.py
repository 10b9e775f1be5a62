"""
An event as one line: what the access log and the console share.

The names of the fields are constant over releases, and every line has all of
them.  What came from a client, a resolver or a policy is escaped: no line
break, no quote and no control character of theirs reaches a log (T16), and no
field grows without bound.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IAddress

from txconnect.values import (
    ConnectRequest,
    TunnelClosed,
    TunnelRefused,
)
from txconnect.wire.authority import addressText

__all__ = [
    "FIELDS",
    "Record",
    "closedLine",
    "jsonLine",
    "peer",
    "printable",
    "record",
    "textLine",
]

Record = dict[str, Any]

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
)
"""The fields of a record, in order."""

# Longest texts, in characters; a record that is still too long for its line
# is made again with a tenth of the longer ones.
_NAME = 64
_USER = 100
_REASON = 300
_NOTE = 200
_NOTES = 8

LINE = 4096
"""
Most octets of a line: PIPE_BUF on Linux, so that even a pipe takes a line whole
or not at all.
"""

_dumps = json.JSONEncoder(separators=(",", ":")).encode
_quoted = json.encoder.encode_basestring_ascii


def record(
    event: TunnelRefused | TunnelClosed, moment: float, share: int = 1
) -> Record:
    """
    What a log keeps of an event.  The beginning of a tunnel has none: its end
    will say it all.

    @param moment: now, in seconds since the epoch.
    @param share: texts are cut to this part of what they may have.
    """
    kept: Record = dict.fromkeys(FIELDS)
    kept["time"] = timestamp(moment)
    if isinstance(event, TunnelRefused):
        _refused(kept, event, share)
    else:
        _closed(kept, event, share)
    return kept


def jsonLine(kept: Record) -> str:
    """One JSON object, in ASCII."""
    return _dumps(kept) + "\n"


def closedLine(event: TunnelClosed, moment: float, share: int = 1) -> str:
    """
    The same as L{jsonLine} of the L{record}: written straight down, for half of
    the work, because every tunnel costs one.
    """
    tunnel = event.tunnel
    request = tunnel.request
    identity = request.identity
    user = None if identity is None else cut(identity.user, _USER // share)
    address = None if tunnel.address is None else addressText(tunnel.address)
    return (
        f'{{"time":"{timestamp(moment)}","event":"closed","id":{_json(request.id)},'
        f'"client":{_json(peer(request.client))},"user":{_json(user)},'
        f'"authority":{_json(str(request.authority))},"address":{_json(address)},'
        f'"route":{_json(cut(tunnel.route, _NAME))},'
        f'"status":200,"cause":null,"rule":null,"reason":null,'
        f'"up":{event.up},"down":{event.down},"seconds":{round(event.seconds, 6)!r},'
        f'"lookup_seconds":{round(tunnel.lookupSeconds, 6)!r},'
        f'"connect_seconds":{round(tunnel.connectSeconds, 6)!r},'
        f'"closed":"{event.reason.value}","notes":{_jsonNotes(tunnel.notes, share)}}}\n'
    )


def _json(text: str | None) -> str:
    return "null" if text is None else _quoted(text)


def _jsonNotes(notes: Sequence[str], share: int) -> str:
    return _dumps(_notes(notes, share)) if notes else "null"


def textLine(kept: Record) -> str:
    """C{name=value} pairs (logfmt); C{-} is what is not known or does not apply."""
    return " ".join([f"{name}={_text(value)}" for name, value in kept.items()]) + "\n"


def printable(text: str) -> str:
    """
    C{text} in printable ASCII on one line; quotes and backslashes escaped, so
    that it can stand in double quotes.
    """
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.encode("unicode_escape").decode("ascii").replace('"', '\\"')


def peer(address: IAddress | None) -> str | None:
    """C{host:port} of an address, or what kind of address it is."""
    if address is None:
        return None
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is None or port is None:
        return "unix" if isinstance(address, UNIXAddress) else type(address).__name__
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def cut(text: str, most: int) -> str:
    """C{text} with no more than so many characters."""
    return text if len(text) <= most else text[: most - 3] + "..."


def timestamp(moment: float) -> str:
    """A moment as RFC 3339 has it, in UTC with milliseconds."""
    milliseconds = int(moment * 1000)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _refused(kept: Record, event: TunnelRefused, share: int) -> None:
    kept["event"] = "refused"
    kept["id"] = event.id
    kept["client"] = peer(event.client)
    if event.request is not None:
        _request(kept, event.request, share)
    kept["status"] = event.cause.status
    kept["cause"] = event.cause.label
    kept["rule"] = cut(event.rule, _NAME)
    kept["reason"] = cut(event.reason, _REASON // share)
    kept["seconds"] = round(event.seconds, 6)


def _closed(kept: Record, event: TunnelClosed, share: int) -> None:
    tunnel = event.tunnel
    kept["event"] = "closed"
    kept["id"] = tunnel.request.id
    kept["client"] = peer(tunnel.request.client)
    _request(kept, tunnel.request, share)
    kept["address"] = None if tunnel.address is None else str(tunnel.address)
    kept["route"] = cut(tunnel.route, _NAME)
    kept["status"] = 200
    kept["up"] = event.up
    kept["down"] = event.down
    kept["seconds"] = round(event.seconds, 6)
    kept["lookup_seconds"] = round(tunnel.lookupSeconds, 6)
    kept["connect_seconds"] = round(tunnel.connectSeconds, 6)
    kept["closed"] = event.reason.value
    if tunnel.notes:
        kept["notes"] = _notes(tunnel.notes, share)


def _notes(notes: Sequence[str], share: int) -> list[str]:
    return [cut(note, _NOTE // share) for note in notes[:_NOTES]]


def _request(kept: Record, request: ConnectRequest, share: int) -> None:
    kept["authority"] = str(request.authority)
    if request.identity is not None:
        kept["user"] = cut(request.identity.user, _USER // share)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    text = printable("; ".join(value) if isinstance(value, list) else str(value))
    if text in ("", "-") or " " in text or "=" in text or "\\" in text:
        return f'"{text}"'
    return text
