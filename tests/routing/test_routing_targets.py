"""
What an operator may write of a route, and what each mistake is told.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from certificates import makeAuthority
from rig import Rig, connect, logging, status
from scripted import NAMES, OK, PARENT, proxy, through
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txconnect.errors import ConfigurationError
from txconnect.interfaces import IDestinationPolicy, IRouter
from txconnect.policy.hosts import HostsPolicy
from txconnect.policy.networks import NetworksPolicy
from txconnect.routing.routes import Routes
from txconnect.routing.rules import Rule, RuleRouter, parseRoute
from txconnect.routing.targets import Bind, Direct, ParentTarget, splitRoute
from txconnect.testing import checkRouter, makeRequest
from txconnect.values import Allow, Cause, Decision, Deny, Named, Route

pytestmark = pytest.mark.filterwarnings(
    "ignore:Passing pyOpenSSL .* deprecated:DeprecationWarning"
)

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("text", "pattern", "targets"),
    [
        ("direct", "", ["direct"]),
        ("DIRECT", "", ["direct"]),
        ("bind:192.0.2.7", "", ["bind:192.0.2.7"]),
        ("bind:2001:db8::7", "", ["bind:2001:db8::7"]),
        ("bind:[2001:db8::7]", "", ["bind:2001:db8::7"]),
        ("http://parent:3128", "", ["http://parent:3128"]),
        ("HTTP://Parent:3128/", "", ["http://parent:3128"]),
        ("https://parent", "", ["https://parent:443"]),
        ("socks5://[::1]:1080", "", ["socks5://[::1]:1080"]),
        ("hosts:*.corp.example=http://p:1", "hosts:*.corp.example", ["http://p:1"]),
        ("ports:22,2222=direct", "ports:22,2222", ["direct"]),
        ("a:x=y,b=direct.example=direct", "a:x=y,b=direct.example", ["direct"]),
        ("./f.py:Name=bind:192.0.2.7", "./f.py:Name", ["bind:192.0.2.7"]),
        ("users:ann=socks5h://p:1", "users:ann", ["socks5h://p:1"]),
        ("http://a:1|https://b|socks5://c:2", "", None),
    ],
)
def test_grammar(text: str, pattern: str, targets: list[str] | None) -> None:
    """A pattern, an equals sign and the targets; the first that is followed by one."""
    split = splitRoute(text)
    assert split.pattern == pattern
    if targets is None:
        targets = ["http://a:1", "https://b:443", "socks5://c:2"]
    assert [str(each) for each in split.targets] == targets
    assert str(split) == (f"{pattern}=" if pattern else "") + "|".join(targets)


def test_values() -> None:
    """What is read are values."""
    assert splitRoute("direct").targets == (Direct(),)
    assert splitRoute("bind:192.0.2.7").targets == (Bind(ip_address("192.0.2.7")),)
    (target,) = splitRoute("https://p,ca=/a,cert=/b,key=/c").targets
    assert isinstance(target, ParentTarget)
    assert (target.ca, target.cert, target.key) == ("/a", "/b", "/c")


MISTAKES = [
    ("", "no target"),
    ("hosts:a.example", "no target"),
    ("hosts:a.example=", "route 'hosts:a.example' has no target: "),
    (
        "hosts:a.example=p:3128",
        "route 'hosts:a.example' has no target (HOST:PORT alone is none: begin it with "
        "http://): ",
    ),
    ("p:3128", "a route has no target (HOST:PORT alone is none: "),
    ("ports:22", "a route has no target: "),
    ("hosts:a.example=ftp://p:1", "route 'hosts:a.example' has no target"),
    ("hosts:a.example = direct", "route 'hosts:a.example ' has no target"),
    ("=http://p:1", "a route has no target"),
    ("ftp://p:1", "a route has no target"),
    ("http://p:1|", "there is no target"),
    ("http://p:1|q:2", "there is no target"),
    ("http://p", "no port"),
    ("http://p:0", "port"),
    ("http://p:1/path", "goes on behind"),
    ("http://p_ü-:1", "host"),
    ("direct,credentials=x", "direct takes nothing after"),
    ("bind:192.0.2.7,ca=x", "bind: takes nothing after"),
    ("bind:eth0", "is no address"),
    ("bind:0.0.0.0", "of one machine"),
    ("bind:224.0.0.1", "of one machine"),
    ("http://p:1,ca=x", "are for https://"),
    ("socks5://p:1,key=x", "are for https://"),
    ("https://p,key=x", "needs cert="),
    ("https://p,color=blue", "something else than"),
    ("https://p,ca", "something else than"),
    ("https://p,ca=", "is empty"),
    ("https://p,ca=a,ca=b", "twice"),
    ("http://p:1|http://p:1", "twice"),
    ("http://p:1|direct", "stand alone"),
    ("direct|bind:192.0.2.7", "stand alone"),
    ("http://p:1,credentials=/nowhere/there", "No such file"),
    ("http://p:1,credentials=env:NOT_THERE", "no such environment variable"),
    (f"http://user:{SECRET}@p:1", "credentials=FILE or credentials=env:NAME"),
    (f"hosts:x=HTTP://{SECRET}@p:1", "credentials=FILE or credentials=env:NAME"),
    (f"http://u:{SECRET},x@p:1", "something else than"),
    (f"http://u:{SECRET}|x@p:1", "the port is not"),
    (f"http://u:{SECRET}@p", "credentials=FILE or credentials=env:NAME"),
    (f"ftp://u:{SECRET}@p", "a route has no target"),
    (f"ftp://{SECRET}=", "a route has no target"),
    (f"http:/{SECRET}=x@p", "a route has no target"),
]


@pytest.mark.parametrize(("text", "said"), MISTAKES)
def test_mistakes(text: str, said: str) -> None:
    """[AU-05] One line says what to write; no password is in it."""
    with pytest.raises(ConfigurationError) as caught:
        splitRoute(text, {})
    message = str(caught.value)
    assert said in message
    assert SECRET not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "empty"),
        ("user", "no colon"),
        (f"a:{SECRET}\nb:c\n", "more than one line"),
        (f"a:{SECRET}\x01", "control"),
    ],
    ids=["empty", "no colon", "two lines", "control"],
)
def test_badCredentials(tmp_path: Path, content: str, said: str) -> None:
    """[AU-05] Found at start-up, and not repeated."""
    path = tmp_path / "credentials"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=said) as caught:
        splitRoute(f"http://p:1,credentials={path}")
    assert SECRET not in str(caught.value)
    assert str(path) in str(caught.value)


def test_commasAndBarsInAPath(tmp_path: Path) -> None:
    """[F61] Targets have the escapes that all arguments have."""
    path = tmp_path / "a,b|c\\d"
    path.write_text(f"user:{SECRET}\n")
    text = str(path).replace("\\", r"\\").replace(",", r"\,").replace("|", r"\|")
    split = splitRoute(f"http://p:1,credentials={text}|http://p:2")
    first, second = split.targets
    assert isinstance(first, ParentTarget) and first.credentials is not None
    assert split.shown == "http://p:1|http://p:2"
    with pytest.raises(ConfigurationError) as caught:
        splitRoute(r"hosts:x=http://p:1,credentials=a\b")
    assert str(caught.value) == (
        r"route 'hosts:x': credentials=: \b is no escape: a backslash itself is "
        r"written \\"
    )


@pytest.mark.parametrize("token", ["Bearer t0k", f"{'u' * 256}:{SECRET}", f":{SECRET}"])
def test_credentialsThatSocksCannotTake(token: str) -> None:
    """[AU-05] What SOCKS has no place for stops the start."""
    rule = Rule(splitRoute("socks5://p:1,credentials=env:X", {"X": token}))
    with pytest.raises(
        ConfigurationError, match=r"^routes: socks5://p:1: credentials: "
    ) as e:
        Rig(routes=[rule])
    assert SECRET not in str(e.value)


def test_nothingShowsCredentials(tmp_path: Path) -> None:
    """[AU-05] Neither a repr nor a text of a route does."""
    path = tmp_path / "credentials"
    path.write_text(f"{SECRET}:{SECRET}\n")
    split = splitRoute(f"https://p,credentials={path}")
    assert SECRET not in f"{split!r} {split} {split.shown} {split.label}"


@pytest.mark.parametrize("source", ["file", "env"])
def test_credentialsAreSent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """[UP-06] This proxy's own, in place of the client's."""
    path = tmp_path / "credentials"
    path.write_text("ann:a:b\n")
    monkeypatch.setenv("PARENT", "ann:a:b")
    where = str(path) if source == "file" else "env:PARENT"
    rig, parent = through(None, f"http://parent:3128,credentials={where}")
    rig.client(connect("example.com:443", "Proxy-Authorization: Basic eDp5"))
    lines = parent.peer.received.lower().split(b"\r\n")
    given = [line for line in lines if line.startswith(b"proxy-authorization")]
    assert given == [b"proxy-authorization: basic yw5uomE6Yg==".lower()]


def test_socksCredentialsAreSent(monkeypatch: pytest.MonkeyPatch) -> None:
    """[UP-06] By RFC 1929."""
    monkeypatch.setenv("PARENT", "ann:a:b")
    rig, parent = through(None, "socks5://parent:3128,credentials=env:PARENT")
    rig.client(connect())
    parent.peer.send(b"\x05\x02")
    rig.flush()
    assert parent.peer.received.endswith(b"\x01\x03ann\x03a:b")


def test_credentialsAskedAgain(monkeypatch: pytest.MonkeyPatch) -> None:
    """[UP-08] A parent with Digest is answered, and our client hears nothing."""
    monkeypatch.setenv("PARENT", "ann:secret")
    rig, parent = through(None, "http://parent:3128,credentials=env:PARENT")
    client = rig.client(connect())
    parent.peer.send(
        b"HTTP/1.1 407 Who\r\n"
        b'Proxy-Authenticate: Digest realm="r", nonce="n", qop="auth"\r\n'
        b"Content-Length: 0\r\n\r\n"
    )
    rig.flush()
    assert client.received == b""
    assert b'Digest username="ann"' in parent.peer.received
    parent.peer.send(OK)
    rig.flush()
    assert status(client) == 200


# Certificates


def test_certificateFiles(tmp_path: Path) -> None:
    """Every file is looked at when the program starts."""
    authority = makeAuthority(tmp_path)
    mine, other = authority.client("mine"), authority.client("other")
    nothing = tmp_path / "nothing"
    nothing.write_text("nothing")
    both = tmp_path / "both"
    both.write_bytes(mine.certificate.read_bytes() + mine.key.read_bytes())
    base = "https://p"
    for items, said in (
        (f"ca={tmp_path / 'missing'}", "cannot be read"),
        (f"ca={nothing}", "holds no certificate"),
        (f"cert={nothing}", "holds no certificate"),
        (f"cert={mine.certificate}", "holds no key"),
        (f"cert={mine.certificate},key={nothing}", "holds no key"),
        (f"cert={mine.certificate},key={other.key}", "is not the key of"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            Rig(routes=[f"{base},{items}"])
    Rig(routes=[f"{base},ca={authority.certificate},cert={both}"])
    Rig(routes=[f"{base},cert={mine.certificate},key={mine.key}"])


# Patterns


def test_patternsThatJudgeAddresses() -> None:
    """[TU-11] A route is chosen before there is an address."""
    for pattern in ("networks:public", "deny-hosts:x.test"):
        once = f"^route '{pattern}': a route is chosen before any address is known"
        with pytest.raises(ConfigurationError, match=once):
            parseRoute(f"{pattern}=http://p:1")
    with pytest.raises(ConfigurationError, match="before any address"):
        Rule(splitRoute("direct"), NetworksPolicy("public"))


def test_patternsThatAreNone() -> None:
    """A pattern has to be a policy, and there."""
    with pytest.raises(ConfigurationError, match=r"route 'hsots:x': .*did you mean"):
        parseRoute("hsots:x=direct")
    with pytest.raises(ConfigurationError, match="is no policy"):
        Rule(splitRoute("direct"), object())
    with pytest.raises(ConfigurationError, match="no host is listed|is not a host"):
        parseRoute("hosts:=direct")


def test_routesThatAreNeverTaken() -> None:
    """Behind one without a pattern there is nothing to do for another."""
    with pytest.raises(ConfigurationError, match="'ports:22' is never taken"):
        Routes(["http://p:1", "ports:22=direct"])


def test_embedding() -> None:
    """Objects do as well as texts."""
    rule = Rule(
        splitRoute("hosts=http://parent:3128"), Named("x", HostsPolicy("example.com"))
    )
    rig, parent = through(None, rule, "direct")  # type: ignore[arg-type]
    rig.client(connect())
    assert len(parent.peers) == 1
    assert str(rule) == "hosts=http://parent:3128"


ROUTE = Route("there", lambda *_: Deferred())


@implementer(IDestinationPolicy)
class Pattern:
    """Answers what it is told to."""

    name = "pattern"

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def decide(self, request: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer() if callable(self.answer) else self.answer


async def coroutine() -> Decision:
    return Allow()


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        (Allow(), True),
        (Deny("no"), False),
        (lambda: succeed(Allow()), True),
        (lambda: succeed(Deny("no")), False),
        (coroutine, True),
    ],
)
def test_matching(answer: Any, taken: bool) -> None:
    """Allow takes the route, Deny leaves it, at once or later."""
    router = RuleRouter(Pattern(answer), ROUTE)
    verifyObject(IRouter, router)
    checkRouter(router)
    assert router.route(makeRequest()) is (ROUTE if taken else None)


def test_lateMatch() -> None:
    """A pattern may take its time."""
    waiting: Deferred[Decision] = Deferred()
    found: list[Any] = []
    answer = RuleRouter(Pattern(lambda: waiting), ROUTE).route(makeRequest())
    assert isinstance(answer, Deferred)
    answer.addCallback(found.append)
    assert found == []
    waiting.callback(Allow())
    assert found == [ROUTE]


@pytest.mark.parametrize("answer", [None, True, RuntimeError("broken")])
def test_patternsFailClosed(answer: Any) -> None:
    """What is no decision, or raises, refuses: the next route is not asked."""
    rule = Rule(splitRoute("mine=direct"), Pattern(answer))
    rig = Rig(routes=[rule, "http://parent:3128"], names=NAMES)
    parent = rig.serve(PARENT, 3128)
    served = rig.serve()
    with logging():
        client = rig.client(connect())
    assert status(client) == 500
    assert rig.events.refused[0].cause is Cause.PLUGIN_ERROR
    assert rig.events.refused[0].rule == "route 'mine'"
    assert parent.peers == served.peers == []


def test_routersAreAskedFirst() -> None:
    """A router's answer counts more than any route."""

    @implementer(IRouter)
    class Router:
        name = "router"

        def route(self, request: Any) -> Any:
            return rig.proxy.resources.surroundings.direct

    rig, parent = through(routers=[Router()])
    rig.serve("192.0.2.1", 443)
    assert status(rig.client(connect())) == 200
    assert parent.peers == []


