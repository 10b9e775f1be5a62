"""
Bytes between a connection and two streams, on the memory network: in order,
bounded, and to the end of each direction.
"""

from __future__ import annotations

import errno
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

import txconnect.client.conversation
from txconnect.client.conversation import Conversation
from txconnect.testing import CHUNKS, MemoryNetwork, Peer, chunkings

HOST, PORT = "192.0.2.7", 22


class Streams:
    """
    Two streams in the hands of a test.

    @ivar written: what has been written and accepted.
    @ivar ended: whether the output has been ended.
    """

    def __init__(self, interactive: bool = False) -> None:
        self.written = b""
        self.ended = False
        self.accepts = True
        self._interactive = interactive
        self._reading: Deferred[bytes] | None = None
        self._writing: tuple[bytes, Deferred[None]] | None = None

    def isInteractive(self) -> bool:
        return self._interactive

    def read(self) -> Deferred[bytes]:
        assert self._reading is None, "read while reading"
        self._reading = Deferred()
        return self._reading

    @property
    def isRead(self) -> bool:
        """Whether somebody waits for what is typed."""
        return self._reading is not None

    def type(self, data: bytes | Failure) -> None:
        """Let it be read; C{b""} is the end."""
        waiting, self._reading = self._reading, None
        assert waiting is not None, "nobody reads"
        waiting.callback(data)  # type: ignore[arg-type]

    def write(self, data: bytes) -> Deferred[None]:
        assert self._writing is None, "written while writing"
        assert data and not self.ended
        waiting: Deferred[None] = Deferred()
        self._writing = data, waiting
        if self.accepts:
            self.accept()
        return waiting

    def accept(self, result: Failure | None = None) -> None:
        """Let what waits to be written be written, or fail."""
        assert self._writing is not None
        (data, waiting), self._writing = self._writing, None
        if result is None:
            self.written += data
        waiting.callback(result)  # type: ignore[arg-type]

    @property
    def waits(self) -> bool:
        """Whether something waits to be written."""
        return self._writing is not None

    def endOutput(self) -> Deferred[None]:
        self.ended = True
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done


class Rig:
    """
    A conversation with a peer.

    @ivar result: what it has come to; C{[]} while it goes on.
    """

    def __init__(
        self, interactive: bool = False, tls: bool = False, **network: Any
    ) -> None:
        self.network = MemoryNetwork(**network)
        if tls:
            self.network.tlsLike(PORT)
        destination = self.network.serve(HOST, PORT)
        self.streams = Streams(interactive)
        self.result: list[Any] = []
        self.conversation = conversation = Conversation(self.streams)
        conversation.finished.addBoth(self.result.append)
        endpoint = TCP4ClientEndpoint(self.network, HOST, PORT)
        connecting = connectProtocol(endpoint, conversation)
        self.network.flush()
        assert connecting.called
        self.peer: Peer = destination.peer

    def type(self, data: bytes | Failure) -> None:
        self.streams.type(data)
        self.network.flush()

    def send(self, data: bytes) -> None:
        self.peer.send(data)
        self.network.flush()

    def over(self) -> None:
        """It has come to a good end, and nothing is left."""
        self.network.flush()
        assert self.result == [None]
        self.network.assertClean()

    def failed(self, *kinds: type[Exception]) -> Failure:
        """It has come to a bad end, and nothing is left."""
        self.network.flush()
        (failure,) = self.result
        assert failure.check(*kinds), failure
        self.network.assertClean()
        return failure


@pytest.mark.parametrize("chunk", CHUNKS)
def test_bytesGoBothWays(chunk: Any) -> None:
    """The destination may speak first; then each direction ends by itself."""
    rig = Rig(chunk=chunk)
    rig.send(b"SSH-2.0-first\r\n")
    assert rig.streams.written == b"SSH-2.0-first\r\n"
    for name, pieces in chunkings(bytes(range(256))):
        for piece in pieces:
            rig.type(piece)
        assert rig.peer.take() == bytes(range(256)), name
    rig.type(b"")
    assert rig.peer.ended and not rig.peer.closed and not rig.result
    rig.send(b"the answer")
    rig.peer.end()
    rig.over()
    assert rig.streams.written.endswith(b"the answer")


@pytest.mark.parametrize("chunk", CHUNKS)
def test_theOtherSideEndsFirst(chunk: Any) -> None:
    """Whoever reads the output sees its end; what is typed still goes out."""
    rig = Rig(chunk=chunk)
    rig.send(b"that is all")
    rig.peer.end()
    rig.network.flush()
    assert rig.streams.written == b"that is all" and rig.streams.ended
    rig.type(b"more")
    assert rig.peer.received == b"more" and not rig.result
    rig.type(b"")
    rig.over()


def test_aTerminalIsGivenBackAtTheOtherSidesEnd() -> None:
    """Nobody has to type just to be rid of it."""
    rig = Rig(interactive=True)
    rig.send(b"221 bye\r\n")
    rig.peer.end()
    rig.over()
    assert rig.streams.written == b"221 bye\r\n"


def test_whatIsTypedAfterwardsIsDropped() -> None:
    """A read from a terminal cannot be taken back."""
    rig = Rig(interactive=True)
    rig.peer.end()
    rig.over()
    rig.type(b"too late")


def test_overTLSTheEndOfTheInputIsKept() -> None:
    """TLS has no half-close here, and closing would lose the answer."""
    rig = Rig(tls=True)
    rig.type(b"question")
    rig.type(b"")
    assert not rig.peer.ended and not rig.peer.closed
    rig.send(b"answer")
    rig.peer.close()
    rig.over()
    assert rig.streams.written == b"answer"


