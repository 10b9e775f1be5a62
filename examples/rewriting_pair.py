"""
A pair that waits for an answer before it passes changed bytes on.

    txconnect --policy ports:any --policy networks:any \
        --pair ./rewriting_pair.py:rewritingPair

Here a thread does work that takes long; a request to a service is written in the same
way.  A half that has paused its leg gets no bytes and no end until it resumes: so the
order stays, and the end waits for what is still to be written.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure

from txconnect import ProxyClient, ProxyServer, TunnelInfo, pairPlugin

Rewrite = Callable[[bytes], Deferred[bytes]]


class RewritingServer(ProxyServer):
    """
    The client's leg.

    @param rewrite: called with some of the client's bytes, in order, and not again before
        it has answered; its Deferred fires with those that the destination gets.
    """

    log = Logger()

    def __init__(self, rewrite: Rewrite) -> None:
        self._rewrite = rewrite
        self._rewriting: Deferred[bytes] | None = None

    def dataReceived(self, data: bytes) -> None:
        self.transport.pauseProducing()
        self._rewriting = self._rewrite(data)
        self._rewriting.addCallback(self._passOn).addErrback(self._failed)

    def _passOn(self, rewritten: bytes) -> None:
        self._rewriting = None
        self.peer.transport.write(rewritten)
        self.transport.resumeProducing()

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("bytes could not be rewritten; their tunnel ends", failure)
        # A reset, as an end would make what has passed look complete.
        self.transport.abortConnection()

    def connectionLost(self, reason: object = None) -> None:
        # A reset of either leg drops what is pending; a mere end has waited for it.
        if self._rewriting is not None:
            self._rewriting.cancel()


def swapCase(data: bytes) -> bytes:
    """Stands for work that would keep the reactor."""
    return data.swapcase()


def inThread(data: bytes) -> Deferred[bytes]:
    return deferToThread(swapCase, data)


@pairPlugin("rewriting", "Rewrite what clients send, in a thread.")
def rewritingPair(tunnel: TunnelInfo) -> tuple[ProxyServer, ProxyClient]:
    return RewritingServer(inThread), ProxyClient()
