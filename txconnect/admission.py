"""
Steps 3 to 9: from a request's head to a destination that has answered, or to
a refusal.  Here is what all requests share; L{txconnect.candidate} is the way
of one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol as Shape

import attrs
from OpenSSL.crypto import X509
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger

from txconnect.candidate import Admitted, Candidate
from txconnect.errors import Refused
from txconnect.lookups import Lookups
from txconnect.ownaddress import OwnAddresses
from txconnect.relay.sweep import Deadlines, Sweep
from txconnect.settings import Settings
from txconnect.values import (
    Cause,
    ConnectRequest,
    Event,
    Identity,
    IPAddress,
    Named,
    Route,
)
from txconnect.wire.forwarding import pseudonymOf
from txconnect.wire.head import Head


class Authenticates(Shape):
    """What admission needs of authentication."""

    def authenticate(
        self, request: ConnectRequest, credentials: bytes | None
    ) -> Identity | Deferred[Identity]:
        """Say who it is, or fail with L{Refused}."""

    def challenges(self, cause: Cause) -> tuple[bytes, ...]:
        """The challenges of a 407, one for each scheme."""


@attrs.frozen
class Plugins:
    """
    The plugins of one proxy, each under its name and already verified.

    @ivar destination: the policies that judge names.
    @ivar address: the policies that judge addresses.
    @ivar unresolved: those that judge where no address is.
    """

    destination: tuple[Named, ...]
    address: tuple[Named, ...]
    routers: tuple[Named, ...] = ()
    observers: tuple[Named, ...] = ()
    taps: tuple[Named, ...] = ()
    pairFactory: Named | None = None
    unresolved: tuple[Named, ...] = ()

    def others(self) -> tuple[Named, ...]:
        """All but the policies."""
        pair = () if self.pairFactory is None else (self.pairFactory,)
        return (*self.routers, *self.observers, *self.taps, *pair)


class Ids:
    """
    Makes the ids of requests: short, and not used again by another worker or
    after a restart, because they begin with six characters that differ.

    @ivar start: these characters.
    """

    def __init__(self, start: str | None = None) -> None:
        self.start = start or os.urandom(3).hex()
        self._count = 0

    def next(self) -> str:
        """A fresh id."""
        self._count += 1
        return f"{self.start}-{self._count}"


def freshName(start: str | None = None) -> str:
    """
    A deployment's name where the operator gives none.

    @param start: characters that differ at every start.
    """
    return f"txconnect-{start or Ids().start}"


class Admission:
    """
    What admits requests: it lives as long as the proxy's service.

    @param certificateIdentity: who a verified client certificate names, or
        L{None} when it names nobody.
    @ivar settings: how the proxy behaves.
    @ivar pseudonym: this deployment's name in C{Via}.
    @ivar sweep: the deadlines of all tunnels.
    @ivar heads: the deadlines of all requests' heads.
    """

    _log = Logger()

    def __init__(
        self,
        clock: Any,
        settings: Settings,
        plugins: Plugins,
        lookups: Lookups,
        direct: Route,
        own: OwnAddresses,
        authenticator: Authenticates | None = None,
        certificateIdentity: Callable[[X509], Identity | None] = lambda _: None,
    ) -> None:
        self.clock = clock
        self.settings = settings
        self.plugins = plugins
        self.lookups = lookups
        self.direct = direct
        self.authenticator = authenticator
        self.certificateIdentity = certificateIdentity
        self.ids = Ids()
        self.name = settings.name or freshName(self.ids.start)
        self.pseudonym = pseudonymOf(self.name)
        self.sweep = Sweep(clock)
        self.heads = Deadlines(clock, settings.headTimeout)
        self._own = own
        self._ports: set[int] = set()

    def addRouters(self, routers: tuple[Named, ...]) -> None:
        """Ask C{routers} too, after those that are there."""
        asked = (*self.plugins.routers, *routers)
        self.plugins = attrs.evolve(self.plugins, routers=asked)

    def addListener(self, address: IAddress) -> None:
        """Remember where this proxy listens: what it never dials."""
        port = getattr(address, "port", None)
        if port is not None:
            self._ports.add(port)

    def isSelf(self, address: IPAddress, port: int) -> bool:
        """
        Whether dialling C{address} would reach this proxy (RFC 9110, 7.6).

        Any address of this machine counts, on any port on which it listens.
        """
        return port in self._ports and self._own.isOwn(address)

    def challenges(self, cause: Cause) -> tuple[bytes, ...]:
        """The challenges for a refusal: some for a 407, else none."""
        if cause.status != 407 or self.authenticator is None:
            return ()
        return self.authenticator.challenges(cause)

    def notify(self, event: Event) -> None:
        """Tell every observer, in order."""
        for observer in self.plugins.observers:
            try:
                observer.plugin.observe(event)
            except BaseException:
                # A SystemExit would leave the tunnels behind this one unreset.
                self._log.failure("observer {name} failed", name=observer.name)

    def admit(
        self,
        head: Head,
        client: IAddress | None,
        server: IAddress | None,
        certificate: X509 | None,
        decided: Callable[[Admitted | Refused], None],
    ) -> Candidate:
        """
        Take a request up.

        @param decided: called once, perhaps before this returns, unless the
            candidate is given up.
        """
        request = ConnectRequest(
            head.authority,
            head.headers,
            head.httpVersion,
            client,
            server,
            None,
            certificate,
            self.ids.next(),
        )
        return Candidate(self, request, head.credentials, decided)