def test_patternsThatAreServices() -> None:
    """They start and stop with the proxy, also two of one name."""

    @implementer(IDestinationPolicy)
    class Serving(Service):
        def decide(self, request: Any) -> Decision:
            return Deny("no")

    first, second = Serving(), Serving()
    assert IService.providedBy(first)
    first.name = second.name = "serving"
    rules = [
        Rule(splitRoute(f"{n}=direct"), p) for n, p in (("a", first), ("b", second))
    ]
    rig = Rig(routes=rules)
    assert first.running and second.running
    rig.proxy.stopService()
    assert not first.running and not second.running


# Direct, and from one address


def test_bind() -> None:
    """The tunnel comes from that address, and everything else is as it was."""
    rig = Rig(routes=["bind:127.0.0.5"])
    destination = rig.serve()
    client = rig.client(connect())
    assert status(client) == 200
    assert destination.peer.peer.host == "127.0.0.5"
    established = rig.events.established[0].tunnel
    assert established.route == "bind:127.0.0.5"
    assert str(established.address) == "192.0.2.1"
    client.end()
    destination.peer.end()
    rig.assertOver()


def test_bindIsJudged() -> None:
    """[T6] [TU-11] Policies and look-ups are those of the direct route."""
    rig = Rig(
        routes=["bind:127.0.0.5"], policies=[Named("public", NetworksPolicy("public"))]
    )
    assert status(rig.client(connect())) == 403


