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
_SERVER_NAME = 0
_HOST_NAME = 0
_ENCRYPTED_CLIENT_HELLO = 0xFE0D
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
                return _parseMessage(bytes(self._message[_MESSAGE_HEAD:]))
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


class _Fields:
    """The fields of a message, read one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        """Tell whether there are more."""
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        """Return the next octets."""
        end = self._at + size
        if end > len(self._data):
            raise BadClientHello("a field of the ClientHello is longer than its place")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def number(self, size: int) -> int:
        """Return the next number, of so many octets."""
        return int.from_bytes(self.take(size))

    def vector(self, size: int, least: int = 0) -> bytes:
        """Return the next vector, whose length is a number of so many octets."""
        content = self.take(self.number(size))
        if len(content) < least:
            raise BadClientHello("a field of the ClientHello is too short")
        return content

    def requireEnd(self) -> None:
        """Check that there are no more."""
        if self:
            raise BadClientHello("a field of the ClientHello is shorter than its place")


def _parseMessage(body: bytes) -> ClientHello:
    fields = _Fields(body)
    if fields.take(2)[0] != 3:
        raise BadClientHello("the version of the ClientHello is none of TLS")
    fields.take(32)  # random
    if len(fields.vector(1)) > 32:
        raise BadClientHello("the session id of the ClientHello is too long")
    if len(fields.vector(2, 2)) % 2:
        raise BadClientHello("the list of cipher suites has half a suite")
    fields.vector(1, 1)  # compression methods
    if not fields:
        # Older than extensions.
        return ClientHello(None)
    extensions = _parseExtensions(fields.vector(2))
    fields.requireEnd()
    named = extensions.get(_SERVER_NAME)
    return ClientHello(
        None if named is None else _parseServerName(named),
        _ENCRYPTED_CLIENT_HELLO in extensions,
    )


def _parseExtensions(content: bytes) -> dict[int, bytes]:
    # Those that nobody knows, such as the made-up ones of RFC 8701, are as good.
    extensions: dict[int, bytes] = {}
    fields = _Fields(content)
    while fields:
        kind = fields.number(2)
        if kind in extensions:
            raise BadClientHello("the ClientHello has an extension twice")
        extensions[kind] = fields.vector(2)
    return extensions


def _parseServerName(content: bytes) -> str:
    outer = _Fields(content)
    names = _Fields(outer.vector(2, 1))
    outer.requireEnd()
    if names.number(1) != _HOST_NAME:
        raise BadClientHello("the ClientHello names its server otherwise than by host")
    name = names.vector(2, 1)
    if names:
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
