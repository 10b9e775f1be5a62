"""
Roles: whether an object is what its interface says.

zope's own verification looks at names and parameters; its findings are put into plain
sentences.  Added here is what it cannot see: a hook that is an C{async def} where nobody
awaits the answer, which would be called, do nothing, and look as if it worked.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from types import FunctionType, MethodType
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from zope.interface import Interface, implementedBy
from zope.interface.exceptions import (
    BrokenImplementation,
    BrokenMethodImplementation,
    Invalid,
)
from zope.interface.interface import Method
from zope.interface.verify import verifyObject

from txconnect.errors import ConfigurationError
from txconnect.interfaces import (
    IAddressPolicy,
    IAuthScheme,
    IDestinationPolicy,
    IPairFactory,
    IReopens,
    IRequestHandler,
    IRouter,
    ITrafficObserver,
    ITrafficTap,
    ITunnelFields,
    IUnresolvedPolicy,
)
from txconnect.values import Named

__all__ = [
    "ROLES",
    "describedValue",
    "isCoroutineFunction",
    "missingRole",
    "verifiedPlugins",
    "verifyRole",
]

ROLES: dict[type[Interface], str] = {
    IDestinationPolicy: "decide",
    IAddressPolicy: "decideAddress",
    IRouter: "route",
    ITrafficObserver: "observe",
    ITrafficTap: "tap",
    IPairFactory: "buildPair",
    IAuthScheme: "challenge",
    ICredentialsChecker: "requestAvatarId",
}
"""Every role in which the proxy asks a plugin, each with its hook."""

_KNOWN: tuple[type[Interface], ...] = (*ROLES, IRequestHandler, ITunnelFields)
"""Every role; those of the last two only a program that embeds the proxy can give."""

_AT_ONCE: dict[type[Interface], tuple[str, ...]] = {
    ITrafficObserver: ("observe",),
    ITrafficTap: ("tap",),
    IPairFactory: ("buildPair",),
    IAuthScheme: ("challenge", "parse"),
    IReopens: ("reopen",),
}
"""The hooks whose answers nobody waits for."""

_DECORATORS: dict[type[Interface], str] = {
    IDestinationPolicy: "policyPlugin",
    IAddressPolicy: "addressPolicyPlugin",
    IRouter: "routerPlugin",
    ITrafficObserver: "observerPlugin",
    ITrafficTap: "tapPlugin",
    IPairFactory: "pairPlugin",
}
"""The decorators that make a function serve in a role."""

_MISTAKES = {
    "implementation doesn't allow enough arguments": "takes too few arguments",
    "implementation requires too many arguments": "needs too many arguments",
}
"""zope's findings about parameters, in the words of Python's own messages."""


def verifyRole(role: type[Interface], plugin: object) -> None:
    """
    Verify that an object can serve in a role.

    @param role: an interface of L{txconnect.interfaces}, or a checker's.
    @raise ConfigurationError: it cannot; in one sentence, without its name.
    """
    if not role.providedBy(plugin):
        raise ConfigurationError(missingRole((role,), plugin))
    try:
        verifyObject(role, plugin)
    except Invalid as error:
        raise ConfigurationError(_brokenRole(role, plugin, error)) from None
    for hook in _AT_ONCE.get(role, ()):
        if isCoroutineFunction(getattr(plugin, hook)):
            raise ConfigurationError(
                f"its {hook} is an async def, and nobody awaits it: write a plain "
                "def, and let that start what has to wait"
            )


def verifiedPlugins(
    plugins: Iterable[object], interface: type[Interface]
) -> tuple[Named, ...]:
    """
    Verify plugins, and return each with its name.

    @raise ConfigurationError: one does not provide C{interface}.
    """
    given = tuple(map(Named.of, plugins))
    for each in given:
        try:
            verifyRole(interface, each.plugin)
        except ConfigurationError as error:
            noun = _NOUNS.get(interface, "plugin")
            raise ConfigurationError(f"{noun} {each.name!r}: {error}") from None
    return given


_NOUNS: dict[type[Interface], str] = {
    IDestinationPolicy: "policy",
    IAddressPolicy: "policy",
    IUnresolvedPolicy: "policy",
    IRouter: "router",
    ITrafficObserver: "observer",
    ITrafficTap: "tap",
    IPairFactory: "pair factory",
    IRequestHandler: "handler",
    ITunnelFields: "tunnelFields",
    IAuthScheme: "scheme",
    ICredentialsChecker: "checker",
}
"""The kinds of plugins in messages."""


def missingRole(roles: Sequence[type[Interface]], plugin: object) -> str:
    """
    Return the sentence about an object that has none of several roles: what it is,
    and the nearest remedy.
    """
    names = [role.__name__ for role in roles]
    wanted = f"provides none of {', '.join(names)}"
    if len(names) < 3:
        wanted = f"does not provide {' or '.join(names)}"
    if isinstance(plugin, type):
        if any(role in implementedBy(plugin) for role in roles):
            return (
                f"it is the class {plugin.__name__}: give an object of it, "
                f"{plugin.__name__}(...)"
            )
        return f"it is the class {plugin.__name__}, which {wanted}" + _hookHint(
            roles, plugin
        )
    if isinstance(plugin, FunctionType | MethodType | functools.partial):
        return f"it is a bare function, which {wanted}" + _decoratorHint(roles)
    return f"it is {describedValue(plugin)}, which {wanted}" + _hookHint(roles, plugin)


def describedValue(value: object) -> str:
    """
    Return a wrong value in words, for a message.  A text is not repeated: it may hold
    a secret.
    """
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _hookHint(roles: Sequence[type[Interface]], plugin: object) -> str:
    for role in roles:
        hook = ROLES.get(role)
        if hook and callable(getattr(plugin, hook, None)):
            return (
                f"; it has {hook}(): decorate its class with "
                f"@implementer({role.__name__})"
            )
    others = [each.__name__ for each in _KNOWN if each.providedBy(plugin)]
    return f"; it provides {' and '.join(others)}" if others else ""


def _decoratorHint(roles: Sequence[type[Interface]]) -> str:
    names = [_DECORATORS[role] for role in roles if role in _DECORATORS]
    if not names:
        return ""
    shown = " or ".join(f"@{name}(NAME, SUMMARY)" for name in names)
    return f": decorate it with {shown} of txconnect"


def _brokenRole(role: type[Interface], plugin: object, error: Invalid) -> str:
    """Put what zope has found into one sentence; what is missing comes first."""
    found = getattr(error, "exceptions", (error,))
    missing = [each.name for each in found if isinstance(each, BrokenImplementation)]
    if missing:
        forms = " and no ".join(map(_formOf, missing))
        near = get_close_matches(_nameOf(missing[0]), dir(plugin), 1)
        hint = f"; is {near[0]!r} meant to be it?" if near else ""
        return f"it has no {forms}, which {role.__name__} asks for{hint}"
    if isinstance(found[0], BrokenMethodImplementation):
        return _brokenHook(plugin, found[0])
    return " ".join(str(error).split())


def _nameOf(attribute: object) -> str:
    return str(getattr(attribute, "__name__", attribute))


def _formOf(attribute: object) -> str:
    called = attribute.getSignatureString() if isinstance(attribute, Method) else ""
    return f"{_nameOf(attribute)}{called}"


def _brokenHook(plugin: object, found: BrokenMethodImplementation) -> str:
    method: Any = found.method
    name = method.__name__
    own = getattr(plugin, name)
    called = f"{name}{method.getSignatureString()}"
    try:
        written = f"{name}{_withoutTypes(inspect.signature(own))}"
    except (TypeError, ValueError):
        return f"its {name} is {describedValue(own)}; it is called as {called}"
    mistake = _MISTAKES.get(str(found.mess), str(found.mess))
    return f"its {written} {mistake}: it is called as {called}"


def isCoroutineFunction(hook: Callable[..., object]) -> bool:
    """Tell whether a call would only make a coroutine, which somebody has to await."""
    # An object may be called as well: the method of its class says how.
    return any(
        test(each)
        for test in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
        for each in (hook, type(hook).__call__)
    )


def _withoutTypes(signature: inspect.Signature) -> inspect.Signature:
    empty = inspect.Parameter.empty
    plain = [each.replace(annotation=empty) for each in signature.parameters.values()]
    return signature.replace(parameters=plain, return_annotation=empty)
