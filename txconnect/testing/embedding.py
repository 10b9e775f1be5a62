"""
The conformance checks for the plugins of programs that embed the proxy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred

from txconnect.interfaces import IRequestHandler, ITunnelFields
from txconnect.maybeasync import settle
from txconnect.testing.complaints import (
    callHook,
    requireThat,
    unwrapNamed,
    verifyInterface,
)
from txconnect.testing.kit import makeTunnel
from txconnect.testing.samples import OWN_REQUESTS, REQUESTS
from txconnect.values import Answer, Request
from txconnect.wire.answerfields import checkedFields

__all__ = ["checkRequestHandler", "checkTunnelFields"]


def checkRequestHandler(
    handler: object, requests: Iterable[Request] = OWN_REQUESTS
) -> None:
    """
    Check an L{IRequestHandler}: it must answer each request with an L{Answer} or
    L{None}, or wait; one that waits is cancelled.

    @param requests: the requests in place of the samples.
    """
    verifyInterface(IRequestHandler, handler)
    plugin = unwrapNamed(handler)
    without: object = getattr(plugin, "withoutCredentials", False)
    requireThat(
        isinstance(without, bool),
        handler,
        f"its withoutCredentials is {without!r}; only True asks it without credentials",
    )
    for request in requests:
        over = f"{request.method} {request.target[:40]}"
        answer = callHook(handler, over, _settled, plugin.handle, request)
        if isinstance(answer, Deferred):
            # It has not fired: the result of the cancellation is no answer.
            answer.addErrback(lambda _: None)
            answer.cancel()
            continue
        requireThat(
            answer is None or type(answer) is Answer,
            handler,
            f"it answered {type(answer).__name__} over {over}, not an Answer or None",
        )


def _settled(hook: Callable[[Request], object], request: Request) -> object:
    return settle(hook(request))


def checkTunnelFields(plugin: object) -> None:
    """
    Check an L{ITunnelFields}: it must give fields that can be sent, for tunnels with
    and without their optional parts.
    """
    verifyInterface(ITunnelFields, plugin)
    adds = unwrapNamed(plugin).tunnelFields
    for request in REQUESTS:
        for tunnel in (makeTunnel(request), makeTunnel(request, None)):
            callHook(
                plugin, "a tunnel", lambda tunnel: checkedFields(adds(tunnel)), tunnel
            )
