"""
An observer: how many bytes each user has moved.

    txconnect --observer ./byte_counter.py:ByteCounter
"""

from collections import Counter

from twisted.application.service import Service
from twisted.logger import Logger
from zope.interface import implementer

from txconnect import Event, TunnelClosed
from txconnect.interfaces import ITrafficObserver


@implementer(ITrafficObserver)
class ByteCounter(Service):
    """Made once; as it is a service too, it is told when the proxy stops."""

    log = Logger()

    def __init__(self) -> None:
        self.bytes: Counter[str] = Counter()

    def observe(self, event: Event) -> None:
        if isinstance(event, TunnelClosed):
            identity = event.tunnel.request.identity
            user = "anyone" if identity is None else identity.user
            self.bytes[user] += event.up + event.down

    def stopService(self) -> None:
        for user, count in self.bytes.most_common():
            self.log.info("{user!r} moved {count} bytes", user=user, count=count)
        super().stopService()  # type: ignore[no-untyped-call]
