"""
The directory's checker of examples/ldap_checker.py, in a whole proxy, against
a directory that is scripted octet by octet.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from exampleprograms import program
from rig import ESTABLISHED, Rig, connect, status
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from zope.interface.verify import verifyObject

from txconnect.testing import CHUNKS, MemoryNetwork, checkChecker, chunkings
from txconnect.testing.peers import Peer
from txconnect.values import Cause, Identity

DIRECTORY = "192.0.2.9"
ldap = program("ldap_checker")
everyChunk = pytest.mark.parametrize("chunk", CHUNKS)


def bindResponse(code: int, words: bytes = b"") -> bytes:
    """A bind response as a directory writes it (RFC 4511, 4.2.2)."""
    result = bytes([0x0A, 1, code, 0x04, 0, 0x04, len(words)]) + words
    operation = bytes([0x61, len(result)]) + result
    return bytes([0x30, 3 + len(operation), 0x02, 1, 1]) + operation


class Signing(Rig):
    """A proxy whose users are in a directory."""

    def __init__(self, chunk: Any = None, **kept: Any) -> None:
        network = MemoryNetwork(chunk=chunk)
        checker = ldap.LdapChecker(TCP4ClientEndpoint(network, DIRECTORY, 389))
        super().__init__(network=network, checkers=[checker], **kept)
        self.directory = network.serve(DIRECTORY, 389)
        self.serve()

    def asks(self, user: bytes = b"ada", password: bytes = b"secret") -> Peer:
        """Connect a client with these credentials."""
        token = b64encode(user + b":" + password).decode()
        return self.client(
            connect("example.com:443", f"Proxy-Authorization: Basic {token}")
        )

    def answered(self, data: bytes) -> Peer:
        """The client, once the directory has answered this."""
        client = self.asks()
        self.directory.peer.send(data)
        self.flush()
        return client

    def over(self, client: Peer) -> None:
        """Nothing is left, here or at the directory, which was asked once."""
        client.abort()
        directory = self.directory.peer
        self.flush()
        assert directory.ended or directory.closed
        if not directory.closed:
            directory.close()
        self.assertOver()


@everyChunk
def test_success(chunk: Any) -> None:
    """[T8] The exact octets of a bind, and who the user is then."""
    rig = Signing(chunk)
    client = rig.asks()
    name = b"uid=ada,ou=people,dc=example,dc=org"
    bind = b"\x02\x01\x03\x04" + bytes([len(name)]) + name + b"\x80\x06secret"
    message = b"\x02\x01\x01\x60" + bytes([len(bind)]) + bind
    assert rig.directory.peer.received == b"0" + bytes([len(message)]) + message
    assert client.received == b""
    rig.directory.peer.send(bindResponse(0))
    rig.flush()
    assert client.received == ESTABLISHED
    identity = rig.events.established[0].tunnel.request.identity
    assert identity == Identity("ada", "LdapChecker")
    rig.over(client)


@everyChunk
def test_invalidCredentials(chunk: Any) -> None:
    """[T8] Asked once: each wrong password counts where accounts are locked."""
    rig = Signing(chunk)
    client = rig.answered(bindResponse(49, b"invalid credentials"))
    assert status(client) == 407
    assert rig.events.refused[0].cause is Cause.CREDENTIALS_REFUSED
    rig.over(client)


@everyChunk
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(bindResponse(1), id="another code"),
        pytest.param(bindResponse(51, b"busy"), id="busy"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="no LDAP at all"),
        pytest.param(b"\x30\x80\x02\x01\x01\x00\x00", id="indefinite length"),
        pytest.param(b"\x30\x85\x01\x00\x00\x00\x00", id="length of a length"),
        pytest.param(b"\x30\x82\xff\xff\x02\x01\x01", id="64 KiB announced"),
        pytest.param(b"\x30\x05\x02\x01\x01\x61\x07", id="inner longer than outer"),
        pytest.param(b"\x30\x03\x02\x01\x01", id="nothing inside"),
        pytest.param(
            bindResponse(0).replace(b"\x61", b"\x78", 1), id="another response"
        ),
    ],
)
def test_trouble(chunk: Any, answer: bytes) -> None:
    """[T8] Nothing but a bind response's yes is a yes, or moves on to others."""
    rig = Signing(chunk)
    client = rig.answered(answer)
    assert status(client) == 500
    assert rig.events.refused[0].cause is Cause.PLUGIN_ERROR
    rig.over(client)


@pytest.mark.parametrize("at", range(len(bindResponse(0))))
def test_cutAnswer(at: int) -> None:
    """The directory hangs up in the middle, wherever that is."""
    rig = Signing()
    client = rig.answered(bindResponse(0)[:at])
    assert client.received == b""
    rig.directory.peer.end()
    rig.flush()
    assert status(client) == 500
    assert "hung up" in rig.events.refused[0].reason
    rig.over(client)


