"""
Conformance checks: that an object is the plugin that it claims to be.

Each is one line in a plugin's own tests.  It checks with zope that the object
provides its interface, calls it with a few samples, and raises
L{AssertionError} with a sentence about the first mistake.  A check that passes
does not prove that the plugin is right, only that the proxy can work with it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterable
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure
from zope.interface import Interface

from txconnect.admission.hooks import HookFailed
from txconnect.errors import EndTunnel, Refused
from txconnect.interfaces import (
    IAddressPolicy,
    IAuthScheme,
    IDestinationPolicy,
    IPairFactory,
    IPluginFactory,
    IReopens,
    IRouter,
    ITrafficObserver,
    ITrafficTap,
    IUnresolvedPolicy,
)
from txconnect.maybeasync import run, settle
from txconnect.plugins import KINDS, PLUGIN, Kind
from txconnect.plugins.declaring import checkedName
from txconnect.roles import missingRole
from txconnect.testing.complaints import (
    callHook,
    requireThat,
    unwrapNamed,
    verifyInterface,
)
from txconnect.testing.deciding import PolicyDecision, failureOf
from txconnect.testing.kit import makeTunnel, nameOf
from txconnect.testing.samples import ADDRESSES, REQUESTS, STREAMS, makeEvents
from txconnect.testing.schemes import checkAuthScheme
from txconnect.values import Direction, Request, Route, TapVerdict

_Hook = Callable[..., object]


def checkPolicy(policy: object, requests: Iterable[Request] = REQUESTS) -> None:
    """
    Check an L{IDestinationPolicy}, an L{IAddressPolicy}, or one that is both.

    It must judge each request, at each step that it has a rule for, with a
    decision, or wait; one that waits is cancelled.

    @param requests: the requests in place of the samples, among which are
        requests without an identity and without a client's address.
    """
    plugin = unwrapNamed(policy)
    kinds = [
        each for each in (IDestinationPolicy, IAddressPolicy) if each.providedBy(plugin)
    ]
    if not kinds:
        lacking = missingRole((IDestinationPolicy, IAddressPolicy), plugin)
        raise AssertionError(f"{nameOf(policy)}: {lacking}")
    for kind in kinds:
        verifyInterface(kind, policy)
    # Not among the kinds: it is an extra of a policy, and none without it.
    if IUnresolvedPolicy.providedBy(plugin):
        verifyInterface(IUnresolvedPolicy, policy)
    for request in requests:
        if IDestinationPolicy in kinds:
            _checkDecision(policy, plugin.decide, request)
        if IAddressPolicy in kinds:
            for address in map(ip_address, ADDRESSES):
                _checkDecision(policy, plugin.decideAddress, request, address)
        if IUnresolvedPolicy.providedBy(plugin):
            _checkDecision(policy, plugin.decideUnresolved, request)


def checkRouter(router: object, requests: Iterable[Request] = REQUESTS) -> None:
    """
    Check an L{IRouter}: it must answer with a L{Route} or L{None}, or wait;
    one that waits is cancelled.  No route is connected.
    """
    verifyInterface(IRouter, router)
    for request in requests:
        for answer in _answersOf(router, unwrapNamed(router).route, request):
            if type(answer) is Route:
                _checkRoute(router, answer, request)
                continue
            kind = type(answer).__name__
            requireThat(
                answer is None, router, f"it answered {kind}, not a Route or None"
            )


def checkObserver(observer: object) -> None:
    """
    Check an L{ITrafficObserver}: it must take every kind of event, with all
    that may be missing missing, and return nothing to wait for.  One that says
    that it is an L{IReopens} must be one; no file is opened.
    """
    verifyInterface(ITrafficObserver, observer)
    if IReopens.providedBy(unwrapNamed(observer)):
        verifyInterface(IReopens, observer)
    for event in makeEvents():
        kind = type(event).__name__
        returned = callHook(observer, kind, unwrapNamed(observer).observe, event)
        if inspect.iscoroutine(returned):
            # Or Python would warn of it, long after this sentence.
            returned.close()
        requireThat(
            not inspect.isawaitable(returned),
            observer,
            "observe returned something to wait for, but the proxy waits for nothing here",
        )


def checkTap(tap: object) -> None:
    """
    Check an L{ITrafficTap}: it must answer with L{None} or a callable, which
    must take octets of both directions, whole and one at a time, and the end of a
    direction that it holds.  It may end the tunnel at any of them.
    """
    verifyInterface(ITrafficTap, tap)
    for stream in STREAMS:
        for size in (len(stream), 1):
            pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
            for first in Direction:
                _checkWatching(tap, pieces, first)


def _checkWatching(tap: object, pieces: list[bytes], first: Direction) -> None:
    """Show octets to a tap, as the proxy does: both directions, from C{first} on."""
    see: Any = callHook(tap, "a tunnel", _ended, unwrapNamed(tap).tap, makeTunnel())
    if see is None or see is TapVerdict.LET_GO:
        return
    if inspect.iscoroutine(see):
        see.close()
    requireThat(
        callable(see), tap, f"it answered {type(see).__name__}, not a callable or None"
    )
    for direction in sorted(Direction, key=lambda each: each is not first):
        verdict: object = None
        # The end comes last, and to one that holds.
        for piece in (*pieces, b""):
            if not piece and verdict is not TapVerdict.HOLD:
                break
            over = f"bytes {direction.value}" if piece else f"the end {direction.value}"
            verdict = callHook(tap, over, _ended, see, direction, piece)
            _checkVerdict(tap, over, verdict)
            if verdict is TapVerdict.LET_GO:
                return


def _ended(hook: _Hook, *arguments: object) -> object:
    """Call a tap's hook; one that ends the tunnel sees no more, as one that lets go."""
    try:
        return hook(*arguments)
    except EndTunnel:
        return TapVerdict.LET_GO


