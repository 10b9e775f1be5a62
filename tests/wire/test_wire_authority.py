"""
The target of a CONNECT, by values.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given, strategies as st

from txconnect.wire.authority import (
    Authority,
    BadAuthority,
    addressText,
    parseAuthority,
    parseHost,
    parsePort,
)

LABEL63 = "a" * 63
NAME253 = ".".join([LABEL63] * 3 + ["a" * 61])


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("example.com:443", "example.com", 443),
        ("EXAMPLE.Com:443", "example.com", 443),
        ("example.com.:443", "example.com", 443),
        ("localhost:1", "localhost", 1),
        ("a_b-c:65535", "a_b-c", 65535),
        ("-x-:80", "-x-", 80),
        ("xn--bcher-kva.example:9999", "xn--bcher-kva.example", 9999),
        ("3com.example:10000", "3com.example", 10000),
        ("1.2.3.4.example:443", "1.2.3.4.example", 443),
        ("0xg:443", "0xg", 443),
        (f"{LABEL63}:443", LABEL63, 443),
        (f"{NAME253}:443", NAME253, 443),
        (f"{NAME253}.:443", NAME253, 443),
        ("1.2.3.4:443", "1.2.3.4", 443),
        ("255.255.255.255:443", "255.255.255.255", 443),
        ("0.0.0.0:443", "0.0.0.0", 443),
        ("[::1]:443", "::1", 443),
        ("[::]:443", "::", 443),
        ("[2001:DB8:0:0:0:0:0:1]:443", "2001:db8::1", 443),
        ("[::ffff:1.2.3.4]:443", "::ffff:1.2.3.4", 443),
        ("[::ffff:102:304]:443", "::ffff:1.2.3.4", 443),
        ("[64:ff9b::1.2.3.4]:443", "64:ff9b::102:304", 443),
    ],
)
def test_authoritiesThatPass(text: str, host: str, port: int) -> None:
    """[H1-01] [T5] uri-host and port, in the one form that policies compare."""
    for form in (text, text.encode("ascii")):
        authority = parseAuthority(form)
        assert (authority.host, authority.port) == (host, port)
        assert Authority.parse(form) == authority


@pytest.mark.parametrize(
    "target",
    [
        "",
        ":",
        ":443",
        ".:443",
        "example.com",
        "example..com:443",
        ".example.com:443",
        "example.com..:443",
        "http://example.com/",
        "http://example.com:80/",
        "http://example.com:80",
        "/:443",
        "/path",
        "*",
        "*:443",
        "example.com:443/",
        "example.com:443?q",
        "example.com:443#f",
        "user@example.com:443",
        "user:password@example.com:443",
        "exa mple.com:443",
        "example.com :443",
        " example.com:443",
        "example.com:443 ",
        "example.com:443\n",
        "example.com\n:443",
        "example.com\0:443",
        "example.com%00:443",
        "example%2ecom:443",
        "exämple.com:443",
        "ｅxample.com:443",
        "127。0。0。1:443",
        "①②⑦.0.0.1:443",
        "loca\u00adlhost:443",
        "ℓocalhost:443",
        "example,com:443",
        "a" * 64 + ":443",
        "a" + NAME253 + ":443",
        NAME253 + "a:443",
        ("a." * 127) + "com:443",
        # What inet_aton takes for an IPv4 address.
        "127.1:443",
        "1:443",
        "0:443",
        "2130706433:443",
        "0x7f.1:443",
        "0x7f000001:443",
        "0X7F:443",
        "0x:443",
        "017700000001:443",
        "0177.0.0.1:443",
        "127.0.0.01:443",
        "1.2.3.4.:443",
        "1.2.3.256:443",
        "1.2.3.4.5:443",
        "example.123:443",
        "example.0x7f:443",
        "example.1.:443",
        # IPv6 without brackets, or brackets without IPv6.
        "::1:443",
        "2001:db8::1:443",
        "[example.com]:443",
        "[1.2.3.4]:443",
        "[]:443",
        "[::1:443",
        "::1]:443",
        "[[::1]]:443",
        "[::1]x:443",
        "[::1].:443",
        "[fe80::1%1]:443",
        "[fe80::1%25eth0]:443",
        "[v1.x]:443",
        "[::1::]:443",
        "[:::]:443",
        "[12345::]:443",
        "[::1.2.3]:443",
        "[::01.2.3.4]:443",
        "[ ::1]:443",
        "[::1]",
    ],
)
def test_hostsThatDoNot(target: str) -> None:
    """[H1-01] [T5] Nothing else is a target, and the complaint repeats none of it."""
    complaints = set()
    for form in (target, target.encode("utf-8")):
        with pytest.raises(BadAuthority) as caught:
            parseAuthority(form)
        complaints.add(str(caught.value))
    for complaint in complaints:
        assert complaint.isascii()
        assert complaint.isprintable()
        assert len(target) < 3 or target not in complaint


@pytest.mark.parametrize(
    "port",
    [
        "",
        "0",
        "00443",
        "0443",
        "65536",
        "99999",
        "100000",
        "4294967739",
        "+443",
        "-443",
        "4_43",
        "443x",
        "443 ",
        " 443",
        "443\n",
        "0x1bb",
        "٤٤٣",
        "４４３",
        "https",
        "4" * 5000,
    ],
)
def test_portsThatDoNot(port: str) -> None:
    """[H1-02] [T5] [LB-09] A port is 1 to 65535 in plain digits, and nothing else."""
    with pytest.raises(BadAuthority):
        parsePort(port)
    for form in (f"example.com:{port}", f"example.com:{port}".encode()):
        with pytest.raises(BadAuthority):
            parseAuthority(form)


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ("example.com", "no port"),
        ("example.com:", "port is empty"),
        (":443", "host is empty"),
        ("http://example.com:80", "URL"),
        ("http://example.com/", "URL"),
        ("example.com:443?q", "URL"),
        ("example.com:443#f", "URL"),
        ("user:password@example.com:443", "user information"),
        ("2001:db8::1:443", "brackets"),
        ("[fe80::1%1]:443", "zones"),
        ("[::1::]:443", "no IPv6"),
        ("127.1:443", "number"),
        (NAME253 + "a:443", "longer than 253"),
        (b"\xff:443", "ASCII"),
        ("b\u00fccher:443", "ASCII"),
    ],
)
def test_complaintsSayWhatIsWrong(target: str | bytes, word: str) -> None:
    """The person who reads the answer is told the rule that was broken."""
    with pytest.raises(BadAuthority, match=word):
        parseAuthority(target)


def test_addresses() -> None:
    """A literal is an address; a name never is."""
    assert parseAuthority("1.2.3.4:1").address == IPv4Address("1.2.3.4")
    assert parseAuthority("[::1]:1").address == IPv6Address("::1")
    assert parseAuthority("[::ffff:1.2.3.4]:1").address == IPv6Address("::ffff:102:304")
    assert parseAuthority("example.com:1").address is None
    assert parseAuthority("example.c0m1:1").address is None


def test_rooted() -> None:
    """[T5] Policies see no trailing dot; the look-up keeps it."""
    rooted, plain = parseAuthority("a.example.:1"), parseAuthority("a.example:1")
    assert rooted == plain
    assert hash(rooted) == hash(plain)
    assert (rooted.rooted, rooted.lookupName) == (True, "a.example.")
    assert (plain.rooted, plain.lookupName) == (False, "a.example")


def test_text() -> None:
    """As text an authority is what a client sends for it."""
    assert str(Authority("example.com", 443)) == "example.com:443"
    assert str(Authority("::1", 443)) == "[::1]:443"


@given(st.from_regex(r"[A-Za-z0-9_.:\[\]x%-]{1,30}:[0-9]{1,6}", fullmatch=True))
@example("a.b.c.d:65535")
@example("a.1x:9999")
def test_whatPassesIsStable(text: str) -> None:
    """[T5] What is accepted is read from its own text again, and is a plain host."""
    try:
        authority = parseAuthority(text)
    except BadAuthority:
        return
    assert parseAuthority(str(authority)) == authority
    assert authority.host == authority.host.lower()
    assert not authority.host.endswith(".")
    # The quick way for common names says what the rules say.
    host, _, port = text.rpartition(":")
    assert authority == Authority(parseHost(host), parsePort(port))
    assert authority.rooted == host.endswith(".")


@given(st.from_regex(r"[A-Za-z0-9_.-]{1,70}", fullmatch=True))
def test_noNameIsANumberToAnybody(text: str) -> None:
    """[T5] No name passes that inet_aton, and so a resolver, takes for an address."""
    try:
        host = parseHost(text)
    except BadAuthority:
        return
    last = host.split(".")[-1]
    if not last.isdigit():
        assert not last.startswith("0x") or not set(last[2:]) <= set("0123456789abcdef")
    else:
        assert str(ip_address(host)) == host


@given(st.ip_addresses(), st.integers(1, 65535))
def test_everyLiteralPasses(address: IPv4Address | IPv6Address, port: int) -> None:
    """[H1-01] Every address has a form in which it is a target."""
    form = str(address) if address.version == 4 else f"[{address.exploded}]"
    authority = parseAuthority(f"{form}:{port}")
    assert authority.address == address
    assert parseAuthority(str(authority)) == authority


@given(st.ip_addresses())
def test_addressText(address: IPv4Address | IPv6Address) -> None:
    """The quick way to write an address ends at the same text."""
    assert addressText(address) == str(address)
