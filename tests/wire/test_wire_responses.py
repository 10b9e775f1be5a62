"""
The answers to a CONNECT, read by other implementations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import h11
import http_sf
import pytest
from hypothesis import given, strategies as st

from txconnect.wire.authority import Authority
from txconnect.wire.http1.rendering import ESTABLISHED, renderResponse
from txconnect.wire.proxystatus import ProxyStatusMember
from txconnect.wire.refusals import Cause
from txconnect.wire.responses import Refusal, Relayed, Response, responseOf
from txconnect.wire.structured import Token

ANSWERED = [cause for cause in Cause if cause.error is not None]
BASIC = b'Basic realm="proxy"'


def renderRefusal(refusal: Refusal, closes: bool = True) -> bytes:
    """A refusal as a client is sent it in HTTP/1.1."""
    return renderResponse(responseOf(refusal), closes)


def refusal(cause: Cause = Cause.POLICY, **changes: Any) -> Refusal:
    """A refusal as the proxy makes it, and what the test changes of it."""
    plain: dict[str, Any] = {
        "cause": cause,
        "rule": cause.label,
        "id": "7f3a-2",
        "name": "proxy-1",
        "authority": Authority("example.com", 443),
        "challenges": [BASIC] if cause.status == 407 else (),
    }
    return Refusal(**{**plain, **changes})


def parsed(
    octets: bytes, method: bytes = b"CONNECT"
) -> tuple[h11.Response, dict[bytes, list[bytes]], bytes]:
    """Read an answer strictly: the response, its fields, its body; then the end."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="a:1", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(octets)
    response = connection.next_event()
    assert isinstance(response, h11.Response), response
    fields: dict[bytes, list[bytes]] = {}
    for name, value in response.headers:
        fields.setdefault(name, []).append(value)
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert connection.trailing_data == (b"", False)
    assert connection.their_state is h11.MUST_CLOSE
    return response, fields, body


def proxyStatus(fields: Mapping[bytes, list[bytes]]) -> tuple[Any, dict[str, Any]]:
    """The one member of C{Proxy-Status}, by http-sf."""
    [value] = fields[b"proxy-status"]
    [(name, parameters)] = http_sf.parse(value, tltype="list")
    return name, parameters


def test_established() -> None:
    """[H1-30] [H1-31] [T18] The 200 is its status line, and nothing that frames."""
    assert ESTABLISHED == b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.mark.parametrize("full", [False, True], ids=["brief", "full"])
@pytest.mark.parametrize("cause", ANSWERED, ids=lambda cause: cause.label)
def test_everyCause(cause: Cause, full: bool) -> None:
    """[H1-33] [H1-35] [H1-40] [H1-41] [PS-02] One final answer that closes."""
    octets = renderRefusal(refusal(cause, full=full))
    response, fields, body = parsed(octets)
    assert response.status_code == cause.status >= 400
    assert fields[b"connection"] == [b"close"]
    assert fields[b"proxy-connection"] == [b"close"]
    assert fields[b"content-length"] == [str(len(body)).encode()]
    assert fields[b"cache-control"] == [b"no-store"]
    assert fields[b"content-type"] == [b"text/plain; charset=us-ascii"]
    assert b"transfer-encoding" not in fields
    assert (b"proxy-authenticate" in fields) is (cause.status == 407)
    assert fields.get(b"allow") == ([b"CONNECT"] if cause.status == 405 else None)
    name, parameters = proxyStatus(fields)
    assert name == http_sf.Token("proxy-1")
    assert parameters["error"] == http_sf.Token(cause.error)
    ofRequest = cause.error == "http_request_error"
    assert parameters.get("status-code") == (cause.status if ofRequest else None)
    assert cause.label in parameters["details"]
    assert response.reason.decode() == f"refused: {cause.label} id=7f3a-2"