def _checkVerdict(tap: object, over: str, verdict: object) -> None:
    if inspect.iscoroutine(verdict):
        verdict.close()
    requireThat(
        not inspect.isawaitable(verdict),
        tap,
        f"it answered something to wait for over {over}; a verdict comes at once",
    )


def checkPairFactory(factory: object) -> None:
    """
    Check an L{IPairFactory}: it must build two protocols, new ones for each
    tunnel.
    """
    verifyInterface(IPairFactory, factory)
    seen: list[object] = []
    # Twice: a factory that keeps its pair would join two tunnels.
    for _ in range(2):
        pair = callHook(
            factory, "a tunnel", unwrapNamed(factory).buildPair, makeTunnel()
        )
        requireThat(
            isinstance(pair, tuple) and len(pair) == 2,
            factory,
            f"it built {type(pair).__name__}, not a pair of protocols",
        )
        for half in pair:
            requireThat(
                IProtocol.providedBy(half),
                factory,
                f"{type(half).__name__} in its pair does not provide IProtocol",
            )
            requireThat(
                not any(half is each for each in seen),
                factory,
                "it gave one protocol twice; each half of each tunnel needs its own",
            )
            seen.append(half)


_CHECKS: dict[type[Interface], Callable[[object], None]] = {
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
    Check a plugin that has a name on the command line, and the object that it
    makes.

    @param argument: the argument to make one with, as an operator would write
        it after the name's colon.
    @return: the object that it has made.
    """
    # One of several roles is of no single kind.
    kinds = [kind for kind in KINDS if kind.factory.providedBy(factory)] or [PLUGIN]
    if not PLUGIN.factory.providedBy(factory):
        known = ", ".join(kind.factory.__name__ for kind in KINDS)
        raise AssertionError(f"{nameOf(factory)} provides none of {known}")
    for kind in kinds:
        verifyInterface(kind.factory, factory)
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


def _checkNames(factory: IPluginFactory) -> None:
    # Objects, whatever the interface declares: the types are being checked.
    name: object = factory.name
    summary: object = factory.summary
    help: object = factory.argumentHelp
    try:
        checkedName(name)  # type: ignore[arg-type]
    except ValueError as wrong:
        raise AssertionError(f"{nameOf(factory)}: {wrong}") from wrong
    requireThat(
        isinstance(summary, str) and bool(summary.strip()) and "\n" not in summary,
        factory,
        "its summary is no sentence on one line",
    )
    requireThat(
        isinstance(help, str) and "\n" not in help,
        factory,
        "its argumentHelp is no text on one line",
    )


def _checkMade(kind: Kind, factory: object, made: object) -> None:
    provided = [each for each in kind.provides if each.providedBy(made)]
    requireThat(
        bool(provided),
        factory,
        f"it made {type(made).__name__}, which provides none of "
        + ", ".join(each.__name__ for each in kind.provides),
    )
    # Once each: checkPolicy stands for two interfaces.
    checks = [_CHECKS[each] for each in provided if each in _CHECKS]
    for check in dict.fromkeys(checks):
        check(made)


def _checkDecision(
    policy: object, hook: _Hook, request: Request, *more: object
) -> None:
    decision = PolicyDecision(policy, request)
    judging = _judgeAnswer(policy, decision, hook, request, *more)
    _settleCheck(decision, maybeDeferred(run, judging))


def _judgeAnswer(
    policy: object, decision: PolicyDecision, hook: _Hook, *arguments: object
) -> Generator[Deferred[object], object, None]:
    """Call one hook as the proxy does; any decision passes."""
    (named,) = decision.rules.destination
    try:
        answer: object = decision.askHook(named, hook, *arguments)
        if isinstance(answer, Deferred):
            answer = yield answer
        decision.judgeAnswer(named, answer)
    except HookFailed as failed:
        raise AssertionError(failureOf(policy, failed)) from failed.error
    except Refused:
        # A refusal is a decision: only HookFailed, which is one too and so
        # comes first, is the policy's mistake.
        pass


def _settleCheck(decision: PolicyDecision, waiting: Deferred[object]) -> None:
    """Raise the exception of a failed check; cancel one that has not fired."""
    failed: list[Failure] = []
    if not waiting.called:
        return decision.cancelWaiting(waiting)
    waiting.addErrback(failed.append)
    if failed:
        failed[0].raiseException()


def _answersOf(plugin: object, hook: _Hook, *arguments: object) -> list[object]:
    """Return the answer of a hook in a list, which is empty while it waits."""
    answer = callHook(plugin, "a sample request", lambda: settle(hook(*arguments)))
    if not isinstance(answer, Deferred):
        return [answer]
    # It has not fired: the result of the cancellation is no answer.
    answer.addErrback(lambda _: None)
    answer.cancel()
    return []


def _checkRoute(router: object, route: Route, request: Request) -> None:
    name: object = route.name
    named = isinstance(name, str) and bool(name)
    requireThat(named, router, f"its route's name, {name!r}, is no text")
    requireThat(callable(route.connect), router, "its route's connect cannot be called")
    try:
        inspect.signature(route.connect).bind(request, ())
    except TypeError as error:
        # Route.through's callable is the route's connect.
        raise AssertionError(
            f"{nameOf(router)}: its route {name} is called with a request and "
            f"addresses, which does not fit: {error}"
        ) from error
    except ValueError:
        # A callable of C code has no signature, and may well fit.
        return
