"""
The head of a CONNECT, by values, each stream at three chunkings.
"""

from __future__ import annotations

import random
import re

import pytest
from headreading import accepted, read, readPieces, refused

from txconnect.testing import chunkings
from txconnect.wire.authority import Authority, parseAuthority
from txconnect.wire.http1.badhead import BadHead
from txconnect.wire.http1.head import (
    EMPTY_LINES,
    Head,
    HeadLimits,
    HeadParser,
    RequestRule,
)
from txconnect.wire.refusals import Cause

LINE = b"CONNECT example.com:443 HTTP/1.1\r\n"
HOST = b"Host: example.com:443\r\n"
TARGET = Authority("example.com", 443)


def withFields(*fields: bytes, line: bytes = LINE, host: bytes = HOST) -> bytes:
    """A head with these field lines behind C{Host}."""
    return line + host + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


# What real clients send, as measured.
CLIENTS = {
    "curl": withFields(b"User-Agent: curl/7.88.1", b"Proxy-Connection: Keep-Alive"),
    "wget": LINE + b"User-Agent: Wget/1.21.3\r\n" + HOST + b"\r\n",
    "npm": withFields(b"Proxy-Connection: Keep-Alive"),
    "apt": withFields(b"User-Agent: Debian APT-HTTP/1.3 (2.6.1)"),
    "java": LINE + b"User-Agent: Java/17\r\nHost: example.com\r\n"
    b"Accept: */*\r\nProxy-Connection: keep-alive\r\n\r\n",
    "pip": b"CONNECT example.com:443 HTTP/1.0\r\n\r\n",
    "openssl": b"CONNECT example.com:443 HTTP/1.0\r\n"
    b"Proxy-Connection: Keep-Alive\r\n\r\n",
}


@pytest.mark.parametrize("stream", CLIENTS.values(), ids=list(CLIENTS))
def test_realClients(stream: bytes) -> None:
    """[H1-01] [H1-04] [H1-05] [H1-23] What real clients send is a head."""
    head = accepted(stream)
    assert head.authority == TARGET
    assert head.httpVersion == ("1.0" if b"HTTP/1.0" in stream else "1.1")
    assert head.credentials is None
    assert not head.hostDiffers


def test_fields() -> None:
    """[H1-06] Names in lower case, values trimmed, all in order, in octets."""
    head = accepted(
        withFields(
            b"X-A:1",
            b"x-a: \t2 3\t ",
            b"X-Empty:",
            b"X-Blank: \t ",
            b"X-\x7c: \xff\xc3",
        )
    )
    assert head.headers == (
        (b"host", b"example.com:443"),
        (b"x-a", b"1"),
        (b"x-a", b"2 3"),
        (b"x-empty", b""),
        (b"x-blank", b""),
        (b"x-|", b"\xff\xc3"),
    )


def test_trailing() -> None:
    """[H1-17] [T1] What stands behind the head is the tunnel's, to the octet."""
    early = b"\x16\x03\x01\0\r\n\r\nCONNECT other.example:443 HTTP/1.1\r\n\r\n"
    for behind in (b"", b"\r", b"\n", b"\r\n", early):
        outcome = read(CLIENTS["curl"] + behind)
        assert outcome is not None
        head, trailing = outcome
        assert isinstance(head, Head)
        assert trailing == behind


def test_trailingIsNotTheHeads() -> None:
    """[H1-17] [T1] The size limit counts the head alone."""
    stream = CLIENTS["curl"]
    early = b"x" * 100_000
    outcome = read(stream + early, HeadLimits(size=len(stream)))
    assert outcome is not None
    assert outcome[1] == early


def test_credentials() -> None:
    """[AU-12] The credentials are told once, apart, and never shown."""
    head = accepted(withFields(b"Proxy-Authorization:  Basic dTpw ", b"X: 1"))
    assert head.credentials == b"Basic dTpw"
    assert head.headers == ((b"host", b"example.com:443"), (b"x", b"1"))
    assert "dTpw" not in repr(head)
    assert accepted(withFields(b"proxy-authorization:")).credentials == b""


