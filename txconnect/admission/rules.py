"""
The rules of a proxy: its plugins and settings, as one frozen value.

Rules apart from resources: rules can be replaced as a whole while the proxy
runs, and each exchange keeps those that it began with, so that no request is
judged half by old ones and half by new ones.  The objects that live as long as the
process (timers, look-ups, live tunnels) are not in here: they are the
L{Resources<txconnect.exchange.resources.Resources>}.

The design had one proxy object that was passed everywhere.  Now a room's parameters
say which part of it the room uses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import attrs
from twisted.internet.defer import Deferred

from txconnect.settings import Settings
from txconnect.values import Cause, Identity, Named, Request
from txconnect.wire.forwarding import pseudonymOf
from txconnect.wire.http1.head import CONNECT, CONNECT_OR_OWN, HeadLimits, RequestRule
from txconnect.wire.notes import Note, parseNote

if TYPE_CHECKING:
    from OpenSSL.crypto import X509

__all__ = ["Authenticates", "Rules", "namesNoIdentity"]


AUTHENTICATION = "authentication"
"""The name that the authenticator has as a rule."""


def isStock(plugin: object) -> bool:
    """
    Tell whether a plugin is of this package, and what it asks is so, too: see its
    C{heldPlugins}.
    """
    module = type(plugin).__module__
    # A function under a decorator is another's, whatever its wrapper is.
    if not module.startswith("txconnect.") or module.startswith("txconnect.plugins."):
        return False
    return all(map(isStock, getattr(plugin, "heldPlugins", ())))


class Authenticates(Protocol):
    """The part of an authenticator that the decision uses."""

    def authenticate(
        self, request: Request, credentials: bytes | None
    ) -> Identity | Deferred[Identity]:
        """Return the identity, or fail with L{Refused<txconnect.errors.Refused>}."""

    def challenges(self, cause: Cause) -> tuple[bytes, ...]:
        """Return the challenges of a 407, one for each scheme."""


def namesNoIdentity(certificate: X509) -> Identity | None:
    """Take no identity from a certificate."""
    return None


@attrs.frozen(kw_only=True)
class Rules:
    """
    The plugins of one proxy, each under its name and verified, and its
    settings.

    @ivar name: this deployment's name.
    @ivar policies: all policies, the defaults first.
    @ivar plugins: every plugin, of any kind, to be started and stopped.
    @ivar destination: the policies that judge names.
    @ivar address: the policies that judge addresses.
    @ivar unresolved: the policies that judge where there is no address.
    @ivar handlers: those that answer requests to the proxy itself.
    @ivar tunnelFields: those that add fields to the 200.
    @ivar requestRule: the requests that a head's parser takes.
    @ivar watched: the names of the plugins whose hooks' time is taken: those that
        are not of this package.
    @ivar certificateIdentity: returns the identity that a verified client
        certificate names, or L{None}.
    """

    settings: Settings = attrs.field(factory=Settings)
    name: str = "txconnect"
    policies: tuple[Named, ...] = ()
    plugins: tuple[Named, ...] = ()
    destination: tuple[Named, ...] = ()
    address: tuple[Named, ...] = ()
    unresolved: tuple[Named, ...] = ()
    routers: tuple[Named, ...] = ()
    observers: tuple[Named, ...] = ()
    taps: tuple[Named, ...] = ()
    pairFactory: Named | None = None
    handlers: tuple[Named, ...] = ()
    tunnelFields: tuple[Named, ...] = ()
    authenticator: Authenticates | None = None
    certificateIdentity: Callable[[X509], Identity | None] = namesNoIdentity
    headLimits: HeadLimits = attrs.field(init=False)
    pseudonym: str = attrs.field(init=False)
    requestRule: RequestRule = attrs.field(init=False)
    refusalNote: Note = attrs.field(init=False)
    watched: frozenset[str] = attrs.field(init=False)

    @watched.default
    def _makeWatched(self) -> frozenset[str]:
        """Name the plugins whose hooks may block, and C{authentication}."""
        asked = (*self.policies, *self.otherPlugins())
        own = {id(each.plugin) for each in asked}
        # The schemes and checkers, which are asked by the authenticator.
        others = [each for each in self.plugins if id(each.plugin) not in own]
        names = {each.name for each in asked if not isStock(each.plugin)}
        if any(not isStock(each.plugin) for each in others):
            names.add(AUTHENTICATION)
        return frozenset(names)

    @headLimits.default
    def _makeHeadLimits(self) -> HeadLimits:
        """Make the limits of a request's head."""
        return HeadLimits(self.settings.headLimit, self.settings.fieldLimit)

    @pseudonym.default
    def _makePseudonym(self) -> str:
        """Make this deployment's name in C{Via}."""
        return pseudonymOf(self.name)

    @requestRule.default
    def _chooseRequestRule(self) -> RequestRule:
        """Take requests to the proxy itself only where something may answer them."""
        return CONNECT_OR_OWN if self.handlers else CONNECT

    @refusalNote.default
    def _makeRefusalNote(self) -> Note:
        """Parse the operator's own words of a refusal."""
        return parseNote(self.settings.refusalNote)

    def otherPlugins(self) -> tuple[Named, ...]:
        """Return all plugins but the policies."""
        pair = () if self.pairFactory is None else (self.pairFactory,)
        embedding = (*self.handlers, *self.tunnelFields)
        return (*self.routers, *self.observers, *self.taps, *pair, *embedding)

    def challenges(self, cause: Cause) -> tuple[bytes, ...]:
        """Return the challenges for a refusal: some for a 407, else none."""
        if cause.status != 407 or self.authenticator is None:
            return ()
        return self.authenticator.challenges(cause)
