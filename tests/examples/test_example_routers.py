"""
The example of a router: the parent of each user.
"""

from __future__ import annotations

from typing import Any

import pytest
from exampleprograms import plugin
from namednetwork import NamedNetwork
from rig import ESTABLISHED, Rig, body, connect, status
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from zope.interface import implementer

from txconnect.plugins import ROUTER
from txconnect.testing import CHUNKS, checkRouter, makeRequest
from txconnect.values import Cause, Identity

LAB, OFFICE = "192.0.2.9", "192.0.2.10"
EXAMPLE = (
    "parent_by_user.py:ParentByUser:"
    "ada=http://lab.example:3128,staff=socks5://office.example:1080"
)


@implementer(ICredentialsChecker)
class Everybody:
    """Knows who is in which group."""

    credentialInterfaces = (IUsernamePassword,)

    def requestAvatarId(self, credentials: Any) -> Any:
        user = credentials.username.decode()
        return Identity(user, "test", ("staff",) if user == "bob" else ())


def routed(chunk: Any = None) -> Rig:
    """A proxy with the example, and the names of its parents."""
    network = NamedNetwork(chunk=chunk)
    network.names.update({"lab.example": LAB, "office.example": OFFICE})
    router = plugin(ROUTER, EXAMPLE)
    router.reactor = network
    return Rig(network=network, routers=[router], checkers=[Everybody()])


def asked(user: str | None = None, groups: tuple[str, ...] = ()) -> str | None:
    made = plugin(ROUTER, EXAMPLE).route(makeRequest(user=user, groups=groups))
    return None if made is None else made.name


def test_itPicksByUserAndByGroup() -> None:
    """[F52] The user's own parent first; others are left to the next router."""
    checkRouter(plugin(ROUTER, EXAMPLE))
    assert asked("ada") == "http://lab.example:3128"
    assert asked("ada", ("staff",)) == "http://lab.example:3128"
    assert asked("bob", ("guests", "staff")) == "socks5://office.example:1080"
    assert asked("eve", ("guests",)) is None
    assert asked() is None


def test_aBadURLStopsTheStart() -> None:
    """[F52] With its own words."""
    with pytest.raises(ValueError, match="ftp"):
        plugin(ROUTER, "parent_by_user.py:ParentByUser:ada=ftp://lab.example")


@pytest.mark.parametrize("chunk", CHUNKS)
def test_tunnelsOfItsUsers(chunk: Any) -> None:
    """[F52] Each through the own parent, which is asked for the name."""
    rig = routed(chunk)
    lab, direct = rig.serve(LAB, 3128), rig.serve(banner=b"direct")
    office = rig.serve(OFFICE, 1080)
    ada = rig.client(connect("name.lab.example:443", BASIC["ada"]) + b"early")
    peer = lab.peers[-1]
    assert peer.take().startswith(b"CONNECT name.lab.example:443 HTTP/1.1\r\n")
    peer.send(ESTABLISHED + b"banner")
    rig.flush()
    assert body(ada) == b"banner"
    assert peer.take() == b"early"
    bob = rig.client(connect("example.com:443", BASIC["bob"]))
    assert office.peers[-1].received == b"\x05\x01\x00"
    bob.abort()
    rig.flush()
    assert office.peers[-1].closed
    eve = rig.client(connect("example.com:443", BASIC["eve"]))
    assert body(eve) == b"direct"
    assert [each.tunnel.route for each in rig.events.established] == [
        "http://lab.example:3128",
        "direct",
    ]
    for each in (ada, eve):
        each.abort()
    assert len(direct.peers) == 1
    rig.assertOver()


BASIC = {
    "ada": "Proxy-Authorization: Basic YWRhOng=",
    "bob": "Proxy-Authorization: Basic Ym9iOng=",
    "eve": "Proxy-Authorization: Basic ZXZlOng=",
}


def test_aParentThatIsDown() -> None:
    """[F52] A 503 that names it in the log."""
    rig = routed()
    rig.network.refuse(LAB)
    client = rig.client(connect("example.com:443", BASIC["ada"]))
    # A HostnameEndpoint waits for further addresses.
    rig.network.advance(1)
    assert status(client) == 503
    (refused,) = rig.events.refused
    assert refused.cause is Cause.PARENT_UNREACHABLE
    assert refused.reason.startswith("http://lab.example:3128: Connection was refused")
    client.end()
    rig.assertOver()
