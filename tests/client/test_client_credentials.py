"""
Credentials for a proxy: what is sent, when there is nothing more to offer, and
that no secret shows.
"""

from __future__ import annotations

import base64

import pytest
from zope.interface.verify import verifyObject

from txconnect.client import (
    Basic,
    Bearer,
    Digest,
    IProxyCredentials,
    Password,
    ProxyAttempt,
)
from txconnect.client.credentials import asCredentials
from txconnect.values import Authority
from txconnect.wire.challenges import Challenge, parseChallenges

WHERE = Authority("destination.example", 443)
BASIC = parseChallenges([b'Basic realm="proxy"'])
DIGEST = parseChallenges([b'Digest realm="proxy", nonce="n1", qop="auth"'])
NEWER = parseChallenges([b'Digest realm="proxy", nonce="n2", qop="auth"'])
STALE = parseChallenges([b'Digest realm="proxy", nonce="n2", qop="auth", stale=true'])

Refused = tuple[bytes | None, ...]


def first() -> ProxyAttempt:
    """A first request."""
    return ProxyAttempt(WHERE)


def again(challenges: tuple[Challenge, ...], *refused: bytes | None) -> ProxyAttempt:
    """A request after as many 407s as something was refused."""
    return ProxyAttempt(WHERE, challenges, refused)


def answered(value: object) -> bytes:
    """A value that must be there."""
    assert isinstance(value, bytes)
    return value


def test_attempt() -> None:
    """[UP-01] The target of a CONNECT is exactly host:port, brackets and all."""
    assert first().target == b"destination.example:443"
    assert ProxyAttempt(Authority("2001:db8::1", 443)).target == b"[2001:db8::1]:443"
    assert "secret" not in repr(again(BASIC, b"Basic secret"))


@pytest.mark.parametrize(
    ("user", "password", "pair"),
    [
        ("user", "password", b"user:password"),
        ("", "", b":"),
        ("user", "a:b:", b"user:a:b:"),
        ("j\u00fcrgen", "\u20ac", b"j\xc3\xbcrgen:\xe2\x82\xac"),
        ("ju\u0308rgen", "e\u0301", b"j\xc3\xbcrgen:\xc3\xa9"),
        ("u" * 300, "p" * 300, b"u" * 300 + b":" + b"p" * 300),
    ],
)
def test_basic(user: str, password: str, pair: bytes) -> None:
    """
    The pair goes in UTF-8, composed, and long ones on one line; after
    a refusal there is nothing more to offer.
    """
    value = Basic(user, password).authorize(first())
    assert value == b"Basic " + base64.b64encode(pair)
    assert Basic(user, password).authorize(again(BASIC, value)) is None
    # A 407 whose challenges could not be read is a refusal too.
    assert Basic(user, password).authorize(again((), value)) is None


@pytest.mark.parametrize("kind", [Basic, Digest, Password])
@pytest.mark.parametrize(
    ("user", "password", "complaint"),
    [
        ("us:er", "secret", "the user holds a colon"),
        ("user\n", "secret", "the user holds a control"),
        ("user", "secret\r\nX: y", "the password holds a control"),
        ("user", "secret\x00", "the password holds a control"),
        ("user", "secret\x7f", "the password holds a control"),
        ("user", "secret\x85", "the password holds a control"),
        ("user", "secret\ud800", "the password is not Unicode"),
    ],
)
def test_whatCannotBeSent(
    kind: type[Basic | Digest | Password], user: str, password: str, complaint: str
) -> None:
    """What the scheme cannot carry is an error at once, without the secret."""
    with pytest.raises(ValueError, match=complaint) as caught:
        kind(user, password)
    assert "secret" not in str(caught.value)


def test_bearer() -> None:
    """A token goes at once, and is not offered again."""
    value = Bearer("aZ09-._~+/==").authorize(first())
    assert value == b"Bearer aZ09-._~+/=="
    assert Bearer("t").authorize(again(BASIC, b"Bearer t")) is None


@pytest.mark.parametrize("token", ["", "=", "secret secret", "secret\n", "s\u00e9cret"])
def test_badBearer(token: str) -> None:
    """No token with a line break or a space, and none in the message."""
    with pytest.raises(ValueError, match="the token is empty or holds") as caught:
        Bearer(token)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "credentials",
    [
        Basic("user", "secret"),
        Bearer("secret"),
        Digest("user", "secret"),
        Password("user", "secret"),
        asCredentials(lambda attempt: b"secret"),
        asCredentials(None),
    ],
    ids=lambda credentials: type(credentials).__name__,
)
def test_provides(credentials: object) -> None:
    """Each is what it says, is equal to itself, and shows no secret."""
    assert verifyObject(IProxyCredentials, credentials)
    assert "secret" not in repr(credentials)
    assert len({credentials, credentials}) == 1


def digests(*values: str) -> Digest:
    """Digest with these as its own nonces."""
    rest = list(values)
    return Digest("user", "secret", lambda: rest.pop(0))


