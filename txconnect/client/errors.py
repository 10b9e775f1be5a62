"""
The errors of a client that gets no tunnel.

Each is a L{twisted.internet.error.ConnectError}, so that a program which
handles failing to connect handles these too.  C{str()} is one line: the
destination, the proxy's answer or fault, and a remedy.  None holds a secret of
the caller's.

Errors before the proxy itself is reached (it refuses the connection, it is not
found, its certificate is wrong) are not here: those are Twisted's own, passed
through with the proxy's name added (L{txconnect.client.proxynames}).
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
"""Most characters of a proxy's text that an error shows."""

# Most users who see a status cannot change the proxy, and do not know whether it
# is one: so each says the next thing to look at.
_ADVICE = {
    # tinyproxy's answer to wrong credentials.
    401: "it does not take these credentials, or is a web server and no proxy",
    403: "its rules forbid this destination: ask the proxy's operator",
    404: "it looks like a web server, not a proxy: check its address and port",
    405: "it does not do CONNECT: check its address and port",
    429: "it has had too many requests: try again later",
    501: "it does not do CONNECT: check its address and port",
    502: "it could not reach the destination",
    503: "it could not reach the destination, or is too busy: try again later",
    504: "it could not reach the destination in time",
}
# By the first digit, for every other status.
_OTHERS = {
    1: "it does not answer as a proxy does: check its address and port",
    3: "redirections of a CONNECT are never followed",
    4: "ask the proxy's operator",
    5: "the fault is on its side, or further on",
}


def printable(text: str, limit: int = SHOWN) -> str:
    """
    Make a peer's text fit for one line of a message: cut to C{limit}
    characters, and with C{?} for each that cannot be printed.
    """
    shown = "".join(each if each.isprintable() else "?" for each in text[:limit])
    return shown + "..." if len(text) > limit else shown


class ProxyError(ConnectError):
    """
    A failure to get a tunnel from a proxy that was reached.

    @ivar authority: the destination.
    @ivar proxy: the proxy, C{host:port}; empty where that is not known.
    """

    proxy = ""

    def __init__(self, authority: Authority, message: str) -> None:
        self.authority = authority
        super().__init__(None, message)  # type: ignore[no-untyped-call]

    def __str__(self) -> str:
        through = f" through {self.proxy}" if self.proxy else ""
        return f"no tunnel to {self.authority}{through}: {self._message()}"

    def _message(self) -> str:
        """Return what went wrong, and what to do."""
        return str(self.args[0])


class ProxyRefused(ProxyError):
    """
    An answer of the proxy that is no 2xx.

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
        super().__init__(authority, f"the proxy answered {self._phrase()}")

    def _phrase(self) -> str:
        phrase = f"{self.status} {printable(self.reason)}".strip()
        for member in self.proxyStatus:
            if "error" in member.parameters:
                # The first is the nearest to the destination, and has the cause.
                phrase += f" ({printable(str(member.parameters['error']))})"
                break
        return phrase

    def _message(self) -> str:
        return f"{self.args[0]}; {self._advice()}"

    def _advice(self) -> str:
        return _ADVICE.get(self.status) or _OTHERS.get(self.status // 100, _OTHERS[1])


class ProxyAuthenticationRequired(ProxyRefused):
    """
    A 407 of the proxy, with no credentials, or no more, to offer it.

    @ivar challenges: the proxy's challenges; empty when its
        C{Proxy-Authenticate} does not parse.
    @ivar hadCredentials: true if the client had any, sent or not.
    @ivar refused: true if the request had credentials.
    """

    challenges: tuple[Challenge, ...] = ()
    hadCredentials = False
    refused = False
    _otherScheme = False

    def noteCredentials(self, had: bool, sent: bytes | None) -> None:
        """
        Note what the refused request had, for the words; nothing of it is kept.

        @param had: whether the client had any credentials.
        @param sent: the credentials of the request, or L{None}.
        """
        self.hadCredentials = had
        self.refused = sent is not None
        scheme = (sent or b"").split(b" ", 1)[0].decode("latin-1").lower()
        self._otherScheme = scheme not in {each.scheme for each in self.challenges}

    def _advice(self) -> str:
        schemes = dict.fromkeys(_shownScheme(each.scheme) for each in self.challenges)
        takes = f": it takes {', '.join(schemes)}" if schemes else ""
        if not self.refused:
            suited = " that it takes" if self.hadCredentials else ""
            return f"it wants credentials, and none were given{suited}{takes}"
        return "it refuses the credentials that were given" + (
            takes if self._otherScheme else ""
        )


def _shownScheme(scheme: str) -> str:
    """Return a scheme's name as it is mostly written."""
    return "NTLM" if scheme == "ntlm" else scheme.capitalize()


class ProxyProtocolError(ProxyError):
    """
    Octets of the proxy that are no valid answer.

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
    """The end of the connection before the proxy's answer was complete."""

    def __init__(self, authority: Authority, clean: bool, started: bool) -> None:
        manner = "closed" if clean else "lost"
        place = "within its answer" if started else "without an answer"
        super().__init__(
            authority,
            f"the connection to the proxy was {manner} {place}; check whether this is "
            "a proxy, and whether it wants TLS",
        )


class ProxyTimeout(ProxyError, TwistedTimeoutError):
    """The deadline came before there was a tunnel."""

    def __init__(self, authority: Authority, seconds: float, waitedFor: str) -> None:
        # Time-outs may be computed, and then have many digits of no use.
        shown = f"{seconds:.3g}" if seconds < 1 else f"{round(seconds, 1):g}"
        super().__init__(
            authority, f"still waiting for {waitedFor} after {shown} seconds"
        )