def test_twoCredentials() -> None:
    """[AU-12] [T8] Two of them are never a choice, even when they are the same."""
    field = b"Proxy-Authorization: Basic dTpw"
    for other in (field, b"proxy-authorization: Bearer x", b"Proxy-Authorization:"):
        cause, reason = refused(withFields(field, other))
        assert cause is Cause.MALFORMED
        assert "Proxy-Authorization" in reason
        assert refused(withFields(other, field))[0] is Cause.MALFORMED


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (b"/", "no port"),
        (b"*", "no port"),
        (b"example.com", "no port"),
        (b"http://example.com/", "URL"),
        (b"https://example.com:443/", "URL"),
        (b"example.com:", "port is empty"),
        (b"example.com:0", "port"),
        (b"example.com:65536", "port"),
        (b"example.com:+443", "port"),
        (b"example.com:4_43", "port"),
        (b"example.com:0x1bb", "port"),
        (b"user@example.com:443", "user information"),
        (b"[example.com]:443", "brackets"),
        (b"[::1%251]:443", "zones"),
        (b"::1:443", "brackets"),
        (b"2130706433:443", "number"),
        (b"a" * 64 + b":443", "labels"),
        (b"%65xample.com:443", "name"),
    ],
)
def test_badTargets(target: bytes, reason: str) -> None:
    """[H1-01] [H1-02] [T5] A target that is no authority is refused with its line."""
    line = b"CONNECT " + target + b" HTTP/1.1\r\n"
    cause, words = refused(line)
    assert cause is Cause.BAD_TARGET
    assert reason in words
    assert refused(line + b"\r\n") == (cause, words)


@pytest.mark.parametrize(
    "line",
    [
        b"CONNECT  example.com:443 HTTP/1.1",
        b"CONNECT example.com:443  HTTP/1.1",
        b" CONNECT example.com:443 HTTP/1.1",
        b"CONNECT example.com:443 HTTP/1.1 ",
        b"CONNECT example.com:443",
        b"CONNECT example.com:443 ",
        b"CONNECT HTTP/1.1",
        b"CONNECT",
        b" ",
        b"CONNECT example.com:443 x HTTP/1.1",
        b"CONN(ECT example.com:443 HTTP/1.1",
        b"CONNECT: example.com:443 HTTP/1.1",
        b"CONNECT\texample.com:443\tHTTP/1.1",
        b"CONNECT example.com:443\x0bHTTP/1.1",
        b"CONNECT example.com:443\x0cHTTP/1.1",
        b"CONNECT example.com:443 HTTP/1.1\x00",
        b"CONNECT example.com\x00:443 HTTP/1.1",
        b"CONNECT example.com\x7f:443 HTTP/1.1",
        b"CONNECT ex\xc3\xa4mple.com:443 HTTP/1.1",
        b"CONNECT example.com:443\x85 HTTP/1.1",
        b"\xef\xbb\xbfCONNECT example.com:443 HTTP/1.1",
        b"CONNECT example.com\r:443 HTTP/1.1",
        b"CONNECT example.com:443 HTTP/1.1\r",
        b"\rCONNECT example.com:443 HTTP/1.1",
        b"CONNECT example.com:443 http/1.1",
        b"CONNECT example.com:443 HTTP/1.1x",
        b"CONNECT example.com:443 HTTP/1",
        b"CONNECT example.com:443 HTTP/2",
        b"CONNECT example.com:443 HTTP/01.1",
        b"CONNECT example.com:443 HTTP/1.10",
        b"CONNECT example.com:443 HTTP/1,1",
        b"CONNECT example.com:443 HTTP/x.1",
        b"CONNECT example.com:443 HTTPS/1.1",
        b"CONNECT example.com:443 1.1",
        b"GET /",
    ],
)
def test_badRequestLines(line: bytes) -> None:
    """[H1-06] [H1-07] [H1-12] [H1-16] What is beside the grammar is never mended."""
    cause, reason = refused(line + b"\r\n" + HOST + b"\r\n")
    assert cause is Cause.MALFORMED
    assert refused(line + b"\r\n") == (cause, reason)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (b"CONNECT example.com:443 HTTP/2.0", Cause.VERSION),
        (b"CONNECT example.com:443 HTTP/0.9", Cause.VERSION),
        (b"CONNECT example.com:443 HTTP/9.1", Cause.VERSION),
        (b"PRI * HTTP/2.0", Cause.VERSION),
        (b"GET / HTTP/3.0", Cause.VERSION),
        (b"CONNECT nonsense HTTP/2.0", Cause.VERSION),
        (b"GET http://example.com/ HTTP/1.1", Cause.METHOD),
        (b"GET / HTTP/1.0", Cause.METHOD),
        (b"OPTIONS * HTTP/1.1", Cause.METHOD),
        (b"connect example.com:443 HTTP/1.1", Cause.METHOD),
        (b"Connect example.com:443 HTTP/1.1", Cause.METHOD),
        (b"CONNECTX example.com:443 HTTP/1.1", Cause.METHOD),
        (b"CONNEC example.com:443 HTTP/1.1", Cause.METHOD),
    ],
)
def test_versionsAndMethods(line: bytes, cause: Cause) -> None:
    """[H1-15] [H1-16] [H1-43] Refused with the line: no field is waited for."""
    found, reason = refused(line + b"\r\n")
    assert found is cause
    assert refused(line + b"\r\nrubbish\0\n") == (found, reason)


