"""
What every kind of proxy has in common: reach it, have a L{Dialogue} with it, and
hand the connection over to the caller's protocol.

The hand-over, because that is where octets get lost:

  - The caller's protocol is given the real transport, so that nothing of this
    module stands in the way of writes, producers, C{startTLS} or closing.
  - A L{Frame<txconnect.client.frame.Frame>} stays the protocol of that transport
    for good, because C{transport.protocol} cannot be changed through TLS and
    other wrappers.  It costs what is read no call.
  - First C{connectionMade}; then the caller's Deferred; then what stood behind
    the proxy's answer, even if the end of input or the loss of the connection
    came with it; then everything else.  Those octets have been read already:
    a protocol that has paused its transport by then is still given them, as by
    a TLS transport, and nothing more.

B{To speak another protocol} than HTTP, write a L{Dialogue}, and in the
endpoint's C{connect}::

    return Negotiation(proxyEndpoint, dialogue, factory, timeout, clock).start()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol as Shape

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectingCancelledError, NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from txconnect.client.destination import addressOf
from txconnect.client.errors import ProxyTimeout
from txconnect.client.frame import Frame, Talk
from txconnect.wire.authority import Authority

__all__ = ["Dialogue", "Line", "Negotiation"]


class Line(Shape):
    """
    What a L{Dialogue} can do with its connection.  Once the dialogue has said
    what comes of it, or the attempt is over, all of this does nothing.
    """

    def send(self, data: bytes) -> None:
        """Send octets."""

    def establish(self, trailing: bytes) -> None:
        """
        The connection is the tunnel now: hand it over.

        @param trailing: what was read behind the proxy's last word.
        """

    def fail(self, error: Exception | Failure) -> None:
        """There will be no tunnel: drop the connection, and tell the caller."""

    def again(self) -> None:
        """Drop the connection, dial another, and begin with that."""


class Dialogue(Shape):
    """
    What is said to a proxy until there is a tunnel, in one C{connect} of an
    endpoint.  It may take several connections, one after the other.

    L{Negotiation} calls, for each connection: C{begin}; then any number of
    C{received}; then C{ended}, if the connection ends before the dialogue has
    said what comes of it.  It says so by one call of the L{Line}'s
    C{establish}, C{fail} or C{again}, and is told nothing more of that
    connection.  What any of these methods raises fails the attempt as it is.

    @ivar authority: the destination.
    @ivar waitsFor: what is waited for now, as L{ProxyTimeout} says it:
        C{"the proxy's answer"}.
    """

    authority: Authority
    waitsFor: str

    def begin(self, line: Line) -> None:
        """
        There is a connection to the proxy: speak.

        @param line: it, until C{again}.
        """

    def received(self, data: bytes) -> None:
        """The proxy has sent octets, at least one."""

    def ended(self, clean: bool) -> None:
        """
        The proxy sends nothing more: fail, or dial again.  A dialogue that
        waits for something else may also do so later.

        @param clean: whether it ended in order, rather than by a reset.
        """

    def late(self) -> Exception | None:
        """
        The deadline has come.

        @return: what to fail with instead of L{ProxyTimeout}, where more is
            known by now: a refusal whose content does not end.
        """

    def stop(self) -> None:
        """
        The attempt is over, whatever came of it: give up what is under way,
        such as timers or asking for credentials.  Called once.
        """


def globalClock() -> IReactorTime:
    """The clock of an endpoint that is given none: the global reactor's."""
    from twisted.internet import reactor

    return IReactorTime(reactor)