def test_whatIsWritten() -> None:
    """[H1-35] A whole answer, to the octet."""
    assert renderRefusal(refusal(rule="ports")) == (
        b"HTTP/1.1 403 refused by rule 'ports' id=7f3a-2\r\n"
        b"Proxy-Status: proxy-1;error=http_request_denied;"
        b"details=\"refused by rule 'ports' id=7f3a-2\"\r\n"
        b"Content-Type: text/plain; charset=us-ascii\r\n"
        b"Cache-Control: no-store\r\n"
        b"Content-Length: 134\r\n"
        b"Connection: close\r\n"
        b"Proxy-Connection: close\r\n"
        b"\r\n"
        b"A policy of this proxy refuses this destination: example.com:443\n"
        b"Rule: ports\n"
        b"Ask the proxy's operator to allow it.\n"
        b"Request id: 7f3a-2\n"
    )


@pytest.mark.parametrize("cause", ANSWERED, ids=lambda cause: cause.label)
def test_body(cause: Cause) -> None:
    """[H1-39] Four lines: what, which rule, what to do, the id."""
    for authority in (None, Authority("2001:db8::1", 443)):
        body = parsed(renderRefusal(refusal(cause, authority=authority)))[2].decode()
        what, rule, advice, request = body.splitlines()
        assert body.endswith("\n")
        assert what.startswith(cause.summary)
        assert rule == f"Rule: {cause.label}"
        assert advice == cause.advice
        assert request == "Request id: 7f3a-2"
        assert what.endswith(": [2001:db8::1]:443") is (authority is not None)


def test_brief() -> None:
    """[PS-05] In brief neither an address nor a policy's word leaves the proxy."""
    secret = "10.0.0.5 is private-use, says the fence"
    told = refusal(
        Cause.ADDRESS,
        rule="networks",
        reason=secret,
        parameters={
            "next-hop": "10.0.0.5",
            "next-hop-aliases": "inner.example",
            "rcode": "NXDOMAIN",
            "info-code": 15,
        },
    )
    brief = renderRefusal(told)
    for word in (b"10.0.0.5", b"private-use", b"fence", b"inner.example"):
        assert word not in brief
    assert b"networks" in brief
    _, parameters = proxyStatus(parsed(brief)[1])
    assert parameters == {
        "error": http_sf.Token("destination_ip_prohibited"),
        "rcode": "NXDOMAIN",
        "info-code": 15,
        "details": "refused by rule 'networks' id=7f3a-2",
    }


def test_full() -> None:
    """[PS-04] [PS-05] In full the client is told the reason and every parameter."""
    secret = "10.0.0.5 is private-use"
    octets = renderRefusal(
        refusal(
            Cause.ADDRESS,
            rule="networks",
            reason=secret,
            parameters={"next-hop": "10.0.0.5", "next-protocol": Token("h2")},
            full=True,
        )
    )
    response, fields, body = parsed(octets)
    sentence = f"refused by rule 'networks' ({secret}) id=7f3a-2"
    assert response.reason.decode() == sentence
    assert body.decode().splitlines()[1] == f"Rule: networks ({secret})"
    _, parameters = proxyStatus(fields)
    assert parameters["details"] == sentence
    assert parameters["next-hop"] == "10.0.0.5"
    assert parameters["next-protocol"] == http_sf.Token("h2")


def test_fullWithoutAReason() -> None:
    """A reason that only says the cause again is not told twice."""
    for reason in ("", Cause.DNS_ERROR.summary):
        octets = renderRefusal(refusal(Cause.DNS_ERROR, reason=reason, full=True))
        assert octets == renderRefusal(refusal(Cause.DNS_ERROR))


def test_ourParametersWin() -> None:
    """[PS-02] [PS-03] No parameter given can change what the table says."""
    given = {"error": "x", "status-code": 200, "details": "y", "received-status": 407}
    octets = renderRefusal(refusal(Cause.MALFORMED, parameters=given, full=True))
    _, parameters = proxyStatus(parsed(octets)[1])
    assert parameters == {
        "error": http_sf.Token("http_request_error"),
        "status-code": 400,
        "received-status": 407,
        "details": "refused: malformed-request id=7f3a-2",
    }


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("proxy-1", b"proxy-1;"),
        ("Proxy.example:3128", b"Proxy.example:3128;"),
        ("1st proxy", b'"1st proxy";'),
        ("", b'"";'),
        ('a"b\\c\r\nX: y', b'"a\'b/c X: y";'),
    ],
)
def test_names(name: str, written: bytes) -> None:
    """[PS-01] The deployment's name is a Token when it can be, else a String."""
    octets = renderRefusal(refusal(name=name))
    assert b"\r\nProxy-Status: " + written + b"error=" in octets
    assert proxyStatus(parsed(octets)[1])[0] == written[:-1].decode().strip('"')


