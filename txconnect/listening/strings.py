"""
Where to listen, as the operator writes it, and where that turns out to be.
"""

from __future__ import annotations

import os
import re
from ipaddress import IPv6Address, ip_address
from typing import Any

import attrs
from twisted.internet.address import IPv4Address, IPv6Address as Address6, UNIXAddress
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.interfaces import IAddress, IStreamServerEndpoint

from txconnect.errors import ConfigurationError

DEFAULT_LISTEN = "tcp:3128:interface=127.0.0.1"
BACKLOG = 1024

# What Twisted calls its parsers says nothing to an operator.
_PARSER = re.compile(r"^[\w.<>]+\(\) ")
_BACKLOGGED = ("tcp", "tcp6", "ssl", "unix", "proxytls")
_ENCRYPTED = ("ssl", "tls", "proxytls")
_PART = re.compile(r"(?:\A|:)((?:\\.|[^:\\])*)", re.DOTALL)
_SPECIFIC = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w-]*\.[\w.-]*|localhost):([0-9]+)")


@attrs.frozen
class Listener:
    """
    One endpoint to listen on.

    @ivar description: as the operator wrote it.
    @ivar endpoint: what it means.
    @ivar encrypted: whether clients speak TLS to it.
    @ivar forwarded: whether it is a balancer that connects to it, for clients
        that may be anywhere.
    """

    description: str
    endpoint: IStreamServerEndpoint
    encrypted: bool = False
    forwarded: bool = False

    @property
    def certified(self) -> bool:
        """Whether no client gets through without a valid certificate."""
        return bool(getattr(self.endpoint, "requiresClientCertificate", False))

    def isLocal(self, host: IAddress) -> bool:
        """Whether only this machine's programs get through to it at C{host}."""
        return not self.forwarded and isLocal(host)


def parseListener(reactor: Any, description: str) -> Listener:
    """
    Read one C{--listen}: an endpoint string, or C{3128} (this machine only),
    C{host:3128}, C{[::1]:3128}.

    A relative path of C{unix:} is made absolute, and the backlog is
    L{BACKLOG} where none is given.

    @raise ConfigurationError: when it is neither.
    """
    text = _withDefaults(_fromShort(description))
    try:
        endpoint = serverFromString(reactor, text)
    except ConfigurationError:  # of an endpoint of ours, that says it better
        raise
    except Exception as error:
        if "systemd" in _split(text)[:2] and isinstance(error, LookupError):
            raise _notHandedOver(description, error) from error
        reason = _PARSER.sub("", str(error)) or type(error).__name__
        raise ConfigurationError(
            f"--listen {description!r} is no endpoint: {reason} (write such as "
            f"{DEFAULT_LISTEN}, or 127.0.0.1:3128)"
        ) from error
    kinds = set(_split(text)[:2])
    return Listener(
        description, endpoint, bool(kinds & set(_ENCRYPTED)), "haproxy" in kinds
    )


def _notHandedOver(description: str, error: LookupError) -> ConfigurationError:
    # Twisted looks a name up in a dict, and an index in a list.
    which = f"named {error.args[0]!r}" if isinstance(error, KeyError) else "so numbered"
    return ConfigurationError(
        f"--listen {description!r}: systemd handed over no socket {which} (is it in "
        "a socket unit of this service, with FileDescriptorName=?)"
    )


def _fromShort(text: str) -> str:
    if text.isascii() and text.isdigit():
        return f"tcp:{text}:interface=127.0.0.1"
    match = _SPECIFIC.fullmatch(text)
    if match is None:
        return text
    host = match[1].strip("[]")
    kind = "tcp6" if ":" in host else "tcp"
    return f"{kind}:{match[2]}:interface={quoteStringArgument(host)}"


def _withDefaults(text: str) -> str:
    parts = _split(text)
    # haproxy:tcp:3128 hands all but its own name on.
    kind = 1 if parts[0] == "haproxy" and len(parts) > 1 else 0
    if parts[kind] == "unix":
        parts = [_absolute(part, i == kind + 1) for i, part in enumerate(parts)]
    if parts[kind] in _BACKLOGGED and len(parts) > kind + 1:
        if not any(part.startswith("backlog=") for part in parts):
            parts.append(f"backlog={BACKLOG}")
    return ":".join(parts)


def _split(text: str) -> list[str]:
    """The parts of an endpoint string, still quoted."""
    return [str(part) for part in _PART.findall(text)]


def _absolute(part: str, isPath: bool) -> str:
    if part.startswith("address="):
        return "address=" + _absolute(part.removeprefix("address="), True)
    if not isPath or not part or part.startswith(("/", "\\0", "\0")):
        return part
    plain = re.sub(r"\\(.)", r"\1", part)
    return str(quoteStringArgument(os.path.abspath(plain)))


def isLocal(host: IAddress) -> bool:
    """
    Whether only this machine can reach an address: the judge of open proxies.

    An address of a kind that is not known is not.
    """
    if isinstance(host, UNIXAddress):
        return True
    if not isinstance(host, (IPv4Address, Address6)):
        return False
    try:
        address = ip_address(host.host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def shownAddress(host: IAddress) -> str:
    """An address for people: C{127.0.0.1:3128}, C{[::1]:3128}, C{unix:/path}."""
    if isinstance(host, UNIXAddress):
        return "unix:" + os.fsdecode(host.name or b"")
    name, port = getattr(host, "host", None), getattr(host, "port", None)
    if name is None or port is None:
        return str(host)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