@pytest.mark.parametrize("minor", range(10))
def test_minorVersions(minor: int) -> None:
    """[H1-16] 1.0 is 1.0, and all above it counts as 1.1."""
    line = b"CONNECT example.com:443 HTTP/1.%d\r\n" % minor
    assert accepted(line + HOST + b"\r\n").httpVersion == ("1.1" if minor else "1.0")
    assert accepted(line + b"\r\n").headers == ()


@pytest.mark.parametrize(
    "greeting",
    [b"\x00", b"\xff\xfb\x01", b"\r\r", b"CONNECT \x01", b"\r\n\x16\x03", b"\r\n\0"],
    ids=["nul", "telnet", "cr", "late", "behind-a-line", "one-empty-line"],
)
def test_otherOctets(greeting: bytes) -> None:
    """[H1-27] Refused at once: these will never send a line end to wait for."""
    cause, reason = refused(greeting)
    assert cause is Cause.MALFORMED
    assert "octet" in reason or "line" in reason


@pytest.mark.parametrize(
    ("greeting", "name", "advice"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS", "https://"),
        (b"\x16\x03\x01\n\n", "TLS", "https://"),
        (b"\x05\x01\x00", "SOCKS 5", "socks5://"),
        (b"\x05\x0a\n", "SOCKS 5", "socks5://"),
        (b"\x04\x01\x01\xbb\x01\x02\x03\x04user\x00", "SOCKS 4", "socks4://"),
        (
            b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c",
            "PROXY header (version 2)",
            "haproxy:",
        ),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", "PROXY", "haproxy:"),
        (b"PROXY UNKNOWN\r\n", "PROXY header (version 1)", "haproxy:"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH", "txconnect-nc"),
        (b"SSH-1.99-old\n", "SSH", "txconnect-nc"),
    ],
)
def test_otherProtocols(greeting: bytes, name: str, advice: str) -> None:
    """[F15] [H1-27] They are named, at once, with what to do, however cut."""
    cause, reason = refused(greeting)
    assert cause is Cause.OTHER_PROTOCOL
    assert f"looks like {name}" in reason or f"looks like a {name}" in reason
    assert advice in reason
    # Nothing that comes behind changes it.
    assert refused(greeting + b"\r\nrubbish\0\n") == (cause, reason)


def test_http2() -> None:
    """[F15] [H1-16] HTTP/2 without TLS is named; it is a version all the same."""
    cause, reason = refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert cause is Cause.VERSION
    assert "looks like HTTP/2" in reason
    assert refused(b"GET / HTTP/2.0\r\n")[1] != reason


def test_randomOctets() -> None:
    """[H1-27] Noise has one outcome, however it is cut."""
    source = random.Random(27)
    for _ in range(300):
        read(source.randbytes(source.randint(1, 60)), HeadLimits(size=40))


def test_nothingIsSaidTooEarly() -> None:
    """[H1-12] Every proper beginning of a head is one that is waited for."""
    stream = b"\r\n" + CLIENTS["curl"]
    for length in range(len(stream)):
        assert read(stream[:length]) is None


def test_emptyLines() -> None:
    """[H1-08] A few empty lines in front are skipped, and no more."""
    for number in range(1, EMPTY_LINES + 1):
        assert accepted(b"\r\n" * number + CLIENTS["curl"]).authority == TARGET
    stream = b"\r\n" * (EMPTY_LINES + 1)
    assert refused(stream) == refused(stream + CLIENTS["curl"])
    assert refused(stream)[0] is Cause.MALFORMED


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"\n", "request line ends in LF"),
        (LINE[:-2] + b"\n" + HOST + b"\r\n", "request line ends in LF"),
        (b"\n" + LINE + HOST + b"\r\n", "request line ends in LF"),
        (LINE + HOST[:-2] + b"\n\r\n", "field line ends in LF"),
        (LINE + HOST + b"\n", "field line ends in LF"),
        (LINE + HOST + b"\r\r\n", "no colon"),
        (LINE + HOST + b"X: a\rb\r\n\r\n", "control character"),
        (LINE + HOST + b"X: a\r\r\n\r\n", "control character"),
        (LINE + HOST + b"X: a\rY: b\r\n\r\n", "control character"),
        (LINE + HOST + b"X\r: a\r\n\r\n", "name"),
    ],
)
def test_lineEnds(stream: bytes, reason: str) -> None:
    """[H1-07] [T14] Bare CR and bare LF are refused wherever they stand."""
    cause, words = refused(stream)
    assert cause is Cause.MALFORMED
    assert reason in words


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (b" Host: example.com\r\n", "precedes the first field"),
        (b"\tX: y\r\n", "precedes the first field"),
        (b" \r\n", "precedes the first field"),
        (HOST + b" folded\r\n", "folded"),
        (HOST + b"\tfolded: 1\r\n", "folded"),
        (b"Proxy-Authorization: x\r\n folded\r\n", "folded"),
        (HOST + b" \r\n", "folded"),
        (b"Host : example.com:443\r\n", "name from its colon"),
        (b"Host\t: example.com:443\r\n", "name from its colon"),
        (b"X \t : y\r\n", "name from its colon"),
        (b"Transfer-Encoding : chunked\r\n", "name from its colon"),
        (b"Host\r\n", "no colon"),
        (b"GET / HTTP/1.1\r\n", "no colon"),
        (b": x\r\n", "not a token"),
        (b"X Y: z\r\n", "not a token"),
        (b"X(: z\r\n", "not a token"),
        (b"X\x00: z\r\n", "not a token"),
        (b"X\xe4: z\r\n", "not a token"),
        (b"X: \x00\r\n", "control character"),
        (b"X: a\x0bb\r\n", "control character"),
        (b"X: a\x7fb\r\n", "control character"),
        (b"X: a\x1b[2J\r\n", "control character"),
    ],
)
def test_badFields(lines: bytes, reason: str) -> None:
    """[H1-06] [H1-09] [H1-10] [H1-11] [T14] Refused with the line that is wrong."""
    cause, words = refused(LINE + lines)
    assert cause is Cause.MALFORMED
    assert reason in words
    assert refused(LINE + lines + HOST + b"\r\n") == (cause, words)