def test_challenges() -> None:
    """[H1-37] Each scheme has a field of its own, in the order given."""
    challenges = [BASIC, b"Bearer", b'Digest realm="proxy", nonce="x"']
    octets = renderRefusal(
        refusal(Cause.CREDENTIALS_MISSING, challenges=tuple(challenges))
    )
    assert parsed(octets)[1][b"proxy-authenticate"] == challenges
    other = renderRefusal(refusal(challenges=challenges))
    assert b"proxy-authenticate" not in parsed(other)[1]


def test_a407NeedsAChallenge() -> None:
    """[H1-37] [H1-38] A 407 that nobody could answer is never sent."""
    for cause in ANSWERED:
        if cause.status == 407:
            with pytest.raises(ValueError, match="challenge"):
                renderRefusal(refusal(cause, challenges=()))


@pytest.mark.parametrize(
    "challenge", [b"", b"Basic\r\nX: y", b"Basic\n", b"Basic\0", b"Basic \xe4"]
)
def test_challengesOnOneLine(challenge: bytes) -> None:
    """[H1-39] A plugin's challenge cannot write a field of its own."""
    with pytest.raises(ValueError, match="printable"):
        renderRefusal(refusal(Cause.CREDENTIALS_REFUSED, challenges=[BASIC, challenge]))


@pytest.mark.parametrize("cause", [Cause.CLIENT_LEFT, Cause.SHUTDOWN])
def test_whoIsNeverAnswered(cause: Cause) -> None:
    """What has nobody to read it has no form on the wire."""
    with pytest.raises(ValueError, match=cause.label):
        renderRefusal(refusal(cause))


def test_badParameters() -> None:
    """[PS-04] A parameter without a form is an error, not a guess."""
    bad: dict[str, str | int] = {"Upper": 1}
    with pytest.raises(ValueError):
        renderRefusal(refusal(parameters=bad, full=True))


HOSTILE = st.one_of(
    st.text(max_size=300),
    st.sampled_from(
        [
            "a\r\nSet-Cookie: b=c\r\n\r\n<p>",
            'x", error=y; "',
            "\\",
            '"',
            "%0d%0a",
            "\ud800",
            "\x1b[2J",
            "b\u00fcro \u2028\x85 closed",
            "y" * 5000,
        ]
    ),
)


@given(
    st.sampled_from(ANSWERED),
    HOSTILE,
    HOSTILE,
    HOSTILE,
    HOSTILE,
    HOSTILE,
    st.dictionaries(st.sampled_from(["next-hop", "rcode", "x"]), HOSTILE),
    st.booleans(),
)
def test_nothingUnescaped(
    cause: Cause,
    rule: str,
    id: str,
    name: str,
    host: str,
    reason: str,
    parameters: dict[str, str],
    full: bool,
) -> None:
    """[H1-39] [PS-04] [T16] Whatever goes in, the answer's shape stays the same."""
    told = refusal(
        cause,
        rule=rule,
        id=id,
        name=name,
        authority=Authority(host, 443),
        reason=reason,
        parameters=parameters,
        full=full,
    )
    octets = renderRefusal(told)
    plain = renderRefusal(
        attrs.evolve(told, rule="r", id="i", name="n", reason="", parameters={})
    )
    response, fields, body = parsed(octets)
    assert list(fields) == list(parsed(plain)[1])
    phrase = response.reason.decode("ascii")
    assert len(phrase) < 120
    assert phrase.isprintable()
    assert '"' not in phrase and "\\" not in phrase
    assert all(0x20 <= octet <= 0x7E or octet in b"\r\n" for octet in octets)
    assert len(body.splitlines()) == 4
    assert len(octets) < 4000
    _, parameters = proxyStatus(fields)
    assert parameters["error"] == http_sf.Token(cause.error)


