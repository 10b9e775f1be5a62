"""
Assembling the rules of a proxy: each plugin gets a name, the default policies are
added, and each plugin is verified to provide its interface.

A policy replaces a default of its name only step by step: one that is called
C{networks} but judges names would take the address rule away, so start-up stops.  It
stops as well when no policy at all judges a step, because nothing but an explicit
allow allows.

Two lists of one name and one class are one list; all other policies of one name must
all allow, like any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zope.interface import Interface

from txconnect.admission.rules import Rules
from txconnect.errors import ConfigurationError
from txconnect.interfaces import (
    IAddressPolicy,
    IDestinationPolicy,
    IListPolicy,
    IPairFactory,
    IRouter,
    ITrafficObserver,
    ITrafficTap,
    IUnresolvedPolicy,
)
from txconnect.roles import missingRole, verifiedPlugins
from txconnect.values import Named

__all__ = [
    "assemble",
    "describedKind",
    "joinedLists",
    "listed",
    "withDefaults",
    "withJudges",
]

_RULES: dict[type[Interface], str] = {
    IDestinationPolicy: "rulesName",
    IAddressPolicy: "rulesAddress",
}
"""For each step, the attribute by which a combinator tells that it has a rule there."""


def assemble(
    policies: Sequence[Named],
    routers: Iterable[object],
    observers: Iterable[object],
    taps: Iterable[object],
    pairFactory: object,
    **more: Any,
) -> Rules:
    """
    Make the rules of a proxy of its plugins, each verified and at its step.

    @param policies: with the defaults.
    @param pairFactory: may be L{None}.
    @param more: the other fields of L{Rules}.
    @raise ConfigurationError: one does not provide its interface.
    """
    unresolved = [p for p in policies if IUnresolvedPolicy.providedBy(p.plugin)]
    pairs = [] if pairFactory is None else [pairFactory]
    return Rules(
        policies=tuple(policies),
        destination=judgingAt(policies, IDestinationPolicy),
        address=judgingAt(policies, IAddressPolicy),
        unresolved=verifiedPlugins(unresolved, IUnresolvedPolicy),
        routers=verifiedPlugins(routers, IRouter),
        observers=verifiedPlugins(observers, ITrafficObserver),
        taps=verifiedPlugins(taps, ITrafficTap),
        pairFactory=next(iter(verifiedPlugins(pairs, IPairFactory)), None),
        **more,
    )


def listed(argument: str, given: object) -> tuple[object, ...]:
    """
    Return the members of an argument that is a list, or any other iterable.

    @param argument: its name.
    @raise ConfigurationError: it is none.  A text counts as none: its members would
        be its characters.
    """
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise ConfigurationError(f"{argument}: give a list, not {describedKind(given)}")
    return tuple(given)


def describedKind(value: object) -> str:
    """Return the kind of a wrong value, for a message."""
    return "None" if value is None else f"a value of type {type(value).__name__}"


def joinedLists(policies: Iterable[Named]) -> list[Named]:
    """
    Make one list of those lists that have one name, at the place of the first.

    @raise ConfigurationError: they cannot be one; or another policy has a list's
        name, so that only one of them might have been meant.
    """
    kept: list[Named] = []
    places: dict[str, int] = {}
    for each in policies:
        at = places.setdefault(each.name, len(kept))
        if at < len(kept) and (_isList(kept[at]) or _isList(each)):
            kept[at] = _joinLists(kept[at], each)
        else:
            kept.append(each)
    return kept


def _isList(policy: Named) -> bool:
    return bool(IListPolicy.providedBy(policy.plugin))


def _joinLists(first: Named, second: Named) -> Named:
    # By exact class: a subclass may mean something else by its items.
    if type(first.plugin) is not type(second.plugin):
        kinds = [type(each.plugin).__name__ for each in (first, second)]
        raise ConfigurationError(
            f"policy {first.name!r} is given twice, as {' and '.join(kinds)}: only two "
            "lists of one class make one list, so give one of them another name"
        )
    try:
        return Named(first.name, first.plugin.joinedWith(second.plugin))
    except ValueError as error:
        raise ConfigurationError(
            f"policy {first.name!r} is given twice, which makes one list: {error}"
        ) from None


def withJudges(
    policies: tuple[Named, ...], observers: Iterable[Named]
) -> tuple[Named, ...]:
    """
    Put in front the observers that judge requests as well, but for those that are
    policies already.

    @param policies: with the defaults, none of which such an observer replaces, as
        it was not given as a policy.
    """
    known = {id(policy.plugin) for policy in policies}
    judges = [
        each
        for each in observers
        if IDestinationPolicy.providedBy(each.plugin) and id(each.plugin) not in known
    ]
    return (*judges, *policies)


def withDefaults(
    policies: list[Named], defaults: Iterable[object]
) -> tuple[Named, ...]:
    """
    Put the defaults in front, but for those that a policy replaces.

    @param defaults: policies.
    @raise ConfigurationError: one of the same name judges another step, so
        that its name alone would take a rule away.
    """
    given = {policy.name: policy for policy in policies}
    standing = []
    for default in map(Named.of, defaults):
        if default.name not in given:
            standing.append(default)
            continue
        for step in (IDestinationPolicy, IAddressPolicy):
            replacing = given[default.name].plugin
            if not step.providedBy(default.plugin):
                continue
            # A report is asked at the step, and refuses nothing there.
            if not getattr(replacing, _RULES[step], True):
                raise ConfigurationError(
                    f"policy {default.name!r} would replace the default of that "
                    "name, but only reports: give it another name"
                )
            if not step.providedBy(replacing):
                raise ConfigurationError(
                    f"policy {default.name!r} would replace the default of that "
                    f"name, but provides no {step.__name__}: give it another name"
                )
    return (*standing, *policies)


def judgingAt(policies: Sequence[Named], step: type[Interface]) -> tuple[Named, ...]:
    """
    Return the policies that have a rule at a step.

    @raise ConfigurationError: there is none, or one is no policy.
    """
    kinds = (IDestinationPolicy, IAddressPolicy)
    for policy in policies:
        if not any(kind.providedBy(policy.plugin) for kind in kinds):
            lacking = missingRole(kinds, policy.plugin)
            raise ConfigurationError(f"policy {policy.name!r}: {lacking}")
    having = [each for each in policies if step.providedBy(each.plugin)]
    if not having:
        raise ConfigurationError(
            f"no policy provides {step.__name__}, so nothing could be allowed"
        )
    return verifiedPlugins(having, step)
