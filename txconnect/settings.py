"""
The settings: one description of each, from which the command line, the
documentation and the embedding API are made.

A setting's help, bounds and choices stand in its field's metadata, so that a new
one is one line here and nothing anywhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs

from txconnect.errors import ConfigurationError
from txconnect.wire.notes import parseNote


def _describeSetting(
    default: Any,
    help: str,
    minimum: float | None = None,
    choices: tuple[str, ...] = (),
    fixed: bool = False,
    parse: Callable[[str], object] | None = None,
) -> Any:
    """
    Describe a setting.

    @param fixed: whether it is read once, when the proxy is made, and so cannot
        change while that runs.
    @param parse: reads a text that has a form of its own; raises C{ValueError} with
        what is wrong with it.
    """
    metadata = {
        "help": help,
        "minimum": minimum,
        "choices": choices,
        "fixed": fixed,
        "parse": parse,
    }
    return attrs.field(default=default, metadata=metadata, validator=_checkValue)


def _checkValue(instance: object, field: attrs.Attribute[Any], value: Any) -> None:
    kind = type(field.default)
    number = kind in (int, float)
    # True is an int to Python, but as a number of seconds it is a mistake.
    if number and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ConfigurationError(f"{field.name}: {value!r} is no number")
    if not number and not isinstance(value, kind):
        raise ConfigurationError(f"{field.name}: {value!r} is no {kind.__name__}")
    minimum = field.metadata["minimum"]
    if minimum is not None and not (math.isfinite(value) and value >= minimum):
        raise ConfigurationError(f"{field.name}: {value} must be {minimum:g} or more")
    choices = field.metadata["choices"]
    if choices and value not in choices:
        raise ConfigurationError(
            f"{field.name}: {value!r} is none of {', '.join(choices)}"
        )
    parse = field.metadata["parse"]
    if parse is not None:
        try:
            parse(value)
        except ValueError as error:
            raise ConfigurationError(f"{field.name}: {error}") from None


@attrs.frozen(kw_only=True)
class Settings:
    """
    The settings of one proxy.  All times are in seconds, all sizes in octets.
    """

    name: str = _describeSetting(
        "",
        "this deployment's name in Proxy-Status; unset: txconnect- and six characters that differ at every start",
        fixed=True,
    )
    realm: str = _describeSetting("proxy", "the realm that a 407 names")
    errors: str = _describeSetting(
        "brief",
        "the detail of a refusal: brief (the rule and the id) or full (addresses and the policy's own words too)",
        choices=("brief", "full"),
    )
    refusalNote: str = _describeSetting(
        "",
        "a line of your own in refusals by a policy and in a 407, such as whom to ask;"
        " %{host}, %{port}, %{rule}, %{id}, %{cause} and %{user} stand for the"
        " request's, %% for a percent sign; unset: none",
        parse=parseNote,
    )
    keepAfterChallenge: str = _describeSetting(
        "",
        "User-Agent prefixes between commas, such as curl/,git/: clients known to"
        " wait for the 200, whose connection stays open after a 407 (RFC 9931, 8);"
        " unset: no client's",
    )
    relay: str = _describeSetting(
        "auto",
        "the relay that moves a tunnel's bytes: auto (the kernel relay where it can serve) or"
        " transport (always Twisted's transports)",
        choices=("auto", "transport"),
        fixed=True,
    )
    halfClose: str = _describeSetting(
        "carry",
        "the effect when one direction ends: carry (FIN in, FIN out) or close-both (RFC 9110, 9.3.6),"
        " with which a client that sends FIN ahead of its answer has left",
        choices=("carry", "close-both"),
    )
    halfClosedRequests: int = _describeSetting(
        64,
        "most requests of one client address, or of one IPv6 network of 64 bits, that are"
        " set up although the client has sent FIN; a further one is refused",
        0,
    )
    headLimit: int = _describeSetting(16384, "largest request head, octets", 256)
    fieldLimit: int = _describeSetting(100, "most fields in a request head", 1)
    earlyDataLimit: int = _describeSetting(
        65536, "most bytes read ahead of the 200, octets", 0
    )
    headTimeout: float = _describeSetting(
        10.0, "seconds a client has to send its request's head", 0.001
    )
    hookTimeout: float = _describeSetting(
        10.0, "seconds a plugin's hook has to answer", 0.001
    )
    lookupTimeout: float = _describeSetting(
        5.0, "seconds a look-up may take", 0.001, fixed=True
    )
    lookupThreads: int = _describeSetting(
        16, "names that are looked up at a time, each in a thread", 1, fixed=True
    )
    lookupSpareThreads: int = _describeSetting(
        64,
        "most further threads, while look-ups that nobody waits for any more hold theirs",
        0,
        fixed=True,
    )
    lookupQueue: int = _describeSetting(
        1024,
        "most names that requests wait for at once; a further one is refused",
        1,
        fixed=True,
    )
    lookupCache: float = _describeSetting(
        10.0, "seconds a look-up's answer is kept; 0: not at all", 0, fixed=True
    )
    connectTimeout: float = _describeSetting(
        15.0,
        "seconds all attempts to reach a destination may take together",
        0.001,
        fixed=True,
    )
    attemptDelay: float = _describeSetting(
        0.25,
        "seconds between attempts at a destination's addresses (RFC 8305)",
        0.1,
        fixed=True,
    )
    lingerTimeout: float = _describeSetting(
        5.0,
        "seconds a refused connection is still read, so that the client can read its answer",
        0,
    )
    lingerLimit: int = _describeSetting(
        16777216,
        "most bytes read and dropped from a refused connection, octets",
        0,
    )
    halfClosedTimeout: float = _describeSetting(
        300.0,
        "seconds a tunnel with one direction ended may stay idle, and a last flush may take",
        0.001,
    )
    idleTimeout: float = _describeSetting(
        600.0, "seconds a tunnel may stay idle in both directions; 0: for ever", 0
    )
    maxLifetime: float = _describeSetting(
        0.0, "seconds a tunnel may live at all; 0: for ever", 0
    )
    tapHoldTimeout: float = _describeSetting(
        10.0, "seconds a tap may hold a direction before it must decide", 0.001
    )
    tapHoldLimit: int = _describeSetting(
        65536, "most bytes a tap may hold in a direction, octets", 1
    )
