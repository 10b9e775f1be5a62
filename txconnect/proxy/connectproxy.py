"""
The proxy as a service: its resources, the rules that hold, and the connections of its
clients.

Rules are made in L{txconnect.proxy.rulesmaking}, and replaced here;
L{txconnect.proxy.adopting} starts and stops the services among the plugins.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

import attrs
from twisted.application.service import MultiService
from twisted.internet import tcp
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory

from txconnect.admission.assembling import describedKind
from txconnect.admission.decision import Surroundings
from txconnect.admission.events import RefusalEvents
from txconnect.admission.rules import Rules
from txconnect.dialing.dialer import Dialer
from txconnect.dialing.lookups import Lookups, Pool
from txconnect.dialing.openers import Open, transportOpener
from txconnect.errors import ConfigurationError, Refused
from txconnect.exchange.resources import Resources
from txconnect.fronts.accepting import AcceptGuard
from txconnect.fronts.connections import ClientConnections
from txconnect.fronts.halfclosed import HalfClosedRequests
from txconnect.fronts.http1 import Http1Front
from txconnect.fronts.opening import FirstOctets, Opening
from txconnect.fronts.ports import Ports
from txconnect.naming import RequestIds, freshName
from txconnect.operating.reopening import Reopening
from txconnect.ownaddresses import OwnAddresses, OwnListeners
from txconnect.proxy.adopting import AdoptedServices
from txconnect.proxy.rulesmaking import RulesArguments, RulesMaker, checkedSettings
from txconnect.settings import Settings
from txconnect.timers import Timeouts
from txconnect.tunnel.choice import makeNested
from txconnect.tunnel.kernel.clientsocket import acceptOn
from txconnect.tunnel.kernel.leaving import LeaveWatch
from txconnect.tunnel.kernel.relay import KernelResources
from txconnect.tunnel.kernel.socketleg import openSocket
from txconnect.tunnel.registry import LiveTunnels
from txconnect.values import Cause, IPAddress, Named, Request, Route

if TYPE_CHECKING:
    from txconnect.plugins.plugintypes import (
        AnyChecker,
        AnyHandler,
        AnyObserver,
        AnyPairFactory,
        AnyPolicy,
        AnyReactor,
        AnyRouter,
        AnyScheme,
        AnyTap,
        AnyTunnelFields,
        Several,
    )
    from txconnect.routing.rules import Rule


class ConnectProxy(MultiService):
    """
    A CONNECT proxy without its listeners: its rules, its resources, and the
    clients' connections.

    Any plugin may be given as a text, written as on the command line, such as
    C{"ports:443,8443"} or C{"accesslog:proxy.log"}; or as a L{Named} to say what
    it is called.  One that is also an C{IService} without a parent is started and
    stopped with this one.

    @param reactor: provides C{IReactorTime}, C{IReactorTCP} and
        C{IReactorFromThreads}.
    @param policies: L{IDestinationPolicy} and L{IAddressPolicy} providers.
        The defaults, C{ports} and C{networks}, stand in front of them until a
        policy of the same name is among them.  Two lists of one name, such as
        C{hosts}, are one list.
    @param routers: L{IRouter} providers; the first that answers wins.
    @param routes: asked after the routers: what C{--route} takes, such as
        C{"hosts:*.corp.example=http://parent:3128"}, or
        L{Rule<txconnect.routing.rules.Rule>}s.
    @param observers: L{ITrafficObserver} providers.
    @param taps: L{ITrafficTap} providers.
    @param pairFactory: an L{IPairFactory} provider; without one, the stock
        pair.
    @param checkers: C{twisted.cred} checkers; with at least one, every
        request has to authenticate.
    @param schemes: L{IAuthScheme} providers; Basic when there is a checker.
    @param handlers: L{IRequestHandler} providers, for requests to the proxy itself
        such as C{GET /healthz}; the first that answers wins.
    @param tunnelFields: L{ITunnelFields} providers, which add fields to the 200.
    @param plugins: objects, or texts as of C{--plugin}: each serves in every role
        of which it provides the interface, after those that were given for one.
    @param getaddrinfo: as L{socket.getaddrinfo}; called in a thread.
    @param pool: the threads of the look-ups, for tests.
    @param open: how one address is opened; by default as sockets for the
        kernel relay where that can serve, else as the reactor's transports.
    @ivar rules: the plugins and settings that hold for the next request; see
        L{replaceRules}.
    @ivar resources: what lives as long as the proxy.
    @ivar clients: the clients' connections.
    @ivar accepting: pauses its ports when descriptors run out.
    @raise ConfigurationError: an argument is of a wrong kind, a plugin does not
        provide its interface, or there are schemes and no checker.
    """

    def __init__(
        self,
        reactor: AnyReactor,
        *,
        policies: Several[AnyPolicy] = (),
        routers: Several[AnyRouter] = (),
        routes: Several[Rule | str] = (),
        observers: Several[AnyObserver] = (),
        taps: Several[AnyTap] = (),
        pairFactory: AnyPairFactory | None = None,
        schemes: Several[AnyScheme] = (),
        checkers: Several[AnyChecker] = (),
        handlers: Several[AnyHandler] = (),
        tunnelFields: Several[AnyTunnelFields] = (),
        plugins: Several[object] = (),
        settings: Settings | None = None,
        getaddrinfo: Callable[..., Iterable[Any]] = socket.getaddrinfo,
        pool: Pool | None = None,
        open: Open | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        settings = checkedSettings(settings)
        provided = _provided(reactor)
        ids = RequestIds()
        self.lookups = Lookups(provided, settings, getaddrinfo, pool)
        self._nested = makeNested(provided)
        self.kernel: KernelResources | None = None
        if self._nested is not None and settings.relay == "auto":
            self.kernel = KernelResources(self._nested)
        self.dialer = Dialer(provided, settings, open or self._opener(provided))
        listeners = OwnListeners(OwnAddresses(provided))
        self.accepting = AcceptGuard(provided, self._tellNotAccepted, self._inUse)
        self.ports = Ports(listeners, self.accepting)
        self.resources = Resources(
            provided,
            Surroundings(provided, self.lookups, listeners, self.dialer.direct()),
            self.dialer,
            ids,
            RefusalEvents(provided, ids),
            Timeouts(provided),
            LiveTunnels(provided),
            self.kernel,
            LeaveWatch(self._nested),
            _connectBy,
        )
        self.resources.refusals.shortage = self.accepting.dialFailed
        self.halfClosed = HalfClosedRequests(self.resources.leaving)
        self.clients = ClientConnections()
        self._stopping: list[Deferred[None]] = []
        self._adopted = AdoptedServices(self)
        self._rulesMaker = RulesMaker(
            provided,
            settings.name or freshName(ids.start),
            self.lookups,
            self.resources.surroundings.direct,
            partial(self._opener, provided),
        )
        self.rules = self.makeRules(
            policies=policies,
            routers=routers,
            routes=routes,
            observers=observers,
            taps=taps,
            pairFactory=pairFactory,
            schemes=schemes,
            checkers=checkers,
            handlers=handlers,
            tunnelFields=tunnelFields,
            plugins=plugins,
            settings=settings,
        )
        self._reopening = Reopening(self.rules.plugins)
        self._adopted.adopt(self.rules.plugins)

    def makeRules(self, **arguments: Unpack[RulesArguments]) -> Rules:
        """
        Make rules for this proxy, which L{replaceRules} takes.  Nothing is
        started, and nothing opened.

        The parameters are the constructor's.

        @raise ConfigurationError: as by the constructor.
        """
        return self._rulesMaker.makeRules(**arguments)

    def replaceRules(self, rules: Rules) -> None:
        """
        Have other rules, wholly or not at all, for the requests whose heads come
        from now on.  Requests under way and tunnels keep theirs.

        Plugins that are services are started where they are new, and stopped
        where they are in the old rules alone; an object that is in both goes on.

        @param rules: of L{makeRules}.
        @raise ConfigurationError: a setting differs that is read once, when the
            proxy is made.
        """
        fixed = [
            field.name
            for field in attrs.fields(Settings)
            if field.metadata["fixed"]
            and getattr(rules.settings, field.name)
            != getattr(self.settings, field.name)
        ]
        if fixed:
            raise ConfigurationError(
                f"{', '.join(fixed)}: cannot change while the proxy runs; restart it"
            )
        reopening = Reopening(rules.plugins)
        self._adopted.adopt(rules.plugins)
        self.rules, self._reopening = rules, reopening
        self._adopted.keepOnly(rules.plugins)

    @property
    def policies(self) -> tuple[Named, ...]:
        """The policies that stand, the defaults first."""
        return self.rules.policies

    @property
    def settings(self) -> Settings:
        """The settings of the rules that hold now."""
        return self.rules.settings

    def _opener(self, reactor: Any, source: str | None = None) -> Open:
        if self.kernel is None:
            return transportOpener(reactor, None if source is None else (source, 0))
        if source is None:
            return partial(openSocket, self.kernel.nested)
        return partial(openSocket, self.kernel.nested, source=source)

    def buildProtocol(
        self,
        addr: IAddress | None = None,
        first: Callable[[], FirstOctets] | None = None,
    ) -> Http1Front | Opening | None:
        """
        Make the protocol for one client's connection.

        @param first: makes what looks at the first octets of a connection, and
            says which front serves it; without it, HTTP/1 does.
        @return: L{None}, which closes the connection, when the proxy does not run
            or is being stopped.
        """
        if not self.running or self._stopping:
            return None
        return Http1Front(self) if first is None else Opening(self, first())

    def addListener(self, address: IAddress) -> None:
        """Tell where the proxy listens, so that it never dials itself."""
        self.resources.surroundings.listeners.addListener(address)

    def acceptBare(self, port: IListeningPort, factory: IProtocolFactory) -> None:
        """
        Have a port accept bare sockets where that serves, in place of transports of
        the reactor's; see L{txconnect.tunnel.kernel.clientsocket}.

        @param port: listens; a port of TLS, or one that is not the system's, stays
            as it is.
        @param factory: the factory that was given to the port's endpoint.
        """
        exactly: type[object] = type(port)
        if self.kernel is not None and exactly is tcp.Port:
            plain: Any = port
            # Otherwise the port's own factory speaks TLS, or another protocol.
            if plain.factory is factory:
                acceptOn(self.kernel.nested, plain)

    def startService(self) -> None:
        self.lookups.start()
        super().startService()  # type: ignore[no-untyped-call]

    def stopService(self) -> Deferred[None]:
        """
        Reset every tunnel and every connection, and stop the plugins behind
        the last.

        @return: fires when all is given back.
        """
        stopped: Deferred[None] = Deferred()
        self._stopping.append(stopped)
        if len(self._stopping) == 1:
            self.clients.stopAll()
            self.whenIdle().addCallback(self._stopPlugins).addBoth(self._stopped)
        return stopped

    def reopenLogs(self) -> list[str]:
        """
        Have every plugin that is an L{IReopens<txconnect.interfaces.IReopens>}
        open its file again.

        @return: the names of those that have; of the others the log says why.
        """
        return self._reopening.reopen() if self.running else []

    @property
    def connections(self) -> int:
        """Return the number of clients' connections, with or without a tunnel."""
        return len(self.clients.fronts)

    def _tellNotAccepted(self, client: IAddress) -> None:
        refused = Refused(Cause.NOT_ACCEPTED)
        self.resources.refusals.tellUnserved(self.rules, refused, client)

    def _inUse(self) -> str:
        tunnels = len(self.resources.tunnels.allTunnels())
        return f"{tunnels} tunnels, {self.connections} connections of clients"

    def whenIdle(self) -> Deferred[None]:
        """Fires when there is no connection and no tunnel."""
        return self.clients.whenIdle()

    def _stopPlugins(self, _: None) -> Deferred[Any]:
        self.accepting.stop()
        if self._nested is not None:
            self._nested.stop()
        if self.kernel is not None:
            self.kernel.closePipes()
        self.lookups.stop()
        stopping = super().stopService()  # type: ignore[no-untyped-call]
        return maybeDeferred(lambda: stopping).addCallback(lambda _: None)

    def _stopped(self, result: Any) -> None:
        stopping, self._stopping = self._stopping, []
        for stopped in stopping:
            stopped.callback(result)


def _provided(reactor: AnyReactor) -> Any:
    """
    Return the reactor as what it is: to a type checker it may be a module.

    @raise ConfigurationError: it is something else, such as the list of policies.
    """
    # None is for programs that look at the rules alone.
    given: Any = reactor
    if given is not None and not hasattr(given, "callLater"):
        raise ConfigurationError(
            f"reactor: give a reactor first, not {describedKind(given)}"
        )
    return given


def _connectBy(route: Route, request: Request, addresses: Sequence[IPAddress]) -> Any:
    """See L{txconnect.routing.connecting.connectBy}."""
    # Late: a proxy without routers does not pay for the errors of every endpoint.
    from txconnect.routing.connecting import connectBy

    return connectBy(route, request, addresses)
