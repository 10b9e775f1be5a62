"""
Kinds of credentials: what the schemes read must be what the checkers check.

A scheme whose credentials no checker takes would refuse everybody who uses it, and a
checker of credentials that no scheme reads would never be asked, and look as if it
guarded something.  Both stop start-up, as far as a scheme says what it reads: by its
C{credentialInterfaces}, or by the annotation of its C{parse}.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, get_type_hints

from zope.interface import implementedBy
from zope.interface.interface import InterfaceClass

from txconnect.errors import ConfigurationError
from txconnect.values import Named

__all__ = ["checkKinds"]


def checkKinds(schemes: Sequence[Named], checkers: Sequence[Named]) -> None:
    """
    Check that each scheme has a checker, and each checker a scheme.

    @raise ConfigurationError: one has none; the message begins with the argument
        that holds it.
    """
    read = [(scheme, _kindsRead(scheme.plugin)) for scheme in schemes]
    known = [kind for _, kinds in read for kind in kinds]
    if all(kinds for _, kinds in read):
        for each in checkers:
            wanted = _kindsChecked(each.plugin)
            if not _meet(known, wanted):
                raise ConfigurationError(
                    f"checkers {each.name!r}: it checks {_shown(wanted)}, which no "
                    f"scheme reads: {_namesOf(schemes)} reads {_shown(known)}"
                )
    checked = [kind for each in checkers for kind in _kindsChecked(each.plugin)]
    for scheme, kinds in read:
        if kinds and not _meet(kinds, checked):
            raise ConfigurationError(
                f"schemes {scheme.name!r}: it reads {_shown(kinds)}, which no checker "
                f"takes: {_namesOf(checkers)} checks {_shown(checked)}"
            )


def _namesOf(plugins: Sequence[Named]) -> str:
    return ", ".join(each.name for each in plugins)


def _kindsChecked(checker: Any) -> list[InterfaceClass]:
    return list(checker.credentialInterfaces)


def _kindsRead(scheme: Any) -> list[InterfaceClass]:
    """Return the interfaces of the credentials that a scheme reads, none if unknown."""
    declared = getattr(scheme, "credentialInterfaces", None)
    if declared is not None:
        return list(declared)
    try:
        answer = get_type_hints(scheme.parse).get("return")
    except Exception:
        # An annotation may name what is imported for type checkers alone: then
        # nothing is known, as without it.
        return []
    if isinstance(answer, InterfaceClass):
        kinds = [answer]
    else:
        kinds = list(implementedBy(answer)) if isinstance(answer, type) else []
    # ICredentials itself says nothing: every checker's kind extends it.
    return [
        kind for kind in kinds if kind.__bases__ and kind.__name__ != "ICredentials"
    ]


def _meet(read: Iterable[InterfaceClass], checked: Iterable[InterfaceClass]) -> bool:
    wanted = list(checked)
    return any(kind.isOrExtends(each) for kind in read for each in wanted)


def _shown(kinds: Iterable[InterfaceClass]) -> str:
    return ", ".join(dict.fromkeys(kind.__name__ for kind in kinds)) or "nothing"
