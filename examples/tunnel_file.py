"""
An observer with a file of its own: a line for each tunnel that has ended.

    txconnect --observer ./tunnel_file.py:TunnelFile:tunnels.txt
"""

import os

from twisted.application.service import Service
from zope.interface import implementer

from txconnect import Event, TunnelClosed
from txconnect.interfaces import IReopens, ITrafficObserver


@implementer(ITrafficObserver, IReopens)
class TunnelFile(Service):
    """As it is a service too, it is told when the proxy starts and stops."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)

    def startService(self) -> None:
        self.file = open(self.path, "a", buffering=1)
        super().startService()  # type: ignore[no-untyped-call]

    def observe(self, event: Event) -> None:
        if isinstance(event, TunnelClosed):
            authority = event.tunnel.request.authority
            self.file.write(f"{authority} {event.up} {event.down}\n")

    def reopen(self) -> None:
        # If the new file cannot be opened, the old one stays in use.
        new = open(self.path, "a", buffering=1)
        self.file.close()
        self.file = new

    def stopService(self) -> None:
        super().stopService()  # type: ignore[no-untyped-call]
        self.file.close()
