"""
Clients that say in the TLS handshake what they want to speak (RFC 7301).

curl and browsers do, towards a proxy too; Twisted 26.4 and newer end the
handshake of one that asks where no protocol is named.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from certificates import makeAuthority
from OpenSSL import SSL
from rig import ESTABLISHED, Rig, connect
from twisted.copyright import version
from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import alsoProvides

from txconnect.listening.proxytls import clientCertificateOptions
from txconnect.listening.service import Gate
from txconnect.proxy import ConnectProxyFactory
from txconnect.testing import CHUNKS
from txconnect.testing.peers import Peer

# Older ones do not ask, and let the client have its way.
ANSWERS = tuple(map(int, version.split(".")[:2])) >= (26, 4)

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:OpenSSL.*")


class TLSPeer:
    """A client's TLS over a peer of the memory network."""

    def __init__(self, rig: Rig, peer: Peer, context: SSL.Context) -> None:
        self._rig, self._peer = rig, peer
        self.tls = SSL.Connection(context, None)
        self.tls.set_connect_state()

    def does(self, step: Any, *arguments: Any) -> Any:
        """Take a step, as soon as the other side lets it be taken."""
        for _ in range(10):
            try:
                done = step(*arguments)
            except SSL.WantReadError:
                done = None
            self._exchange()
            if done is not None:
                return done
        raise AssertionError("the other side does not go on")

    def handshake(self) -> bytes:
        """What both agree on."""
        self.does(lambda: self.tls.do_handshake() or True)
        return self.tls.get_alpn_proto_negotiated()

    def _exchange(self) -> None:
        try:
            self._peer.send(self.tls.bio_read(1 << 20))
        except SSL.WantReadError:
            pass
        self._rig.network.advance(0)
        if taken := self._peer.take():
            self.tls.bio_write(taken)


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        ([], b""),
        ([b"http/1.1"], b"http/1.1"),
        ([b"h2", b"http/1.1"], b"http/1.1"),
        ([b"http/1.0"], b"http/1.0"),
    ],
)
def test_handshakeOfAClientThatAsks(
    tmp_path: Path, offered: list[bytes], agreed: bytes, gated: bool, chunk: Any
) -> None:
    """By itself in an embedding, and behind the gate of the command."""
    authority = makeAuthority(tmp_path)
    server, mine = authority.server(), authority.client("alice")
    rig = Rig(chunk=chunk)
    factory: Any = ConnectProxyFactory(rig.network, rig.proxy)
    if gated:
        factory = Gate(factory)
        factory.open = True
    options = clientCertificateOptions(
        str(server.certificate), str(server.key), str(authority.certificate)
    )
    wrapped = TLSMemoryBIOFactory(options, False, factory, clock=rig.network)
    rig.network.listenTCP(3129, wrapped, interface="127.0.0.1")
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.use_certificate_file(str(mine.certificate))
    context.use_privatekey_file(str(mine.key))
    if offered:
        context.set_alpn_protos(offered)
    rig.serve()
    client = TLSPeer(rig, rig.network.connect("127.0.0.1", 3129), context)
    assert client.handshake() == (agreed if ANSWERS else b"")
    client.does(client.tls.send, connect())
    assert client.does(client.tls.recv, 1000) == ESTABLISHED


def test_gateSaysWhatIsBehindIt() -> None:
    """And says that there is no answer where the factory behind has none."""
    behind = Factory()
    assert not IProtocolNegotiationFactory.providedBy(Gate(behind))
    alsoProvides(behind, IProtocolNegotiationFactory)
    assert IProtocolNegotiationFactory.providedBy(Gate(behind))