class Negotiation:
    """
    One attempt of an endpoint to get a tunnel.  It is also the other side of
    its L{Talk}.

    @param proxyEndpoint: how the proxy is reached.
    @param dialogue: what is said to it.
    @param factory: the caller's.  It is started now, asked for a protocol when
        there is a tunnel, and stopped when that is lost or will not be.
    @param timeout: seconds for all of it, or L{None} for no limit.
    @param clock: for the deadline.
    """

    def __init__(
        self,
        proxyEndpoint: IStreamClientEndpoint,
        dialogue: Dialogue,
        factory: IProtocolFactory,
        timeout: float | None,
        clock: IReactorTime,
    ) -> None:
        self._proxyEndpoint = proxyEndpoint
        self._dialogue = dialogue
        self._factory = factory
        self._timeout = timeout
        self._clock = clock
        self._address = addressOf(dialogue.authority)
        self._outcome: Deferred[IProtocol] = Deferred(self._cancelled)
        self._timer: IDelayedCall | None = None
        self._dial = _FrameFactory(self)
        self._over = False
        self._connecting: Deferred[Any] | None = None
        self._talk: Talk | None = None

    def start(self) -> Deferred[IProtocol]:
        """
        Begin; called once.

        @return: fires with the caller's protocol, connected.  Fails with a
            L{ProxyError<txconnect.client.errors.ProxyError>}, with what
            connecting to the proxy failed with, with what the dialogue or the
            factory raised, or with L{ConnectingCancelledError} when it is
            cancelled.  By then there is no timer any more, and the connection
            is dropped.
        """
        self._factory.doStart()
        if self._timeout is not None:
            self._timer = self._clock.callLater(self._timeout, self._late)
        self._connect()
        return self._outcome

    def builds(self, dial: _FrameFactory) -> Frame | None:
        """A protocol for a connection, if it is still wanted."""
        return Frame(self) if dial is self._dial and self._talk is None else None

    # What the connection says.

    def begin(self, talk: Talk) -> bool:
        """
        There is a connection.

        @return: whether it is wanted: a second one is not.
        """
        if self._over or self._talk is not None:
            return False
        self._talk = talk
        self._guard(self._dialogue.begin, talk)
        return True

    def received(self, data: bytes) -> None:
        """The connection has brought octets."""
        self._guard(self._dialogue.received, data)

    def ended(self, clean: bool) -> None:
        """The connection has ended, or its input has."""
        self._guard(self._dialogue.ended, clean)

    # What the dialogue has said.

    def establish(self, talk: Talk, trailing: bytes) -> None:
        """Hand the connection over."""
        try:
            protocol = self._factory.buildProtocol(self._address)
            if protocol is None:
                raise NoProtocol()
        except Exception:
            self.fail(Failure())
            return
        self._end()
        self._talk = None
        try:
            talk.frame.adopt(protocol, self._factory)
        except Exception:
            self._outcome.errback(Failure())
            talk.drop()
            return
        self._outcome.callback(protocol)
        talk.frame.deliver(trailing)

    def fail(self, failure: Failure) -> None:
        """There will be no tunnel."""
        if self._over:
            return
        self._end()
        self._drop()
        self._factory.doStop()
        self._outcome.errback(failure)

    def again(self) -> None:
        """Another connection is wanted."""
        self._drop()
        self._connect()

    # The rest

    def _connect(self) -> None:
        dial = self._dial = _FrameFactory(self)
        connecting = maybeDeferred(self._proxyEndpoint.connect, dial)
        connecting.addErrback(self._notConnected, dial)
        if self._dial is dial and not self._over:
            self._connecting = connecting

    def _notConnected(self, failure: Failure, dial: _FrameFactory) -> None:
        # One that was given up has nothing to say.
        if dial is self._dial:
            self.fail(failure)

    def _guard(self, function: Callable[..., object], *arguments: object) -> None:
        try:
            function(*arguments)
        except Exception:
            self.fail(Failure())

    def _late(self) -> None:
        self._timer = None
        waitsFor = (
            self._dialogue.waitsFor if self._talk else "a connection to the proxy"
        )
        timeout = ProxyTimeout(self._dialogue.authority, self._timeout or 0, waitsFor)
        self.fail(Failure(self._dialogue.late() or timeout))

    def _cancelled(self, outcome: object) -> None:
        self.fail(Failure(ConnectingCancelledError(self._address)))

    def _end(self) -> None:
        """It is decided: nothing of this attempt goes on."""
        self._over = True
        # The endpoint keeps its factory as long as the tunnel lives: with it
        # would stay the credentials that were used.
        self._dial.negotiation = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._dialogue.stop()

    def _drop(self) -> None:
        talk, self._talk = self._talk, None
        connecting, self._connecting = self._connecting, None
        if talk is not None:
            # An endpoint that has just connected cannot be cancelled any more.
            talk.drop()
        elif connecting is not None:
            connecting.cancel()


class _FrameFactory(Factory):
    """What the proxy's endpoint is given: one for each time it is dialled."""

    noisy = False

    def __init__(self, negotiation: Negotiation) -> None:
        self.negotiation: Negotiation | None = negotiation

    def buildProtocol(self, addr: IAddress | None) -> Frame | None:
        return None if self.negotiation is None else self.negotiation.builds(self)
