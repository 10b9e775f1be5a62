"""
The target of a CONNECT: an authority, that is a host and a port.

Exactly C{uri-host ":" port} (RFC 9110, 9.3.6), and of the hosts that the RFC
allows only the ones about which every resolver and every policy agree.  A
target that is refused here is never looked up, judged or dialled.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Union

import attrs

IPAddress = Union[IPv4Address, IPv6Address]

KEPT = 1024
"""
The size of the cache of parsed targets: clients ask for the same few again and
again.  A target that is refused is not cached, so no key is longer than a name
may be.
"""

MAX_NAME = 253
"""Octets in a name without its trailing dot (RFC 1035, 2.3.4)."""

# One label, then more; at most one dot at the end.  The underscore is no
# letter of a host name, but real names have it.
_LABEL = r"[A-Za-z0-9_-]{1,63}"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.ASCII)
# A last label that inet_aton, and so getaddrinfo, takes for a number: "0x7f.1"
# is 127.0.0.1 to them and would be a name to a policy.
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?", re.ASCII)
# No leading zeros: inet_aton reads them as octal, others as decimal.
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.ASCII)
_IPV6 = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\]", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
# Nearly every target: a name that is no number because its last label begins
# with a letter, and a port.  Only to be quick; the rules below say the same.
_COMMON = re.compile(
    rf"((?:{_LABEL}\.)*[A-Za-z][A-Za-z0-9_-]{{0,62}}):([1-9][0-9]{{0,3}})", re.ASCII
)
_URL = "the target is a URL: it must be host:port"


class BadAuthority(ValueError):
    """
    The text is not an authority.  C{str()} is a sentence that repeats none of it.
    """


@attrs.frozen
class Authority:
    """
    A host and a port.

    @ivar host: a name in lower case without its trailing dot, or an address
        literal in its shortest form, without brackets.
    @ivar port: 1 to 65535.
    @ivar rooted: true if the name came with a trailing dot.  Policies never
        see the dot; the look-up keeps it, because it switches the resolver's
        search list off.
    """

    host: str
    port: int
    rooted: bool = attrs.field(default=False, eq=False, repr=False)

    @property
    def address(self) -> IPAddress | None:
        """The address of a host that is a literal, or L{None} for a name."""
        host = self.host
        # A name may end in a digit too, but most do not, and cost no parsing.
        return _parseLiteral(host) if ":" in host or host[-1:].isdigit() else None

    @property
    def lookupName(self) -> str:
        """The name to pass to a resolver, with its trailing dot if it had one."""
        return self.host + "." if self.rooted else self.host

    @classmethod
    def parse(cls, text: str | bytes) -> Authority:
        """
        Read C{host:port}.

        @raise BadAuthority: if the text is not exactly that.
        """
        return parseAuthority(text)

    def __str__(self) -> str:
        if ":" in self.host:
            return f"[{self.host}]:{self.port}"
        return f"{self.host}:{self.port}"


@lru_cache(KEPT)
def _parseLiteral(host: str) -> IPAddress | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


@lru_cache(KEPT, typed=True)
def parseAuthority(text: str | bytes) -> Authority:
    """
    Read C{uri-host ":" port} (RFC 9110, 9.3.6), strictly.

    @raise BadAuthority: for any other text, with the first rule that it breaks.
    """
    decoded = _decodeTarget(text)
    common = _COMMON.fullmatch(decoded)
    if common is not None and len(common[1]) <= MAX_NAME:
        return Authority(common[1].lower(), int(common[2]))
    host, colon, port = decoded.rpartition(":")
    if not colon:
        raise BadAuthority("the target has no port: it must be host:port")
    try:
        return Authority(parseHost(host), parsePort(port), host.endswith("."))
    except BadAuthority:
        # For a URL a complaint about its colons would only mislead.
        if "/" in decoded or "?" in decoded or "#" in decoded:
            raise BadAuthority(_URL) from None
        raise


def addressText(address: IPAddress) -> str:
    """Write an address as C{str()} does, in half of the time for IPv4."""
    if address.version == 4:
        a, b, c, d = address.packed
        return f"{a}.{b}.{c}.{d}"
    return str(address)


def parseHost(text: str) -> str:
    """
    Read a host: a name, an IPv4 literal, or an IPv6 literal in brackets.

    @return: the host as L{Authority.host} has it.
    @raise BadAuthority: for any other text.
    """
    if text.startswith("["):
        return _parseIPv6(text)
    if _IPV4.fullmatch(text):
        return text
    if not _NAME.fullmatch(text):
        raise BadAuthority(_explainBadHost(text))
    if _NUMBER.fullmatch(text):
        raise BadAuthority(
            "the host ends in a number but is no IPv4 address of four decimal "
            "parts without leading zeros"
        )
    name = text.removesuffix(".").lower()
    if len(name) > MAX_NAME:
        raise BadAuthority(f"the host name is longer than {MAX_NAME} octets")
    return name


def parsePort(text: str) -> int:
    """
    Read a port.

    @raise BadAuthority: if it is not 1 to 65535 in ASCII digits without a
        sign or a leading zero.
    """
    # int() alone would take "+1", " 1", "1_0" and digits of other scripts.
    if not text:
        raise BadAuthority("the port is empty: it must be 1 to 65535")
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise BadAuthority(
            "the port is not 1 to 65535 in plain digits without a leading zero"
        )
    return int(text)


def _decodeTarget(text: str | bytes) -> str:
    try:
        return text.decode("ascii") if isinstance(text, bytes) else text
    except UnicodeDecodeError:
        raise BadAuthority("the target holds a byte outside ASCII") from None


def _parseIPv6(text: str) -> str:
    match = _IPV6.fullmatch(text)
    if match is None:
        raise BadAuthority("the brackets hold no IPv6 address (zones are refused)")
    try:
        address = IPv6Address(match[1])
    except ValueError:
        raise BadAuthority("the brackets hold no IPv6 address") from None
    mapped = address.ipv4_mapped
    # Python writes these as RFC 5952, 5 recommends only from 3.13 on; a policy
    # that compares hosts must not depend on that.
    return str(address) if mapped is None else f"::ffff:{mapped}"


def _explainBadHost(host: str) -> str:
    if not host:
        return "the host is empty"
    if "@" in host:
        return "the target holds user information: it must be host:port"
    if ":" in host:
        return "the host holds a colon: an IPv6 address goes in brackets"
    return (
        "the host is no name of ASCII letters, digits, '-' and '_' in labels of 1 to 63"
    )
