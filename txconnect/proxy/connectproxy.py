"""
The proxy as a service: its rules, its resources, and the connections of its clients.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
from twisted.application.service import IService, MultiService
from twisted.cred.checkers import ICredentialsChecker
from twisted.internet import tcp
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocolFactory
from twisted.logger import Logger

from txconnect.admission.assembling import (
    assemble,
    describedKind,
    joinedLists,
    listed,
    withDefaults,
    withJudges,
)
from txconnect.admission.decision import Surroundings
from txconnect.admission.events import RefusalEvents
from txconnect.admission.rules import Rules
from txconnect.auth.authenticator import Authenticator
from txconnect.auth.basic import BasicScheme
from txconnect.auth.certificate import certificateIdentity
from txconnect.dialing.dialer import Dialer
from txconnect.dialing.lookups import Lookups, Pool
from txconnect.dialing.openers import Open, transportOpener
from txconnect.errors import ConfigurationError, Refused
from txconnect.exchange.resources import Resources
from txconnect.fronts.accepting import AcceptGuard
from txconnect.fronts.halfclosed import HalfClosedRequests
from txconnect.fronts.http1 import Http1Front
from txconnect.fronts.opening import FirstOctets, Opening
from txconnect.fronts.ports import Ports
from txconnect.interfaces import IAuthScheme, IRequestHandler, ITunnelFields
from txconnect.naming import RequestIds, freshName
from txconnect.operating.reopening import Reopening
from txconnect.ownaddresses import OwnAddresses, OwnListeners
from txconnect.plugins.gathering import PluginLoader, gatherPlugins
from txconnect.policy import defaultPolicies
from txconnect.roles import verifiedPlugins
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
    from txconnect.routing.routes import Routes
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
    @ivar accepting: pauses its ports when descriptors run out.
    @raise ConfigurationError: an argument is of a wrong kind, a plugin does not
        provide its interface, or there are schemes and no checker.
    """

    _log = Logger()

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
        settings = _checkedSettings(settings)
        self._reactor = provided = _provided(reactor)
        ids = RequestIds()
        self._name = settings.name or freshName(ids.start)
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
        self._fronts: dict[Any, None] = {}
        self._idle: list[Deferred[None]] = []
        self._stopping: list[Deferred[None]] = []
        self._services: dict[int, MultiService] = {}
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
        self._adopt(self.rules)

    def makeRules(
        self,
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
    ) -> Rules:
        """
        Make rules for this proxy, which L{replaceRules} takes.  Nothing is
        started, and nothing opened.

        The parameters are the constructor's.

        @raise ConfigurationError: as by the constructor.
        """
        settings = _checkedSettings(settings)
        given = gatherPlugins(
            PluginLoader(embedded=True),
            policies=policies,
            routers=routers,
            observers=observers,
            taps=taps,
            pairFactory=pairFactory,
            schemes=schemes,
            checkers=checkers,
            plugins=plugins,
        )
        joined = joinedLists(given.policies)
        standing = withJudges(
            withDefaults(joined, defaultPolicies(joined)), given.observers
        )
        asking = verifiedPlugins(given.schemes, IAuthScheme)
        checking = verifiedPlugins(given.checkers, ICredentialsChecker)
        rules = assemble(
            standing,
            given.routers,
            given.observers,
            given.taps,
            given.pairFactory,
            settings=settings,
            name=self._name,
            authenticator=_authenticator(asking, checking, settings.realm),
            certificateIdentity=certificateIdentity,
            handlers=verifiedPlugins(listed("handlers", handlers), IRequestHandler),
            tunnelFields=verifiedPlugins(
                listed("tunnelFields", tunnelFields), ITunnelFields
            ),
        )
        plugins = (*standing, *asking, *checking, *rules.otherPlugins())
        rules = attrs.evolve(rules, plugins=plugins)
        texts = listed("routes", routes)
        try:
            leading = _routes(texts)
            return rules if leading is None else self._withRoutes(rules, leading)
        except ConfigurationError as error:
            raise ConfigurationError(f"routes: {error}") from error

    def _withRoutes(self, rules: Rules, routes: Routes) -> Rules:
        routers = routes.makeRouters(
            self._reactor,
            rules.settings,
            self.lookups,
            self.resources.surroundings.direct,
            partial(self._opener, self._reactor),
            rules.pseudonym,
        )
        return attrs.evolve(
            rules,
            routers=(*rules.routers, *routers),
            plugins=(*rules.plugins, Named("routes", routes)),
        )

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
        self._adopt(rules)
        self.rules, self._reopening = rules, reopening
        kept = {id(each.plugin) for each in rules.plugins}
        for key in [key for key in self._services if key not in kept]:
            self._services.pop(key).disownServiceParent()

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
            for front in list(self._fronts):
                self._stopFront(front)
            self.whenIdle().addCallback(self._stopPlugins).addBoth(self._stopped)
        return stopped

    def _stopFront(self, front: Http1Front | Opening) -> None:
        try:
            front.stop()
        except Exception:
            # The others are stopped all the same.
            self._log.failure("a connection could not be stopped")
            self.frontLost(front)

    def reopenLogs(self) -> list[str]:
        """
        Have every plugin that is an L{IReopens<txconnect.interfaces.IReopens>}
        open its file again.

        @return: the names of those that have; of the others the log says why.
        """
        return self._reopening.reopen() if self.running else []

    @property
    def connections(self) -> int:
        """How many clients' connections there are, with or without a tunnel."""
        return len(self._fronts)

    def _tellNotAccepted(self, client: IAddress) -> None:
        refused = Refused(Cause.NOT_ACCEPTED)
        self.resources.refusals.tellUnserved(self.rules, refused, client)

    def _inUse(self) -> str:
        tunnels = len(self.resources.tunnels.allTunnels())
        return f"{tunnels} tunnels, {self.connections} connections of clients"

    def whenIdle(self) -> Deferred[None]:
        """Fires when there is no connection and no tunnel."""
        idle: Deferred[None] = Deferred()
        if self._fronts:
            self._idle.append(idle)
        else:
            idle.callback(None)
        return idle

    def frontMade(self, front: Http1Front | Opening) -> None:
        """A client has connected; called by its front."""
        self._fronts[front] = None

    def frontLost(self, front: Http1Front | Opening) -> None:
        """All of a client's connection is gone; called by its front."""
        self._fronts.pop(front, None)
        if not self._fronts:
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)

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

    def _adopt(self, rules: Rules) -> None:
        """Start and stop with this one what is a service and has no parent."""
        adopted: list[int] = []
        try:
            for each in rules.plugins:
                plugin = each.plugin
                # One that has a parent is started by that: this proxy, when it is
                # of several kinds, or the program around.
                if IService.providedBy(plugin) and plugin.parent is None:
                    # Two plugins may have one name, two services of a parent not.
                    holder = self._services[id(plugin)] = MultiService()
                    adopted.append(id(plugin))
                    holder.setServiceParent(self)
                    plugin.setServiceParent(holder)
        except Exception:
            # One that cannot start: then none of the new ones does.
            for key in adopted:
                self._services.pop(key).disownServiceParent()
            raise


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


