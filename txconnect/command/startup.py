"""
The lines at start-up: where the proxy listens, its users and destinations.

Nothing here opens anything or knows about tunnels: the lines for those are
L{txconnect.observers.console}'s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs
from twisted.copyright import version as twistedVersion
from twisted.internet.interfaces import IAddress

from txconnect.configuration import BuiltProxy, PluginSet
from txconnect.interfaces import IAddressPolicy, IListPolicy, IPortOpener
from txconnect.listening import Listener, shownAddress
from txconnect.naming import VERSION

_DEFAULT_POLICIES = {"ports": "ports:443", "networks": "networks:public"}
_DEFAULTS = tuple(_DEFAULT_POLICIES.values())
_OPENED = "ports:443, or an item's"
_NAMED = re.compile(r"[\w-]+(?:\.[\w-]+)*(?::[0-9]+)?")
"""An item of a list that names one host, and perhaps its port."""
_WIDTH = 52
"""Columns before the right part of a line at start-up."""


@attrs.frozen
class Welcome:
    """
    The facts that the lines at start-up show.

    @ivar policies: the policies that apply, as on the command line.
    @ivar checkers: the names of the checkers; none: clients need no
        credentials.
    @ivar reactor: the class name of the reactor.
    @ivar processes: the number of processes that accept connections.
    @ivar routes: the patterns of the routes, each with its targets.
    @ivar unasked: the policies that cannot judge addresses, as a parent looks
        names up itself; empty where no route leads through a parent.
    """

    policies: Sequence[str] = _DEFAULTS
    checkers: Sequence[str] = ()
    reactor: str = ""
    processes: int = 1
    routes: Sequence[tuple[str, str]] = ()
    unasked: Sequence[str] = ()

    def lines(self, listening: Sequence[tuple[Listener, IAddress]]) -> list[str]:
        """
        Return four lines: the listeners, the users, the destinations, a command
        to try; and, where there are routes, theirs after the third.

        @param listening: the listeners, each with its address.
        """
        urls = [_listenerUrl(listener, host) for listener, host in listening]
        count = "1 process" if self.processes == 1 else f"{self.processes} processes"
        return [
            _twoColumns(
                f"txconnect {VERSION} on {', '.join(urls)}",
                f"(Twisted {twistedVersion}, {_reactorName(self.reactor)}, {count})",
            ),
            "  who   " + self._userLine(listening),
            "  where " + self._destinationLine(),
            *self._routeLines(),
            "  try   " + self._attemptLine(*listening[0]),
        ]

    def _userLine(self, listening: Sequence[tuple[Listener, IAddress]]) -> str:
        if self.checkers:
            return f"users that {' or '.join(self.checkers)} knows" + self._from()
        # The strictest statement first: each next one covers more clients.
        if all(listener.certified for listener, _ in listening):
            return "clients with a certificate" + self._from()
        if all(
            listener.certified or listener.isLocal(host) for listener, host in listening
        ):
            text = "anyone on this machine (loopback only)"
            if any(listener.certified for listener, _ in listening):
                return text + ", and clients with a certificate" + self._from()
            line = _twoColumns(
                "  who   " + text + self._from(), "add users:  --auth htpasswd:users"
            )
            return line.removeprefix("  who   ")
        return "ANYONE who can reach it, as --open-proxy says" + self._from()

    def _from(self) -> str:
        """Return the policy on clients' addresses, which judges no destination."""
        return "".join(
            f", from  {text}" for text in filter(_isOnClients, self.policies)
        )

    def _destinationLine(self) -> str:
        policies = [text for text in self.policies if not _isOnClients(text)]
        if tuple(policies) == _DEFAULTS:
            return (
                "public addresses, port 443; private, link-local and metadata "
                "addresses refused"
            )
        return "destinations that all of these allow:  " + "  ".join(policies)

    def _routeLines(self) -> list[str]:
        lines = [
            f"  via   {way}  for requests that {pattern} allows"
            if pattern
            else f"  via   {way}  for everything{' else' * (len(self.routes) > 1)}"
            for pattern, way in self.routes
        ]
        if self.unasked:
            lines.append(
                "        a parent looks names up itself: "
                f"{', '.join(self.unasked)} cannot judge their addresses there"
            )
        return lines

    def _attemptLine(self, listener: Listener, host: IAddress) -> str:
        user = "-U USER " if self.checkers else ""
        certificate = "--proxy-cert CERT --proxy-key KEY " if listener.certified else ""
        if shownAddress(host).startswith("unix:"):
            # curl cannot speak to a proxy on a UNIX socket.
            return (
                "printf 'CONNECT example.com:443 HTTP/1.1\\r\\n"
                "Host: example.com:443\\r\\n\\r\\n' "
                f"| nc -U {shownAddress(host)[5:]}"
            )
        url = _listenerUrl(listener, host)
        # The any-address cannot be connected to everywhere; loopback can, and a
        # listener on it answers there.
        url = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        return (
            f"curl {certificate}{user}-x {url} https://{_exampleHost(self.policies)}/"
        )


