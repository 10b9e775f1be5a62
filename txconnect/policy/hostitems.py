"""
One item of C{hosts:} or C{deny-hosts:}: which host, and on which port.

An item is C{NAME}, C{*.NAME}, C{.NAME} or an address; a colon and a port may follow,
and then an IPv6 address stands in brackets.

C{*.example.com} covers every name below C{example.com}, at any depth, and not
C{example.com} itself; C{.example.com} covers both, as in squid's lists.  A star is
allowed nowhere else (smokescreen's rule), so that no list covers more than its reader
thinks.

Names are read as those of requests are (L{txconnect.wire.authority}): lower case, no
trailing dot, punycode.  An item that is wrong is a sentence with the nearest right
form.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address, ip_network

import attrs

from txconnect.policy.itemlists import shownItem, withoutZone
from txconnect.values import BadAuthority, IPAddress
from txconnect.wire.authority import MAX_NAME, parseHost, parsePort

__all__ = ["EVERY_PORT", "HostItem", "parseHostItem"]

EVERY_PORT = 0
"""The port of an item that names none."""

# Nearly every line of a long file: a name in lower case without a port, whose last
# label begins with a letter.  Only to be quick; the rules below say the same.
_COMMON = re.compile(
    r"(\*?\.)?((?:[a-z0-9_-]{1,63}\.)*[a-z][a-z0-9_-]{0,62})", re.ASCII
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#]*@)?([^/?#]*)")
_PATH = re.compile(r"(?:/|\./|\.\./|~)")


@attrs.frozen
class HostItem:
    """
    An item, read.

    @ivar host: the name, or the address.
    @ivar itself: whether it covers the host.
    @ivar below: whether it covers every name below.
    @ivar port: L{EVERY_PORT}, or the only port that it covers.
    """

    host: str | IPAddress
    itself: bool = True
    below: bool = False
    port: int = EVERY_PORT


def parseHostItem(text: str) -> HostItem:
    """
    Read an item.

    @raise ValueError: it is none; with the nearest right form, where there is one.
    """
    common = _COMMON.fullmatch(text)
    if common is not None and len(common[2]) <= MAX_NAME:
        start = common[1]
        return HostItem(common[2], start != "*.", start is not None)
    try:
        return _readItem(text)
    except BadAuthority as error:
        words = _explainBadItem(text) or str(error)
        raise ValueError(f"{shownItem(text)} is not a host: {words}") from None


def _readItem(text: str) -> HostItem:
    # Whole first: "2001:db8::1:22" is an address, and names no port.
    address = _addressIn(text)
    if address is not None:
        return HostItem(address)
    host, colon, digits = text.rpartition(":")
    port = parsePort(digits) if colon else EVERY_PORT
    host = host if colon else text
    address = _addressIn(host)
    if address is not None and not (":" in host and host[0] != "["):
        return HostItem(address, port=port)
    name = host.removeprefix("*").removeprefix(".")
    below = name != host
    if host.startswith("*") and not host.startswith("*."):
        raise BadAuthority("a star is allowed only before a dot")
    if below and _addressIn(name) is not None:
        raise BadAuthority("an address has no names below it")
    return HostItem(parseHost(name), not host.startswith("*"), below, port)


def _addressIn(text: str) -> IPAddress | None:
    # Most items are names, and cost no parsing.
    if ":" not in text and not text[-1:].isdigit():
        return None
    try:
        inBrackets = text.startswith("[") and text.endswith("]")
        address = IPv6Address(text[1:-1]) if inBrackets else ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else address


def _explainBadItem(text: str) -> str:
    """Explain a common mistake in an item; return an empty text for any other."""
    # The grammar refuses these too, in words that do not say what to write.
    if not text:
        return "it is empty; is there a comma too many?"
    for explain in _EXPLANATIONS:
        words = explain(text)
        if words:
            return words
    return "" if text.isascii() else _explainOtherScript(text)


def _explainURL(text: str) -> str:
    url = _URL.match(text)
    if url is None:
        return ""
    return "it is a URL" + (_orForm(url[1]) or "; write only the host")


def _explainSlash(text: str) -> str:
    if "/" not in text and not text.startswith("~"):
        return ""
    if _PATH.match(text):
        return f"for a list in a file write @{_cut(text)}"
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return f"a path is no part of a host{_orForm(text.partition('/')[0])}"
    return f"networks are judged by the networks policy; write networks:{network}"


def _explainMarks(text: str) -> str:
    words = text.replace(",", " ").split()
    if len(words) > 1 or "," in text:
        # The lines of a hosts file, and of the lists that are made as such.
        form = _orForm(words[1]) if len(words) == 2 and _addressIn(words[0]) else ""
        return f"it is more than one{form or '; in a file write one host a line'}"
    if "@" in text:
        return f"users are no part of a host{_orForm(text.rpartition('@')[2])}"
    if text.endswith((":*", ":any")):
        return (
            "an item without a port covers every port that the ports policy allows"
            + _orForm(text.rpartition(":")[0])
        )
    return ""


def _explainStar(text: str) -> str:
    if "*" not in text.removeprefix("*."):
        return ""
    rest = text.rpartition("*")[2]
    near = "*" + rest if rest.startswith(".") else "*." + rest
    form = _orForm(near) or ", as in *.example.com"
    return f"a star is allowed only at the beginning, before a dot{form}"


def _explainZone(text: str) -> str:
    near = withoutZone(text)
    form = _orForm(near) if near != text and ":" in near else ""
    return f"a zone is no part of a host{form}" if form else ""


_EXPLANATIONS = (_explainURL, _explainSlash, _explainMarks, _explainStar, _explainZone)


def _explainOtherScript(text: str) -> str:
    return "names are written in punycode (xn--...)" + _inPunycode(text)


def _inPunycode(text: str) -> str:
    # No longer one could be a name, and encoding it would take long.
    if len(text) > MAX_NAME:
        return ""
    try:
        spelt = text.encode("idna")
        # Letters that the encoding folds would be another name.
        same = spelt.decode("idna") == text.lower()
    except UnicodeError:
        return ""
    return _orForm(spelt.decode("ascii")) if same else ""


def _orForm(near: str) -> str:
    """Return the advice to write another item, if that is a right one."""
    try:
        _readItem(near)
    except BadAuthority:
        return ""
    return f"; write {near}"


def _cut(text: str) -> str:
    return shownItem(text)[1:-1]
