"""
The configuration: one value, from which everything else is made.

Plain data only, as a worker gets it through a channel and a file could hold
it: no plugin object, no open file, no reactor.  A value is checked here only
for its kind; the builder finds out whether a string can be used, as that needs
plugins and the file system.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from txconnect.errors import ConfigurationError
from txconnect.listening import DEFAULT_LISTEN
from txconnect.settings import Settings

_T = TypeVar("_T")

MOST_WORKERS = 1024
"""The largest number of worker processes."""


def _checkStrings(instance: object, field: attrs.Attribute[_T], value: _T) -> None:
    # No message repeats a value: it may hold a password.
    # Lists are refused, as they could be changed inside the frozen value.
    if not isinstance(value, tuple) or not all(isinstance(x, str) for x in value):
        raise ConfigurationError(f"{field.name}: this is no list of strings")


def _checkListeners(
    instance: object, field: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]
) -> None:
    if not value:
        raise ConfigurationError("listeners: there is nothing to listen on")


def _checkPair(instance: object, field: attrs.Attribute[_T], value: _T) -> None:
    if value is not None and not isinstance(value, str):
        raise ConfigurationError("pair: this is no string")


def _checkSettings(instance: object, field: attrs.Attribute[_T], value: _T) -> None:
    if not isinstance(value, Settings):
        raise ConfigurationError("settings: these are no settings")


def _checkFlag(instance: object, field: attrs.Attribute[_T], value: _T) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{field.name}: {value!r} is neither true nor false")


def _checkWorkers(instance: object, field: attrs.Attribute[_T], value: _T) -> None:
    # JSON's true is a bool, and a bool is an int: one worker by mistake.
    number = 0 if isinstance(value, bool) or not isinstance(value, int) else value
    if not 1 <= number <= MOST_WORKERS:
        raise ConfigurationError(f"workers: {value!r} is not 1 to {MOST_WORKERS}")


def _textsField() -> tuple[str, ...]:
    return attrs.field(default=(), validator=_checkStrings, repr=False)


@attrs.frozen(kw_only=True)
class Configuration:
    """
    A proxy as its operator describes it: plain data, which JSON can carry.

    Each string is written as for the option of the command line.  Relative
    paths in it count from the current directory at the time of building.

    The strings may hold passwords, so C{repr} leaves most of them out.

    @ivar listeners: C{--listen}; the endpoints.
    @ivar checkers: C{--auth}; the checkers of passwords.
    @ivar schemes: C{--auth-scheme}; empty: C{basic} where there are checkers.
    @ivar policies: C{--policy}, without the defaults.
    @ivar routers: C{--router}.
    @ivar routes: C{--route}.
    @ivar observers: C{--observer}; empty: lines for people.
    @ivar taps: C{--tap}.
    @ivar pair: C{--pair}; L{None}: the stock pair.
    @ivar plugins: C{--plugin}; each in all its roles.
    @ivar settings: one option each.
    @ivar openProxy: C{--open-proxy}; whether everyone who can reach a listener
        may use the proxy.
    @ivar workers: C{--workers}; the number of processes that accept.
    """

    listeners: tuple[str, ...] = attrs.field(
        default=(DEFAULT_LISTEN,), validator=[_checkStrings, _checkListeners]
    )
    checkers: tuple[str, ...] = _textsField()
    schemes: tuple[str, ...] = _textsField()
    policies: tuple[str, ...] = _textsField()
    routers: tuple[str, ...] = _textsField()
    routes: tuple[str, ...] = _textsField()
    observers: tuple[str, ...] = _textsField()
    taps: tuple[str, ...] = _textsField()
    pair: str | None = attrs.field(default=None, validator=_checkPair, repr=False)
    plugins: tuple[str, ...] = _textsField()
    settings: Settings = attrs.field(factory=Settings, validator=_checkSettings)
    openProxy: bool = attrs.field(default=False, validator=_checkFlag)
    workers: int = attrs.field(default=1, validator=_checkWorkers)

    def toData(self) -> dict[str, object]:
        """Return the fields as dicts, lists, strings and numbers."""
        return attrs.asdict(self)

    @classmethod
    def fromData(cls, data: Mapping[str, object]) -> Configuration:
        """
        Make a configuration from the result of L{toData}, or from the content
        of a file.

        A field that is missing has its default.

        @raise ConfigurationError: a name is unknown, or a value is of the wrong
            kind.
        """
        _checkNames(cls, data)
        values: dict[str, Any] = {
            # JSON has no tuples.
            name: tuple(value) if isinstance(value, list) else value
            for name, value in data.items()
        }
        settings = values.get("settings")
        if isinstance(settings, Mapping):
            _checkNames(Settings, settings)
            values["settings"] = Settings(**settings)
        return cls(**values)


def _checkNames(kind: type[attrs.AttrsInstance], data: Mapping[str, object]) -> None:
    known = attrs.fields_dict(kind)
    if unknown := sorted(set(data) - set(known)):
        raise ConfigurationError(f"{unknown[0]}: there is nothing of this name")
