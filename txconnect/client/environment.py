"""
The proxies that the environment names, by curl's rules.

C{http_proxy} is for C{http://}, C{HTTPS_PROXY} for C{https://}, C{ALL_PROXY} for
schemes without a variable, and C{NO_PROXY} for hosts that are reached directly.
Each is looked up in lower case first; C{HTTP_PROXY} in upper case is never
read, since a CGI program gets its client's C{Proxy} field by that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

from twisted.logger import Logger

from txconnect.client.errors import printable
from txconnect.client.proxyurl import ProxyURL

__all__ = ["ProxyEnvironment"]

_log = Logger()

DEFAULT_PORT = 1080
"""The port of a proxy without one: curl's choice, for C{http} too."""

_BITS = re.compile(r"[+-]?[0-9]+", re.ASCII)


_HINTS_KEPT = 64
_hintsLogged: set[str] = set()
# A port in NO_PROXY.  An address of IPv6 has more than one colon.
_WITH_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]+):([0-9]*)", re.ASCII)


class ProxyEnvironment:
    """
    The proxies that one environment names.

    @ivar hints: a sentence for each entry of C{NO_PROXY} that is written as other
        programs read it, and matches nothing by curl's rules.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        """
        @param environ: such as C{os.environ}.  It is read once, here; what is in
            L{hints} is logged, once in a process.
        @raise TypeError: it is no mapping.
        """
        given: object = environ
        if not isinstance(given, Mapping):
            kind = type(given).__name__
            raise TypeError(
                f"the environment is a mapping such as os.environ, not {kind}"
            )
        self._environ = {
            name: value
            for name, value in environ.items()
            if value and name.lower().endswith("_proxy")
        }
        exceptions = self._environ.get("no_proxy") or self._environ.get("NO_PROXY")
        self._direct = _DirectHosts(exceptions or "")
        self.hints = tuple(self._direct.hints())
        for hint in self.hints:
            _logOnce(hint)

    def proxyFor(self, scheme: str, host: str, port: int) -> ProxyURL | None:
        """
        Return the proxy for a destination.

        @param scheme: of the destination's URL, such as C{"https"}.
        @param host: as in a URL; an IPv6 literal with brackets or without.
        @param port: not used: curl's rules do not depend on it.
        @return: L{None} means to connect directly.
        @raise ValueError: when the variable that decides holds no proxy.  The
            message has its name, and not its value.
        """
        if self.excepts(host):
            return None
        for name in self._namesFor(scheme.lower()):
            value = self._environ.get(name)
            if value is not None:
                return _parseVariable(name, value)
        return None

    def excepts(self, host: str) -> bool:
        """
        Tell whether C{NO_PROXY} excepts this host from going through a proxy.
        """
        return host in self._direct

    @staticmethod
    def _namesFor(scheme: str) -> Iterator[str]:
        yield f"{scheme}_proxy"
        # HTTP_PROXY is a client's to set where this runs under CGI (httpoxy).
        if scheme != "http":
            yield f"{scheme}_proxy".upper()
        yield "all_proxy"
        yield "ALL_PROXY"


def _logOnce(hint: str) -> None:
    if hint not in _hintsLogged and len(_hintsLogged) < _HINTS_KEPT:
        _hintsLogged.add(hint)
        _log.warn("{hint}", hint=hint)


def _parseVariable(name: str, value: str) -> ProxyURL:
    # As in curl: a proxy without a scheme speaks HTTP.
    url = value if "://" in value else f"http://{value}"
    try:
        return ProxyURL.parse(url, DEFAULT_PORT)
    except ValueError as error:
        raise ValueError(f"the environment's {name}: {error}") from None


class _DirectHosts:
    """
    The hosts in C{NO_PROXY}: C{*} alone; or names, addresses and networks in
    prefix notation, between commas or blanks.

    A name covers itself and its subdomains, with a dot before it or not.  Ports
    are no part of it.
    """

    def __init__(self, text: str) -> None:
        self._all = text == "*"
        self._entries = re.findall(r"[^ \t,]+", text)

    def hints(self) -> Iterator[str]:
        """Return a sentence for each entry that matches nothing, with what would."""
        if self._all:
            return
        for entry in dict.fromkeys(self._entries):
            meant = _meantBy(entry)
            if meant is not None:
                yield (
                    f"NO_PROXY: {printable(entry)!r} matches no host, as in curl; "
                    f"{meant}"
                )

    def __contains__(self, host: str) -> bool:
        if self._all:
            return True
        address = _parseAddress(host.removeprefix("[").removesuffix("]"))
        if address is None:
            name = host.removesuffix(".").lower()
            return any(_coversName(entry, name) for entry in self._entries)
        return any(_coversAddress(entry, address) for entry in self._entries)


def _meantBy(entry: str) -> str | None:
    """Return what to write in place of an entry that matches nothing."""
    if entry == "*":
        return "it stands for all hosts where it is the only entry"
    withPort = _WITH_PORT.fullmatch(entry)
    host = entry if withPort is None else withPort[1]
    bare = host.removeprefix("[").removesuffix("]")
    if bare.startswith("*."):
        return f"write {printable(bare[2:])!r}, which stands for its subdomains too"
    if "*" in bare:
        return "'*' stands for all hosts where it is the only entry, and for no part"
    if withPort is not None:
        return f"write {printable(bare)!r}: ports are no part of it"
    if bare != entry:
        return f"write {printable(bare)!r}, without brackets"
    if "://" in entry:
        return "write the host alone, without a scheme"
    return None


def _parseAddress(text: str) -> IPv4Address | IPv6Address | None:
    try:
        # The name of an interface is not compared.
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _coversName(entry: str, name: str) -> bool:
    suffix = entry.removesuffix(".").removeprefix(".").lower()
    return suffix != "" and (name == suffix or name.endswith("." + suffix))


def _coversAddress(entry: str, address: IPv4Address | IPv6Address) -> bool:
    text, slash, length = entry.partition("/")
    network = _parseAddress(text)
    if network is None or network.version != address.version or "%" in text:
        return False
    match = _BITS.match(length)
    bits = int(match[0]) if match else 0
    if not 0 <= bits <= address.max_prefixlen:
        return False
    # As in curl, a prefix length that is absent, no number, or 0 means the whole
    # address.
    shift = address.max_prefixlen - (bits or address.max_prefixlen)
    return int(network) >> shift == int(address) >> shift