def test_bindSaysWhoseTroubleItIs() -> None:
    """Where the source is at fault, as one that this machine does not have, the
    log names it."""
    rig = Rig(routes=["bind:127.0.0.5"])
    rig.network.refuse("192.0.2.1")
    assert status(rig.client(connect())) == 502
    refused = rig.events.refused[0]
    assert refused.cause is Cause.CONNECTION_REFUSED
    assert refused.reason.startswith(
        "bind:127.0.0.5: 192.0.2.1: Connection was refused"
    )


def test_bindAndTheOtherFamily() -> None:
    """[TU-09] Only addresses of the family of the source are dialled."""
    rig = Rig(
        routes=["bind:127.0.0.5"],
        names={
            "example.com": ["2001:db8::1", "192.0.2.1"],
            "six.test": ["2001:db8::1"],
        },
    )
    rig.network.blackhole("2001:db8::1")
    rig.serve()
    assert status(rig.client(connect())) == 200
    client = rig.client(connect("six.test:443"))
    assert status(client) == 502
    assert rig.events.refused[0].cause is Cause.UNROUTABLE
    client.end()


def test_literalsAreJudged() -> None:
    """[T6] [TU-11] An address that was asked for is judged before a parent is asked."""
    rig, parent = through(policies=[Named("public", NetworksPolicy("public"))])
    assert status(rig.client(connect("169.254.169.254:443"))) == 403
    assert parent.peers == []
    rig.client(connect("nowhere.test:443"))
    assert len(parent.peers) == 1


def test_withoutRoutesNothingIsMade() -> None:
    """Who has no parents has no service for them."""
    assert [each.name for each in Rig().proxy.rules.plugins][-1] != "routes"
    assert isinstance(proxy().proxy.rules.plugins[-1].plugin, Routes)