@pytest.mark.parametrize(
    "fields",
    [
        HOST + HOST,
        HOST + b"Host: other.example\r\n",
        HOST + b"HOST:\r\n",
        b"Host:\r\n" + HOST,
        b"Host:\r\nHost:\r\n",
        b"Host: :443\r\n",
        b"Host: example.com:443, example.com:443\r\n",
        b"Host: http://example.com\r\n",
        b"Host: example.com/\r\n",
        b"Host: user@example.com\r\n",
        b"Host: example com\r\n",
        b"Host: example.com:https\r\n",
        b"Host: example.com:0\r\n",
        b"Host: example.com:65536\r\n",
        b"Host: example.com::443\r\n",
        b"Host: ::1\r\n",
        b"Host: [::1\r\n",
        b"Host: ::1]\r\n",
        b"Host: [example.com]\r\n",
        b"Host: [fe80::1%251]\r\n",
        b"Host: 2130706433\r\n",
        b"Host: ex\xc3\xa4mple.com\r\n",
        b"Host: *\r\n",
    ],
)
def test_badHosts(fields: bytes) -> None:
    """[H1-03] A head has at most one Host field, and what it names is a host."""
    cause, reason = refused(LINE + fields + b"\r\n")
    assert cause is Cause.MALFORMED
    assert "Host" in reason
    old = LINE.replace(b"1.1", b"1.0")
    assert refused(old + fields + b"\r\n") == (cause, reason)


