"""
A checker of one's own: users sign in to a directory with an LDAP simple bind.

It is a ``twisted.cred`` checker and nothing else, so that any Twisted server
can use it.  ``python examples/ldap_checker.py ldap.example.org`` runs a proxy
with it; an installed package would ship ``LdapCheckerFactory()`` in its
``twisted/plugins`` for ``--auth ldap:ldap.example.org``.

A user is never pasted into a DN unescaped, an empty password is never sent (a
directory takes that for an anonymous bind, and says yes), and only the
directory's "invalid credentials" means that another checker may be tried.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.plugin import IPlugin
from twisted.python.failure import Failure
from zope.interface import implementer

SUCCESS, INVALID_CREDENTIALS = 0, 49  # RFC 4511, A.1
LARGEST_ANSWER = 4096


class DirectoryError(Exception):
    """The directory answered something else than yes or no."""


def bindRequest(name: str, password: bytes) -> bytes:
    """One LDAP message: a simple bind (RFC 4511, 4.2)."""
    operation = _element(0x02, b"\x03") + _element(0x04, name.encode())
    operation += _element(0x80, password)
    return _element(0x30, _element(0x02, b"\x01") + _element(0x60, operation))


def _element(tag: int, value: bytes) -> bytes:
    if len(value) < 128:
        return bytes([tag, len(value)]) + value
    length = len(value).to_bytes((len(value).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + value


def resultCode(answer: bytes) -> int | None:
    """The result of a bind response; None while it is incomplete."""
    at, fields = 0, []
    # Message, its id, the response, the response's code: one inside another.
    for enters in (True, False, True, False):
        head = answer[at : at + 2]
        if len(head) < 2:
            return None
        wide = head[1] & 0x7F if head[1] & 0x80 else 0
        size = int.from_bytes(answer[at + 2 : at + 2 + wide], "big")
        size = size if wide else head[1]
        at += 2 + wide
        if len(answer) < at + size:
            return None
        fields.append((head[0], answer[at : at + size]))
        at += 0 if enters else size
    if [tag for tag, _ in fields] != [0x30, 0x02, 0x61, 0x0A]:
        raise DirectoryError("the directory's answer is no bind response")
    return int.from_bytes(fields[-1][1], "big")


def escaped(user: str) -> str:
    """A user's name as a value in a DN (RFC 4514, 2.4)."""
    # Every character but letters and digits in hexadecimal: nothing to forget.
    return "".join(
        each if each.isascii() and each.isalnum() else _hexadecimal(each)
        for each in user
    )


def _hexadecimal(character: str) -> str:
    return "".join(f"\\{octet:02x}" for octet in character.encode())


class _Bind(Protocol):
    """Sends one bind, and hears its result."""

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
            if code is None and len(self._answer) > LARGEST_ANSWER:
                raise DirectoryError("the directory's answer is too long")
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

    @param endpoint: where the directory is; wrap it in TLS for a real one.
    @param template: the DN of a user, with C{{}} for the escaped name.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, endpoint: IStreamClientEndpoint, template: str) -> None:
        self._endpoint = endpoint
        self._template = template

    async def _bind(self, user: str, password: bytes) -> str:
        request = bindRequest(self._template.format(escaped(user)), password)
        bind = await connectProtocol(self._endpoint, _Bind(request))
        code = await bind.result
        if code == INVALID_CREDENTIALS:
            raise UnauthorizedLogin("the directory does not know them")
        if code != SUCCESS:
            raise DirectoryError(f"the directory answers {code}")
        return user

    def requestAvatarId(self, credentials: Any) -> Deferred[str]:
        user, password = credentials.username, credentials.password
        if isinstance(user, bytes):
            try:
                user = user.decode()
            except UnicodeDecodeError:
                raise UnauthorizedLogin("the name is not UTF-8") from None
        if isinstance(password, str):
            password = password.encode()
        if not user or not password:
            raise UnauthorizedLogin("a name and a password are needed")
        return Deferred.fromCoroutine(self._bind(user, password))


@implementer(ICheckerFactory, IPlugin)
class LdapCheckerFactory:
    """C{--auth ldap:HOST} for whoever installs it."""

    authType = "ldap"
    authHelp = "Sign in to the LDAP directory on a host."
    argStringFormat = "HOST[:PORT]"
    credentialInterfaces = (IUsernamePassword,)

    def generateChecker(self, argument: str) -> LdapChecker:
        from twisted.internet import reactor

        return directory(reactor, argument)


def directory(reactor: Any, place: str) -> LdapChecker:
    """The directory at C{HOST[:PORT]}."""
    host, _, port = place.partition(":")
    endpoint = clientFromString(reactor, f"tcp:{host}:{port or 389}:timeout=5")
    return LdapChecker(endpoint, "uid={},ou=people,dc=example,dc=org")


def main(place: str) -> None:
    from twisted.internet import endpoints, reactor

    from txconnect.service import ConnectProxyFactory

    listener = endpoints.serverFromString(reactor, "tcp:3128:interface=127.0.0.1")
    listener.listen(ConnectProxyFactory(reactor, checkers=[directory(reactor, place)]))
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(sys.argv[1])
