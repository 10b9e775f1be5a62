"""
The proxy's refusals, as status, fields and content.

A L{Response} has the parts that every version of HTTP has in common; a writer for
each version makes octets of it.  Text from outside (names, reasons, a parent's
words) reaches it through one function, L{_plainText}, and in no other way, so no
line break in such a text can begin a field or a second response.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs

from txconnect.wire.answerfields import phraseOf
from txconnect.wire.authority import Authority
from txconnect.wire.forwarding import pseudonymOf, viaOf
from txconnect.wire.notes import Note
from txconnect.wire.proxystatus import ProxyStatusMember
from txconnect.wire.refusals import Cause
from txconnect.wire.structured import BareItem, Token, isToken, serializeItem

_PHRASE = 119
"""Most characters in a reason phrase: clients print it on one line."""
# Further limits in characters: long enough for any text of ours, and short enough
# that no text from outside makes an answer that a client's own limits refuse.
_DETAILS = 300
_WORDS = 400
_RULE = 40
_ID = 24
_NAME = 64
_RELAYED = 2000
"""Most octets of the C{Proxy-Status} members of other proxies."""

_PLAIN = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")
_UNPRINTABLE = re.compile(r"[^ -~]")
_CHALLENGE = re.compile(rb"[\t -~]+")

# Parameters that clients may always see: none reveals a network (RFC 9209, 4).
_HARMLESS = frozenset({"alert-id", "info-code", "rcode", "received-status"})


@attrs.frozen
class Response:
    """
    A response apart from any version of HTTP.

    @ivar status: the status code.
    @ivar reason: the reason phrase, printable ASCII; only HTTP/1 sends it.
    @ivar fields: C{(name, value)}, in order, without the length of the content
        and any field about the connection: the writer adds those.
    @ivar content: the whole content.
    """

    status: int
    reason: str
    fields: tuple[tuple[bytes, bytes], ...]
    content: bytes


class AnswerParts(Protocol):
    """The parts of an L{Answer<txconnect.values.Answer>}."""

    @property
    def content(self) -> bytes: ...

    @property
    def status(self) -> int: ...

    @property
    def contentType(self) -> str: ...

    @property
    def fields(self) -> tuple[tuple[bytes, bytes], ...]: ...


def answerResponse(answer: AnswerParts) -> Response:
    """Make a response of a checked answer to a request to the proxy itself."""
    fields = list(answer.fields)
    given = {name.lower() for name, _ in fields}
    if answer.content and b"content-type" not in given:
        fields.append((b"Content-Type", answer.contentType.encode("ascii")))
    if b"cache-control" not in given:
        fields.append((b"Cache-Control", b"no-store"))
    phrase = phraseOf(answer.status)
    return Response(answer.status, phrase, tuple(fields), answer.content)


@attrs.frozen
class Relayed:
    """
    The part of a parent's refusal that this proxy's own refusal passes on.

    @ivar members: the members of the parent's C{Proxy-Status}, the proxy nearest
        to the destination first.
    @ivar httpVersion: the version of the parent's answer, for C{Via}.
    """

    members: tuple[ProxyStatusMember, ...] = ()
    httpVersion: str = "1.1"


@attrs.frozen
class Refusal:
    """
    The contents of a refusal.

    @ivar cause: the row of the refusals table.
    @ivar rule: the name of the policy that refused, or the cause's label.
    @ivar id: the request's id, as in the log.
    @ivar name: this deployment's name in C{Proxy-Status}.
    @ivar authority: the destination, if the head named one.
    @ivar reason: the whole reason; sent only if C{full} is true.
    @ivar parameters: further C{Proxy-Status} parameters; unless C{full} is true,
        only those that reveal nothing about a network are sent.
    @ivar challenges: the values of C{Proxy-Authenticate}; sent only with a 407.
    @ivar full: true if the client may see the reason and every parameter.
    @ivar relayed: the part of a parent's refusal to pass on, if a parent refused.
    @ivar note: the operator's own words, for refusals that are somebody's judgement.
    @ivar user: the authenticated user's name, for the note.
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
    note: Note = Note()
    user: str = ""


def responseOf(refusal: Refusal) -> Response:
    """
    Make a refusal a response.

    @raise ValueError: for a cause that is never answered, for a 407 without a
        challenge (RFC 9110, 15.5.8), for a challenge that is not a line of
        printable ASCII, and for a parameter that cannot be serialized.
    """
    cause = refusal.cause
    if cause.error is None:
        raise ValueError(f"{cause.label} is never answered")
    details = _refusalSentence(refusal, _DETAILS)
    # Made a second time only if it is too long for the phrase.
    phrase = details if len(details) <= _PHRASE else _refusalSentence(refusal, _PHRASE)
    fields: list[tuple[bytes, bytes]] = []
    if cause.status == 407:
        fields += _challengeFields(refusal.challenges)
    if cause.status == 405:
        fields.append((b"Allow", b"CONNECT"))
    if refusal.relayed is not None:
        via = viaOf(refusal.relayed.httpVersion, pseudonymOf(refusal.name))
        fields.append((b"Via", via))
    content = _contentText(refusal)
    # Only the operator's own words may be other than ASCII.
    charset = "us-ascii" if content.isascii() else "utf-8"
    fields += [
        (
            b"Proxy-Status",
            _proxyStatuses(refusal, cause.error, details).encode("ascii"),
        ),
        (b"Content-Type", f"text/plain; charset={charset}".encode("ascii")),
        (b"Cache-Control", b"no-store"),
    ]
    return Response(
        cause.status,
        phrase,
        tuple(fields),
        content.encode(charset),
    )