def _checkedSettings(settings: object) -> Settings:
    """
    Return the settings, the defaults for L{None}.

    @raise ConfigurationError: it is something else, such as a C{dict}.
    """
    if settings is None:
        return Settings()
    if not isinstance(settings, Settings):
        raise ConfigurationError(
            f"settings: give Settings(...), not {describedKind(settings)}"
        )
    return settings


def _routes(rules: Sequence[Any]) -> Routes | None:
    if not rules:
        return None
    # Who has no parents does not pay for what reaches them.
    from txconnect.routing.routes import Routes

    return Routes(rules)


def _connectBy(route: Route, request: Request, addresses: Sequence[IPAddress]) -> Any:
    """See L{txconnect.routing.connecting.connectBy}."""
    # Who has no routers does not pay for what knows the errors of every endpoint.
    from txconnect.routing.connecting import connectBy

    return connectBy(route, request, addresses)


def _authenticator(
    schemes: Sequence[Named], checkers: Sequence[Named], realm: str
) -> Authenticator | None:
    """
    Make what asks every request who sends it; L{None} where everyone may come.

    @raise ConfigurationError: there are schemes and no checker.
    """
    if checkers:
        return Authenticator(schemes or [BasicScheme()], checkers, realm)
    if schemes:
        raise ConfigurationError(
            "there are schemes, which say how clients send who they are, but no "
            "checker, which says who may pass"
        )
    return None
