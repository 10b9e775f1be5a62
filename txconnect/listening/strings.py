"""
The strings that say where to listen, and the addresses that ports have.

A string is taken apart only for its defaults and for its flags; Twisted parses
it.  So every endpoint plugin that is installed works here.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from ipaddress import IPv6Address, ip_address

import attrs
from twisted.internet.address import IPv4Address, IPv6Address as Address6, UNIXAddress
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.interfaces import (
    IAddress,
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import getPlugins

from txconnect.errors import ConfigurationError

DEFAULT_LISTEN = "tcp:3128:interface=127.0.0.1"
BACKLOG = 1024

# The names of Twisted's parsers in its messages say nothing to an operator.
_PARSER = re.compile(r"^[\w.<>]+\(\) ")
_BACKLOGGED = ("tcp", "tcp6", "ssl", "unix", "proxytls")
_ENCRYPTED = ("ssl", "tls", "proxytls")
_UNEXPECTED = re.compile("unexpected keyword argument '(.*)'")
_NO_NUMBER = re.compile(r"invalid literal for int\(\) with base 10: (.*)")
_EXAMPLES = {
    "ssl": "ssl:3129:privateKey=KEY.pem:certKey=CERTIFICATE.pem",
    "tls": "tls:DIRECTORY:port=3129",
    "unix": "unix:/run/txconnect.sock",
}
"""For a kind of endpoint, a form of it that works; for the others tcp's."""
_BUILT_IN = ("tcp", "ssl", "unix")
"""The kinds of endpoint that Twisted knows without a plugin."""
_KEYS = (
    *("interface", "backlog", "address", "mode", "lockfile", "port", "domain", "name"),
    *("index", "privateKey", "certKey", "sslmethod", "extraCertChain", "dhParameters"),
)
"""The keys of the endpoints that come with Twisted."""
# A colon after a backslash is part of an argument, as in serverFromString.
_PART = re.compile(r"(?:\A|:)((?:\\.|[^:\\])*)", re.DOTALL)
_SPECIFIC = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w-]*\.[\w.-]*|localhost):([0-9]+)")


@attrs.frozen
class Listener:
    """
    One endpoint to listen on.

    @ivar description: the string that the operator wrote.
    @ivar endpoint: the endpoint that it describes.
    @ivar encrypted: true when clients speak TLS to it.
    @ivar forwarded: true when a balancer connects to it, for clients that may
        be anywhere.
    """

    description: str
    endpoint: IStreamServerEndpoint
    encrypted: bool = False
    forwarded: bool = False

    @property
    def certified(self) -> bool:
        """True when the endpoint requires a valid certificate of each client."""
        return bool(getattr(self.endpoint, "requiresClientCertificate", False))

    def isLocal(self, host: IAddress) -> bool:
        """Tell whether only this machine's programs can reach it at C{host}."""
        return not self.forwarded and isLocal(host)


def parseListener(reactor: object, description: str) -> Listener:
    """
    Read one C{--listen}: an endpoint string, or C{3128} (this machine only),
    C{host:3128}, C{[::1]:3128}.

    A relative path of C{unix:} is made absolute, and the backlog is
    L{BACKLOG} where none is given.

    @raise ConfigurationError: when it is neither.
    """
    text = _addDefaults(_expandShort(description))
    try:
        endpoint = serverFromString(reactor, text)
    except ConfigurationError as error:
        # From proxytls:, whose own sentence is better than the one below.
        raise ConfigurationError(f"--listen {error}") from error
    except Exception as error:
        if "systemd" in _splitParts(text)[:2] and isinstance(error, LookupError):
            raise _missingSocketError(description, error) from error
        reason = _reasonText(error)
        raise ConfigurationError(
            f"--listen {description!r} is no endpoint: {reason}{_nearest(text, reason)} "
            f"(write such as {_exampleFor(text)})"
        ) from error
    kinds = set(_splitParts(text)[:2])
    return Listener(
        description, endpoint, bool(kinds & set(_ENCRYPTED)), "haproxy" in kinds
    )


