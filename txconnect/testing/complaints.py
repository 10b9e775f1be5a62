"""
What the conformance checks are made of: each raises one sentence that names
the plugin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import Interface
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from txconnect.testing.kit import nameOf
from txconnect.values import Named


def plain(plugin: Any) -> Any:
    """The plugin itself, out of its L{Named}."""
    return plugin.plugin if isinstance(plugin, Named) else plugin


def must(right: bool, plugin: Any, complaint: str) -> None:
    """
    Check one thing.

    @raise AssertionError: with the complaint, unless all is C{right}.
    """
    if not right:
        raise AssertionError(f"{nameOf(plugin)}: {complaint}")


def verify(interface: type[Interface], plugin: Any) -> None:
    """
    Check with zope that a plugin provides an interface.

    @raise AssertionError: with zope's sentence.
    """
    try:
        verifyObject(interface, plain(plugin))
    except Invalid as invalid:
        raise AssertionError(f"{nameOf(plugin)}: {invalid}") from invalid


def call(plugin: Any, over: str, hook: Callable[..., Any], *arguments: Any) -> Any:
    """
    Call a hook.

    @param over: what it is given, in words.
    @raise AssertionError: with what it raised.
    """
    try:
        return hook(*arguments)
    except Exception as raised:
        raise AssertionError(
            f"{nameOf(plugin)} raised over {over}: {type(raised).__name__}: {raised}"
        ) from raised
