"""
C{Proxy-Status} as others wrote it (RFC 9209): which proxy on the way did, or
could not do, what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from txconnect.wire.structured import DisplayString, Item, ReadItem, parseList

__all__ = ["ProxyStatusMember", "parseProxyStatus"]

LARGEST = 8192
"""
Octets that are read: far more than a trail of proxies has to say, and so few that
who writes tens of thousands of members keeps nobody from his turn.
"""


@attrs.frozen
class ProxyStatusMember:
    """
    What one proxy says.

    @ivar name: what it calls itself.
    @ivar parameters: such as C{error}, C{details} and C{next-hop} (RFC 9209,
        2.1), each of whatever type it was sent as.  Anyone on the way to the
        proxy may have put anything there.
    """

    name: str
    parameters: Mapping[str, ReadItem]


def parseProxyStatus(values: Sequence[bytes]) -> tuple[ProxyStatusMember, ...]:
    """
    Read all C{Proxy-Status} fields of an answer.

    @param values: the values of the fields, in order.
    @return: the members; the first is the proxy nearest to the destination,
        the last the one that was asked.  None at all when any part of them
        cannot be read (RFC 9651, 4.2), or they are over L{LARGEST}.
    """
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
