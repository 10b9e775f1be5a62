"""
A checker of one's own: users sign in to a directory with an LDAP simple bind.

It is a ``twisted.cred`` checker, so other Twisted servers can use it too.  A
proxy that does, with the directory as an endpoint string:

    python examples/ldap_checker.py tls:ldap.example.org:636

The proxy loads it from this file, too:

    txconnect --auth ./ldap_checker.py:LdapCheckerFactory:tls:ldap.example.org:636

An installed package puts ``ldap = LdapCheckerFactory()`` in its
``twisted/plugins``, and then ``--auth ldap:tls:ldap.example.org:636`` works.

What a checker for a directory must get right: a user's name is escaped before
it goes into a DN; an empty password is never sent, because a directory takes
that for an anonymous bind and says yes; one person has one name, however the
client spells it; and only "invalid credentials" means that another checker may
be asked, all else is trouble.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory
from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    clientFromString,
    connectProtocol,
    serverFromString,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.plugin import IPlugin
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.auth import IBasicCredentials

TEMPLATE = "uid={},ou=people,dc=example,dc=org"
SUCCESS, INVALID_CREDENTIALS = 0, 49  # RFC 4511, A.1
LARGEST_ANSWER = 4096


class DirectoryError(Exception):
    """The directory answered something else than yes or no."""


# The wire: the two messages of a simple bind (RFC 4511, 4.2) in BER.


def bindRequest(name: str, password: bytes) -> bytes:
    """The message that signs in."""
    operation = _element(0x02, b"\x03") + _element(0x04, name.encode())
    operation += _element(0x80, password)
    return _element(0x30, _element(0x02, b"\x01") + _element(0x60, operation))


def resultCode(answer: bytes) -> int | None:
    """The result in the directory's answer; None while that is incomplete."""
    if _split(answer, 0x30) is None:
        return None
    message, _ = _inside(answer, 0x30)
    _, operation = _inside(message, 0x02)
    response, _ = _inside(operation, 0x61)
    code, _ = _inside(response, 0x0A)
    return int.from_bytes(code, "big")


def _element(tag: int, value: bytes) -> bytes:
    if len(value) < 128:
        return bytes([tag, len(value)]) + value
    length = len(value).to_bytes((len(value).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + value


def _split(data: bytes, tag: int) -> tuple[bytes, bytes] | None:
    """The value of an element, and what is behind it; None while incomplete."""
    if data and data[0] != tag:
        raise DirectoryError("the directory's answer is no bind response")
    if len(data) < 2:
        return None
    wide = data[1] & 0x7F if data[1] & 0x80 else 0
    size = int.from_bytes(data[2 : 2 + wide], "big") if wide else data[1]
    if data[1] == 0x80 or wide > 4 or size > LARGEST_ANSWER:
        raise DirectoryError("the directory's answer is too long")
    value = data[2 + wide : 2 + wide + size]
    whole = len(data) >= 2 + wide and len(value) == size
    return (value, data[2 + wide + size :]) if whole else None


def _inside(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """As L{_split}, of what has arrived whole."""
    split = _split(data, tag)
    if split is None:
        raise DirectoryError("the directory's answer is cut short inside")
    return split


# Names.


def plainName(user: str | bytes) -> str:
    """
    The one way to write a user's name, or L{UnauthorizedLogin}.

    For a directory "Alice", "alice " and "ali<soft hyphen>ce" are one name
    (RFC 4518); for policies and logs they would be three users.
    """
    text = user if isinstance(user, str) else user.decode("utf-8", "replace")
    if not (text.isascii() and text.isprintable()) or " " in text or not text:
        raise UnauthorizedLogin("names are printable ASCII without spaces here")
    return text.lower()


def escaped(user: str) -> str:
    """A user's name as a value in a DN (RFC 4514, 2.4)."""
    # All but letters and digits in hexadecimal: nothing to forget.
    return "".join(
        each if each.isalnum() else "".join(f"\\{octet:02x}" for octet in each.encode())
        for each in user
    )


# The checker.


class _Bind(Protocol):
    """Sends one bind, and hears its result."""

    transport: Any

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._answer = b""
        self.result: Deferred[int] = Deferred(self._givenUp)

    def connectionMade(self) -> None:
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        self._answer += data
        try:
            code = resultCode(self._answer)
        except DirectoryError:
            self._tell(Failure())
        else:
            if code is not None:
                self._tell(code)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._tell(Failure(DirectoryError("the directory has hung up")))

    def _tell(self, outcome: int | Failure) -> None:
        if not self.result.called:
            self.result.callback(outcome)
            self.transport.loseConnection()

    def _givenUp(self, _: Deferred[int]) -> None:
        self.transport.abortConnection()


@implementer(ICredentialsChecker)
class LdapChecker:
    """
    Signs users in.

    @param endpoint: where the directory is; a real one is reached with TLS.
    @param template: the DN of a user, with C{{}} for the escaped name.
    """

    # The second says that bytes are understood, so that this checker is not
    # asked again with text: each wrong password would count twice.
    credentialInterfaces = (IUsernamePassword, IBasicCredentials)

    def __init__(
        self, endpoint: IStreamClientEndpoint, template: str = TEMPLATE
    ) -> None:
        self._endpoint = endpoint
        self._template = template

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        return Deferred.fromCoroutine(
            self._bind(credentials.username, credentials.password)
        )

    async def _bind(self, username: str | bytes, password: str | bytes) -> bytes:
        user = plainName(username)
        secret = password.encode() if isinstance(password, str) else password
        if not secret:
            raise UnauthorizedLogin("an empty password is none")
        request = bindRequest(self._template.format(escaped(user)), secret)
        bind = await connectProtocol(self._endpoint, _Bind(request))
        code = await bind.result
        if code == INVALID_CREDENTIALS:
            raise UnauthorizedLogin("the directory does not know them")
        if code != SUCCESS:
            raise DirectoryError(f"the directory answers {code}")
        return user.encode()


@implementer(ICheckerFactory, IPlugin)
class LdapCheckerFactory:
    """C{--auth ldap:ENDPOINT} for whoever installs it."""

    authType = "ldap"
    authHelp = "Sign in to an LDAP directory, such as ldap:tls:ldap.example.org:636."
    argStringFormat = "An endpoint string that leads to the directory."
    credentialInterfaces = (IUsernamePassword,)

    def generateChecker(self, argument: str) -> LdapChecker:
        from twisted.internet import reactor

        return LdapChecker(clientFromString(reactor, argument))


async def main(reactor: Any, directory: str) -> None:
    from txconnect import ConnectProxyFactory

    checker = LdapChecker(clientFromString(reactor, directory))
    listener = serverFromString(reactor, "tcp:3128:interface=127.0.0.1")
    await listener.listen(ConnectProxyFactory(reactor, checkers=[checker]))
    await Deferred()  # until it is interrupted


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