def test_slowOutputHoldsTheOtherSideBack() -> None:
    """[T10] No more than a piece is held, and the other side has to wait."""
    rig = Rig(windowSize=1000)
    rig.streams.accepts = False
    rig.send(b"x" * 100_000)
    assert rig.streams.waits and rig.streams.written == b""
    rig.streams.accept()
    held = len(rig.streams.written)
    assert 0 < held <= 2000
    rig.streams.accepts = True
    rig.network.flush()
    while rig.streams.waits:
        rig.streams.accept()
        rig.network.flush()
    rig.peer.end()
    rig.network.flush()
    assert rig.streams.written == b"x" * 100_000
    rig.type(b"")
    rig.over()


def test_slowOtherSideHoldsTheInputBack() -> None:
    """[T10] Nothing more is read while the connection is full."""
    rig = Rig(windowSize=1000)
    rig.peer.pause()
    typed = 0
    while rig.streams.isRead:
        rig.type(b"x" * 50_000)
        typed += 50_000
        assert typed < 1_000_000, "the input is read without an end"
    rig.peer.resume()
    rig.network.flush()
    assert rig.peer.received == b"x" * typed
    assert rig.streams.isRead
    rig.type(b"")
    rig.peer.end()
    rig.over()


def test_endIsReachedOnlyWhenAllIsWritten() -> None:
    """A slow output loses nothing when the connection is over before it."""
    rig = Rig()
    rig.streams.accepts = False
    rig.send(b"first")
    rig.peer.send(b"last")
    rig.peer.close()
    rig.type(b"")
    assert not rig.result
    rig.streams.accept()
    rig.network.flush()
    rig.streams.accept()
    rig.over()
    assert rig.streams.written == b"firstlast"


def test_theEndComesWithEarlyOctets() -> None:
    """
    [T2] A tunnel hands over what was behind the proxy's answer, and the end
    too, before a pause is heeded: the output ends behind all of it.
    """
    rig = Rig()
    rig.streams.accepts = False
    rig.conversation.dataReceived(b"ban")
    rig.conversation.dataReceived(b"ner")
    rig.conversation.readConnectionLost()
    rig.streams.accept()
    assert not rig.streams.ended
    rig.streams.accept()
    assert rig.streams.written == b"banner" and rig.streams.ended
    rig.type(b"")
    rig.over()


def test_anEndThatIsAReset(monkeypatch: pytest.MonkeyPatch) -> None:
    """[K9] Reactors report one for the other: what is cut off is not complete."""
    rig = Rig()
    monkeypatch.setattr(txconnect.client.conversation, "wasReset", lambda _: True)
    rig.peer.end()
    rig.failed(ConnectionAborted)
    assert not rig.streams.ended


def test_anOutputThatFailsBehindALoss() -> None:
    """The first that goes wrong ends it; nothing is aborted twice."""
    rig = Rig()
    rig.streams.accepts = False
    rig.send(b"half of")
    rig.peer.abort()
    rig.type(b"x")
    rig.network.flush()
    rig.streams.accept(Failure(OSError(errno.EPIPE, "Broken pipe", "standard output")))
    rig.failed(OSError)


def test_aResetIsNoEnd() -> None:
    """What was cut off does not look complete."""
    rig = Rig()
    rig.send(b"half of")
    rig.peer.abort()
    rig.failed(ConnectionLost, ConnectionAborted)
    assert rig.streams.written == b"half of"
    rig.streams.type(b"dropped")


def test_aLostConnectionIsToldOnceAllIsWritten() -> None:
    rig = Rig()
    rig.streams.accepts = False
    rig.send(b"half of")
    rig.peer.abort()
    rig.type(b"x")
    rig.network.flush()
    rig.streams.accept()
    rig.failed(ConnectionLost, ConnectionAborted)
    assert rig.streams.written == b"half of"


def test_outputThatNobodyReads() -> None:
    """The connection is not kept for a broken pipe."""
    rig = Rig()
    rig.streams.accepts = False
    rig.send(b"x")
    rig.streams.accept(Failure(OSError(errno.EPIPE, "Broken pipe", "standard output")))
    rig.failed(OSError)
    assert rig.peer.closed


def test_inputThatCannotBeRead() -> None:
    rig = Rig()
    rig.type(Failure(OSError(errno.EISDIR, "Is a directory", "standard input")))
    rig.failed(OSError)
    assert rig.peer.closed


def test_outputThatCannotBeEnded(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    monkeypatch.setattr(
        rig.streams, "endOutput", lambda: fail(OSError(errno.EIO, "I/O"))
    )
    rig.peer.end()
    rig.failed(OSError)


def test_tlsThatJustEnds() -> None:
    """Many a proxy sends no close_notify; over TCP alone it would be a loss."""
    conversation = Conversation(Streams())
    result: list[Any] = []
    conversation.finished.addBoth(result.append)

    class Transport:
        def getPeerCertificate(self) -> None: ...

    conversation.transport = Transport()
    conversation.connectionLost(Failure(ConnectionLost()))
    assert result == [None]
    conversation.connectionLost(Failure(ConnectionDone()))
    assert result == [None]


def test_interfaces() -> None:
    from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer

    conversation = Conversation(Streams())
    verifyObject(IHalfCloseableProtocol, conversation)
    verifyObject(IPushProducer, conversation)
    conversation.stopProducing()