@pytest.mark.parametrize("fields", [b"", b"X: y\r\n", b"Host:\r\n", b"HOST: \t \r\n"])
@pytest.mark.parametrize("version", [b"1.0", b"1.1", b"1.2"])
def test_noHost(fields: bytes, version: bytes) -> None:
    """[F41] [H1-03] [H1-04] A CONNECT without Host, or with an empty one, is served:
    its target decides."""
    head = accepted(LINE.replace(b"1.1", version) + fields + b"\r\n")
    assert head.authority == Authority("example.com", 443)
    assert not head.hostDiffers


@pytest.mark.parametrize(
    ("version", "fields", "word"),
    [
        (b"1.1", b"", "no Host field"),
        (b"1.1", b"X: y\r\n", "no Host field"),
        (b"1.1", b"Host:\r\n", "not a host"),
        (b"1.0", b"Host: \r\n", "not a host"),
        (b"1.1", b"Host: a.example\r\nHost: a.example\r\n", "more than one Host"),
    ],
)
def test_noHostOnAnotherMethod(version: bytes, fields: bytes, word: str) -> None:
    """[F41] [H1-03] Any other method that a parser takes needs it, as ever."""
    stream = b"PING tcp:a.example:7 HTTP/" + version + b"\r\n" + fields + b"\r\n"
    for name, pieces in chunkings(stream):
        parser = HeadParser(rule=PING)
        with pytest.raises(BadHead, match=word) as raised:
            for piece in pieces:
                parser.feed(piece)
        assert raised.value.cause is Cause.MALFORMED, name


def test_theMethodComesBeforeTheHost() -> None:
    """[F41] [H1-03] A method that the parser does not take is a 405, whatever its
    Host: the request line is judged before the fields."""
    for fields in (b"", b"Host:\r\n", HOST, HOST + HOST):
        cause, _ = refused(b"GET / HTTP/1.1\r\n" + fields + b"\r\n")
        assert cause is Cause.METHOD


