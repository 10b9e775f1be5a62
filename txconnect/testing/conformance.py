"""
Conformance checks: whether an object is the plugin that it says it is.

Each is one line in a plugin's own tests.  It checks with zope that the object
provides its interface, asks it about a few samples, and raises
L{AssertionError} with a sentence about the first thing that is wrong.  A
check that passes does not say that the plugin is right, only that the proxy
can work with it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterable
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure

from txconnect.admission.hooks import HookFailed
from txconnect.errors import Refused
from txconnect.interfaces import (
    IAddressPolicy,
    IAuthScheme,
    IDestinationPolicy,
    IPairFactory,
    IReopens,
    IRouter,
    ITrafficObserver,
    ITrafficTap,
    IUnresolvedPolicy,
)
from txconnect.maybeasync import run, settle
from txconnect.plugins import KINDS
from txconnect.testing.complaints import call, must, plain, verify
from txconnect.testing.kit import JudgingAlone, makeTunnel, nameOf
from txconnect.testing.samples import ADDRESSES, REQUESTS, events
from txconnect.testing.schemes import checkAuthScheme
from txconnect.values import (
    ConnectRequest,
    Direction,
    Route,
)


def checkPolicy(policy: Any, requests: Iterable[ConnectRequest] = REQUESTS) -> None:
    """
    Check an L{IDestinationPolicy}, an L{IAddressPolicy}, or one that is both.

    It is asked about each request at each step that it has a rule for, and
    must answer with a decision, or wait; one that waits is cancelled.

    @param requests: what to ask about in place of the samples, among which
        are requests without an identity and without a client's address.
    """
    plugin = plain(policy)
    kinds = [
        each for each in (IDestinationPolicy, IAddressPolicy) if each.providedBy(plugin)
    ]
    if not kinds:
        raise AssertionError(
            f"{nameOf(policy)} provides neither IDestinationPolicy nor IAddressPolicy"
        )
    for kind in kinds:
        verify(kind, policy)
    if IUnresolvedPolicy.providedBy(plugin):
        verify(IUnresolvedPolicy, policy)
    for request in requests:
        if IDestinationPolicy in kinds:
            _decides(policy, plugin.decide, request)
        if IAddressPolicy in kinds:
            for address in map(ip_address, ADDRESSES):
                _decides(policy, plugin.decideAddress, request, address)
        if IUnresolvedPolicy.providedBy(plugin):
            _decides(policy, plugin.decideUnresolved, request)


def checkRouter(router: Any, requests: Iterable[ConnectRequest] = REQUESTS) -> None:
    """
    Check an L{IRouter}: it must answer with a L{Route} or L{None}, or wait;
    one that waits is cancelled.  No route is connected.
    """
    verify(IRouter, router)
    for request in requests:
        for answer in _answers(router, plain(router).route, request):
            must(
                answer is None or type(answer) is Route,
                router,
                f"it answered {type(answer).__name__}, not a Route or None",
            )
            if answer is not None:
                _checkRoute(router, answer)


def checkObserver(observer: Any) -> None:
    """
    Check an L{ITrafficObserver}: it must take every kind of event, with all
    that may be missing missing, and return nothing to wait for.  One that says
    that it is an L{IReopens} must be one; no file is opened.
    """
    verify(ITrafficObserver, observer)
    if IReopens.providedBy(plain(observer)):
        verify(IReopens, observer)
    for event in events():
        kind = type(event).__name__
        returned = call(observer, kind, plain(observer).observe, event)
        if inspect.iscoroutine(returned):
            returned.close()
        must(
            not inspect.isawaitable(returned),
            observer,
            "observe returned something to wait for; nobody waits for it",
        )


def checkTap(tap: Any) -> None:
    """
    Check an L{ITrafficTap}: it must answer with L{None} or a callable, which
    must take chunks of both directions.
    """
    verify(ITrafficTap, tap)
    see = call(tap, "a tunnel", plain(tap).tap, makeTunnel())
    if see is None:
        return
    if inspect.iscoroutine(see):
        see.close()
    must(
        callable(see), tap, f"it answered {type(see).__name__}, not a callable or None"
    )
    for direction in Direction:
        for data in (b"GET / HTTP/1.1\r\n", b"\x00\xff"):
            call(tap, f"bytes {direction.value}", lambda d=direction, b=data: see(d, b))


def checkPairFactory(factory: Any) -> None:
    """
    Check an L{IPairFactory}: it must build two protocols, new ones for each
    tunnel.
    """
    verify(IPairFactory, factory)
    seen: list[Any] = []
    for _ in range(2):
        pair = call(factory, "a tunnel", plain(factory).buildPair, makeTunnel())
        must(
            isinstance(pair, tuple) and len(pair) == 2,
            factory,
            f"it built {type(pair).__name__}, not a pair of protocols",
        )
        for half in pair:
            must(
                IProtocol.providedBy(half),
                factory,
                f"{type(half).__name__} in its pair does not provide IProtocol",
            )
            must(
                not any(half is each for each in seen),
                factory,
                "it gave one protocol twice; each half of each tunnel needs its own",
            )
            seen.append(half)


_CHECKS: dict[Any, Callable[[Any], None]] = {
    IDestinationPolicy: checkPolicy,
    IAddressPolicy: checkPolicy,
    IAuthScheme: checkAuthScheme,
    IRouter: checkRouter,
    ITrafficObserver: checkObserver,
    ITrafficTap: checkTap,
    IPairFactory: checkPairFactory,
}


def checkPlugin(factory: Any, argument: str = "") -> Any:
    """
    Check what stands behind a name on the command line, and the object that
    it makes.

    @param argument: what to make one with: what an operator would write
        behind the name's colon.
    @return: the object that it has made.
    """
    kinds = [kind for kind in KINDS if kind.factory.providedBy(factory)]
    if not kinds:
        known = ", ".join(kind.factory.__name__ for kind in KINDS)
        raise AssertionError(f"{nameOf(factory)} provides none of {known}")
    for kind in kinds:
        verify(kind.factory, factory)
    _checkNames(factory)
    try:
        made = factory.fromString(argument)
    except ValueError as refused:
        raise AssertionError(
            f"{nameOf(factory)} refused the argument {argument!r}: {refused}; give "
            "checkPlugin one that it takes"
        ) from refused
    for kind in kinds:
        _checkMade(kind, factory, made)
    return made


def _checkNames(factory: Any) -> None:
    name, summary, help = factory.name, factory.summary, factory.argumentHelp
    must(
        isinstance(name, str) and bool(name) and not set(name) & set("./:, \t\n"),
        factory,
        f"{name!r} is no plugin name: none of . / : , and white space, and not empty",
    )
    must(
        isinstance(summary, str) and bool(summary.strip()) and "\n" not in summary,
        factory,
        "its summary is no sentence on one line",
    )
    must(
        isinstance(help, str) and "\n" not in help,
        factory,
        "its argumentHelp is no text on one line",
    )


def _checkMade(kind: Any, factory: Any, made: Any) -> None:
    provided = [each for each in kind.provides if each.providedBy(made)]
    must(
        bool(provided),
        factory,
        f"it made {type(made).__name__}, which provides none of "
        + ", ".join(each.__name__ for each in kind.provides),
    )
    for check in dict.fromkeys(_CHECKS[each] for each in provided):
        check(made)


# What the checks are made of.


def _decides(policy: Any, hook: Callable[..., Any], *arguments: Any) -> None:
    _finish(maybeDeferred(run, _asking(policy, hook, *arguments)))


def _asking(
    policy: Any, hook: Callable[..., Any], request: ConnectRequest, *more: Any
) -> Generator[Deferred[Any], Any, None]:
    """Ask one hook as the proxy does; whatever it decides is right."""
    asked = JudgingAlone(policy, request)
    (named,) = asked.rules.destination
    try:
        answer = asked.ask(named, hook, request, *more)
        if isinstance(answer, Deferred):
            answer = yield answer
        asked.judge(named, answer)
    except HookFailed as failed:
        raise AssertionError(f"{nameOf(policy)}: {failed.reason}") from failed.error
    except Refused:
        pass


def _finish(waiting: Deferred[Any]) -> None:
    """Raise what it has failed with; cancel it when it has not fired."""
    failed: list[Failure] = []
    waiting.addErrback(failed.append)
    if not waiting.called:
        waiting.cancel()
    elif failed:
        failed[0].raiseException()


def _answers(plugin: Any, hook: Callable[..., Any], *arguments: Any) -> list[Any]:
    """The answer, or none when it has not come."""
    answer = call(plugin, "a sample request", lambda: settle(hook(*arguments)))
    if not isinstance(answer, Deferred):
        return [answer]
    # It has not fired: whatever cancelling it brings is no answer.
    answer.addErrback(lambda _: None)
    answer.cancel()
    return []


def _checkRoute(router: Any, route: Any) -> None:
    must(
        isinstance(route.name, str) and bool(route.name),
        router,
        f"its route's name, {route.name!r}, is no text",
    )
    must(callable(route.connect), router, "its route's connect cannot be called")