def _reasonText(error: Exception) -> str:
    """Return what a parser of Twisted's says, without the words of Python."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    number = _NO_NUMBER.fullmatch(str(error))
    if number is not None:
        return f"{number[1]} is no number"
    return _PARSER.sub("", str(error)) or type(error).__name__


def _exampleFor(text: str) -> str:
    kind = _splitParts(text)[0]
    return _EXAMPLES.get(kind, f"{DEFAULT_LISTEN}, or 127.0.0.1:3128")


def _nearest(text: str, reason: str) -> str:
    """Return the kind of endpoint, or the key, that was probably meant, or nothing."""
    key = _UNEXPECTED.search(reason)
    if key is not None:
        near = get_close_matches(key[1], _KEYS, 1)
        return f"; did you mean {near[0]}=?" if near else ""
    kind, *rest = _splitParts(text)
    if kind in ("", "*") and rest:
        return (
            f"; did you mean tcp:{rest[0]} (all addresses) or {rest[0]} (this machine)?"
        )
    plugins = getPlugins(IStreamServerEndpointStringParser)
    kinds = [*_BUILT_IN, *(str(plugin.prefix) for plugin in plugins)]
    # A known kind, and something else is wrong.
    near = [] if kind in kinds else get_close_matches(kind, kinds, 1)
    return f"; did you mean {near[0]}:?" if near else ""


def _missingSocketError(description: str, error: LookupError) -> ConfigurationError:
    # Twisted looks a name up in a dict, and an index in a list.
    which = f"named {error.args[0]!r}" if isinstance(error, KeyError) else "so numbered"
    return ConfigurationError(
        f"--listen {description!r}: systemd handed over no socket {which} (is it in "
        "a socket unit of this service, with FileDescriptorName=?)"
    )


def _expandShort(text: str) -> str:
    if text.isascii() and text.isdigit():
        return f"tcp:{text}:interface=127.0.0.1"
    match = _SPECIFIC.fullmatch(text)
    if match is None:
        return text
    host = match[1].strip("[]")
    kind = "tcp6" if ":" in host else "tcp"
    return f"{kind}:{match[2]}:interface={quoteStringArgument(host)}"


def _addDefaults(text: str) -> str:
    parts = _splitParts(text)
    # haproxy:tcp:3128 passes on all but its own name.
    kind = 1 if parts[0] == "haproxy" and len(parts) > 1 else 0
    if parts[kind] == "unix":
        parts = [_absolutePath(part, i == kind + 1) for i, part in enumerate(parts)]
    if parts[kind] in _BACKLOGGED and len(parts) > kind + 1:
        if not any(part.startswith("backlog=") for part in parts):
            parts.append(f"backlog={BACKLOG}")
    return ":".join(parts)


def _splitParts(text: str) -> list[str]:
    """Split an endpoint string into its parts, still quoted."""
    return [str(part) for part in _PART.findall(text)]


def _absolutePath(part: str, isPath: bool) -> str:
    if part.startswith("address="):
        return "address=" + _absolutePath(part.removeprefix("address="), True)
    # An abstract socket's name begins with NUL, and belongs to no directory.
    if not isPath or not part or part.startswith(("/", "\\0", "\0")):
        return part
    plain = re.sub(r"\\(.)", r"\1", part)
    return str(quoteStringArgument(os.path.abspath(plain)))


def isLocal(host: IAddress) -> bool:
    """
    Tell whether only this machine can reach an address.

    By this an open proxy is refused, so an address of an unknown kind counts as
    one that others can reach.
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
    """
    Format an address for people: C{127.0.0.1:3128}, C{[::1]:3128}, C{unix:/path}.
    """
    if isinstance(host, UNIXAddress):
        return "unix:" + os.fsdecode(host.name or b"")
    name, port = getattr(host, "host", None), getattr(host, "port", None)
    if name is None or port is None:
        return str(host)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
