"""
The text of a route, as an operator writes it: C{[PATTERN=]TARGET[|TARGET...]}.

Targets and what follows their commas have the escapes of
L{txconnect.plugins.arguments}.

A text splits at the first C{=} that a target follows, because a pattern may
itself hold C{=}, as in C{./rules.py:Office:zone=cet=direct}.

No message here repeats a target that could hold a password: messages reach
logs and terminals, and a mistake in a text may move the password to any place
in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_address
from typing import TypeVar, Union

import attrs

from txconnect.client.proxyurl import ProxyURL
from txconnect.client.secrets import StoredCredentials, loadCredentials
from txconnect.errors import ConfigurationError
from txconnect.plugins.arguments import splitItems, unescape
from txconnect.values import IPAddress

__all__ = ["Bind", "Direct", "ParentTarget", "RouteText", "Target", "splitRoute"]

_T = TypeVar("_T")

# The start of a target; a host may be called "direct.example".
_TARGET = r"(?:(?:https?|socks5h?)://|direct(?=[,|]|\Z)|bind:)"
_ROUTE = re.compile(rf"(?:(.*?)=)?({_TARGET}.*)", re.DOTALL | re.IGNORECASE)
_ALONE = re.compile(r"(?:.*=)?(?!ports:)[\w.-]+:[0-9]{1,5}/?", re.DOTALL)
_TARGETS_ALONE = re.compile(_TARGET, re.IGNORECASE)
_FORM = (
    "write [PATTERN=]TARGET, a target being http://HOST:PORT, https://HOST:PORT, "
    "socks5://HOST:PORT, direct or bind:ADDRESS"
)
_ITEMS = "credentials=, and with https:// ca=, cert= and key="


@attrs.frozen
class Direct:
    """A target: the destination itself."""

    def __str__(self) -> str:
        return "direct"


@attrs.frozen
class Bind:
    """
    A target: the destination itself, from one of this machine's addresses.

    @ivar address: the source.
    """

    address: IPAddress

    def __str__(self) -> str:
        return f"bind:{self.address}"


@attrs.frozen
class ParentTarget:
    """
    A target: a parent proxy.

    @ivar url: its protocol and address; without user information.
    @ivar credentials: this proxy's credentials for it.
    @ivar ca: the path of the certificates of which one must have signed an
        C{https} parent's; L{None} for those that the platform trusts.
    @ivar cert: the path of this proxy's own certificate for it.
    @ivar key: the path of the key; L{None} when it is in C{cert} as well.
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

    @ivar pattern: the policy that chooses its requests; empty for all.
    @ivar targets: one, or several parents, in the order in which they are
        tried.
    """

    pattern: str
    targets: tuple[Target, ...]

    @property
    def label(self) -> str:
        """The name of the route in messages: its pattern, which is no secret."""
        return _labelOf(self.pattern)

    @property
    def resolves(self) -> bool:
        """Tell whether a parent looks up the names of its requests."""
        return any(isinstance(each, ParentTarget) for each in self.targets)

    @property
    def shown(self) -> str:
        """Return the targets as text, without credentials and files."""
        return "|".join(map(str, self.targets))

    def __str__(self) -> str:
        targets = self.shown
        return f"{self.pattern}={targets}" if self.pattern else targets


def splitRoute(text: str, environ: Mapping[str, str] | None = None) -> RouteText:
    """
    Read a route, and the credentials that it names.

    @param environ: the variables that C{env:} names; L{None} for the process's
        own.
    @raise ConfigurationError: with the mistake, and the correct form.
    """
    if _TARGETS_ALONE.match(text):
        pattern, targets = "", text
    else:
        found = _ROUTE.fullmatch(text)
        if found is None or not found[1]:
            # Not repeated: whatever is in the wrong place may be a password.
            hint = " (HOST:PORT alone is none: begin it with http://)"
            alone = hint if _ALONE.fullmatch(text) else ""
            raise ConfigurationError(
                f"{_shownName(text)} has no target{alone}: {_FORM}"
            )
        pattern, targets = found.groups()
    label = _labelOf(pattern)
    parts = _withLabel(label, lambda: splitItems(targets, "|"))
    made = tuple(_parseTarget(label, each, environ) for each in parts)
    if len(made) > 1 and not all(isinstance(each, ParentTarget) for each in made):
        raise ConfigurationError(
            f"{label}: direct and bind: stand alone, and not among several targets: "
            "who looks a name up, and so which policies judge it, must not change "
            "when a parent fails"
        )
    # By URL alone: a log could not tell two parents of one URL apart.
    if len(set(map(str, made))) != len(made):
        raise ConfigurationError(f"{label}: a target is there twice")
    return RouteText(pattern, made)


def _shownName(text: str) -> str:
    """Return a name for a route without a target, unless it may be a password."""
    pattern, equals, _ = text.partition("=")
    secret = "@" in text or "//" in pattern
    return f"route {pattern!r}" if equals and pattern and not secret else "a route"


def _labelOf(pattern: str) -> str:
    return f"route {pattern!r}" if pattern else "the route without a pattern"


def _parseTarget(label: str, text: str, environ: Mapping[str, str] | None) -> Target:
    head, *items = _withLabel(label, lambda: splitItems(text)) or [""]
    kind = head.lower()
    if not _TARGETS_ALONE.match(text):
        raise ConfigurationError(
            f"{label}: between two '|' there is no target: {_FORM}"
        )
    if kind == "direct" or kind.startswith("bind:"):
        if items:
            word = "direct" if kind == "direct" else "bind:"
            raise ConfigurationError(f"{label}: {word} takes nothing after a comma")
        return Direct() if kind == "direct" else Bind(_parseSource(label, head[5:]))
    return _parseParent(label, head, items, environ)


def _parseSource(label: str, text: str) -> IPAddress:
    try:
        address = ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ConfigurationError(
            f"{label}: bind:{text} is no address; write bind:192.0.2.7"
        ) from None
    if address.is_unspecified or address.is_multicast:
        raise ConfigurationError(f"{label}: bind:{text} is no address of one machine")
    return address


def _parseParent(
    label: str, text: str, items: list[str], environ: Mapping[str, str] | None
) -> ParentTarget:
    given = _parseItems(label, items)
    if "@" in text:
        # Before the URL is parsed: a message of the parser might show it.
        raise ConfigurationError(
            f"{label}: a parent's URL holds no user and password, because command "
            "lines are for everybody to read; write credentials=FILE or "
            "credentials=env:NAME after a comma"
        )
    url = _withLabel(label, lambda: ProxyURL.parse(text))
    if url.scheme != "https" and set(given) - {"credentials"}:
        raise ConfigurationError(
            f"{label}: {url}: ca=, cert= and key= are for https://"
        )
    if "key" in given and "cert" not in given:
        raise ConfigurationError(f"{label}: {url}: key= needs cert= beside it")
    source = given.pop("credentials", None)
    stored = None
    if source is not None:
        stored = _withLabel(f"{label}: {url}", lambda: loadCredentials(source, environ))
    return ParentTarget(url, stored, **given)


def _parseItems(label: str, items: list[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or name not in ("credentials", "ca", "cert", "key"):
            raise ConfigurationError(
                f"{label}: after a comma there is something else than {_ITEMS}"
            )
        if not value or name in given:
            wrong = "is there twice" if value else "is empty"
            raise ConfigurationError(f"{label}: {name}= {wrong}")
        given[name] = _withLabel(f"{label}: {name}=", partial(unescape, value))
    return given


def _withLabel(label: str, make: Callable[[], _T]) -> _T:
    try:
        return make()
    except ValueError as error:
        raise ConfigurationError(f"{label}: {error}") from None
