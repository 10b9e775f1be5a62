"""
The steps of the conformance checks: each raises one sentence that names the
plugin.

They raise, where C{assert} would do, because the checks run in other people's
tests: Python's C{-O} must not remove them, and pytest does not rewrite them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from zope.interface import Interface

from txconnect.errors import ConfigurationError
from txconnect.roles import verifyRole
from txconnect.testing.kit import nameOf, serviceHint
from txconnect.values import Named

_T = TypeVar("_T")


def unwrapNamed(plugin: object) -> Any:
    """Return the plugin itself, out of its L{Named} if it is in one."""
    return plugin.plugin if isinstance(plugin, Named) else plugin


def requireThat(right: bool, plugin: object, complaint: str) -> None:
    """
    Check one condition.

    @raise AssertionError: with the complaint, unless the condition is C{right}.
    """
    if not right:
        raise AssertionError(f"{nameOf(plugin)}: {complaint}")


def verifyInterface(interface: type[Interface], plugin: object) -> None:
    """
    Check that a plugin provides an interface, as the proxy does when it starts.

    @raise AssertionError: with the sentence that would stop the start.
    """
    try:
        verifyRole(interface, unwrapNamed(plugin))
    except ConfigurationError as error:
        raise AssertionError(f"{nameOf(plugin)}: {error}") from error


def callHook(
    plugin: object, over: str, hook: Callable[..., _T], *arguments: object
) -> _T:
    """
    Call a hook.

    @param over: its arguments, in words.
    @raise AssertionError: with the exception that it raised.
    """
    try:
        return hook(*arguments)
    except Exception as raised:
        raise AssertionError(
            f"{nameOf(plugin)} raised over {over}: {type(raised).__name__}: {raised}"
            f"{serviceHint(plugin)}"
        ) from raised
