"""
Declaring a plugin by decorating a function.

A decorated name is three things at once: the plugin that C{twisted.plugin}
finds as a module attribute, the policy (observer, tap, ...) itself for
embedding, and still the function, which a test can call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Generic, ParamSpec, TypeVar, Union

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Protocol as StreamProtocol
from zope.interface import implementer

from txconnect.interfaces import (
    IAddressPolicy,
    IDestinationPolicy,
    IObserverPlugin,
    IPairFactory,
    IPairPlugin,
    IPolicyPlugin,
    IRouter,
    IRouterPlugin,
    ITapPlugin,
    ITrafficObserver,
    ITrafficTap,
)
from txconnect.plugins.declaring import checkedName
from txconnect.values import (
    Decision,
    Direction,
    Event,
    Request,
    Route,
    TunnelInfo,
)

_P = ParamSpec("_P")
_R = TypeVar("_R")
# Type variables, and not the unions themselves: a decorated function keeps its
# own return type, so that one that does not wait need not be awaited in a test.
_DecisionT = TypeVar(
    "_DecisionT", bound="Decision | Deferred[Decision] | Coroutine[Any, Any, Decision]"
)
_RouteT = TypeVar(
    "_RouteT",
    bound="Route | None | Deferred[Route | None] | Coroutine[Any, Any, Route | None]",
)


class _FunctionPlugin(Generic[_P, _R]):
    """Base class of the functions under one of the decorators below."""

    argumentHelp = ""

    def __init__(self, name: str, summary: str, function: Callable[_P, _R]) -> None:
        if isinstance(function, type) or not callable(function):
            raise ValueError(
                f"{name}: {function!r} is no function; a class needs no decorator but "
                "@implementer, and is loaded as it is"
            )
        # For help(), and for inspect.unwrap: by it messages find the file of the
        # function, where the class would lead them here.
        functools.update_wrapper(self, function)
        self.name = checkedName(name)
        self.summary = summary
        self.function = function

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def fromString(self, argument: str) -> object:
        """See L{txconnect.interfaces.IPluginFactory.fromString}."""
        if argument:
            raise ValueError(f"it takes no argument; write {self.name}")
        return self


# The hook is an attribute of the instance and not a method, so that verifyObject
# sees the parameters of the decorated function itself: a method would accept
# any, and a function with a wrong signature would fail with its first request.


@implementer(IPolicyPlugin, IDestinationPolicy)
class FunctionPolicy(_FunctionPlugin[[Request], _DecisionT]):
    """A function as a policy that judges requests."""

    def __init__(
        self, name: str, summary: str, function: Callable[[Request], _DecisionT]
    ) -> None:
        super().__init__(name, summary, function)
        self.decide = function


@implementer(IPolicyPlugin, IAddressPolicy)
class FunctionAddressPolicy(
    _FunctionPlugin[[Request, "IPv4Address | IPv6Address"], _DecisionT]
):
    """A function as a policy that judges addresses."""

    def __init__(
        self,
        name: str,
        summary: str,
        function: Callable[[Request, IPv4Address | IPv6Address], _DecisionT],
    ) -> None:
        super().__init__(name, summary, function)
        self.decideAddress = function


@implementer(IObserverPlugin, ITrafficObserver)
class FunctionObserver(_FunctionPlugin[[Event], None]):
    """A function as an observer."""

    def __init__(
        self, name: str, summary: str, function: Callable[[Event], None]
    ) -> None:
        super().__init__(name, summary, function)
        self.observe = function


_Tap = Callable[[TunnelInfo], Callable[[Direction, bytes], object] | None]


@implementer(ITapPlugin, ITrafficTap)
class FunctionTap(
    _FunctionPlugin[[TunnelInfo], "Callable[[Direction, bytes], object] | None"]
):
    """A function as a tap."""

    def __init__(self, name: str, summary: str, function: _Tap) -> None:
        super().__init__(name, summary, function)
        self.tap = function


@implementer(IRouterPlugin, IRouter)
class FunctionRouter(_FunctionPlugin[[Request], _RouteT]):
    """A function as a router."""

    def __init__(
        self, name: str, summary: str, function: Callable[[Request], _RouteT]
    ) -> None:
        super().__init__(name, summary, function)
        self.route = function


# Only a checker that knows zope sees that the second is the first.
_Half = Union[IProtocol, StreamProtocol]
_BuildPair = Callable[[TunnelInfo], tuple[_Half, _Half]]


@implementer(IPairPlugin, IPairFactory)
class FunctionPair(_FunctionPlugin[[TunnelInfo], tuple[_Half, _Half]]):
    """A function as a pair factory."""

    def __init__(self, name: str, summary: str, function: _BuildPair) -> None:
        super().__init__(name, summary, function)
        self.buildPair = function


def policyPlugin(
    name: str, summary: str
) -> Callable[[Callable[[Request], _DecisionT]], FunctionPolicy[_DecisionT]]:
    """
    Make a function of a request, sync or async, a policy: the decorated name
    is a plugin, an L{IDestinationPolicy}, and still callable.

    @param name: the name on the command line: letters, digits, C{-} and C{_}.
    @param summary: one sentence for C{--help-policy}.
    """
    return lambda function: FunctionPolicy(name, summary, function)


def addressPolicyPlugin(
    name: str, summary: str
) -> Callable[
    [Callable[[Request, IPv4Address | IPv6Address], _DecisionT]],
    FunctionAddressPolicy[_DecisionT],
]:
    """
    Make a function of a request and an address an L{IAddressPolicy}: see
    L{policyPlugin}.
    """
    return lambda function: FunctionAddressPolicy(name, summary, function)


def observerPlugin(
    name: str, summary: str
) -> Callable[[Callable[[Event], None]], FunctionObserver]:
    """Make a function of an event an L{ITrafficObserver}: see L{policyPlugin}."""
    return lambda function: FunctionObserver(name, summary, function)


def tapPlugin(name: str, summary: str) -> Callable[[_Tap], FunctionTap]:
    """Make a function of a tunnel an L{ITrafficTap}: see L{policyPlugin}."""
    return lambda function: FunctionTap(name, summary, function)


def routerPlugin(
    name: str, summary: str
) -> Callable[[Callable[[Request], _RouteT]], FunctionRouter[_RouteT]]:
    """Make a function of a request an L{IRouter}: see L{policyPlugin}."""
    return lambda function: FunctionRouter(name, summary, function)


def pairPlugin(name: str, summary: str) -> Callable[[_BuildPair], FunctionPair]:
    """Make a function of a tunnel an L{IPairFactory}: see L{policyPlugin}."""
    return lambda function: FunctionPair(name, summary, function)
