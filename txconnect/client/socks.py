"""
The endpoint through a SOCKS 5 proxy (RFC 1928), such as Tor, C{ssh -D} or
dante.

A name is sent as a name: the proxy looks it up, and nothing of it shows in
this machine's own look-ups.

The protocol itself is L{txconnect.wire.socks5}, without any I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from zope.interface import implementer

from txconnect.client.arguments import checkedEndpoint, checkedTimeout
from txconnect.client.destination import makeDestination
from txconnect.client.errors import ProxyClosed, ProxyError, ProxyProtocolError
from txconnect.client.negotiation import Negotiation, NegotiationTransport, globalClock
from txconnect.values import Authority
from txconnect.wire.socks5 import (
    BadSocks,
    Reply,
    Socks5Handshake,
    SocksRefusal,
    encodeLogin,
)

if TYPE_CHECKING:
    from txconnect.values import AnyEndpoint

__all__ = ["Socks5Endpoint", "SocksRefused"]

# As in txconnect.client.errors: each says the next thing to look at.
_ADVICE: dict[int, str] = {
    Reply.GENERAL_FAILURE: "it does not say why: see its log",
    Reply.NOT_ALLOWED: "its rules forbid this destination: ask its operator",
    Reply.NETWORK_UNREACHABLE: "it has no route to the destination",
    Reply.HOST_UNREACHABLE: "it could not find or reach the destination",
    Reply.CONNECTION_REFUSED: "the destination refused its connection",
    Reply.TTL_EXPIRED: "it could not reach the destination in time",
    Reply.COMMAND_NOT_SUPPORTED: "it makes no connections",
    Reply.ADDRESS_TYPE_NOT_SUPPORTED: "it does not take this kind of address",
}


class SocksRefused(ProxyError):
    """
    A SOCKS proxy's refusal to connect.

    @ivar code: its reply, one of L{txconnect.wire.socks5.Reply} or another
        number; L{None} when it wanted other credentials, or any at all.
    """

    def __init__(self, authority: Authority, message: str, code: int | None) -> None:
        self.code = code
        super().__init__(authority, message)


@implementer(IStreamClientEndpoint)
class Socks5Endpoint:
    """
    An endpoint for a host and port by way of a SOCKS 5 proxy.

    C{connect} may be called any number of times; each has its own tunnel.

    @ivar authority: the destination.
    """

    def __init__(
        self,
        proxyEndpoint: AnyEndpoint,
        host: str | bytes,
        port: int,
        *,
        user: str | None = None,
        password: str | None = None,
        timeout: float | None = 30.0,
        clock: IReactorTime | None = None,
    ) -> None:
        """
        @param proxyEndpoint: the endpoint of the proxy itself.  Another
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
        @raise ValueError: for a host, a port or a timeout that is not valid, and
            for a user or a password that cannot be sent.
        """
        if user is None and password is not None:
            raise ValueError("there is a password, and no user")
        self._proxyEndpoint = checkedEndpoint(proxyEndpoint)
        self.authority = makeDestination(host, port)
        self._login = None if user is None else encodeLogin(user, password or "")
        self._timeout = checkedTimeout(timeout)
        self._clock = clock

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint.connect}.

        @return: fails with L{SocksRefused}, with another
            L{ProxyError<txconnect.client.errors.ProxyError>}, or with the error
            of connecting to the proxy itself.
        """
        clock = globalClock() if self._clock is None else self._clock
        negotiator = _SocksNegotiator(self.authority, self._login)
        return Negotiation(
            self._proxyEndpoint, negotiator, protocolFactory, self._timeout, clock
        ).start()

    def __repr__(self) -> str:
        return f"<Socks5Endpoint {self.authority} through {self._proxyEndpoint!r}>"


class _SocksNegotiator:
    """
    The L{ProxyNegotiator<txconnect.client.negotiation.ProxyNegotiator>} for a
    SOCKS proxy, on one connection.
    """

    waitsFor = "the SOCKS proxy to let us in"
    _transport: NegotiationTransport
    _started = False

    def __init__(self, authority: Authority, login: tuple[bytes, bytes] | None) -> None:
        self.authority = authority
        self._login = login
        self._handshake = Socks5Handshake(authority, login)

    def beginNegotiation(self, transport: NegotiationTransport) -> None:
        self._transport = transport
        transport.write(self._handshake.offerMethods())

    def dataReceived(self, data: bytes) -> None:
        self._started = True
        try:
            answer = self._handshake.feedReply(data)
        except SocksRefusal as refusal:
            self._transport.failAttempt(self._makeRefused(refusal))
        except BadSocks as bad:
            error = ProxyProtocolError(self.authority, str(bad))
            self._transport.failAttempt(error)
        else:
            self._advanceHandshake(answer)

    def _advanceHandshake(self, answer: bytes) -> None:
        if answer:
            self._transport.write(answer)
        if self._handshake.requested:
            self.waitsFor = "the SOCKS proxy to connect to the destination"
        if self._handshake.established:
            self._transport.establishTunnel(self._handshake.trailing)

    def proxyEnded(self, clean: bool) -> None:
        # Never dialled again: a SOCKS connection serves one request only.
        error = ProxyClosed(self.authority, clean, self._started)
        self._transport.failAttempt(error)

    def deadlineError(self) -> None:
        return None

    def stopNegotiation(self) -> None:
        """Do nothing: nothing here outlives the connection."""

    def _makeRefused(self, refusal: SocksRefusal) -> SocksRefused:
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
                "without; ask its operator"
            )
        return SocksRefused(self.authority, message, code)