def test_thePhraseKeepsItsId() -> None:
    """What is too long is cut in the reason: the id, by which it is found, stays."""
    told = refusal(rule="r" * 500, reason="w " * 500, full=True)
    phrase = parsed(renderRefusal(told))[0].reason.decode()
    assert phrase.endswith("...) id=7f3a-2")
    assert phrase.startswith("refused by rule 'rrrr")
    assert len(phrase) == 119


def test_relayed() -> None:
    """[UP-07] [UP-09] A parent's members stand in front, and Via is added."""
    members = (
        ProxyStatusMember("far", {"error": Token("dns_error"), "details": "a\\b"}),
        ProxyStatusMember("it's \u00fc", {"received-status": 502, "x": True}),
    )
    given = refusal(
        Cause.PARENT_REFUSED,
        name="proxy 1",
        parameters={"received-status": 502},
        relayed=Relayed(members, "1.0"),
    )
    _, fields, _ = parsed(renderRefusal(given))
    assert fields[b"via"] == [b"1.0 proxy-1"]
    assert fields[b"proxy-status"] == [
        b'far;error=dns_error, "it\'s ?";received-status=502, '
        b'"proxy 1";error=destination_unavailable;received-status=502;'
        b'details="refused: parent-refused id=7f3a-2"'
    ]


@given(
    st.lists(
        st.tuples(
            st.text(max_size=80),
            st.dictionaries(
                st.sampled_from(["error", "rcode", "details", "next-hop", "x"]),
                st.one_of(
                    st.text(max_size=600),
                    st.booleans(),
                    st.integers(-(10**15) + 1, 10**15 - 1),
                    st.binary(max_size=9),
                    st.decimals(allow_nan=False, allow_infinity=False),
                ),
            ),
        ),
        max_size=40,
    ),
    st.booleans(),
)
def test_relayedWhateverItHolds(
    members: list[tuple[str, dict[str, Any]]], full: bool
) -> None:
    """[UP-09] [PS-01] [PS-04] Always a list that others read, of bounded length."""
    relayed = Relayed(tuple(ProxyStatusMember(*each) for each in members))
    octets = renderRefusal(refusal(Cause.PARENT_DENIED, full=full, relayed=relayed))
    [value] = parsed(octets)[1][b"proxy-status"]
    assert len(value) < 3000
    listed = http_sf.parse(value, tltype="list")
    assert 1 <= len(listed) <= len(members) + 1
    assert listed[-1][0] == http_sf.Token("proxy-1")


def test_aResponseIsInNoProtocolsForm() -> None:
    """[H1-33] Nothing in it is about the connection or about framing."""
    response = responseOf(refusal(Cause.CREDENTIALS_REFUSED, challenges=[BASIC]))
    assert (response.status, response.reason) == (
        407,
        "refused: credentials-refused id=7f3a-2",
    )
    names = [name for name, _ in response.fields]
    assert names == [
        b"Proxy-Authenticate",
        b"Proxy-Status",
        b"Content-Type",
        b"Cache-Control",
    ]
    assert response.content.endswith(b"Request id: 7f3a-2\n")


@pytest.mark.parametrize("closes", [True, False])
def test_theWriterKnowsTheConnection(closes: bool) -> None:
    """[H1-34] [H1-35] The length is the content's, and closing is announced."""
    octets = renderResponse(
        Response(429, "later", ((b"Retry-After", b"5"),), b"no\n"), closes
    )
    announced = b"Connection: close\r\nProxy-Connection: close\r\n" if closes else b""
    assert octets == (
        b"HTTP/1.1 429 later\r\nRetry-After: 5\r\nContent-Length: 3\r\n"
        + announced
        + b"\r\nno\n"
    )
