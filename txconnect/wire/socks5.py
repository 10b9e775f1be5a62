"""
SOCKS 5 from the client's side (RFC 1928), with a user and a password if they
are given (RFC 1929): octets in, octets out.

Each rule is tied to the first octet that can break it, so that the result
depends on the octets of the stream alone, never on how they were split.

No library has this part without its I/O: python-socks has it in private modules,
and txsocksx has had no release since 2015.
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
    The reasons for which a proxy refuses a request (RFC 1928, 6).
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
        L{None} if the proxy refused before the request, during authentication.
    @ivar login: if C{code} is L{None}, true if the proxy refused the user and the
        password, and false if it accepted none of the methods.
    """

    def __init__(self, code: int | None, login: bool = False) -> None:
        self.code = code
        self.login = login
        super().__init__(code, login)


class BadSocks(Exception):
    """
    The proxy's octets are not SOCKS 5.  C{str()} is a sentence that repeats
    nothing of them.
    """


def encodeLogin(user: str, password: str) -> tuple[bytes, bytes]:
    """
    Encode a user and a password for RFC 1929, in UTF-8.

    @raise ValueError: if one of them cannot be encoded; the message repeats
        neither.
    """
    login = (_loginOctets(user, "user"), _loginOctets(password, "password"))
    # RFC 1929, 2 wants 1 to 255 octets of each, but proxies accept an empty
    # password.
    if not login[0]:
        raise ValueError("the user is empty")
    return login


class Socks5Handshake:
    """
    A client's handshake with one proxy, for one connection.

    @ivar requested: true once authentication is done and the request is written.
    @ivar established: true once the proxy has connected to the destination.
    @ivar trailing: the octets that were fed after the proxy's last reply: the
        tunnel's first octets.
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

    def offerMethods(self) -> bytes:
        """
        Return the first message, which offers the methods of authentication.
        """
        # With a login both methods are offered (RFC 1928, 3), and the proxy chooses:
        # one that needs no login may not know the method for it.
        return b"\x05\x01\x00" if self._login is None else b"\x05\x02\x00\x02"

    def feedReply(self, data: bytes) -> bytes:
        """
        Take the next octets.  Once L{established} is true, or an exception was
        raised, nothing more may be fed.

        @return: the octets to send now; may be empty.
        @raise SocksRefusal: if the proxy refuses.
        @raise BadSocks: as soon as the octets so far are not SOCKS 5.
        """
        self._data += data
        answer = b""
        while not self.established and (part := self._next()) is not None:
            answer += part
        if self.established:
            self.trailing, self._data = self._data, b""
        return answer

    # Each of these reads one message of the proxy once it is complete, and returns
    # the answer to it, or None until then.

    def _readMethod(self) -> bytes | None:
        self._checkVersion("the proxy does not speak SOCKS 5")
        message = self._takeOctets(2)
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
            raise BadSocks("the proxy has chosen a method that it was not offered")
        return self._sendRequest()

    def _readVerdict(self) -> bytes | None:
        # RFC 1929, 2 has a version of 1 first.  Some proxies send the 5 of SOCKS,
        # so only the octet after it counts.
        message = self._takeOctets(2)
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
        self._checkVersion("the proxy's reply is not SOCKS 5")
        data = self._data
        if len(data) > 1 and data[1] != 0:
            raise SocksRefusal(data[1])
        if len(data) > 3 and data[3] not in (*_LENGTHS, _NAME):
            raise BadSocks("the proxy's reply has an address of an unknown type")
        if len(data) < 5:
            return None
        # The address that the proxy connects from is skipped: it has no use here,
        # but its length has to be known to find the tunnel's first octet.
        if self._takeOctets(4 + _LENGTHS.get(data[3], 1 + data[4]) + 2) is None:
            return None
        self.established = True
        return b""

    def _checkVersion(self, complaint: str) -> None:
        if self._data and self._data[0] != _VERSION:
            raise BadSocks(complaint)

    def _takeOctets(self, size: int) -> bytes | None:
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


def _loginOctets(text: str, noun: str) -> bytes:
    try:
        octets = text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"the {noun} is not Unicode") from None
    if len(octets) > 255:
        raise ValueError(f"the {noun} is longer than the 255 octets of SOCKS 5")
    return octets
