"""
Arguments of callers, checked where they are given: a wrong kind is one sentence, and
not an C{AttributeError} of the first connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

__all__ = ["checkedEndpoint", "checkedTimeout", "listedFields"]

_T = TypeVar("_T")


def checkedEndpoint(endpoint: _T) -> _T:
    """
    Return the endpoint of a proxy.

    @raise TypeError: it has no C{connect}, such as a URL.
    """
    # Not by its interface: many endpoints of tests declare none.
    if not callable(getattr(endpoint, "connect", None)):
        raise TypeError(
            "the proxy's endpoint is an IStreamClientEndpoint, such as "
            "HostnameEndpoint(reactor, host, port) or proxyEndpoint(reactor, url), not "
            f"{type(endpoint).__name__}"
        )
    return endpoint


def checkedTimeout(timeout: object) -> float | None:
    """
    Return a time-out in seconds, or L{None} for no limit.

    @raise TypeError: it is no number.
    @raise ValueError: it is not above 0.
    """
    if timeout is None:
        return None
    if not isinstance(timeout, int | float) or isinstance(timeout, bool):
        kind = type(timeout).__name__
        raise TypeError(f"the timeout is a number of seconds or None, not {kind}")
    if not timeout > 0:
        raise ValueError(f"the timeout is {timeout}: it must be above 0, or None")
    return timeout


def listedFields(headers: object) -> tuple[tuple[bytes, bytes], ...]:
    """
    Return the header fields of a caller; their octets are checked elsewhere.

    @raise TypeError: they are no list of pairs, such as a C{dict}.
    """
    pairs: list[tuple[bytes, bytes]] = []
    isList = isinstance(headers, Iterable) and not isinstance(headers, Mapping)
    if isList and not isinstance(headers, str | bytes):
        for each in headers:  # type: ignore[attr-defined]
            if not isinstance(each, list | tuple) or len(each) != 2:
                break
            pairs.append((each[0], each[1]))
        else:
            return tuple(pairs)
    raise TypeError('the headers are a list of pairs: [(b"X-Name", b"value"), ...]')
