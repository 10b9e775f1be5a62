"""
The proxy's refusals, as status, fields and content.

A L{Response} is what every version of HTTP has in common; each has a writer of its
own that makes octets of it.  What came from outside reaches it through one function,
L{_plain}, and in no other way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import attrs

from txconnect.wire.authority import Authority
from txconnect.wire.forwarding import pseudonymOf, viaOf
from txconnect.wire.proxystatus import ProxyStatusMember
from txconnect.wire.refusals import Cause
from txconnect.wire.structured import BareItem, Token, isToken, serializeItem

_PHRASE = 119
"""Most characters in a reason phrase: clients print it on a line."""
_DETAILS = 300
_WORDS = 400
_RULE = 40
_ID = 24
_NAME = 64
_RELAYED = 2000
"""Most octets of other proxies' C{Proxy-Status}."""

_UNPRINTABLE = re.compile(r"[^ -~]")
_CHALLENGE = re.compile(rb"[\t -~]+")

# What may be told in brief: nothing by which a network shows (RFC 9209, 4).
_HARMLESS = frozenset({"alert-id", "info-code", "rcode", "received-status"})


@attrs.frozen
class Response:
    """
    A response in no protocol's form.

    @ivar status: the status code.
    @ivar reason: the reason phrase, printable ASCII; only HTTP/1 sends it.
    @ivar fields: C{(name, value)}, in order.  Neither the length of the content
        nor anything about the connection: the writer knows those.
    @ivar content: the whole content.
    """

    status: int
    reason: str
    fields: tuple[tuple[bytes, bytes], ...]
    content: bytes


@attrs.frozen
class Relayed:
    """
    What goes on of a parent's refusal, which this proxy's own stands for.

    @ivar members: the parent's C{Proxy-Status}, the proxy nearest to the
        destination first.
    @ivar httpVersion: of the parent's answer, for C{Via}.
    """

    members: tuple[ProxyStatusMember, ...] = ()
    httpVersion: str = "1.1"


@attrs.frozen
class Refusal:
    """
    What a refusal says.

    @ivar cause: the row of the refusals table.
    @ivar rule: the name of the policy that refused, or the cause's label.
    @ivar id: the request's id, as the log has it.
    @ivar name: this deployment's name in C{Proxy-Status}.
    @ivar authority: the destination, when the head told one.
    @ivar reason: the whole reason; told only in C{full}.
    @ivar parameters: further C{Proxy-Status} parameters; in brief only those
        that show nothing of a network are told.
    @ivar challenges: the values of C{Proxy-Authenticate}; sent with a 407 only.
    @ivar full: whether the client is told the reason and every parameter.
    @ivar relayed: where a parent has refused, what goes on of its answer.
    """

    cause: Cause
    rule: str
    id: str
    name: str
    authority: Authority | None = None
    reason: str = ""
    parameters: Mapping[str, str | int] = attrs.field(factory=dict)
    challenges: Sequence[bytes] = ()
    full: bool = False
    relayed: Relayed | None = None


def responseOf(refusal: Refusal) -> Response:
    """
    Say a refusal as a response.

    @raise ValueError: for a cause that is never answered, for a 407 without a
        challenge (RFC 9110, 15.5.8), for a challenge that is no line of
        printable ASCII, and for a parameter that has no form on the wire.
    """
    cause = refusal.cause
    if cause.error is None:
        raise ValueError(f"{cause.label} is never answered")
    fields: list[tuple[bytes, bytes]] = []
    if cause.status == 407:
        fields += _challengeFields(refusal.challenges)
    if cause.status == 405:
        fields.append((b"Allow", b"CONNECT"))
    if refusal.relayed is not None:
        via = viaOf(refusal.relayed.httpVersion, pseudonymOf(refusal.name))
        fields.append((b"Via", via))
    fields += [
        (b"Proxy-Status", _proxyStatuses(refusal, cause.error).encode("ascii")),
        (b"Content-Type", b"text/plain; charset=us-ascii"),
        (b"Cache-Control", b"no-store"),
    ]
    return Response(
        cause.status,
        _sentence(refusal, _PHRASE),
        tuple(fields),
        _body(refusal).encode("ascii"),
    )


