"""
The command line, read once more by a worker, and the service made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
from twisted.application.service import IService

from txconnect.command.making import listeningService
from txconnect.command.options import Options
from txconnect.listening import CannotStart, Exit
from txconnect.workers.messages import FIRST_SOCKET
from txconnect.workers.orders import Orders
from txconnect.workers.sockets import HandedSockets, sharedEndpoint

if TYPE_CHECKING:
    from txconnect.workers.worker import Worker


class WorkerOptions(Options):
    """
    The options of C{twistd connectproxy} where the sockets are there already.
    """

    def __init__(self, reactor: Any, orders: Orders) -> None:
        super().__init__()
        self._reactor = reactor
        self._orders = orders

    @property
    def foreground(self) -> bool:
        """Whether somebody sees the parent's output, which is this one's."""
        return self._orders.foreground

    def endpoints(self) -> Sequence[tuple[Any, str]]:
        """What to listen on: each with the sockets that the parent has bound."""
        found, first = [], FIRST_SOCKET
        for count, text in zip(self._orders.sockets, self.listenTexts(), strict=True):
            handed = HandedSockets(self._reactor, [*range(first, first + count)])
            found.append((handed, sharedEndpoint(text)))
            first += count
        return found


@attrs.frozen
class _Told(Exit):
    """The end of a worker that cannot listen: the parent says why."""

    worker: Worker = attrs.field(kw_only=True)

    def now(self, reason: CannotStart) -> NoReturn:
        raise reason from None

    def later(self, reason: CannotStart) -> None:
        self.worker.failed(reason.short)


def workerService(options: WorkerOptions, worker: Worker) -> IService:
    """
    The service that listens and proxies in a worker.

    @param worker: is told when it is ready, and when it never will be.
    """
    return listeningService(
        options,
        _Told(None, False, worker=worker),
        lambda listening: worker.ready(),
    )
