"""
C{Proxy-Status} as other proxies wrote it (RFC 9209): each proxy on the way with
its success or its failure.

The reader is strict, as RFC 9651 requires, and bounded: the field comes from
outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from txconnect.wire.structured import DisplayString, Item, ReadItem, parseList

__all__ = ["ProxyStatusMember", "parseProxyStatus"]

LARGEST = 8192
"""
Most octets that are parsed: far more than a chain of proxies needs, and so few
that a field of tens of thousands of members does not delay other connections.
"""


@attrs.frozen
class ProxyStatusMember:
    """
    The member of one proxy.

    @ivar name: the proxy's name for itself.
    @ivar parameters: parameters such as C{error}, C{details} and C{next-hop}
        (RFC 9209, 2.1), each of the type in which it was sent.  Every proxy on
        the way may have put anything there.
    """

    name: str
    parameters: Mapping[str, ReadItem]


def parseProxyStatus(values: Sequence[bytes]) -> tuple[ProxyStatusMember, ...]:
    """
    Read all C{Proxy-Status} fields of an answer.

    @param values: the values of the fields, in order.
    @return: the members; the first is the proxy nearest to the destination,
        the last the one that the request was sent to.  Empty if any part of
        them cannot be parsed (RFC 9651, 4.2), or if they are over L{LARGEST}.
    """
    # Several fields are one List (RFC 9110, 5.3): its members are in the order
    # in which the proxies added them.
    octets = b", ".join(values)
    if len(octets) > LARGEST:
        return ()
    try:
        return tuple(_readMember(item) for item in parseList(octets))
    except ValueError:
        return ()


def _readMember(item: Item) -> ProxyStatusMember:
    if not isinstance(item.value, str) or isinstance(item.value, DisplayString):
        raise ValueError("a member is a Token or a String")
    return ProxyStatusMember(item.value, item.parameters)
