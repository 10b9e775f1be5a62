"""
What can go wrong before a tunnel stands, as exceptions.

L{Refused} carries a row of the refusals table; it is raised by whoever knows
the reason, and rendered and logged in one place.  L{ConfigurationError} stops
start-up with one line.
"""

from __future__ import annotations

from collections.abc import Mapping

from txconnect.wire.http1.response import Relayed
from txconnect.wire.refusals import Cause


class Refused(Exception):
    """
    The request becomes no tunnel.

    @ivar cause: the row of the refusals table.
    @ivar rule: the name of the rule that refused; the cause's label when no
        plugin did.
    @ivar reason: the whole reason, for the log.
    @ivar parameters: further C{Proxy-Status} parameters that are truly known.
    @ivar relayed: what goes on of a parent's answer, when that was the reason.
    """

    def __init__(
        self,
        cause: Cause,
        reason: str = "",
        rule: str = "",
        parameters: Mapping[str, str | int] | None = None,
        relayed: Relayed | None = None,
    ) -> None:
        self.cause = cause
        self.rule = rule or cause.label
        self.reason = reason or cause.summary
        self.parameters = dict(parameters or {})
        self.relayed = relayed
        super().__init__(f"{self.rule}: {self.reason}")


class ConfigurationError(ValueError):
    """
    The proxy cannot start as it was told to.

    C{str()} is for the operator: what is wrong, where, and what to do.
    """
