"""
The first message of a TLS client: only as far as the name of the server that it asks
for (RFC 8446, 4.1.2; RFC 6066, 3).

Strict, so that no server can read another name: a message that breaks a rule is
refused, even where some server would take it.  The message may come in any number of
TLS records, and nothing may follow it in its last one.

The octets are read as they come, and a wrong one is refused as soon as it is there;
what was read is not read again.  The whole message, with the heads of its records, is
no longer than L{MOST}: real ones have one or two thousand octets.

With Encrypted Client Hello there are two messages, one in the other.  This is the
outer one; its name is that of the server that decrypts.  A client that only pretends,
as browsers do to all servers, looks the same, and its one name is the real one.
"""

from __future__ import annotations

import attrs

from txconnect.wire.authority import BadAuthority, parseHost

MOST = 16384
"""Octets in which the whole message must be."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = b"\0\0"
_HOST_NAME = 0
_ENCRYPTED_CLIENT_HELLO = b"\xfe\x0d"
_RECORD_HEAD = 5
_MESSAGE_HEAD = 4
_LONGEST_RECORD = 16384

# By the first octet, which is all that is needed to refuse them.
_OTHER_RECORDS = {
    20: "a TLS change_cipher_spec",
    21: "a TLS alert",
    23: "TLS application data",
}


class BadClientHello(ValueError):
    """
    The octets are no ClientHello.  C{str()} is a sentence that repeats none of them.
    """


@attrs.frozen
class ClientHello:
    """
    The part of a ClientHello that tells where it leads.

    @ivar serverName: the host that it names, in lower case without a trailing dot;
        L{None} if it names none.
    @ivar offersEncryption: whether it has the extension of Encrypted Client Hello, so
        that another name may be inside.
    """

    serverName: str | None
    offersEncryption: bool = False


class ClientHelloParser:
    """
    Reads one ClientHello, in pieces of any size.
    """

    def __init__(self) -> None:
        self._raw = bytearray()
        self._message = bytearray()
        self._taken = 0
        # Octets of the present record that have not come yet.
        self._left = 0

    def feed(self, data: bytes) -> ClientHello | None:
        """
        Take the next octets; those behind the message are not looked at.

        @return: the message, or L{None} while it is not whole.
        @raise BadClientHello: the octets so far begin none.
        """
        # No more than the bound, however much comes at once.
        self._raw += data[: max(0, MOST - self._taken)]
        self._taken += len(data)
        while self._raw and self._openRecord():
            fragment = self._raw[: self._left]
            del self._raw[: len(fragment)]
            self._left -= len(fragment)
            self._message += fragment
            if self._isWhole():
                return _parseMessage(bytes(self._message))
        if self._taken >= MOST:
            raise BadClientHello(f"the ClientHello is longer than {MOST} octets")
        return None

    def _openRecord(self) -> bool:
        """Read the head of the next record, and tell whether its octets may follow."""
        raw = self._raw
        if self._left:
            return True
        _checkRecordHead(raw[:_RECORD_HEAD])
        if len(raw) < _RECORD_HEAD:
            return False
        self._left = int.from_bytes(raw[3:5])
        del raw[:_RECORD_HEAD]
        return bool(raw)

    def _isWhole(self) -> bool:
        """Tell whether the message is whole."""
        message = self._message
        if message and message[0] != _CLIENT_HELLO:
            raise BadClientHello("the first TLS message is no ClientHello")
        if len(message) < _MESSAGE_HEAD:
            return False
        size = _MESSAGE_HEAD + int.from_bytes(message[1:4])
        if size + _RECORD_HEAD > MOST:
            raise BadClientHello(f"the ClientHello is longer than {MOST} octets")
        if len(message) + self._left > size:
            raise BadClientHello("something follows the ClientHello in its record")
        return len(message) == size


def _checkRecordHead(head: bytearray) -> None:
    """Check as much of the head of a record as has come."""
    if head[0] != _HANDSHAKE:
        what = _OTHER_RECORDS.get(head[0])
        if what is not None:
            raise BadClientHello(f"the client sends {what} in place of a ClientHello")
        if head[0] & 0x80:
            raise BadClientHello("the client sends no TLS, perhaps SSL 2")
        raise BadClientHello("the client sends no TLS")
    if len(head) > 1 and head[1] != 3:
        raise BadClientHello("the client sends no TLS")
    if len(head) == _RECORD_HEAD:
        size = int.from_bytes(head[3:5])
        if not 0 < size <= _LONGEST_RECORD:
            raise BadClientHello("a TLS record is empty, or longer than TLS allows")


def _parseMessage(message: bytes) -> ClientHello:
    version, size = message[_MESSAGE_HEAD : _MESSAGE_HEAD + 2], len(message)
    if version[:1] not in (b"", b"\x03"):
        raise BadClientHello("the version of the ClientHello is none of TLS")
    # After the version and the random octets.
    session, at = _vectorAt(message, _MESSAGE_HEAD + 34, 1)
    if len(session) > 32:
        raise BadClientHello("the session id of the ClientHello is too long")
    suites, at = _vectorAt(message, at, 2, 2)
    if len(suites) % 2:
        raise BadClientHello("the list of cipher suites has half a suite")
    _, at = _vectorAt(message, at, 1, 1)  # compression methods
    if at == size:
        # Older than extensions.
        return ClientHello(None)
    content, at = _vectorAt(message, at, 2)
    _requireEnd(message, at)
    extensions = _parseExtensions(content)
    names = extensions.get(_SERVER_NAME)
    return ClientHello(
        None if names is None else _parseServerName(names),
        _ENCRYPTED_CLIENT_HELLO in extensions,
    )


def _vectorAt(data: bytes, at: int, size: int, least: int = 0) -> tuple[bytes, int]:
    """
    Read a vector, whose length is a number of C{size} octets.

    @param least: the least octets that it may have.
    @return: its octets, and the place behind it.
    """
    begin = at + size
    end = begin + int.from_bytes(data[at:begin])
    if end > len(data):
        raise BadClientHello("a field of the ClientHello is longer than its place")
    if end - begin < least:
        raise BadClientHello("a field of the ClientHello is too short")
    return data[begin:end], end


def _requireEnd(data: bytes, at: int) -> None:
    if at != len(data):
        raise BadClientHello("a field of the ClientHello is shorter than its place")


def _parseExtensions(content: bytes) -> dict[bytes, bytes]:
    # Those that nobody knows, such as the made-up ones of RFC 8701, are as good.
    extensions: dict[bytes, bytes] = {}
    at, size = 0, len(content)
    while at < size:
        kind = content[at : at + 2]
        if kind in extensions:
            raise BadClientHello("the ClientHello has an extension twice")
        extensions[kind], at = _vectorAt(content, at + 2, 2)
    return extensions


def _parseServerName(content: bytes) -> str:
    names, at = _vectorAt(content, 0, 2, 1)
    _requireEnd(content, at)
    if names[0] != _HOST_NAME:
        raise BadClientHello("the ClientHello names its server otherwise than by host")
    name, at = _vectorAt(names, 1, 2, 1)
    if at != len(names):
        raise BadClientHello("the ClientHello names several servers")
    try:
        text = name.decode("ascii")
        # In brackets is an address, which no name of a server has.
        host = "" if text.startswith("[") else parseHost(text)
    except (UnicodeDecodeError, BadAuthority):
        host = ""
    if not host:
        raise BadClientHello("the server name in the ClientHello is no host name")
    return host