def test_digestWaitsForTheChallenge() -> None:
    """Nothing at first; the strongest of what is offered then."""
    digest = digests("c1")
    assert digest.authorize(first()) is None
    both = parseChallenges(
        [
            b'Basic realm="x", Digest realm="a", nonce="n", qop="auth", algorithm=MD5',
            b'Digest realm="b", nonce="n", qop="auth", algorithm=SHA-256',
        ]
    )
    value = answered(digest.authorize(again(both, None)))
    assert b'realm="b"' in value and b"algorithm=SHA-256" in value
    assert b'uri="destination.example:443"' in value
    assert b'nc=00000001, cnonce="c1"' in value
    assert b"secret" not in value


def test_digestGivesUp() -> None:
    """A password that was refused over a fresh nonce is not tried again."""
    digest = digests("c1", "c2")
    value = answered(digest.authorize(again(DIGEST, None)))
    assert digest.authorize(again(NEWER, None, value)) is None
    # Nor is the nonce of the refusal used for the next request.
    assert digest.authorize(first()) is None


def test_digestStale() -> None:
    """A stale nonce says nothing of the password: a new one is answered."""
    digest = digests("c1", "c2")
    value = answered(digest.authorize(again(DIGEST, None)))
    newer = answered(digest.authorize(again(STALE, None, value)))
    assert b'nonce="n2"' in newer
    assert b'nc=00000001, cnonce="c2"' in newer


def test_digestUsesItsNonceAgain() -> None:
    """Later requests count the nonce up, and survive its end."""
    digest = digests("c1", "c2")
    digest.authorize(again(DIGEST, None))
    value = answered(digest.authorize(first()))
    assert b'nonce="n1"' in value and b'nc=00000002, cnonce="c1"' in value
    # The proxy has forgotten the nonce, and does not say that it is stale.
    newer = answered(digest.authorize(again(NEWER, value)))
    assert b'nonce="n2"' in newer and b"nc=00000001" in newer


def test_digestOfAnotherRequest() -> None:
    """The answer is for the target that the request has."""
    asked = ProxyAttempt(WHERE, DIGEST, (None,), b"GET", b"http://a.example/b?c")
    value = answered(digests("c").authorize(asked))
    assert b'uri="http://a.example/b?c"' in value


def test_digestCountEnds() -> None:
    """nc has eight digits: a nonce that was used up is not used again."""
    digest = digests("c1")
    digest.authorize(again(DIGEST, None))
    session = digest._session
    assert session is not None
    session.count = 0xFFFFFFFE
    assert b"nc=ffffffff" in answered(digest.authorize(first()))
    assert digest.authorize(first()) is None


@pytest.mark.parametrize(
    "challenges", [(), BASIC, parseChallenges([b'Digest realm="a", nonce="n", qop=x'])]
)
def test_digestNotOffered(challenges: tuple[Challenge, ...]) -> None:
    """Where no Digest is offered that can be answered, nothing is sent."""
    assert digests("c").authorize(again(challenges, None)) is None


def test_passwordIsBasic() -> None:
    """Basic goes at once; where it is refused and offered, it was wrong."""
    password = Password("user", "secret")
    value = password.authorize(first())
    assert value == Basic("user", "secret").authorize(first())
    assert password.authorize(again(BASIC + DIGEST, value)) is None


def test_passwordIsDigest() -> None:
    """Digest where no Basic is offered; from then on at once."""
    password = Password("user", "secret")
    basic = answered(password.authorize(first()))
    digest = answered(password.authorize(again(DIGEST, basic)))
    assert digest.startswith(b"Digest ")
    assert b"nc=00000002" in answered(password.authorize(first()))
    assert password.authorize(again(NEWER, basic, digest)) is None


def test_passwordTurnsBack() -> None:
    """A proxy that comes to want Basic after all gets it."""
    password = Password("user", "secret")
    basic = answered(password.authorize(first()))
    password.authorize(again(DIGEST, basic))
    digest = answered(password.authorize(first()))
    assert password.authorize(again(BASIC, digest)) == basic
    assert password.authorize(first()) == basic


def test_function() -> None:
    """A function is asked as it is; two wrappers of one are the same."""

    def ask(attempt: ProxyAttempt) -> bytes | None:
        return None if attempt.challenges else b"Own " + attempt.target

    credentials = asCredentials(ask)
    assert credentials == asCredentials(ask)
    assert credentials != asCredentials(lambda attempt: None)
    assert credentials.authorize(first()) == b"Own destination.example:443"
    assert credentials.authorize(again(BASIC, None)) is None


def test_asCredentials() -> None:
    """An object stays itself, and nothing offers nothing."""
    basic = Basic("user", "secret")
    assert asCredentials(basic) is basic
    nothing = asCredentials(None)
    assert nothing == asCredentials(None)
    assert nothing.authorize(first()) is None


@pytest.mark.parametrize("given", ["user:secret", ("user", "secret"), Basic, b"secret"])
def test_noCredentials(given: object) -> None:
    """What is none is said to be none, without showing it."""
    with pytest.raises(TypeError, match=r"Basic\(user, password\)") as caught:
        asCredentials(given)
    assert "secret" not in str(caught.value)
