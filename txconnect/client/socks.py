"""
The endpoint through a SOCKS 5 proxy (RFC 1928), such as Tor, C{ssh -D} or
dante.

A name is sent as a name: the proxy looks it up, and nothing of it shows in
this machine's own look-ups.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from zope.interface import implementer

from txconnect.client.destination import makeDestination
from txconnect.client.errors import ProxyClosed, ProxyError, ProxyProtocolError
from txconnect.client.negotiation import Line, Negotiation, globalClock
from txconnect.values import Authority
from txconnect.wire.socks5 import (
    BadSocks,
    Reply,
    Socks5Handshake,
    SocksRefusal,
    encodeLogin,
)

__all__ = ["Socks5Endpoint", "SocksRefused"]

_ADVICE: dict[int, str] = {
    Reply.GENERAL_FAILURE: "it does not say why: see its log",
    Reply.NOT_ALLOWED: "its rules forbid this destination: ask whoever runs it",
    Reply.NETWORK_UNREACHABLE: "it has no route to the destination",
    Reply.HOST_UNREACHABLE: "it could not find or reach the destination",
    Reply.CONNECTION_REFUSED: "the destination refused its connection",
    Reply.TTL_EXPIRED: "it could not reach the destination in time",
    Reply.COMMAND_NOT_SUPPORTED: "it makes no connections",
    Reply.ADDRESS_TYPE_NOT_SUPPORTED: "it does not take this kind of address",
}


class SocksRefused(ProxyError):
    """
    The SOCKS proxy answered, and refuses.

    @ivar code: its reply, one of L{txconnect.wire.socks5.Reply} or another
        number; L{None} when it wanted other credentials, or some at all.
    """

    def __init__(self, authority: Authority, message: str, code: int | None) -> None:
        self.code = code
        super().__init__(authority, message)


@implementer(IStreamClientEndpoint)
class Socks5Endpoint:
    """
    Connects to a host and port by way of a SOCKS 5 proxy.

    C{connect} may be called any number of times; each has its own tunnel.

    @ivar authority: the destination.
    """

    def __init__(
        self,
        proxyEndpoint: IStreamClientEndpoint,
        host: str | bytes,
        port: int,
        *,
        user: str | None = None,
        password: str | None = None,
        timeout: float | None = 30.0,
        clock: IReactorTime | None = None,
    ) -> None:
        """
        @param proxyEndpoint: how the proxy itself is reached.  Another
            endpoint of this kind, or a
            L{ConnectEndpoint<txconnect.client.endpoint.ConnectEndpoint>},
            makes a chain.
        @param host: a name, which the proxy looks up, or an address, IPv6 with
            or without brackets.
        @param user: for a proxy that asks for one (RFC 1929); goes in UTF-8
            and in the clear.
        @param password: for the user.
        @param timeout: seconds for all of it, connecting to the proxy
            included; L{None} for no limit.
        @param clock: for the timeout; by default the global reactor.
        @raise ValueError: for what is no host, no port, no timeout, or cannot be
            sent.
        """
        if user is None and password is not None:
            raise ValueError("there is a password, and no user")
        self._proxyEndpoint = proxyEndpoint
        self.authority = makeDestination(host, port)
        self._login = None if user is None else encodeLogin(user, password or "")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"the timeout is {timeout}: it must be above 0, or None")
        self._timeout = timeout
        self._clock = clock

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint.connect}.

        @return: fails with L{SocksRefused}, with another
            L{ProxyError<txconnect.client.errors.ProxyError>}, or with what
            connecting to the proxy itself fails with.
        """
        clock = globalClock() if self._clock is None else self._clock
        dialogue = _SocksDialogue(self.authority, self._login)
        return Negotiation(
            self._proxyEndpoint, dialogue, protocolFactory, self._timeout, clock
        ).start()

    def __repr__(self) -> str:
        return f"<Socks5Endpoint {self.authority} through {self._proxyEndpoint!r}>"


class _SocksDialogue:
    """
    The L{Dialogue<txconnect.client.negotiation.Dialogue>} with a SOCKS proxy,
    on one connection.
    """

    waitsFor = "the SOCKS proxy to let us in"
    _line: Line
    _started = False

    def __init__(self, authority: Authority, login: tuple[bytes, bytes] | None) -> None:
        self.authority = authority
        self._login = login
        self._handshake = Socks5Handshake(authority, login)

    def begin(self, line: Line) -> None:
        self._line = line
        line.send(self._handshake.begin())

    def received(self, data: bytes) -> None:
        self._started = True
        try:
            answer = self._handshake.feed(data)
        except SocksRefusal as refusal:
            self._line.fail(self._refused(refusal))
        except BadSocks as bad:
            self._line.fail(ProxyProtocolError(self.authority, str(bad)))
        else:
            self._goOn(answer)

    def _goOn(self, answer: bytes) -> None:
        if answer:
            self._line.send(answer)
        if self._handshake.requested:
            self.waitsFor = "the SOCKS proxy to connect to the destination"
        if self._handshake.established:
            self._line.establish(self._handshake.trailing)

    def ended(self, clean: bool) -> None:
        self._line.fail(ProxyClosed(self.authority, clean, self._started))

    def late(self) -> None:
        return None

    def stop(self) -> None:
        """Nothing is under way that outlives the connection."""

    def _refused(self, refusal: SocksRefusal) -> SocksRefused:
        code = refusal.code
        if code is not None:
            advice = _ADVICE.get(code, "this is no code of SOCKS 5: see its log")
            message = f"the SOCKS proxy refused with code {code}; {advice}"
        elif refusal.login:
            message = "the SOCKS proxy did not take the user and the password"
        elif self._login is None:
            message = "the SOCKS proxy wants credentials, and none were given"
        else:
            message = (
                "the SOCKS proxy takes neither a user with a password nor anyone "
                "without; ask whoever runs it"
            )
        return SocksRefused(self.authority, message, code)