@pytest.mark.parametrize(
    ("target", "host", "differs"),
    [
        (b"example.com:443", b"example.com:443", False),
        (b"example.com:443", b"example.com", False),
        (b"example.com:443", b"example.com:", False),
        (b"example.com:443", b"EXAMPLE.com", False),
        (b"Example.com:443", b"eXAMPLE.com:443", False),
        (b"example.com:443", b"example.com.", False),
        (b"example.com.:443", b"example.com:443", False),
        (b"example.com:443", b"example.com:80", True),
        (b"example.com:443", b"evil.example", True),
        (b"example.com:443", b"evil.example:443", True),
        (b"example.com:443", b"[::1]", True),
        (b"[::1]:443", b"[::1]", False),
        (b"[::1]:443", b"[::1]:", False),
        (b"[::1]:443", b"[0:0:0:0:0:0:0:1]:443", False),
        (b"[::1]:443", b"[::1]:444", True),
        (b"[::1]:443", b"[::2]:443", True),
        (b"1.2.3.4:443", b"1.2.3.4", False),
        (b"1.2.3.4:443", b"[::ffff:1.2.3.4]", True),
    ],
)
def test_hostDecidesNothing(target: bytes, host: bytes, differs: bool) -> None:
    """[H1-05] The target decides; that Host says otherwise is only noted."""
    line = b"CONNECT " + target + b" HTTP/1.1\r\n"
    head = accepted(line + b"Host: " + host + b"\r\n\r\n")
    assert head.authority == Authority.parse(target)
    assert head.hostDiffers is differs
    assert head.headers == ((b"host", host),)


