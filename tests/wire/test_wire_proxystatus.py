"""
C{Proxy-Status} of others: what is read of it.
"""

from __future__ import annotations

import pytest

from txconnect.wire.proxystatus import ProxyStatusMember, parseProxyStatus
from txconnect.wire.refusals import Cause
from txconnect.wire.responses import Refusal, responseOf


def test_members() -> None:
    """[PS-02] Members of all fields, in order, with all that they say."""
    assert parseProxyStatus(
        [
            b'ParentProxy; error=dns_error; rcode="NXDOMAIN"; info-code=3',
            b'"our proxy"; received-status=502; next-hop="[2001:db8::1]:443"; x-own',
        ]
    ) == (
        ProxyStatusMember(
            "ParentProxy",
            {"error": "dns_error", "rcode": "NXDOMAIN", "info-code": 3},
        ),
        ProxyStatusMember(
            "our proxy",
            {"received-status": 502, "next-hop": "[2001:db8::1]:443", "x-own": True},
        ),
    )


@pytest.mark.parametrize(
    "values",
    [
        [],
        [b""],
        [b"proxy; error=dns_error", b"bad;;"],
        [b"proxy", b"7"],
        [b"proxy", b'%"proxy"'],
        [b"(proxy)"],
        [b"proxy; details=\xc3\xa4"],
    ],
)
def test_nothing(values: list[bytes]) -> None:
    """
    [PS-02] A field that breaks a rule anywhere, or has a member that names
    nobody, says nothing.
    """

    assert parseProxyStatus(values) == ()


@pytest.mark.parametrize(("octets", "count"), [(8192, 4096), (8194, 0)])
def test_moreThanIsRead(octets: int, count: int) -> None:
    """
    [T12] A proxy that writes as many members as an answer holds takes no time
    of everyone's: so much is read, and no more.
    """
    values = [b",".join([b"a"] * (octets // 2)) + b" "]
    assert sum(map(len, values)) == octets
    assert len(parseProxyStatus(values)) == count


@pytest.mark.parametrize("cause", [one for one in Cause if one.error is not None])
def test_ourOwn(cause: Cause) -> None:
    """[PS-01] What this proxy says of each of its refusals can be read."""
    answer = responseOf(
        Refusal(
            cause=cause,
            rule="rule",
            id="id",
            name="our.proxy",
            challenges=(b"Basic realm=x",) if cause.status == 407 else (),
        )
    )
    values = [value for name, value in answer.fields if name == b"Proxy-Status"]
    [member] = parseProxyStatus(values)
    assert member.name == "our.proxy"
    assert member.parameters["error"] == cause.error