def test_silentDirectory() -> None:
    """It is given up at the hook's deadline, and its connection with it."""
    rig = Signing(settings={"hookTimeout": 2.0})
    client = rig.asks()
    rig.network.advance(2.1)
    rig.flush()
    assert status(client) == 500
    assert rig.events.refused[0].cause is Cause.PLUGIN_TIMEOUT
    rig.over(client)


def test_clientThatLeavesTakesItsBindAlong() -> None:
    rig = Signing()
    client = rig.asks()
    rig.over(client)


def test_directoryIsDown() -> None:
    rig = Signing()
    rig.directory.stop()
    client = rig.asks()
    assert status(client) == 500
    client.abort()
    rig.assertOver()


def test_emptyPasswordIsNeverSent() -> None:
    """[T8] A directory takes it for an anonymous bind, and says yes."""
    rig = Signing()
    client = rig.asks(password=b"")
    assert status(client) == 407
    assert rig.directory.peers == []
    client.abort()
    rig.assertOver()


@pytest.mark.parametrize(
    ("user", "value"),
    [
        ("ada", "ada"),
        ("admin,dc=x", r"admin\2cdc\3dx"),
        ("*)(uid=*", r"\2a\29\28uid\3d\2a"),
        ('#"+;<>\\', r"\23\22\2b\3b\3c\3e\5c"),
        ("{}{0}", r"\7b\7d\7b0\7d"),
    ],
)
def test_namesAreEscaped(user: str, value: str) -> None:
    """[T8] A user writes no DN: what GHSA-527g-3w9m-29hv was about."""
    rig = Signing()
    client = rig.asks(user.encode())
    assert f"uid={value},ou=people".encode() in rig.directory.peer.received
    rig.over(client)


@pytest.mark.parametrize(
    "user", [b"", b" ada", b"ada ", b"a da", b"\xc3\xa9ve", b"\xff", b"ali\xc2\xadce"]
)
def test_namesWithSeveralSpellingsAreNotAsked(user: bytes) -> None:
    """[T8] One person is one user, for policies and in logs."""
    rig = Signing()
    client = rig.asks(user)
    assert status(client) == 407
    assert rig.directory.peers == []


def test_caseIsOneSpelling() -> None:
    rig = Signing()
    client = rig.asks(b"ADA")
    rig.directory.peer.send(bindResponse(0))
    rig.flush()
    assert client.received == ESTABLISHED
    request = rig.events.established[0].tunnel.request
    assert request.identity == Identity("ada", "LdapChecker")


def test_textCredentials() -> None:
    """Other Twisted servers give their checkers text."""
    rig = Signing()
    checker = ldap.LdapChecker(TCP4ClientEndpoint(rig.network, DIRECTORY, 389))
    waiting: Deferred[Any] = checker.requestAvatarId(UsernamePassword("Ada", "s\xe9c"))
    rig.flush()
    assert b"s\xc3\xa9c" in rig.directory.peer.received
    rig.directory.peer.send(bindResponse(0))
    rig.flush()
    answers: list[Any] = []
    waiting.addBoth(answers.append)
    assert answers == [b"ada"]
    with pytest.raises(UnauthorizedLogin):
        ldap.plainName("")


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 70000])
def test_lengths(size: int) -> None:
    """What is written in BER is read again, however long its length is."""
    written = ldap._element(0x04, b"x" * size)
    if size > ldap.LARGEST_ANSWER:
        with pytest.raises(ldap.DirectoryError):
            ldap._split(written, 0x04)
    else:
        assert ldap._split(written + b"rest", 0x04) == (b"x" * size, b"rest")


def test_answersInPieces() -> None:
    """No piece before the last is taken for the whole."""
    answer = bindResponse(49, b"x" * 50)
    for _, pieces in chunkings(answer):
        for count in range(len(pieces)):
            assert ldap.resultCode(b"".join(pieces[:count])) is None
        assert ldap.resultCode(b"".join(pieces)) == 49


def test_conformance() -> None:
    """[F56] The kit's check for checkers, with a directory that knows one user."""
    rig = Signing()
    checker = ldap.LdapChecker(TCP4ClientEndpoint(rig.network, DIRECTORY, 389))
    known = b"\x04\x23uid=ada,ou=people,dc=example,dc=org\x80\x08lovelace"

    def answer() -> None:
        rig.flush()
        for peer in rig.directory.peers:
            if not peer.closed:
                right = peer.take().endswith(known)
                peer.send(bindResponse(0 if right else 49))
        rig.flush()

    assert checkChecker(checker, ("ada", "lovelace"), drive=answer).user == "ada"


def test_factory() -> None:
    """What an installed package declares for C{--auth ldap:...}."""
    factory = ldap.LdapCheckerFactory()
    verifyObject(ICheckerFactory, factory)
    made = factory.generateChecker("tcp:127.0.0.1:389")
    assert isinstance(made, ldap.LdapChecker)
