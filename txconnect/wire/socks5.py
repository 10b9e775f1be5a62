"""
SOCKS 5 from the client's side (RFC 1928), with a user and a password where
they are given (RFC 1929): octets in, octets out.

Each rule is tied to the first octet that can break it, so that what comes of a
stream depends on its octets alone, never on how they were split.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from txconnect.wire.authority import Authority

__all__ = ["BadSocks", "Reply", "Socks5Handshake", "SocksRefusal", "encodeLogin"]

_VERSION = 5
_OPEN, _LOGIN, _NEITHER = 0x00, 0x02, 0xFF
_IPV4, _NAME, _IPV6 = 0x01, 0x03, 0x04
_LENGTHS = {_IPV4: 4, _IPV6: 16}


class Reply(IntEnum):
    """
    Why a request is refused (RFC 1928, 6).
    """

    GENERAL_FAILURE = 1
    NOT_ALLOWED = 2
    NETWORK_UNREACHABLE = 3
    HOST_UNREACHABLE = 4
    CONNECTION_REFUSED = 5
    TTL_EXPIRED = 6
    COMMAND_NOT_SUPPORTED = 7
    ADDRESS_TYPE_NOT_SUPPORTED = 8


class SocksRefusal(Exception):
    """
    The proxy speaks SOCKS 5, and refuses.

    @ivar code: the reply, one of L{Reply} or another number that is not 0;
        L{None} when it already did not let us in.
    @ivar login: where C{code} is L{None}: whether it looked at a user and a
        password, and did not take them.
    """

    def __init__(self, code: int | None, login: bool = False) -> None:
        self.code = code
        self.login = login
        super().__init__(code, login)


class BadSocks(Exception):
    """
    What the proxy sent is no SOCKS 5.  C{str()} is a sentence that repeats
    nothing of it.
    """


def encodeLogin(user: str, password: str) -> tuple[bytes, bytes]:
    """
    Write a user and a password as RFC 1929 has them, in UTF-8.

    @raise ValueError: when one has no such form; the message repeats neither.
    """
    login = (_octets(user, "user"), _octets(password, "password"))
    if not login[0]:
        raise ValueError("the user is empty")
    return login


class Socks5Handshake:
    """
    Asks one proxy for one connection.

    @ivar requested: whether the proxy has let us in, and was told where to.
    @ivar established: whether the proxy has connected to the destination.
    @ivar trailing: what was fed behind the proxy's last reply: the tunnel's
        first octets.
    """

    requested = False
    established = False
    trailing = b""

    def __init__(
        self, authority: Authority, login: tuple[bytes, bytes] | None = None
    ) -> None:
        """
        @param authority: the destination.  A name is sent as a name, and
            looked up by the proxy.
        @param login: from L{encodeLogin}; L{None} offers none.
        @raise ValueError: for a name of more than 255 octets.
        """
        self._request = b"\x05\x01\x00" + _encodeAuthority(authority)
        self._login = login
        self._data = b""
        self._next: Callable[[], bytes | None] = self._readMethod

    def begin(self) -> bytes:
        """
        What to send first: the ways in that we can take.
        """
        return b"\x05\x01\x00" if self._login is None else b"\x05\x02\x00\x02"

    def feed(self, data: bytes) -> bytes:
        """
        Take the next octets.  Once L{established} is true, or something was
        raised, nothing more may be fed.

        @return: what to send now; may be empty.
        @raise SocksRefusal: when the proxy refuses.
        @raise BadSocks: as soon as the octets so far are no SOCKS 5.
        """
        self._data += data
        answer = b""
        while not self.established and (part := self._next()) is not None:
            answer += part
        if self.established:
            self.trailing, self._data = self._data, b""
        return answer

    # Each of these reads one message of the proxy when it is there, and gives
    # what to say to it; None when more of it must come.

    def _readMethod(self) -> bytes | None:
        self._check("what answers speaks no SOCKS 5")
        message = self._take(2)
        if message is None:
            return None
        method = message[1]
        if method == _NEITHER:
            raise SocksRefusal(None)
        if method == _LOGIN and self._login is not None:
            self._next = self._readVerdict
            user, password = self._login
            return b"\x01%c%b%c%b" % (len(user), user, len(password), password)
        if method != _OPEN:
            raise BadSocks("the proxy has chosen a way in that it was not offered")
        return self._sendRequest()

    def _readVerdict(self) -> bytes | None:
        # RFC 1929, 2 has a 1 here.  Some proxies send the 5 of SOCKS: what
        # counts is the octet behind it.
        message = self._take(2)
        if message is None:
            return None
        if message[1] != 0:
            raise SocksRefusal(None, login=True)
        return self._sendRequest()

    def _sendRequest(self) -> bytes:
        self.requested = True
        self._next = self._readReply
        return self._request

    def _readReply(self) -> bytes | None:
        self._check("the proxy's reply is no SOCKS 5")
        data = self._data
        if len(data) > 1 and data[1] != 0:
            raise SocksRefusal(data[1])
        if len(data) > 3 and data[3] not in (*_LENGTHS, _NAME):
            raise BadSocks("the proxy's reply has an address of no known kind")
        if len(data) < 5:
            return None
        # Where the proxy's own connection begins: of no use to anyone here.
        if self._take(4 + _LENGTHS.get(data[3], 1 + data[4]) + 2) is None:
            return None
        self.established = True
        return b""

    def _check(self, complaint: str) -> None:
        if self._data and self._data[0] != _VERSION:
            raise BadSocks(complaint)

    def _take(self, size: int) -> bytes | None:
        if len(self._data) < size:
            return None
        taken, self._data = self._data[:size], self._data[size:]
        return taken


def _encodeAuthority(authority: Authority) -> bytes:
    address, port = authority.address, authority.port.to_bytes(2, "big")
    if address is not None:
        kind = _IPV4 if address.version == 4 else _IPV6
        return bytes([kind]) + address.packed + port
    name = authority.host.encode("ascii")
    if len(name) > 255:
        raise ValueError("the host name is longer than 255 octets")
    return bytes([_NAME, len(name)]) + name + port


def _octets(text: str, what: str) -> bytes:
    try:
        octets = text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"the {what} is not Unicode") from None
    if len(octets) > 255:
        raise ValueError(f"the {what} is longer than the 255 octets of SOCKS 5")
    return octets
