"""
The value that everything is made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from txconnect.errors import ConfigurationError
from txconnect.listening import DEFAULT_LISTEN
from txconnect.settings import Settings

MOST_WORKERS = 1024


def _checkStrings(instance: object, field: attrs.Attribute[Any], value: object) -> None:
    # No message repeats a value: it may hold a password.
    if not isinstance(value, tuple) or not all(isinstance(x, str) for x in value):
        raise ConfigurationError(f"{field.name}: this is no list of strings")


def _checkListeners(
    instance: object, field: attrs.Attribute[Any], value: tuple[str, ...]
) -> None:
    if not value:
        raise ConfigurationError("listeners: there is nothing to listen on")


def _checkPair(instance: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise ConfigurationError("pair: this is no string")


def _checkSettings(
    instance: object, field: attrs.Attribute[Any], value: object
) -> None:
    if not isinstance(value, Settings):
        raise ConfigurationError("settings: these are no settings")


def _checkFlag(instance: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{field.name}: {value!r} is neither true nor false")


def _checkWorkers(instance: object, field: attrs.Attribute[Any], value: object) -> None:
    number = isinstance(value, int) and not isinstance(value, bool)
    if not (number and 1 <= value <= MOST_WORKERS):  # type: ignore[operator]
        raise ConfigurationError(f"workers: {value!r} is not 1 to {MOST_WORKERS}")


def _texts() -> Any:
    return attrs.field(default=(), validator=_checkStrings, repr=False)


@attrs.frozen(kw_only=True)
class Configuration:
    """
    A proxy as its operator describes it: plain data, which JSON can carry.

    A string is what the option of the command line takes.  Relative paths in
    it count from the current directory at the time of building.

    The strings may hold passwords, so C{repr} leaves most of them out.

    @ivar listeners: C{--listen}; where to listen.
    @ivar checkers: C{--auth}; who may pass.
    @ivar schemes: C{--auth-scheme}; empty: C{basic} where there are checkers.
    @ivar policies: C{--policy}, without the defaults.
    @ivar routers: C{--router}.
    @ivar routes: C{--route}.
    @ivar observers: C{--observer}; empty: lines for people.
    @ivar taps: C{--tap}.
    @ivar pair: C{--pair}; L{None}: the stock pair.
    @ivar settings: one option each.
    @ivar openProxy: C{--open-proxy}; whether everyone who can reach a listener
        may pass.
    @ivar workers: C{--workers}; the number of processes that accept.
    """

    listeners: tuple[str, ...] = attrs.field(
        default=(DEFAULT_LISTEN,), validator=[_checkStrings, _checkListeners]
    )
    checkers: tuple[str, ...] = _texts()
    schemes: tuple[str, ...] = _texts()
    policies: tuple[str, ...] = _texts()
    routers: tuple[str, ...] = _texts()
    routes: tuple[str, ...] = _texts()
    observers: tuple[str, ...] = _texts()
    taps: tuple[str, ...] = _texts()
    pair: str | None = attrs.field(default=None, validator=_checkPair, repr=False)
    settings: Settings = attrs.field(factory=Settings, validator=_checkSettings)
    openProxy: bool = attrs.field(default=False, validator=_checkFlag)
    workers: int = attrs.field(default=1, validator=_checkWorkers)

    def toData(self) -> dict[str, Any]:
        """Return the same as dicts, lists, strings and numbers."""
        return attrs.asdict(self)

    @classmethod
    def fromData(cls, data: Mapping[str, Any]) -> Configuration:
        """
        Return the configuration that L{toData} gave, or that a file holds.

        Whatever is not there has its default.

        @raise ConfigurationError: there is something else, or a value of the
            wrong kind.
        """
        _checkNames(cls, data)
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in data.items()
        }
        settings = values.get("settings")
        if isinstance(settings, Mapping):
            _checkNames(Settings, settings)
            values["settings"] = Settings(**settings)
        return cls(**values)


def _checkNames(kind: type[attrs.AttrsInstance], data: Mapping[str, Any]) -> None:
    known = attrs.fields_dict(kind)
    if unknown := sorted(set(data) - set(known)):
        raise ConfigurationError(f"{unknown[0]}: there is nothing of this name")
