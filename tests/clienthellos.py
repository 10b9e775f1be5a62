"""
ClientHellos for tests: real ones of OpenSSL, and made ones with any mistake.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable

GREASE = 0x0A0A
ECH = 0xFE0D


def realHello(
    name: str | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> bytes:
    """The first octets of OpenSSL as a client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = version
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def vector(size: int, content: bytes) -> bytes:
    return len(content).to_bytes(size) + content


def names(*entries: tuple[int, bytes]) -> bytes:
    """The content of the server name's extension."""
    return vector(
        2, b"".join(bytes([kind]) + vector(2, name) for kind, name in entries)
    )


def hostName(name: bytes) -> tuple[int, bytes]:
    return 0, names((0, name))


def message(
    *extensions: tuple[int, bytes],
    version: bytes = b"\x03\x03",
    session: bytes = b"",
    suites: bytes = b"\x13\x01",
    compression: bytes = b"\x00",
    bare: bool = False,
    behind: bytes = b"",
) -> bytes:
    """A ClientHello without its record."""
    body = version + bytes(32) + vector(1, session)
    body += vector(2, suites) + vector(1, compression)
    if not bare:
        body += vector(
            2, b"".join(kind.to_bytes(2) + vector(2, data) for kind, data in extensions)
        )
    return b"\x01" + vector(3, body + behind)


def records(content: bytes, sizes: Iterable[int] = (), version: int = 1) -> bytes:
    """The records that carry it; the last has what the sizes leave."""
    made = b""
    for size in (*sizes, len(content)):
        piece, content = content[:size], content[size:]
        if piece:
            made += bytes([22, 3, version]) + vector(2, piece)
    return made


def hello(name: bytes = b"example.com", *more: tuple[int, bytes]) -> bytes:
    """One with a name."""
    return records(message(hostName(name), *more))
