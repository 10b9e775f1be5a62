"""
Keywords of the factory, as type checkers see them.

It is read by mypy with and without its plugin for zope, and by pyright, and run by
nothing.  An ignored error that is no error any more is one itself.
"""

from __future__ import annotations

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet import reactor
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer

from txconnect import (
    Allow,
    ConnectProxy,
    ConnectProxyFactory,
    Decision,
    Event,
    Named,
    Request,
    Route,
    Settings,
    TunnelInfo,
    allOf,
    observerPlugin,
    policyPlugin,
)
from txconnect.auth import BasicScheme, HtpasswdChecker
from txconnect.interfaces import IDestinationPolicy, ITrafficObserver
from txconnect.policy import HostsPolicy, NetworksPolicy


@implementer(IDestinationPolicy)
class Everything:
    """A policy that says so."""

    def decide(self, request: Request) -> Allow:
        return Allow()


class Plain:
    """Has every method, none under the interface's names for its arguments."""

    async def decide(self, asked: Request) -> Decision:
        return Allow()

    def observe(self, heard: Event) -> None:
        print(heard)

    def route(self, asked: Request) -> Route | None:
        return None

    def tap(self, which: TunnelInfo) -> None:
        return None


@implementer(ITrafficObserver)
class Counting:
    """An observer that says so."""

    def observe(self, event: Event) -> None:
        print(event)


class Awaited:
    """Observes with a coroutine, which nobody would await."""

    async def observe(self, event: Event) -> None:
        print(event)


class Texts:
    """Answers with a text."""

    def decide(self, request: Request) -> str:
        return "allow"


@policyPlugin("anything", "Allow everything.")
def anything(request: Request) -> Decision:
    """A decorated policy."""
    return Allow()


@observerPlugin("printed", "Print.")
def printed(event: Event) -> None:
    """A decorated observer."""


def taken(tunnel: TunnelInfo) -> None:
    """A tap's function, and no tap."""


def own(
    policy: IDestinationPolicy,
    time: IReactorTime,
    tcp: IReactorTCP,
    memory: MemoryReactorClock,
) -> None:
    """What is annotated with an interface is taken."""
    ConnectProxy(time, policies=[policy])
    ConnectProxyFactory(memory, schemes=[BasicScheme()])
    ConnectProxy(tcp, policies=(each for each in [policy]))


ConnectProxyFactory(reactor, policies=[], settings=Settings(idleTimeout=5))
ConnectProxyFactory(reactor, policies=[Everything(), Plain(), anything])
ConnectProxyFactory(reactor, policies=(HostsPolicy("a.example"), allOf(Everything())))
ConnectProxyFactory(reactor, policies=[Named("networks", NetworksPolicy())])
ConnectProxyFactory(reactor, observers=[Counting(), Plain(), printed], taps=[Plain()])
ConnectProxyFactory(reactor, observers={Plain()}, routers=[Plain()], settings=None)
ConnectProxyFactory(
    reactor,
    schemes=[BasicScheme()],
    checkers=[
        HtpasswdChecker("users"),
        InMemoryUsernamePasswordDatabaseDontUse(user=b"password"),
    ],
)
ConnectProxyFactory(reactor, routes=["hosts:*.example=direct"])
ConnectProxyFactory(
    reactor,
    policies=["ports:443", Everything()],
    observers=("accesslog:-", Counting()),
    taps={"./taps.py:Tap"},
    routers=["./routers.py:Router"],
    pairFactory="./pairs.py:Pair",
    schemes=["basic"],
    checkers=["htpasswd:users", HtpasswdChecker("users")],
    plugins=["./quota.py:Quota:1", Plain()],
)
ConnectProxyFactory(reactor, schemes=[BasicScheme()])
ConnectProxy(reactor, policies=[Plain()]).makeRules(observers=[Plain()])

ConnectProxyFactory(reactor, polices=[])  # type: ignore[call-arg]
ConnectProxyFactory(reactor, settings={"idleTimeout": 5})  # type: ignore[arg-type]
ConnectProxyFactory(reactor, observers=None)  # type: ignore[arg-type]
ConnectProxyFactory(reactor, observers=Plain())  # type: ignore[arg-type]
ConnectProxyFactory(reactor, observers=[Everything()])  # type: ignore[list-item]
ConnectProxyFactory(reactor, observers=[Awaited()])  # type: ignore[list-item]
ConnectProxyFactory(reactor, policies="ports:443")  # type: ignore[arg-type]
ConnectProxyFactory(reactor, policies=[b"ports:443"])  # type: ignore[list-item]
ConnectProxyFactory(reactor, plugins="./quota.py:Quota")  # type: ignore[arg-type]
ConnectProxyFactory(reactor, checkers="file:users")  # type: ignore[arg-type]
ConnectProxyFactory(reactor, policies=[Texts()])  # type: ignore[list-item]
ConnectProxyFactory(reactor, policies=[Counting()])  # type: ignore[list-item]
ConnectProxyFactory(reactor, taps=[taken])  # type: ignore[list-item]
ConnectProxyFactory(reactor, pairFactory=Plain())  # type: ignore[arg-type]
ConnectProxyFactory(reactor, checkers=[Plain()])  # type: ignore[list-item]
ConnectProxyFactory(reactor, schemes=[Plain()])  # type: ignore[list-item]
ConnectProxyFactory("tcp:3128")  # type: ignore[arg-type]
ConnectProxy(reactor, routes=[3128])  # type: ignore[list-item]
ConnectProxy(None)  # type: ignore[arg-type]