@pytest.mark.parametrize(
    "value",
    [b"1", b"10", b"+0", b"-0", b"-1", b"0x0", b"0,0", b"0, 0", b"0 0", b"", b"0.0"]
    + [b"\xb2", b"\xd9\xa0", b"00000000000000000001", b"1" * 400, b"0_0", b"zero"],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_contentLength(value: bytes, version: bytes) -> None:
    """[H1-18] [H1-19] [T14] A CONNECT has no content, and no guessing about it."""
    line = LINE.replace(b"1.1", version)
    field = b"Content-Length: " + value
    cause, reason = refused(withFields(field, line=line))
    assert cause is Cause.MALFORMED
    assert "Content-Length" in reason


def test_contentLengthOfZero() -> None:
    """[H1-18] [H1-19] Zero says nothing; twice zero is refused all the same."""
    for value in (b"0", b"00"):
        head = accepted(withFields(b"Content-Length: " + value))
        assert (b"content-length", value) in head.headers
    cause, _ = refused(withFields(b"Content-Length: 0", b"content-length: 0"))
    assert cause is Cause.MALFORMED


@pytest.mark.parametrize(
    "fields",
    [
        [b"Transfer-Encoding: chunked"],
        [b"transfer-encoding:identity"],
        [b"Transfer-Encoding:"],
        [b"Transfer-Encoding: \x0bchunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 0"],
        [b"Content-Length: 0", b"Transfer-Encoding: xchunked"],
    ],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_transferEncoding(fields: list[bytes], version: bytes) -> None:
    """[H1-18] [H1-20] [T14] Any transfer coding is refused, whatever it is called."""
    line = LINE.replace(b"1.1", version)
    assert refused(withFields(*fields, line=line))[0] is Cause.MALFORMED


@pytest.mark.parametrize(
    "field",
    [
        b"Expect: 100-continue",
        b"Expect: something-else",
        b"Upgrade: websocket, h2c",
        b"Connection: close",
        b"Connection: Upgrade, Proxy-Authorization",
        b"Proxy-Connection: Keep-Alive",
        b"Keep-Alive: timeout=5",
        b"TE: trailers",
        b"Trailer: X",
    ],
)
def test_fieldsThatMeanNothing(field: bytes) -> None:
    """[H1-21] [H1-22] [H1-23] [H1-24] They change nothing about a CONNECT."""
    head = accepted(withFields(field))
    name, _, value = field.partition(b": ")
    assert head.headers[1:] == ((name.lower(), value),)
    assert (head.authority, head.httpVersion) == (TARGET, "1.1")


def test_sizes() -> None:
    """[H1-14] The limit is met to the octet, and the memory behind it is bounded."""
    stream = CLIENTS["curl"]
    for leading in (b"", b"\r\n\r\n"):
        whole = leading + stream
        assert accepted(whole, HeadLimits(size=len(whole))).authority == TARGET
        for size in range(len(leading) + len(LINE) + 1, len(whole)):
            cause, _ = refused(whole, HeadLimits(size=size))
            assert cause is Cause.HEAD_TOO_LARGE


def test_limitIsToldAtOnce() -> None:
    """[H1-14] A head that fills the limit is refused without a further octet."""
    stream = CLIENTS["curl"]
    for size in range(1, len(stream)):
        filled = refused(stream[:size], HeadLimits(size=size))
        assert filled == refused(stream, HeadLimits(size=size))


def test_nothingBehindTheLimitIsJudged() -> None:
    """[H1-14] A field that ends behind the limit is too large, whatever it says."""
    stream = withFields(b"Transfer-Encoding: chunked")
    end = stream.index(b"chunked\r\n") + len(b"chunked\r\n")
    for size in range(end - 10, end):
        assert refused(stream, HeadLimits(size=size))[0] is Cause.HEAD_TOO_LARGE
    assert refused(stream, HeadLimits(size=end))[0] is Cause.MALFORMED


def test_sizeOfTheRequestLine() -> None:
    """[H1-13] A line over the limit: 414 once its target has begun, else 501."""
    for size in range(1, len(LINE)):
        cause, _ = refused(CLIENTS["curl"], HeadLimits(size=size))
        begun = size > len(b"CONNECT")
        assert cause is (Cause.TARGET_TOO_LONG if begun else Cause.METHOD_TOO_LONG)
    at = LINE.index(b"\n") + 1
    assert refused(CLIENTS["curl"], HeadLimits(size=at))[0] is Cause.HEAD_TOO_LARGE


@pytest.mark.parametrize(
    ("stream", "cause"),
    [
        (b"A" * 20_000, Cause.METHOD_TOO_LONG),
        (b"CONNECT " + b"a" * 20_000, Cause.TARGET_TOO_LONG),
        (b"GET http://example.com/" + b"a" * 20_000, Cause.TARGET_TOO_LONG),
        (b"\r\nCONNECT " + b"a." * 10_000, Cause.TARGET_TOO_LONG),
        (b"CONNECT " + b"a" * 8000 + b":443 HTTP/1.1\r\n", Cause.BAD_TARGET),
        (b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\n", Cause.METHOD),
        (LINE + b"X: " + b"a" * 20_000, Cause.HEAD_TOO_LARGE),
        (LINE + b"X" * 20_000, Cause.HEAD_TOO_LARGE),
        (LINE + b"X: y\r\n" * 101, Cause.HEAD_TOO_LARGE),
        (b"A" * 16_383 + b"\0", Cause.MALFORMED),
        (b"A" * 16_384 + b"\0", Cause.METHOD_TOO_LONG),
    ],
)
def test_defaultLimits(stream: bytes, cause: Cause) -> None:
    """[H1-13] [H1-14] 16 KiB and 100 fields; request lines of 8000 octets are read."""
    assert refused(stream)[0] is cause


def test_longHeadsPass() -> None:
    """[H1-13] [H1-14] A head close to the limits is served."""
    head = accepted(withFields(*[b"X-%d: " % n + b"v" * 150 for n in range(99)]))
    assert len(head.headers) == 100


def test_numberOfFields() -> None:
    """[H1-14] The limit counts every field line, bad ones and secret ones too."""
    limits = HeadLimits(fields=3)
    assert accepted(withFields(b"A: 1", b"Proxy-Authorization: x"), limits)
    for fourth in (b"B: 2", b"no colon", b"Transfer-Encoding: chunked"):
        stream = withFields(b"A: 1", b"Proxy-Authorization: x", fourth)
        assert refused(stream, limits)[0] is Cause.HEAD_TOO_LARGE
    assert refused(LINE + HOST, HeadLimits(fields=0))[0] is Cause.HEAD_TOO_LARGE


def test_memoryIsBounded() -> None:
    """[H1-14] A parser never keeps more than the limit, whatever is fed."""
    parser = HeadParser(HeadLimits(size=100))
    outcome = readPieces([LINE, b"X: " + b"a" * 1_000_000], HeadLimits(size=100))
    assert outcome is not None
    assert outcome[0] is Cause.HEAD_TOO_LARGE
    assert parser.feed(LINE + HOST) is None
    assert len(parser._rest) == 0


def test_slowWork() -> None:
    """[H1-14] White space that a pattern could try in many ways costs no more."""
    limits = HeadLimits(size=1_000_000)
    blank = b" \t" * 200_000
    for value in (blank + b"\0", b"a" + blank + b"\0", blank + b"a" + blank + b"\0"):
        stream = LINE + b"X:" + value + b"\r\n"
        outcome = readPieces([stream], limits)
        assert outcome is not None
        assert outcome[0] is Cause.MALFORMED
    name = b"CONNECT " + b"a." * 200_000 + b"! HTTP/1.1\r\n"
    outcome = readPieces([name], limits)
    assert outcome is not None
    assert outcome[0] is Cause.BAD_TARGET


def test_started() -> None:
    """[H1-26] Whether anything has come tells a slow head from an idle connection."""
    parser = HeadParser()
    assert not parser.started
    assert parser.feed(b"") is None
    assert not parser.started
    assert parser.feed(b"\r") is None
    assert parser.started


def test_nothingMoreIsParsed() -> None:
    """[H1-33] Once the outcome is told, no octet can become a second request."""
    stream = CLIENTS["curl"]
    done = HeadParser()
    assert done.feed(stream) is not None
    failed = HeadParser()
    with pytest.raises(Exception, match="malformed-request"):
        failed.feed(b"\0")
    for parser in (done, failed):
        with pytest.raises(RuntimeError):
            parser.feed(stream)


def test_reasonsRepeatNothing() -> None:
    """[H1-39] A reason is a fixed sentence: nothing of the request is in it."""
    mark = b"m4rk3r"
    for stream in (
        mark,
        mark + b" / HTTP/1.1",
        b"CONNECT " + mark + b" HTTP/1.1",
        b"CONNECT " + mark + b":443 HTTP/1." + mark,
        LINE[:-2] + b"\r\n" + mark,
        LINE + mark + b" : x",
        LINE + b"X: " + mark + b"\0",
        LINE + b"Host: " + mark + b"/\r\n",
        LINE + b"Content-Length: " + mark,
    ):
        cause, reason = refused(stream + b"\r\n")
        assert "m4rk3r" not in reason
        assert reason.isascii()
        assert reason.isprintable()
        assert cause.status < 500 or cause is Cause.VERSION


PING = RequestRule(
    re.compile(rb"(PING) tcp:([!-~]+) HTTP/1\.([0-9])\r\n"),
    parseAuthority,
    "the method is not PING",
)


def test_theRuleOfTheRequestLine() -> None:
    """A parser takes the requests that its rule allows; the rest is the same."""
    stream = b"PING tcp:a.example:7 HTTP/1.1\r\nHost: a.example:7\r\n\r\n"
    for name, pieces in chunkings(stream):
        parser = HeadParser(rule=PING)
        *waiting, head = [parser.feed(piece) for piece in pieces]
        assert set(waiting) <= {None}, name
        assert head is not None
        assert (head.method, head.authority) == ("PING", Authority("a.example", 7))


def test_anotherMethodThanTheRules() -> None:
    """The refusal says what the rule wants."""
    with pytest.raises(BadHead, match="the method is not PING") as raised:
        HeadParser(rule=PING).feed(b"CONNECT a.example:7 HTTP/1.1\r\n")
    assert raised.value.cause is Cause.METHOD
