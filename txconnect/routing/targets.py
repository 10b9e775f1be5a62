"""
What an operator writes of a route: C{[PATTERN=]TARGET[|TARGET...]}.

No message here repeats a target that could hold a password.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import TypeVar, Union

import attrs

from txconnect.client.proxyurl import ProxyURL
from txconnect.client.secrets import StoredCredentials, loadCredentials
from txconnect.errors import ConfigurationError
from txconnect.values import IPAddress

__all__ = ["Bind", "Direct", "ParentTarget", "RouteText", "Target", "splitRoute"]

_T = TypeVar("_T")

# Where targets begin; a host may be called "direct.example".
_TARGET = r"(?:(?:https?|socks5h?)://|direct(?=[,|]|\Z)|bind:)"
_ROUTE = re.compile(rf"(?:(.*?)=)?({_TARGET}.*)", re.DOTALL | re.IGNORECASE)
_TARGETS_ALONE = re.compile(_TARGET, re.IGNORECASE)
_FORM = (
    "write [PATTERN=]TARGET, a target being http://HOST:PORT, https://HOST:PORT, "
    "socks5://HOST:PORT, direct or bind:ADDRESS"
)
_ITEMS = "credentials=, and with https:// ca=, cert= and key="


@attrs.frozen
class Direct:
    """To the destination itself."""

    def __str__(self) -> str:
        return "direct"


@attrs.frozen
class Bind:
    """
    To the destination itself, from one of this machine's addresses.

    @ivar address: the source.
    """

    address: IPAddress

    def __str__(self) -> str:
        return f"bind:{self.address}"


@attrs.frozen
class ParentTarget:
    """
    Through a parent proxy.

    @ivar url: what it speaks, and where it is; without user information.
    @ivar credentials: who this proxy is there.
    @ivar ca: the path of the certificates of which one must have signed an
        C{https} parent's; L{None}: what the platform trusts.
    @ivar cert: the path of this proxy's own certificate for it.
    @ivar key: the path of the key; L{None}: it is in C{cert} as well.
    """

    url: ProxyURL
    credentials: StoredCredentials | None = attrs.field(default=None, repr=False)
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        return str(self.url)


Target = Union[Direct, Bind, ParentTarget]


@attrs.frozen
class RouteText:
    """
    A route as it was written.

    @ivar pattern: the policy that says which requests take it; empty: all.
    @ivar targets: one, or several parents, in the order in which they are
        tried.
    """

    pattern: str
    targets: tuple[Target, ...]

    @property
    def label(self) -> str:
        """What messages call it: its pattern, which is no secret."""
        return _labelOf(self.pattern)

    @property
    def resolves(self) -> bool:
        """Whether a parent looks the names up that take it."""
        return any(isinstance(each, ParentTarget) for each in self.targets)

    @property
    def shown(self) -> str:
        """Where it leads, without credentials and files."""
        return "|".join(map(str, self.targets))

    def __str__(self) -> str:
        return f"{self.pattern}={self.shown}" if self.pattern else self.shown


def splitRoute(text: str, environ: Mapping[str, str] | None = None) -> RouteText:
    """
    Read a route, and the credentials that it names.

    @param environ: where C{env:} is looked up; L{None}: the process's own.
    @raise ConfigurationError: with what is wrong, and what to write.
    """
    if _TARGETS_ALONE.match(text):
        pattern, targets = "", text
    else:
        found = _ROUTE.fullmatch(text)
        if found is None or not found[1]:
            raise ConfigurationError(f"{_nameOf(text)} has no target: {_FORM}")
        pattern, targets = found.groups()
    label = _labelOf(pattern)
    made = tuple(_parse(label, each, environ) for each in targets.split("|"))
    if len(made) > 1 and not all(isinstance(each, ParentTarget) for each in made):
        raise ConfigurationError(
            f"{label}: direct and bind: stand alone, and not among several targets: "
            "who looks a name up, and so which policies judge it, must not change "
            "when a parent fails"
        )
    if len(set(map(str, made))) != len(made):
        raise ConfigurationError(f"{label}: a target is there twice")
    return RouteText(pattern, made)


def _nameOf(text: str) -> str:
    """What a route without a target is called: it may be a password's."""
    pattern, equals, _ = text.partition("=")
    secret = "@" in text or "//" in pattern
    return f"route {pattern!r}" if equals and pattern and not secret else "a route"


def _labelOf(pattern: str) -> str:
    return f"route {pattern!r}" if pattern else "the route without a pattern"


def _parse(label: str, text: str, environ: Mapping[str, str] | None) -> Target:
    head, *items = text.split(",")
    kind = head.lower()
    if not _TARGETS_ALONE.match(text):
        raise ConfigurationError(
            f"{label}: between two '|' there is no target: {_FORM}"
        )
    if kind == "direct" or kind.startswith("bind:"):
        if items:
            word = "direct" if kind == "direct" else "bind:"
            raise ConfigurationError(f"{label}: {word} takes nothing behind a comma")
        return Direct() if kind == "direct" else Bind(_address(label, head[5:]))
    return _parent(label, head, items, environ)


def _address(label: str, text: str) -> IPAddress:
    try:
        address = ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ConfigurationError(
            f"{label}: bind:{text} is no address; write bind:192.0.2.7"
        ) from None
    if address.is_unspecified or address.is_multicast:
        raise ConfigurationError(f"{label}: bind:{text} is no address of one machine")
    return address


def _parent(
    label: str, text: str, items: list[str], environ: Mapping[str, str] | None
) -> ParentTarget:
    given = _items(label, items)
    if "@" in text:
        # Never shown, and refused before anything could go wrong with it.
        raise ConfigurationError(
            f"{label}: a parent's URL holds no user and password, because command "
            "lines are for everybody to read; write credentials=FILE or "
            "credentials=env:NAME behind a comma"
        )
    url = _worded(label, lambda: ProxyURL.parse(text))
    if url.scheme != "https" and set(given) - {"credentials"}:
        raise ConfigurationError(
            f"{label}: {url}: ca=, cert= and key= are for https://"
        )
    if "key" in given and "cert" not in given:
        raise ConfigurationError(f"{label}: {url}: key= needs cert= beside it")
    source = given.pop("credentials", None)
    stored = None
    if source is not None:
        stored = _worded(f"{label}: {url}", lambda: loadCredentials(source, environ))
    return ParentTarget(url, stored, **given)


def _items(label: str, items: list[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or name not in ("credentials", "ca", "cert", "key"):
            raise ConfigurationError(
                f"{label}: behind a comma there is something else than {_ITEMS}"
            )
        if not value or name in given:
            wrong = "is there twice" if value else "is empty"
            raise ConfigurationError(f"{label}: {name}= {wrong}")
        given[name] = value
    return given


def _worded(label: str, make: Callable[[], _T]) -> _T:
    try:
        return make()
    except ValueError as error:
        raise ConfigurationError(f"{label}: {error}") from None
