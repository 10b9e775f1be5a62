"""
What a client is told when there is no tunnel.

Each is a L{twisted.internet.error.ConnectError}, so that a program which
handles failing to connect handles these too.  C{str()} is one line: which
destination, what the proxy said or did, and what to do about it.  None holds a
secret of the caller's.

What goes wrong before the proxy itself is reached (it refuses the connection,
it is not found, its certificate is wrong) is not here: that is Twisted's own
error, passed through.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.error import ConnectError, TimeoutError as TwistedTimeoutError

from txconnect.wire.authority import Authority
from txconnect.wire.challenges import Challenge
from txconnect.wire.http1.answer import Flaw
from txconnect.wire.proxystatus import ProxyStatusMember

__all__ = [
    "ProxyAuthenticationRequired",
    "ProxyClosed",
    "ProxyError",
    "ProxyProtocolError",
    "ProxyRefused",
    "ProxyTimeout",
    "printable",
]

SHOWN = 100
"""Most characters of what a proxy wrote that an error shows."""

_ADVICE = {
    # What tinyproxy says of wrong credentials.
    401: "it does not take these credentials, or is a web server and no proxy",
    403: "its rules forbid this destination: ask whoever runs the proxy",
    404: "it looks like a web server, not a proxy: check its address and port",
    405: "it does not do CONNECT: check its address and port",
    407: "it wants credentials: none were given that it takes",
    429: "it has had too many requests: try again later",
    501: "it does not do CONNECT: check its address and port",
    502: "it could not reach the destination",
    503: "it could not reach the destination, or is too busy: try again later",
    504: "it could not reach the destination in time",
}
_OTHERS = {
    1: "it does not answer as a proxy does: check its address and port",
    3: "redirections of a CONNECT are never followed",
    4: "ask whoever runs the proxy",
    5: "the fault is on its side, or further on",
}


def printable(text: str, limit: int = SHOWN) -> str:
    """
    What a peer wrote, fit for one line of a message: cut to C{limit}
    characters, and with C{?} for each that cannot be printed.
    """
    shown = "".join(each if each.isprintable() else "?" for each in text[:limit])
    return shown + "..." if len(text) > limit else shown


class ProxyError(ConnectError):
    """
    The proxy was reached, and there is no tunnel.

    @ivar authority: the destination that was asked for.
    """

    def __init__(self, authority: Authority, message: str) -> None:
        self.authority = authority
        super().__init__(  # type: ignore[no-untyped-call]
            None, f"no tunnel to {authority}: {message}"
        )

    def __str__(self) -> str:
        return str(self.args[0])


class ProxyRefused(ProxyError):
    """
    The proxy answered, and the answer is no 2xx.

    @ivar status: the status code.
    @ivar reason: the reason phrase as it came: not fit for a log unless made
        L{printable}.
    @ivar headers: C{((lower-case name, value), ...)} of the answer, in order.
    @ivar proxyStatus: the members of its C{Proxy-Status} (RFC 9209), nearest to
        the destination first; empty when there is none, or it does not parse.
    @ivar body: the first 16384 octets of its content at most.
    """

    def __init__(
        self,
        authority: Authority,
        status: int,
        reason: str = "",
        headers: Sequence[tuple[bytes, bytes]] = (),
        proxyStatus: Sequence[ProxyStatusMember] = (),
        body: bytes = b"",
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = tuple(headers)
        self.proxyStatus = tuple(proxyStatus)
        self.body = body
        phrase = f"{status} {printable(reason)}".strip()
        for member in self.proxyStatus:
            if "error" in member.parameters:
                # The first is the nearest to the destination: it knows best.
                phrase += f" ({printable(str(member.parameters['error']))})"
                break
        advice = _ADVICE.get(status) or _OTHERS.get(status // 100, _OTHERS[1])
        super().__init__(authority, f"the proxy answered {phrase}; {advice}")


class ProxyAuthenticationRequired(ProxyRefused):
    """
    The proxy answered 407, and there are no credentials, or no more, that
    it could take.

    @ivar challenges: what it asked for; empty when its C{Proxy-Authenticate}
        does not parse.
    """

    challenges: tuple[Challenge, ...] = ()


class ProxyProtocolError(ProxyError):
    """
    What the proxy sent is no answer.

    @ivar flaw: the kind of flaw, or L{None} for a proxy that does not speak
        HTTP (SOCKS).
    """

    def __init__(
        self, authority: Authority, reason: str, flaw: Flaw | None = None
    ) -> None:
        self.flaw = flaw
        super().__init__(
            authority,
            f"{reason}; check the address of the proxy, its port, and whether it "
            "wants TLS",
        )


class ProxyClosed(ProxyError):
    """The proxy closed the connection before its answer was complete."""

    def __init__(self, authority: Authority, clean: bool, started: bool) -> None:
        how = "closed" if clean else "lost"
        where = "within its answer" if started else "without an answer"
        super().__init__(
            authority,
            f"the connection to the proxy was {how} {where}; check whether this is "
            "a proxy, and whether it wants TLS",
        )


class ProxyTimeout(ProxyError, TwistedTimeoutError):
    """There was no tunnel within the time given."""

    def __init__(self, authority: Authority, seconds: float, waitedFor: str) -> None:
        # A share of a deadline has digits that tell nothing.
        shown = f"{seconds:.3g}" if seconds < 1 else f"{round(seconds, 1):g}"
        super().__init__(
            authority, f"still waiting for {waitedFor} after {shown} seconds"
        )
