"""
Digest: the examples of the RFCs, what is chosen, and how it is written.
"""

from __future__ import annotations

import hashlib

import pytest

from txconnect.wire.challenges import Challenge, parseChallenges
from txconnect.wire.digest import DigestChallenge, answerDigest, chooseDigest


def read(value: bytes) -> DigestChallenge:
    """A challenge that can be answered."""
    challenge = chooseDigest(parseChallenges([value]))
    assert challenge is not None
    return challenge


def fieldsOf(value: bytes) -> dict[str, str]:
    """The parameters of an answer, which has the form of a challenge."""
    [answer] = parseChallenges([value])
    assert answer.scheme == "digest"
    return dict(answer.parameters)


# RFC 7616, 3.9.1.
ONE = (
    b'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=%s, '
    b'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
    b'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
# RFC 7616, 3.9.2, with the client's nonce of its answer.
TWO = (
    b'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
    b'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
    b'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8'
)
TWO_CNONCE = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
TWO_RESPONSE = "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        (b"MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        (
            b"SHA-256",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ],
)
def test_exampleOne(algorithm: bytes, response: str) -> None:
    """RFC 7616, 3.9.1: MD5 and SHA-256."""
    value = answerDigest(
        read(ONE % algorithm),
        "Mufasa",
        "Circle of Life",
        b"GET",
        b"/dir/index.html",
        "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert fieldsOf(value) == {
        "username": "Mufasa",
        "realm": "http-auth@example.org",
        "uri": "/dir/index.html",
        "algorithm": algorithm.decode("ascii"),
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "nc": "00000001",
        "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        "qop": "auth",
        "response": response,
        "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
    }


def test_exampleTwo() -> None:
    """
    RFC 7616, 3.9.2, as its erratum 4897 corrects it: SHA-512/256 is no
    SHA-512 cut short; the name is hashed.
    """
    value = answerDigest(
        read(TWO + b", userhash=true"),
        "J\u00e4s\u00f8n Doe",
        "Secret, or not?",
        b"GET",
        b"/doe.json",
        TWO_CNONCE,
    )
    fields = fieldsOf(value)
    assert fields["response"] == TWO_RESPONSE
    assert fields["userhash"] == "true"
    assert fields["username"] == (
        "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    )


def test_nameBeyondASCII() -> None:
    """RFC 7616, 3.4: username* where the proxy reads UTF-8, else plain octets."""
    request = ("J\u00e4s\u00f8n Doe", "Secret, or not?", b"GET", b"/doe.json")
    fields = fieldsOf(answerDigest(read(TWO), *request, TWO_CNONCE))
    assert fields["username*"] == "UTF-8''J%C3%A4s%C3%B8n%20Doe"
    assert "username" not in fields and "userhash" not in fields
    assert fields["response"] == TWO_RESPONSE
    plain = fieldsOf(
        answerDigest(read(TWO.replace(b", charset=UTF-8", b"")), *request, TWO_CNONCE)
    )
    ascii = fieldsOf(answerDigest(read(TWO), "Jason", *request[1:], TWO_CNONCE))
    assert ascii["username"] == "Jason"
    assert plain["username"] == "J\xc3\xa4s\xc3\xb8n Doe"
    assert plain["response"] == TWO_RESPONSE


def test_rfc2069() -> None:
    """Without a qop, as of old: neither nc nor cnonce (RFC 2617, 3.2.2.1)."""
    challenge = read(b'Digest realm="testrealm@host.com", nonce="n0"')
    value = answerDigest(challenge, "Mufasa", "secret", b"CONNECT", b"a:443", "c")

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    secret, request = md5("Mufasa:testrealm@host.com:secret"), md5("CONNECT:a:443")
    assert fieldsOf(value) == {
        "username": "Mufasa",
        "realm": "testrealm@host.com",
        "nonce": "n0",
        "uri": "a:443",
        "response": md5(f"{secret}:n0:{request}"),
    }


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        ("MD5-sess", "md5"),
        ("sha-256-SESS", "sha256"),
        ("SHA-512-256-sess", "sha512_256"),
    ],
)
def test_sessions(algorithm: str, name: str) -> None:
    """RFC 7616, 3.4.2: a session's secret is made once, of nonce and cnonce."""
    challenge = read(
        b'Digest realm="r", nonce="n", qop=auth, algorithm=' + algorithm.encode()
    )

    def digest(text: str) -> str:
        return hashlib.new(name, text.encode()).hexdigest()

    secret = digest(digest("u:r:p") + ":n:c")
    for count in (1, 2, 0xABCDEF):
        value = answerDigest(challenge, "u", "p", b"CONNECT", b"a:443", "c", count)
        fields = fieldsOf(value)
        request = digest("CONNECT:a:443")
        assert fields["nc"] == f"{count:08x}"
        assert fields["algorithm"] == algorithm
        assert fields["response"] == digest(f"{secret}:n:{count:08x}:c:auth:{request}")