def _isOnClients(policy: str) -> bool:
    return policy.partition(":")[0] == "clients"


def welcome(built: BuiltProxy, reactor: str) -> Welcome:
    """
    Return the facts about a proxy that the lines show.

    @param reactor: the class name of the reactor.
    """
    rules = built.pluginSet
    # A parent resolves names itself: these cannot judge addresses on its routes.
    judges = [
        p.name for p in built.proxy.policies if IAddressPolicy.providedBy(p.plugin)
    ]
    return Welcome(
        standingPolicies(rules),
        [checker.name for checker in rules.checkers],
        reactor,
        built.configuration.workers,
        [(rule.text.pattern, rule.text.shown) for rule in rules.routes],
        judges if any(rule.text.resolves for rule in rules.routes) else [],
    )


def standingPolicies(rules: PluginSet) -> list[str]:
    """Return the policies with the defaults, as an operator would write them."""
    # By name: a policy of the operator's replaces the default of that name.
    given = {policy.name for policy in rules.policies}
    shown = dict(_DEFAULT_POLICIES)
    if any(_opensPorts(policy.plugin) for policy in rules.policies):
        shown["ports"] = _OPENED
    defaults = [text for name, text in shown.items() if name not in given]
    # Behind them come those of --plugin, which is not written as a policy.
    texts = rules.configuration.policies
    loaded = [policy.name for policy in rules.policies[len(texts) :]]
    return [*defaults, *_givenPolicies(rules), *loaded]


def _givenPolicies(rules: PluginSet) -> list[str]:
    """Return the policies as they were given, the lists of one name as one."""
    lists = {
        each.name for each in rules.policies if IListPolicy.providedBy(each.plugin)
    }
    shown: list[str] = []
    places: dict[str, int] = {}
    for text in rules.configuration.policies:
        name, colon, argument = text.partition(":")
        if colon and name in lists and name in places:
            shown[places[name]] += f",{argument}"
            continue
        places[name] = len(shown)
        shown.append(text)
    return shown


def _opensPorts(policy: object) -> bool:
    return IPortOpener.providedBy(policy) and bool(getattr(policy, "namesPorts", True))


def _listenerUrl(listener: Listener, host: IAddress) -> str:
    shown = shownAddress(host)
    if shown.startswith("unix:"):
        return shown
    return f"{'https' if listener.encrypted else 'http'}://{shown}"


def _twoColumns(left: str, right: str) -> str:
    return f"{left:<{_WIDTH}}  {right}"


def _exampleHost(policies: Sequence[str]) -> str:
    """Return a host that the lists allow, or C{HOST} where none is known by its name."""
    items = [
        item
        for name, _, argument in (text.partition(":") for text in policies)
        if name == "hosts"
        for item in argument.split(",")
    ]
    if not items:
        return "example.com"
    return next((item for item in items if _NAMED.fullmatch(item)), "HOST")


def _reactorName(name: str) -> str:
    # Ours is Twisted's with one more reader; "txconnect" would tell nobody that.
    if name == "TxconnectReactor":
        return "epoll"
    return name.removesuffix("Reactor").lower() or "reactor unknown"
