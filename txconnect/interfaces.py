"""
The interfaces by which txconnect is extended.

A tunnel passes them in this order, each exactly once::

    head -> IAuthScheme -> ICredentialsChecker -> IDestinationPolicy (all)
         -> IRouter (first answer) -> look-up -> IAddressPolicy (all, an address)
         -> dial -> ITrafficTap, IPairFactory -> 200 -> ITrafficObserver

These rules hold for all of them:

  - A plugin object is made once, at start-up, and lives as long as the proxy
    service.  With several worker processes each has its own.  An object that
    also provides L{twisted.application.service.IService} is started and
    stopped with the proxy.  The proxy calls L{IReopens.reopen} of one that
    provides it when its log file has been renamed.
  - Every call is made in the reactor's thread.  A hook whose result is
    L{MaybeAsync<txconnect.values.MaybeAsync>} may answer at once, with a
    Deferred, or be an C{async def}; it is given C{--hook-timeout} seconds.
  - An exception, a time-out, or an answer of another type refuses.
  - In refusals and logs an object goes by the name that it was given: on the
    command line by the name in its text (C{Name} of C{./file.py:Name:ARGUMENT}),
    in Python by that of its L{Named<txconnect.values.Named>}.  Only an object
    that was given no name has that of its attribute C{name}, where it has one,
    else its class's or function's.  L{Named.of<txconnect.values.Named.of>} is this
    rule.  The same name says which default a policy replaces.

No method is ever added to one of these, as that would break every plugin: each
takes one frozen value from L{txconnect.values}, and a field may be added there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.cred.credentials import ICredentials
from twisted.internet.interfaces import IProtocol
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from txconnect.values import (
    Answer,
    AuthAttempt,
    ChallengeReason,
    Decision,
    Direction,
    Event,
    IPAddress,
    MaybeAsync,
    Request,
    Route,
    TunnelInfo,
)

__all__ = [
    "IAddressPolicy",
    "IAuthScheme",
    "IAuthSchemePlugin",
    "IDestinationPolicy",
    "IListPolicy",
    "IObserverPlugin",
    "IPairFactory",
    "IPairPlugin",
    "IPluginFactory",
    "IPolicyPlugin",
    "IPortOpener",
    "IReopens",
    "IRequestHandler",
    "IRouter",
    "IRouterPlugin",
    "ITapPlugin",
    "ITrafficObserver",
    "ITrafficTap",
    "ITunnelFields",
    "IUnresolvedPolicy",
]


class IAuthScheme(Interface):
    """
    An authentication scheme: the form of credentials on the wire (RFC 9110, 11).

    It does no I/O and judges nothing: the C{twisted.cred} checkers of the proxy
    check the credentials that it reads.

    It may have an attribute C{credentialInterfaces}, as a checker has: the
    interfaces of what C{parse} returns.  Without it the annotation of C{parse}
    counts, where there is one.  Where they are known, start-up stops if no checker
    takes them.
    """

    name: str = Attribute("The scheme's name as challenges have it, such as 'Basic'.")

    def challenge(reason: ChallengeReason, realm: str) -> bytes:
        """
        Build the value of one C{Proxy-Authenticate} field.

        Called for every 407, for every scheme, in the order given.

        @param reason: the fault: no credentials, bad ones, or stale ones.
        @param realm: the proxy's realm, to be quoted.
        @return: the value in ASCII, on one line.
        """

    def parse(attempt: AuthAttempt) -> ICredentials:
        """
        Turn the octets that a client sent for this scheme into credentials.

        Called at most once a request, when the scheme's name matches without
        regard to case.

        @raise twisted.cred.error.LoginFailed: when it cannot be read; the
            client gets a 407.
        """


class IDestinationPolicy(Interface):
    """Judges a request by its authority and by its user."""

    def decide(request: Request) -> MaybeAsync[Decision]:
        """
        Judge one request.

        Called once a request, after authentication and before any look-up;
        the policies judge in order until one denies.

        @return: L{Allow<txconnect.values.Allow>} or
            L{Deny<txconnect.values.Deny>}; anything else refuses with a 500.
        """


class IAddressPolicy(Interface):
    """Judges an address that a name resolved to, or that the client gave."""

    def decideAddress(request: Request, address: IPAddress) -> MaybeAsync[Decision]:
        """
        Judge one candidate address.

        Called once for each address of the one look-up (or for the literal
        that the client gave).  The proxy dials that very address and looks
        nothing up again.  A denied address is dropped; a request with none
        left is refused.
        """


class IUnresolvedPolicy(Interface):
    """
    Judges a request of which no address will be judged, because the parent on
    its route looks the name up.

    For an L{IDestinationPolicy} that has let a name pass because a rule on
    addresses would have the last word.
    """

    def decideUnresolved(request: Request) -> MaybeAsync[Decision]:
        """
        Judge one request that every L{IDestinationPolicy} has allowed.

        Called once, after the routers, for a name (a literal address is judged
        on every route) on a route that L{resolves<txconnect.values.Route>};
        C{request} is the very object that C{decide} was given.
        """


class IListPolicy(Interface):
    """
    A policy that is a list: two of one name and one class are one list.

    For a policy that judges at any step.
    """

    def joinedWith(other: Any) -> Any:
        """
        Return one policy for the items of both lists.

        Called at start-up, when a second policy of the same name and the same class
        is given.  A subclass whose constructor takes other arguments overrides it.

        @raise ValueError: they cannot be one list; start-up stops with its words.
        """


class IPortOpener(Interface):
    """
    A policy whose items may name the port of a host.

    Such a port is open where C{ports} was not given: the default policy asks this.
    """

    def opensPort(request: Request) -> str | None:
        """
        Return the item that names both the host and the port of a request that the
        policy allows; L{None} if there is none, or the policy would refuse.

        Called at once before C{decide}, and only for a port that is closed by
        default; the policy itself, like every other, must still allow the request.
        """


class IRouter(Interface):
    """Chooses the way by which a tunnel leaves this proxy."""

    def route(request: Request) -> MaybeAsync[Route | None]:
        """
        Choose a route.

        Called once a request, after every L{IDestinationPolicy} has allowed
        it, and before any look-up.  The first router that answers with a route
        wins; when all answer L{None}, the tunnel goes direct.

        @return: L{None}, or a L{Route<txconnect.values.Route>}.
            C{Route.through(name, endpoint)} makes one of any client endpoint of
            Twisted's; its C{resolves} says whether the address policies judge.
        """


class ITrafficObserver(Interface):
    """
    Hears the outcome of every request.

    One that also provides L{IDestinationPolicy} judges every request, ahead of the
    policies: such as a log without which nothing may go.
    """

    def observe(event: Event) -> None:
        """
        Hear one event.

        A request yields one L{TunnelRefused<txconnect.values.TunnelRefused>},
        or one L{TunnelEstablished<txconnect.values.TunnelEstablished>} and
        later one L{TunnelClosed<txconnect.values.TunnelClosed>}.

        It must not block.  An exception is logged, and affects nothing else.
        """


class IReopens(Interface):
    """
    Has a file open that it appends to, such as a log.

    For a plugin of any kind; most often it is an L{ITrafficObserver}.
    """

    def reopen() -> None:
        """
        Open the file again under its name.

        Called while the proxy runs, after the file may have been renamed
        (SIGHUP, SIGUSR1, L{ConnectProxy.reopenLogs
        <txconnect.proxy.ConnectProxy.reopenLogs>}), or not: perhaps twice in
        a row.  It must not block.  Open the new file first, and keep the old
        one when that fails: no line is lost then.

        @raise OSError: it cannot be opened; the log says so, and the others
            are reopened all the same.
        """


class ITrafficTap(Interface):
    """Sees the bytes of the tunnels that it picks."""

    def tap(tunnel: TunnelInfo) -> Callable[[Direction, bytes], object] | None:
        """
        Pick a tunnel, or leave it.

        Called once a tunnel, before the client is sent its 200; raising makes
        that a 500, and L{EndTunnel<txconnect.errors.EndTunnel>} a policy's refusal.

        @return: L{None} to leave the tunnel alone, which costs nothing; or a callable
            that is called with each chunk as it arrives, before it is passed on, and
            answers with a L{TapVerdict<txconnect.values.TapVerdict>}; every other
            answer counts as L{None}, which passes the chunk on.  It cannot change
            the bytes.

            It is shown each octet once: one that holds keeps what it needs.  If the
            direction ends while it holds, it is called once more, with C{b""}; if it
            still holds then, or for longer or for more octets than the settings
            C{tapHoldTimeout} and C{tapHoldLimit} say, the tunnel is ended.

            Raising L{EndTunnel<txconnect.errors.EndTunnel>} ends the tunnel as a
            policy's doing.  Any other exception ends it, too, and is logged as the
            tap's failure, and so is an answer that would have to be awaited.
        """


class IPairFactory(Interface):
    """Builds the two protocols between which a tunnel's bytes pass."""

    def buildPair(tunnel: TunnelInfo) -> tuple[IProtocol, IProtocol]:
        """
        Build a L{ProxyServer<txconnect.tunnel.pair.ProxyServer>} (the client's
        leg) and a L{ProxyClient<txconnect.tunnel.pair.ProxyClient>} (the
        destination's), or subclasses of them.

        Called once a tunnel, before the client is sent its 200; raising makes
        that a 500.  A proxy has one pair factory; a second stops start-up.

        A stock half, and one whose own class (not one that it inherits from)
        has C{kernelRelay = True}, sees no bytes where both halves are such and
        the fast relay can serve: C{dataReceived} is not called then, and
        its transport has no more than C{write}, C{writeSequence},
        C{loseConnection}, C{abortConnection}, C{pauseProducing},
        C{resumeProducing}, C{registerProducer}, C{unregisterProducer},
        C{getPeer} and C{getHost}.

        A half that has called C{transport.pauseProducing()} is called with
        neither bytes nor the end of its leg until C{resumeProducing()}: so it
        may wait for an answer, and write that first.
        """


