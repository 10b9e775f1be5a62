"""
The proxy's answers in HTTP/1.1, as octets.

One answer opens the tunnel and has no framing fields (RFC 9110, 9.3.6); all
others refuse, and most announce that the connection ends with them (RFC 9931, 8).
"""

from __future__ import annotations

from txconnect.wire.answerfields import Fields
from txconnect.wire.responses import Response

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
"""
The whole answer that opens a tunnel: its next octet is the destination's.  No
C{Content-Length}, no C{Transfer-Encoding}, and no C{Connection: close}, after
which some clients close the tunnel.
"""


def renderEstablished(fields: Fields) -> bytes:
    """
    Write the answer that opens a tunnel, with further fields.

    @param fields: of L{checkedFields<txconnect.wire.answerfields.checkedFields>}.
    """
    lines = [ESTABLISHED[:-4], *(name + b": " + value for name, value in fields)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def renderResponse(response: Response, closes: bool, method: str = "") -> bytes:
    """
    Write a response: head and content.

    @param closes: true if the connection ends after it.
    @param method: the request's: an answer to a C{HEAD} has the head alone.
    """
    # The length stands even before a close, so that a client can tell a whole
    # explanation from one that a reset has cut short.
    status = f"HTTP/1.1 {response.status} {response.reason}".encode("ascii")
    lines = [status, *(name + b": " + value for name, value in response.fields)]
    # RFC 9110, 8.6: none in a 204, which has no content.
    if response.status != 204:
        lines.append(b"Content-Length: %d" % len(response.content))
    if closes:
        # The second is for clients older than HTTP/1.1's rules for proxies.
        lines += [b"Connection: close", b"Proxy-Connection: close"]
    content = b"" if method == "HEAD" else response.content
    return b"\r\n".join(lines) + b"\r\n\r\n" + content
