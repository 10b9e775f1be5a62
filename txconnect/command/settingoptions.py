"""
The options for settings: one for each field of L{Settings}, made from it.

So a new setting is an option, with its help and its default, as soon as it is a
field.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from txconnect.command.help import optionName
from txconnect.errors import ConfigurationError
from txconnect.settings import Settings

_Value = str | int | float

_CONVERTERS: dict[type, Callable[[str], _Value]] = {str: str, int: int, float: float}
"""For the type of a setting's default, the function that reads its text."""


def settingParameters() -> list[list[object]]:
    """Return the options in the form of C{usage.Options.optParameters}."""
    return [
        # No coercion here: the errors of usage.Options do not name the option.
        [
            optionName(field.name),
            None,
            _shownDefault(field.default),
            field.metadata["help"],
        ]
        for field in attrs.fields(Settings)
    ]


def settingsFrom(options: Mapping[str, str | None]) -> Settings:
    """
    Make the settings from the options.

    @raise ConfigurationError: with the option whose value is not valid.
    """
    values: dict[str, Any] = {}
    for field in attrs.fields(Settings):
        text = options[optionName(field.name)]
        # An option without a default is None; the field's default is empty.
        values[field.name] = "" if text is None else _convertText(field, text)
    try:
        return Settings(**values)
    except ConfigurationError as error:
        # Settings names its field: the operator knows the option.
        name, _, reason = str(error).partition(": ")
        raise ConfigurationError(f"--{optionName(name)}: {reason}") from None


def _shownDefault(default: object) -> str | None:
    # As an operator would write it: 10, not 10.0.
    if isinstance(default, float):
        return f"{default:g}"
    return str(default) if default != "" else None


def _convertText(field: attrs.Attribute[object], text: str) -> _Value:
    kind = type(field.default)
    try:
        value = _CONVERTERS[kind](text)
    except ValueError:
        # All that are not whole are times.
        wanted = "a whole number" if kind is int else "a number of seconds, such as 600"
        raise ConfigurationError(
            f"--{optionName(field.name)}: {text!r} is not {wanted}"
        ) from None
    # float() reads "inf" and "nan": no timer can wait for these.
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigurationError(f"--{optionName(field.name)}: {text!r} is not finite")
    return value
