"""
Roles: whether an object is what its interface says.

zope's own verification looks at names and parameters.  Added here is what it cannot
see: a hook that is an C{async def} where nobody awaits the answer, which would be
called, do nothing, and look as if it worked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from twisted.cred.checkers import ICredentialsChecker
from zope.interface import Interface, implementedBy
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from txconnect.errors import ConfigurationError
from txconnect.interfaces import (
    IAddressPolicy,
    IAuthScheme,
    IDestinationPolicy,
    IPairFactory,
    IReopens,
    IRouter,
    ITrafficObserver,
    ITrafficTap,
)

__all__ = ["ROLES", "isCoroutineFunction", "missingRole", "verifyRole"]

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

_AT_ONCE: dict[type[Interface], tuple[str, ...]] = {
    ITrafficObserver: ("observe",),
    ITrafficTap: ("tap",),
    IPairFactory: ("buildPair",),
    IAuthScheme: ("challenge", "parse"),
    IReopens: ("reopen",),
}
"""The hooks whose answers nobody waits for."""


def verifyRole(role: type[Interface], plugin: object) -> None:
    """
    Verify that an object can serve in a role.

    @param role: an interface of L{txconnect.interfaces}, or a checker's.
    @raise ConfigurationError: it cannot; in one sentence, without its name.
    """
    if isinstance(plugin, type) and role in implementedBy(plugin):
        raise ConfigurationError(
            f"it is the class {plugin.__name__}: give an object of it, "
            f"{plugin.__name__}(...)"
        )
    try:
        verifyObject(role, plugin)
    except Invalid as error:
        # zope writes its messages on several lines.
        sentence = " ".join(str(error).split())
        raise ConfigurationError(sentence + missingRole((role,), plugin)) from None
    for hook in _AT_ONCE.get(role, ()):
        if isCoroutineFunction(getattr(plugin, hook)):
            raise ConfigurationError(
                f"its {hook} is an async def, and nobody awaits it: write a plain "
                "def, and let that start what has to wait"
            )


def missingRole(roles: tuple[type[Interface], ...], plugin: object) -> str:
    """
    Return a hint for an object that has a role's hook and does not say that it has
    the role, as C{"; it has decide(): ..."}; or nothing.
    """
    for role in roles:
        hook = ROLES.get(role)
        if hook and callable(getattr(plugin, hook, None)):
            if not role.providedBy(plugin):
                return (
                    f"; it has {hook}(): decorate its class with "
                    f"@implementer({role.__name__})"
                )
    return ""


def isCoroutineFunction(hook: Callable[..., object]) -> bool:
    """Tell whether a call would only make a coroutine, which somebody has to await."""
    # An object may be called as well: the method of its class says how.
    return any(
        test(each)
        for test in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
        for each in (hook, type(hook).__call__)
    )
