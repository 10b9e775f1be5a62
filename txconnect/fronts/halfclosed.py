"""
Requests whose client has sent FIN, while they are set up.

A FIN behind the head is a half-close (with C{--half-close carry}), ahead of the answer
as after it: the client sends no more, and reads on.  So its request goes on, and
whatever its answer is, it is sent; the tunnel's relay finds the FIN behind the early
data.  The transport is not read any more, so a reset is watched for
(L{txconnect.tunnel.kernel.leaving}).

Under TLS the end is a C{close_notify}, which Twisted answers with its own at once, so
that nothing can be sent behind it.  Ahead of the answer it is therefore kept from
Twisted (L{hearTLSEnd}).  A FIN without C{close_notify} may be a truncation, and is
leaving there.

A client that has closed its socket looks the same until something is sent to it.  So a
stranger who asks and closes at once has a look-up and a dial done for an answer that
nobody reads, while one who must keep the connection open pays for it with a descriptor.
Therefore these requests are counted, and bounded for each client's address.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from txconnect.ownaddresses import unmapped
from txconnect.settings import Settings
from txconnect.transports import canHalfClose, wasReset
from txconnect.tunnel.kernel.leaving import LeaveWatch


def awaitsAnswer(settings: Settings, transport: object) -> bool:
    """
    Tell whether a client whose input has just ended may still read its answer.

    Not where nothing can be sent any more then, as by a wrapper that knows no
    half-close.
    """
    return (
        settings.halfClose == "carry"
        and canHalfClose(transport)
        and not wasReset(transport)
    )


def hearTLSEnd(transport: Any, ended: Callable[[], bool]) -> None:
    """
    Have C{ended} called when a client sends C{close_notify}, if its connection is TLS
    of Twisted's.

    @param ended: may be called several times; tells whether the connection stays open
        for an answer, else it is closed.
    """
    from OpenSSL import SSL

    connection = _tlsConnection(transport)
    if connection is None:
        return

    def receiveUntilEnd(size: int) -> bytes:
        # Asked for each time: a reference in here would be a circle.
        try:
            return SSL.Connection.recv(transport.getHandle(), size)
        except SSL.ZeroReturnError:
            if ended():
                # There is nothing to read now, nor will there be.
                raise SSL.WantReadError from None
            raise

    connection.recv = receiveUntilEnd


def ignoreTLSEnd(transport: Any) -> None:
    """Undo L{hearTLSEnd}: a tunnel's octets do not pass through it."""
    connection = _tlsConnection(transport)
    if connection is not None:
        vars(connection).pop("recv", None)


def _tlsConnection(transport: Any) -> Any:
    """Return the connection of OpenSSL's, or L{None} where there is none."""
    # Late: a proxy without TLS does not pay for it.
    from OpenSSL import SSL

    handle = getattr(transport, "getHandle", lambda: None)()
    return handle if isinstance(handle, SSL.Connection) else None


def _hostOf(peer: object) -> object:
    """
    Return the host by which a client is counted.

    For an IPv6 address it is the network of 64 bits (RFC 4291, 2.5.4): one machine may
    use as many addresses of it as it likes.
    """
    host = getattr(peer, "host", None)
    try:
        address = unmapped(ip_address(host or ""))
    except ValueError:
        return host
    return address if address.version == 4 else int(address) >> 64


class InputEnd:
    """
    The end of the input of a client whose request is set up.

    @param forget: counts the request no more; L{None} where it is not counted, as it
        would be over the bound.
    @ivar read: whether the end has been read; a paused transport has it still ahead.
    """

    __slots__ = ("_forget", "read")

    def __init__(self, forget: Callable[[], None] | None) -> None:
        self._forget = forget
        self.read = False

    @property
    def counted(self) -> bool:
        """Tell whether the request is within the bound, and not answered yet."""
        return self._forget is not None

    def answerDecided(self) -> None:
        """
        Count the request no more, and watch its client no more: before anything else
        watches the transport or closes it.
        """
        forget, self._forget = self._forget, None
        if forget is not None:
            forget()


class HalfClosedRequests:
    """
    The requests of one proxy whose client has sent FIN, by the client's address.

    @param leaving: watches their clients.
    """

    def __init__(self, leaving: LeaveWatch) -> None:
        self._leaving = leaving
        self._counts: dict[object, int] = {}

    def __len__(self) -> int:
        return sum(self._counts.values())

    def addRequest(
        self, transport: Any, most: int, reset: Callable[[], None]
    ) -> InputEnd:
        """
        Count a request, unless there are enough, and watch its client.

        @param transport: its client's; all ports of one host count together.
        @param most: the bound.
        @param reset: called once if the client resets the connection.
        """
        host = _hostOf(transport.getPeer())
        count = self._counts.get(host, 0)
        if count >= most:
            return InputEnd(None)
        self._leaving.watch(transport, reset)
        self._counts[host] = count + 1

        def removeRequest() -> None:
            self._leaving.unwatch(transport)
            self._counts[host] -= 1
            if not self._counts[host]:
                del self._counts[host]

        return InputEnd(removeRequest)
