"""
Declaring a plugin: from a function by a decorator, or from a class by a
factory that reads the argument behind the name's colon.

What the decorators return is at once three things: the plugin that
C{twisted.plugin} finds as a module attribute, the policy (observer, tap, ...)
itself for embedding, and still the function.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Coroutine
from importlib import import_module
from ipaddress import IPv4Address, IPv6Address
from operator import attrgetter
from typing import Any, Generic, ParamSpec, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from zope.interface import implementer

from txconnect.interfaces import (
    IAddressPolicy,
    IAuthSchemePlugin,
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
from txconnect.values import (
    ConnectRequest,
    Decision,
    Direction,
    Event,
    Route,
    TunnelInfo,
)

_P = ParamSpec("_P")
_R = TypeVar("_R")
_DecisionT = TypeVar(
    "_DecisionT", bound="Decision | Deferred[Decision] | Coroutine[Any, Any, Decision]"
)
_RouteT = TypeVar(
    "_RouteT",
    bound="Route | None | Deferred[Route | None] | Coroutine[Any, Any, Route | None]",
)

_KEY = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)=(.*)", re.DOTALL)


def parseArgument(argument: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """
    Read what stands behind a plugin's name and its colon: items between
    commas, C{key=value} items last.  White space around an item is dropped.

    @return: the items, and the keys with their values.
    @raise ValueError: for an empty item, an item behind a key, or a key given
        twice.
    """
    items: list[str] = []
    keys: dict[str, str] = {}
    for part in argument.split(",") if argument.strip() else ():
        item = part.strip()
        match = _KEY.fullmatch(item)
        if match is None:
            _addItem(items, keys, item)
        elif match[1] in keys:
            raise ValueError(f"the key {match[1]!r} is given twice")
        else:
            keys[match[1]] = match[2]
    return tuple(items), keys


def _addItem(items: list[str], keys: dict[str, str], item: str) -> None:
    if not item:
        raise ValueError("an item of the argument is empty")
    if keys:
        raise ValueError(f"{item!r} stands behind a key=value item, which come last")
    items.append(item)


def construct(build: Callable[..., Any], argument: str, form: str) -> Any:
    """
    Call C{build} with the items and keys of an argument.

    @param form: how the argument is to be written, for the message.
    @raise ValueError: when the argument does not fit C{build}'s parameters, or
        what C{build} raises.
    """
    items, keys = parseArgument(argument)
    try:
        inspect.signature(build).bind(*items, **keys)
    except TypeError as error:
        raise ValueError(f"the argument does not fit, {error}; write {form}") from None
    return build(*items, **keys)


def _checkedName(name: str) -> str:
    if not name or any(mark in name for mark in "./:,") or name != name.strip():
        raise ValueError(f"{name!r} is no plugin name: none of . / : , and not empty")
    return name


def _resolve(build: Callable[..., Any] | str) -> Callable[..., Any]:
    if not isinstance(build, str):
        return build
    module, _, attribute = build.partition(":")
    resolved: Callable[..., Any] = attrgetter(attribute)(import_module(module))
    return resolved


@attrs.frozen(eq=False)
class _Factory:
    """What C{policyFactory} and its siblings return."""

    name: str = attrs.field(converter=_checkedName)
    summary: str
    build: Callable[..., Any] | str
    argumentHelp: str = ""

    @property
    def form(self) -> str:
        """How to write it on the command line."""
        return f"{self.name}:{self.argumentHelp}" if self.argumentHelp else self.name

    def fromString(self, argument: str) -> Any:
        return construct(_resolve(self.build), argument, self.form)


@implementer(IPolicyPlugin)
class PolicyFactory(_Factory):
    """A policy plugin that takes an argument."""


@implementer(IObserverPlugin)
class ObserverFactory(_Factory):
    """An observer plugin that takes an argument."""


@implementer(ITapPlugin)
class TapFactory(_Factory):
    """A tap plugin that takes an argument."""


@implementer(IRouterPlugin)
class RouterFactory(_Factory):
    """A router plugin that takes an argument."""


@implementer(IPairPlugin)
class PairPluginFactory(_Factory):
    """A plugin that makes a pair factory from an argument."""


@implementer(IAuthSchemePlugin)
class AuthSchemeFactory(_Factory):
    """An authentication scheme plugin."""


def policyFactory(
    name: str, summary: str, build: Callable[..., Any] | str, argumentHelp: str = ""
) -> PolicyFactory:
    """
    Declare a policy that is made from an argument, as C{ports:443,8443} is.

    @param name: the name on the command line: none of C{. / : ,} in it.
    @param summary: one sentence for C{--help-policy}.
    @param build: a class or function, called at start-up with the argument's
        items, all strings, and its C{key=value} items as keywords; it returns
        an object that provides L{IDestinationPolicy}, L{IAddressPolicy} or
        both, and raises L{ValueError} with a sentence for a bad argument.  Or
        where it is, C{"package.module:Class"}, imported only when it is used.
    @param argumentHelp: how to write the argument, such as C{"PORT,..."}.
    """
    return PolicyFactory(name, summary, build, argumentHelp)


def observerFactory(
    name: str, summary: str, build: Callable[..., Any] | str, argumentHelp: str = ""
) -> ObserverFactory:
    """Declare an L{ITrafficObserver} made from an argument: see L{policyFactory}."""
    return ObserverFactory(name, summary, build, argumentHelp)


def tapFactory(
    name: str, summary: str, build: Callable[..., Any] | str, argumentHelp: str = ""
) -> TapFactory:
    """Declare an L{ITrafficTap} made from an argument: see L{policyFactory}."""
    return TapFactory(name, summary, build, argumentHelp)


def routerFactory(
    name: str, summary: str, build: Callable[..., Any] | str, argumentHelp: str = ""
) -> RouterFactory:
    """Declare an L{IRouter} made from an argument: see L{policyFactory}."""
    return RouterFactory(name, summary, build, argumentHelp)


def pairFactory(
    name: str, summary: str, build: Callable[..., Any] | str, argumentHelp: str = ""
) -> PairPluginFactory:
    """Declare an L{IPairFactory} made from an argument: see L{policyFactory}."""
    return PairPluginFactory(name, summary, build, argumentHelp)


def authSchemeFactory(
    name: str, summary: str, build: Callable[..., Any] | str, argumentHelp: str = ""
) -> AuthSchemeFactory:
    """Declare an L{IAuthScheme} made from an argument: see L{policyFactory}."""
    return AuthSchemeFactory(name, summary, build, argumentHelp)


class _FunctionPlugin(Generic[_P, _R]):
    """A function under one of the decorators below."""

    argumentHelp = ""

    def __init__(self, name: str, summary: str, function: Callable[_P, _R]) -> None:
        functools.update_wrapper(self, function)
        self.name = _checkedName(name)
        self.summary = summary
        self.function = function

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def fromString(self, argument: str) -> Any:
        if argument:
            raise ValueError(f"it takes no argument; write {self.name}")
        return self


# The hook is an attribute of the instance, not a method: so verifyObject sees
# the parameters of the very function that was decorated.


@implementer(IPolicyPlugin, IDestinationPolicy)
class FunctionPolicy(_FunctionPlugin[[ConnectRequest], _DecisionT]):
    """A function as a policy that judges requests."""

    def __init__(
        self, name: str, summary: str, function: Callable[[ConnectRequest], _DecisionT]
    ) -> None:
        super().__init__(name, summary, function)
        self.decide = function


@implementer(IPolicyPlugin, IAddressPolicy)
class FunctionAddressPolicy(
    _FunctionPlugin[[ConnectRequest, "IPv4Address | IPv6Address"], _DecisionT]
):
    """A function as a policy that judges addresses."""

    def __init__(
        self,
        name: str,
        summary: str,
        function: Callable[[ConnectRequest, IPv4Address | IPv6Address], _DecisionT],
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
class FunctionRouter(_FunctionPlugin[[ConnectRequest], _RouteT]):
    """A function as a router."""

    def __init__(
        self, name: str, summary: str, function: Callable[[ConnectRequest], _RouteT]
    ) -> None:
        super().__init__(name, summary, function)
        self.route = function


_BuildPair = Callable[[TunnelInfo], tuple[IProtocol, IProtocol]]


@implementer(IPairPlugin, IPairFactory)
class FunctionPair(_FunctionPlugin[[TunnelInfo], tuple[IProtocol, IProtocol]]):
    """A function as a pair factory."""

    def __init__(self, name: str, summary: str, function: _BuildPair) -> None:
        super().__init__(name, summary, function)
        self.buildPair = function


def policyPlugin(
    name: str, summary: str
) -> Callable[[Callable[[ConnectRequest], _DecisionT]], FunctionPolicy[_DecisionT]]:
    """
    Make a function of a request, sync or async, a policy: the decorated name
    is a plugin, an L{IDestinationPolicy}, and still callable.

    @param name: the name on the command line: none of C{. / : ,} in it.
    @param summary: one sentence for C{--help-policy}.
    """
    return lambda function: FunctionPolicy(name, summary, function)


def addressPolicyPlugin(
    name: str, summary: str
) -> Callable[
    [Callable[[ConnectRequest, IPv4Address | IPv6Address], _DecisionT]],
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
) -> Callable[[Callable[[ConnectRequest], _RouteT]], FunctionRouter[_RouteT]]:
    """Make a function of a request an L{IRouter}: see L{policyPlugin}."""
    return lambda function: FunctionRouter(name, summary, function)


def pairPlugin(name: str, summary: str) -> Callable[[_BuildPair], FunctionPair]:
    """Make a function of a tunnel an L{IPairFactory}: see L{policyPlugin}."""
    return lambda function: FunctionPair(name, summary, function)