class IRequestHandler(Interface):
    """
    Answers requests to the proxy itself: any method but CONNECT, with a path
    (C{GET /healthz}) or C{*} as the target.  For programs that embed the proxy.

    If the proxy asks for credentials, a handler is asked only about requests that have
    authenticated; one whose attribute C{withoutCredentials} is true is asked
    before that, and sees no identity.  A path that only some may see is no secret
    because of that: the 407 is the same for every path.
    """

    def handle(request: Request) -> MaybeAsync[Answer | None]:
        """
        Answer one request, or leave it to the next handler.

        Called at most once a request, whose C{kind} is C{"own"}, and which has no
        content.  The connection closes after the answer, as after a refusal, and
        nothing that came behind the head is read.

        @return: L{None} to leave it; when all do, the client gets the 405 that it
            would get without handlers.  Anything else but an
            L{Answer<txconnect.values.Answer>} refuses with a 500.
        """


class ITunnelFields(Interface):
    """Adds fields to the 200 that establishes a tunnel."""

    def tunnelFields(
        tunnel: TunnelInfo,
    ) -> Iterable[tuple[str | bytes, str | bytes]]:
        """
        Return the fields for one tunnel, C{(name, value)}, in their order.

        Called once a tunnel, before the client is sent its 200; raising makes that a
        500, and so does a field that cannot be sent: one about the connection or the
        framing, one whose value is not one line, or more than 32 or 4096 octets.
        """


