"""
The exceptions that end a request, a tunnel, or the start of the proxy.

L{Refused} carries a row of the refusals table.  The code that knows the reason
raises it, and one place (L{txconnect.exchange.exchange}) makes the answer and the event
of it.  L{EndTunnel} is a tap's.  L{ConfigurationError} stops start-up with one line.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING

from txconnect.wire.refusals import Cause

# A refusal carries these, and makes none: settings and plugins need the exceptions,
# and not all of HTTP with them.
if TYPE_CHECKING:
    from txconnect.wire.attempted import Attempted
    from txconnect.wire.responses import Relayed, Response


class Refused(Exception):
    """
    The request becomes no tunnel.

    @ivar cause: the row of the refusals table.
    @ivar rule: the name of the rule that refused; the cause's label when no
        plugin did.
    @ivar reason: the whole reason, for the log.
    @ivar parameters: further C{Proxy-Status} parameters that are truly known.
    @ivar relayed: the part of a parent's answer that the client gets, when that
        answer was the reason.
    @ivar attempted: the unproved part of the request, for the log alone.
    """

    def __init__(
        self,
        cause: Cause,
        reason: str = "",
        rule: str = "",
        parameters: Mapping[str, str | int] | None = None,
        relayed: Relayed | None = None,
        attempted: Attempted | None = None,
    ) -> None:
        self.cause = cause
        self.rule = rule or cause.label
        self.reason = reason or cause.summary
        self.parameters = dict(parameters or {})
        self.relayed = relayed
        self.attempted = attempted
        super().__init__(f"{self.rule}: {self.reason}")


class Answered(Refused):
    """
    The request becomes no tunnel, because it was one to the proxy itself, and a
    handler has answered it.

    @ivar response: the answer.
    """

    def __init__(self, rule: str, reason: str, response: Response) -> None:
        super().__init__(Cause.ANSWERED, reason, rule)
        self.response = response


class EndTunnel(Exception):
    """
    A tap ends its tunnel, as a policy refuses a request.

    Raised by the callable of an
    L{ITrafficTap<txconnect.interfaces.ITrafficTap>}, it resets both legs, and the log
    has the tap's name and the reason, without a traceback.  Raised by C{tap} itself,
    before the client is sent its 200, it refuses the request.

    @ivar reason: the reason, for the log.
    """

    reason = "the tap has ended the tunnel"

    def __init__(self, reason: str = "") -> None:
        if reason:
            self.reason = str(reason)
        super().__init__(self.reason)


class ConfigurationError(ValueError):
    """
    The proxy cannot start as it was told to.

    C{str()} is for the operator: the mistake, its place, and its remedy.
    """


EXHAUSTION = frozenset(
    (
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOBUFS,
        # No more descriptors may be watched (fs.epoll.max_user_watches).
        errno.ENOSPC,
    )
)
"""The errno of a system that has no descriptor or no memory left."""

_CAUSES = {
    errno.ECONNREFUSED: Cause.CONNECTION_REFUSED,
    errno.ECONNRESET: Cause.CONNECTION_TERMINATED,
    errno.ECONNABORTED: Cause.CONNECTION_TERMINATED,
    # Gone between its first answer and a transport made of it.
    errno.ENOTCONN: Cause.CONNECTION_TERMINATED,
    errno.EPIPE: Cause.CONNECTION_TERMINATED,
    errno.ETIMEDOUT: Cause.CONNECTION_TIMEOUT,
    errno.ENETUNREACH: Cause.UNROUTABLE,
    errno.EHOSTUNREACH: Cause.UNROUTABLE,
    errno.ENETDOWN: Cause.UNROUTABLE,
    errno.EHOSTDOWN: Cause.UNROUTABLE,
    # A firewall of the proxy's own machine; a scope or a broadcast address.
    errno.EACCES: Cause.UNROUTABLE,
    errno.EPERM: Cause.UNROUTABLE,
    errno.EINVAL: Cause.UNROUTABLE,
    errno.EAFNOSUPPORT: Cause.UNROUTABLE,
    **dict.fromkeys(EXHAUSTION, Cause.EXHAUSTED),
    errno.EADDRNOTAVAIL: Cause.EXHAUSTED,
    errno.EADDRINUSE: Cause.EXHAUSTED,
    errno.EAGAIN: Cause.EXHAUSTED,
}


def causeOf(error: BaseException | None) -> Cause:
    """
    Return the row of the refusals table for an attempt to connect that failed.

    @param error: with an C{errno}, or Twisted's C{osError}, where it has one.
    """
    code = getattr(error, "osError", None) or getattr(error, "errno", None)
    return _CAUSES.get(code, Cause.INTERNAL)  # type: ignore[arg-type]
