"""
An option for each setting.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from txconnect.command.help import optionName
from txconnect.errors import ConfigurationError
from txconnect.settings import Settings


def settingParameters() -> list[list[Any]]:
    """The options, as C{usage.Options.optParameters} has them."""
    return [
        [optionName(field.name), None, _shown(field.default), field.metadata["help"]]
        for field in attrs.fields(Settings)
    ]


def settingsFrom(options: Mapping[str, Any]) -> Settings:
    """
    The settings that the options say.

    @raise ConfigurationError: with the option that cannot be.
    """
    values: dict[str, Any] = {}
    for field in attrs.fields(Settings):
        text = options[optionName(field.name)]
        values[field.name] = "" if text is None else _coerced(field, text)
    try:
        return Settings(**values)
    except ConfigurationError as error:
        name, _, reason = str(error).partition(": ")
        raise ConfigurationError(f"--{optionName(name)}: {reason}") from None


def _shown(default: Any) -> str | None:
    if isinstance(default, float):
        return f"{default:g}"
    return str(default) if default != "" else None


def _coerced(field: attrs.Attribute[Any], text: str) -> Any:
    kind: Callable[[str], Any] = type(field.default)
    try:
        value = kind(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise ConfigurationError(
            f"--{optionName(field.name)}: {text!r} is not {wanted}"
        ) from None
    if kind is float and not math.isfinite(value):
        raise ConfigurationError(f"--{optionName(field.name)}: {text!r} is not finite")
    return value