def _plainText(text: str, limit: int) -> str:
    """
    Make any text one line of printable ASCII without double quotes and
    backslashes, of at most C{limit} characters.

    Lossy on purpose: an escape would need room and a reader who knows it, and
    the log has the text itself.
    """
    # Most texts are plain already.
    if len(text) <= limit and _PLAIN.fullmatch(text):
        return text
    line = " ".join(text.split()).replace('"', "'").replace("\\", "/")
    line = _UNPRINTABLE.sub("?", line)
    return line if len(line) <= limit else line[: limit - 3] + "..."


def _reasonText(refusal: Refusal) -> str:
    """Return the reason if the client may see it and it adds to the cause."""
    # Why credentials are refused would tell strangers which users there are.
    secret = refusal.cause is Cause.CREDENTIALS_REFUSED
    if not refusal.full or secret or refusal.reason == refusal.cause.summary:
        return ""
    return refusal.reason


def _refusalSentence(refusal: Refusal, limit: int) -> str:
    """
    Write the sentence of the reason phrase and of C{details}: the rule, the
    reason if the client may see it, and the request's id.
    """
    # The id comes last and is never cut: it is the way into the log.
    rule = _plainText(refusal.rule, _RULE)
    own = refusal.rule == refusal.cause.label
    head = f"refused: {rule}" if own else f"refused by rule '{rule}'"
    tail = f" id={_plainText(refusal.id, _ID)}"
    words = _plainText(_reasonText(refusal), limit - len(head) - len(tail) - len(" ()"))
    return f"{head} ({words}){tail}" if words else head + tail


def _contentText(refusal: Refusal) -> str:
    """
    Write four lines, the summary, the rule, the advice and the request's id; or five,
    with the operator's note.
    """
    cause, authority = refusal.cause, refusal.authority
    summary, advice = cause.summary, cause.advice
    if refusal.note.pieces and _isJudgement(refusal):
        advice += f"\n{_noteText(refusal)}"
    if authority is not None:
        summary += f": {_plainText(str(authority), _WORDS)}"
    rule = f"Rule: {_plainText(refusal.rule, _RULE)}"
    words = _plainText(_reasonText(refusal), _WORDS)
    if words:
        rule += f" ({words})"
    return f"{summary}\n{rule}\n{advice}\nRequest id: {_plainText(refusal.id, _ID)}\n"


def _isJudgement(refusal: Refusal) -> bool:
    """
    Tell whether somebody has judged the request: a policy or another plugin, or that it
    lacks credentials.  A failure, or a head that no client means, gets no note.
    """
    cause = refusal.cause
    return cause.status in (403, 407) or refusal.rule != cause.label


def _noteText(refusal: Refusal) -> str:
    """Write the operator's note, with the values of this refusal."""
    authority = refusal.authority
    return refusal.note.fill(
        {
            "host": "" if authority is None else _plainText(authority.host, _WORDS),
            "port": "" if authority is None else str(authority.port),
            "rule": _plainText(refusal.rule, _RULE),
            "id": _plainText(refusal.id, _ID),
            "cause": refusal.cause.label,
            "user": _plainText(refusal.user, _NAME),
        }
    )


def _challengeFields(challenges: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Write one field line a scheme: many clients cannot read several in one."""
    if not challenges:
        raise ValueError("a 407 needs a challenge")
    for challenge in challenges:
        if not _CHALLENGE.fullmatch(challenge):
            raise ValueError("a challenge is not a line of printable ASCII")
    return [(b"Proxy-Authenticate", challenge) for challenge in challenges]


def _proxyStatuses(refusal: Refusal, error: str, details: str) -> str:
    """Write the members of the parents, and after them its own (RFC 9209, 2)."""
    kept = [_proxyStatus(refusal, error, details)]
    if refusal.relayed is None:
        return kept[0]
    room = _RELAYED
    # From the nearest on: of too long a list, the far end is left out.
    for member in reversed(refusal.relayed.members):
        written = _relayedStatus(member, refusal.full)
        room -= len(written)
        if room < 0:
            break
        kept.append(written)
    return ", ".join(reversed(kept))


def _relayedStatus(member: ProxyStatusMember, full: bool) -> str:
    """Write another proxy's member, without the parts that a client may not see."""
    parameters: dict[str, BareItem] = {}
    for key, value in member.parameters.items():
        harmless = key in _HARMLESS or key == "error"
        # No registered parameter of Proxy-Status has another type.
        if (full or harmless) and type(value) in (bool, int, str, Token):
            parameters[key] = _plainItem(value)  # type: ignore[arg-type]
    return serializeItem(_nameItem(member.name), parameters)


def _nameItem(text: str) -> str:
    name = _plainText(text, _NAME)
    return Token(name) if isToken(name) else name


def _proxyStatus(refusal: Refusal, error: str, details: str) -> str:
    """Write this proxy's own member of the List of RFC 9209, 2."""
    own: dict[str, BareItem] = {"error": Token(error)}
    if error == "http_request_error":
        own["status-code"] = refusal.cause.status
    given = {
        key: _plainItem(value)
        for key, value in refusal.parameters.items()
        if refusal.full or key in _HARMLESS
    }
    # Ours come first, and win where a plugin gives the same key: a dict keeps the
    # place of the first and the value of the last.
    parameters = {**own, **given, **own, "details": details}
    return serializeItem(_nameItem(refusal.name), parameters)


def _plainItem(value: str | int) -> BareItem:
    # A Token stays one: as a String it would not be the registered type.
    if isinstance(value, int) or isinstance(value, Token):
        return value
    return _plainText(value, _WORDS)