def test_quoting() -> None:
    """
    RFC 7616, 3.4: what is quoted in an answer, what must not be, and that
    quotes and octets of the challenge come back as they were.
    """
    challenge = read(
        b'Digest realm="a \\"b\\" \\\\ \xc3\xa4", nonce="n\\"", opaque="", '
        b'qop="auth", algorithm="SHA-256"'
    )
    value = answerDigest(challenge, 'u"\\', "p", b"CONNECT", b"a:443", "c")
    for part in (
        b'username="u\\"\\\\"',
        b'realm="a \\"b\\" \\\\ \xc3\xa4"',
        b'nonce="n\\""',
        b'uri="a:443"',
        b'opaque=""',
        b'cnonce="c"',
        b", algorithm=SHA-256,",
        b", qop=auth,",
        b", nc=00000001,",
    ):
        assert part in value
    secret = hashlib.sha256(b'u"\\:a "b" \\ \xc3\xa4:p').hexdigest()
    request = hashlib.sha256(b"CONNECT:a:443").hexdigest()
    expected = f'{secret}:n":00000001:c:auth:{request}'.encode()
    assert fieldsOf(value)["response"] == hashlib.sha256(expected).hexdigest()


@pytest.mark.parametrize(
    "challenge",
    [
        b'Basic realm="x"',
        b"Digest abc=",
        b'Digest nonce="n", qop=auth',
        b'Digest realm="x", qop=auth',
        b'Digest realm="x", nonce="n", qop="auth-int"',
        b'Digest realm="x", nonce="n", qop=""',
        b'Digest realm="x", nonce="n", qop=auth, algorithm=SHA-1',
        b'Digest realm="x", nonce="n", qop=auth, algorithm="MD5, SHA-256"',
        b'Digest realm="x", nonce="n", algorithm=MD5-sess',
    ],
)
def test_notUnderstood(challenge: bytes) -> None:
    """A challenge that cannot be answered is none."""
    parsed = parseChallenges([challenge])
    assert len(parsed) == 1
    assert chooseDigest(parsed) is None


@pytest.mark.parametrize(
    ("order", "chosen"),
    [
        ("MD5 SHA-256 SHA-512-256", "SHA-512-256"),
        ("SHA-512-256-sess SHA-256", "SHA-512-256-sess"),
        ("MD5-sess SHA-256", "SHA-256"),
        ("SHA-256-sess SHA-256", "SHA-256-sess"),
        ("SHA-256 SHA-256-sess", "SHA-256"),
        ("UNKNOWN MD5", "MD5"),
        ("UNKNOWN", None),
        ("", None),
    ],
)
def test_choice(order: str, chosen: str | None) -> None:
    """The strongest that is understood; of equals the first (RFC 7616, 3.7)."""
    challenges = [
        Challenge(
            "digest",
            {"realm": "r", "nonce": "n", "qop": "auth", "algorithm": algorithm},
        )
        for algorithm in order.split()
    ]
    choice = chooseDigest(challenges)
    assert (choice and choice.algorithm) == chosen


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [(b"stale=TRUE", True), (b'stale="true"', True), (b"stale=false", False)],
)
def test_stale(parameter: bytes, expected: bool) -> None:
    """stale is true or it is not, in any case."""
    assert read(b'Digest realm="r", nonce="n", ' + parameter).stale is expected