def _plain(text: str, limit: int) -> str:
    """
    Make any text one line of printable ASCII without double quotes and
    backslashes, of at most C{limit} characters.

    Lossy on purpose: an escape would need room and a reader who knows it, and
    the log has the text itself.
    """
    line = " ".join(text.split()).replace('"', "'").replace("\\", "/")
    line = _UNPRINTABLE.sub("?", line)
    return line if len(line) <= limit else line[: limit - 3] + "..."


def _words(refusal: Refusal) -> str:
    """The reason, when the client may know it and it says more than the cause."""
    if not refusal.full or refusal.reason == refusal.cause.summary:
        return ""
    return refusal.reason


def _sentence(refusal: Refusal, limit: int) -> str:
    """Which rule, in C{full} why, and the id: for the phrase and for C{details}."""
    rule = _plain(refusal.rule, _RULE)
    own = refusal.rule == refusal.cause.label
    head = f"refused: {rule}" if own else f"refused by rule '{rule}'"
    tail = f" id={_plain(refusal.id, _ID)}"
    words = _plain(_words(refusal), limit - len(head) - len(tail) - len(" ()"))
    return f"{head} ({words}){tail}" if words else head + tail


def _body(refusal: Refusal) -> str:
    """Four lines: what, which rule, what to do, the id."""
    cause, authority = refusal.cause, refusal.authority
    what, advice = cause.summary, cause.advice
    if authority is not None:
        what += f": {_plain(str(authority), _WORDS)}"
        if "NO_PROXY" in advice:
            # At the line's end, so that it can be copied as it stands.
            advice += f" For the direct way: NO_PROXY={_plain(authority.host, _WORDS)}"
    rule = f"Rule: {_plain(refusal.rule, _RULE)}"
    words = _plain(_words(refusal), _WORDS)
    if words:
        rule += f" ({words})"
    return f"{what}\n{rule}\n{advice}\nRequest id: {_plain(refusal.id, _ID)}\n"


def _challengeFields(challenges: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """One field line a scheme: clients have trouble with lists of challenges."""
    if not challenges:
        raise ValueError("a 407 needs a challenge")
    for challenge in challenges:
        if not _CHALLENGE.fullmatch(challenge):
            raise ValueError("a challenge is no line of printable ASCII")
    return [(b"Proxy-Authenticate", challenge) for challenge in challenges]


def _proxyStatuses(refusal: Refusal, error: str) -> str:
    """Those of the proxies behind this one, and then its own (RFC 9209, 2)."""
    kept = [_proxyStatus(refusal, error)]
    room = _RELAYED
    # From the nearest on: of a trail that is too long, its far end is left out.
    for member in reversed(refusal.relayed.members if refusal.relayed else ()):
        said = _relayedStatus(member, refusal.full)
        room -= len(said)
        if room < 0:
            break
        kept.append(said)
    return ", ".join(reversed(kept))


def _relayedStatus(member: ProxyStatusMember, full: bool) -> str:
    """Another proxy's member, without what a client may not see of it."""
    parameters: dict[str, BareItem] = {}
    for key, value in member.parameters.items():
        harmless = key in _HARMLESS or key == "error"
        # The other types stand in no parameter that is registered for it.
        if (full or harmless) and type(value) in (bool, int, str, Token):
            parameters[key] = _plainItem(value)  # type: ignore[arg-type]
    return serializeItem(_nameItem(member.name), parameters)


def _nameItem(text: str) -> str:
    name = _plain(text, _NAME)
    return Token(name) if isToken(name) else name


def _proxyStatus(refusal: Refusal, error: str) -> str:
    """One member of the List that RFC 9209, 2 describes."""
    own: dict[str, BareItem] = {"error": Token(error)}
    if error == "http_request_error":
        own["status-code"] = refusal.cause.status
    given = {
        key: _plainItem(value)
        for key, value in refusal.parameters.items()
        if refusal.full or key in _HARMLESS
    }
    # Ours first, and ours where both name the same.
    parameters = {**own, **given, **own, "details": _sentence(refusal, _DETAILS)}
    return serializeItem(_nameItem(refusal.name), parameters)


def _plainItem(value: str | int) -> BareItem:
    if isinstance(value, int) or isinstance(value, Token):
        return value
    return _plain(value, _WORDS)
