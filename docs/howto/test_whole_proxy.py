import hmac

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from zope.interface import implementer

from txconnect import Closed, Settings
from txconnect.policy import HostsPolicy
from txconnect.testing import checkChecker, proxyOnMemory

HOSTS = {"a.example": "93.184.216.34", "inside.example": "10.0.0.7"}


def test_bytesBothWays():
    net = proxyOnMemory(policies=[HostsPolicy("a.example")], hosts=HOSTS)
    client = net.connectThrough("a.example:443", early=b"hello")
    assert client.status == 200
    assert client.destination.received == b"hello"
    client.destination.send(b"welcome")
    net.flush()
    assert client.received == b"welcome"
    client.end()
    client.destination.end()
    net.flush()
    (closed,) = net.events.closed
    assert (closed.up, closed.down, closed.reason) == (5, 7, Closed.CLIENT)
    net.stop()


def test_refused():
    with proxyOnMemory(hosts=HOSTS) as net:
        client = net.connectThrough("inside.example:443")
        assert client.status == 403
        assert "networks" in client.phrase
        (refused,) = net.events.refused
        assert refused.rule == "networks"
        assert net.lookup.calls == ["inside.example"]


def test_idle():
    with proxyOnMemory(hosts=HOSTS, settings=Settings(idleTimeout=60.0)) as net:
        client = net.connectThrough("a.example:443")
        net.advance(100.0)
        assert client.reset
        assert net.events.closed[0].reason is Closed.IDLE


@implementer(ICredentialsChecker)
class OneUser:
    credentialInterfaces = (IUsernamePassword,)

    def requestAvatarId(self, credentials):
        user, password = credentials.username, credentials.password
        known = isinstance(user, bytes) and user == b"ada"
        if known and hmac.compare_digest(password, b"lovelace"):
            return user
        raise UnauthorizedLogin("no such user, or another password")


def test_checker():
    identity = checkChecker(OneUser(), ("ada", "lovelace"))
    assert identity.user == "ada"


def test_users():
    with proxyOnMemory(checkers=[OneUser()], hosts=HOSTS) as net:
        assert net.connectThrough("a.example:443").status == 407
        client = net.connectThrough("a.example:443", user="ada", password="lovelace")
        assert client.status == 200
        assert net.events.established[0].tunnel.request.identity.user == "ada"