class IPluginFactory(IPlugin):
    """
    The factory that a name on the command line stands for.

    Provide the one for your kind of plugin; the helpers in L{txconnect.plugins}
    make it from a function or a class.  A factory that provides this one alone
    makes objects of several roles, for C{--plugin}.
    """

    name: str = Attribute("The name: letters, digits, '-' and '_'.")
    summary: str = Attribute("One sentence for the list of plugins.")
    argumentHelp: str = Attribute(
        "How to write the argument, such as 'PORT,...'; empty when there is none."
    )

    def fromString(argument: str) -> Any:
        """
        Make the plugin object.

        Called once at start-up (once in each worker process), before anything
        listens; it opens nothing.

        @param argument: the text after the name's colon; empty when there is no
            colon.
        @raise ValueError: the argument is wrong; the message, one sentence,
            is shown to the operator, and start-up stops.
        """


class IPolicyPlugin(IPluginFactory):
    """Makes an L{IDestinationPolicy}, an L{IAddressPolicy}, or one that is both."""


class IRouterPlugin(IPluginFactory):
    """Makes an L{IRouter}."""


class IObserverPlugin(IPluginFactory):
    """Makes an L{ITrafficObserver}."""


class ITapPlugin(IPluginFactory):
    """Makes an L{ITrafficTap}."""


class IPairPlugin(IPluginFactory):
    """Makes an L{IPairFactory}."""


class IAuthSchemePlugin(IPluginFactory):
    """Makes an L{IAuthScheme}."""
