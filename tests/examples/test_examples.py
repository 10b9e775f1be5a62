"""
The examples do what they say: policies asked in one line, taps and pairs on
the memory network.  The directory's checker and what needs processes have
files of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from exampleprograms import EXAMPLES, commandsOf, plugin, program
from rig import Rig, body, connect, logging, status
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from txconnect.command import Options
from txconnect.errors import EndTunnel
from txconnect.interfaces import IRequestHandler, ITunnelFields
from txconnect.observers import Counters
from txconnect.plugins import (
    AUTH_SCHEME,
    KINDS,
    OBSERVER,
    PAIR,
    PLUGIN,
    POLICY,
    ROUTER,
    TAP,
    Kind,
    loadPlugin,
)
from txconnect.proxy import ConnectProxyFactory
from txconnect.testing import (
    CHUNKS,
    PUBLIC_ADDRESS,
    ImmediatePool,
    MemoryNetwork,
    checkAuthScheme,
    checkChecker,
    checkObserver,
    checkPairFactory,
    checkPlugin,
    checkPolicy,
    checkRequestHandler,
    checkRouter,
    checkTap,
    checkTunnelFields,
    decide,
    decideAsync,
    makeRequest,
    makeTunnel,
    proxyOnMemory,
    scriptedLookup,
)
from txconnect.testing.peers import Peer
from txconnect.values import (
    Allow,
    Cause,
    Closed,
    Deny,
    Direction,
    Identity,
    Named,
    TunnelClosed,
)

SERVICE = "127.0.0.9"
everyChunk = pytest.mark.parametrize("chunk", CHUNKS)
# Twisted's readBody warns of Twisted's own Agent (issue 8227).
pytestmark = pytest.mark.filterwarnings("ignore:Using readBody:DeprecationWarning")

FILES = sorted(EXAMPLES.glob("*.py"))
PAGES = Path(__file__).parent.parent.parent / "docs"


# All of them.


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_theDocsShowIt(path: Path) -> None:
    pages = "".join(page.read_text("utf-8") for page in PAGES.rglob("*.rst"))
    assert f"examples/{path.name}" in pages


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_itsCommandLineIsAccepted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a docstring tells its reader to type starts a proxy."""
    monkeypatch.chdir(EXAMPLES)
    for command in commandsOf(path):
        options = Options()
        options.parseOptions(command)
        assert options["built"].proxy is not None


def checkRoles(one: Any) -> None:
    """Check what C{--plugin} makes, in each of its roles."""
    for kind in (POLICY, OBSERVER, TAP, ROUTER, PAIR):
        if any(role.providedBy(one) for role in kind.provides):
            CHECKS[kind](one)


CHECKS: dict[Kind, Callable[[Any], None]] = {
    PLUGIN: checkRoles,
    POLICY: checkPolicy,
    OBSERVER: checkObserver,
    TAP: checkTap,
    ROUTER: checkRouter,
    PAIR: checkPairFactory,
    AUTH_SCHEME: checkAuthScheme,
}


def described(path: Path) -> Iterator[tuple[Kind, str, str]]:
    """The plugins in the command lines of an example: kind, attribute, argument."""
    kinds = {kind.option: kind for kind in CHECKS}
    for command in commandsOf(path):
        for option, value in zip(command, command[1:], strict=False):
            file, _, rest = value.partition(":")
            if option in kinds and file == f"./{path.name}":
                attribute, _, argument = rest.partition(":")
                yield kinds[option], attribute, argument


def checkLoaded(kind: Kind, one: Any) -> None:
    """Check what the command line makes, as a proxy that runs has it."""
    if hasattr(one, "_agent"):
        # No socket is here: nobody answers.
        one._agent = Silent()
    if isinstance(one, Service):
        one.startService()
    CHECKS[kind](one)
    if isinstance(one, Service):
        one.stopService()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_itPassesItsConformanceCheck(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """[F50] Every plugin that an example declares, or is loaded from it."""
    source = path.read_text("utf-8")
    if not re.search(r"@\w+Plugin\(|@implementer\(I(?!Credentials|Checker)", source):
        assert list(described(path)) == []
        return
    # Their files are made here.
    monkeypatch.chdir(tmp_path)
    checked, arguments = 0, dict[str, str]()
    for kind, attribute, argument in described(path):
        arguments[attribute] = argument
        text = f"{path}:{attribute}:{argument}".rstrip(":")
        checkLoaded(kind, loadPlugin(kind, text).plugin)
        checked += 1
    for attribute, one in vars(program(path.stem)).items():
        if any(kind.factory.providedBy(one) for kind in KINDS):
            made = one.fromString(arguments.get(attribute, ""))
            if not hasattr(made, "_agent"):
                checkPlugin(one, arguments.get(attribute, ""))
            checked += 1
        elif isinstance(one, type) and (
            IRequestHandler.implementedBy(one) or ITunnelFields.implementedBy(one)
        ):
            # It has no text for the command line: a program embeds it.
            made = one() if one.__init__ is object.__init__ else one(Counters())
            if IRequestHandler.providedBy(made):
                checkRequestHandler(made)
            else:
                checkTunnelFields(made)
            checked += 1
    assert checked


def test_commandLinesAreFound() -> None:
    """The test above is about something."""
    assert sum(len(list(commandsOf(path))) for path in FILES) >= 5


# bearer_tokens.py

TOKEN = "s3same-0penUp"


def bearerTexts() -> dict[str, list[str]]:
    """The arguments of a proxy that say what the example's command line says."""
    (command,) = commandsOf(EXAMPLES / "bearer_tokens.py")
    options = dict(zip(command[::2], command[1::2], strict=True))
    keywords = {"--auth-scheme": "schemes", "--auth": "checkers"}
    return {
        keywords[option]: [text.replace("./", f"{EXAMPLES}/", 1)]
        for option, text in options.items()
    }


@pytest.mark.parametrize(
    ("credentials", "wanted"),
    [
        ("Bearer s3same-0penUp", 200),
        ("bearer s3same-0penUp", 200),
        ("Bearer s3same-0penU", 407),
        ("Bearer s3same-0penUp x", 407),
        ("Bearer", 407),
        ("Basic czNzYW1lOg==", 407),
        (None, 407),
    ],
)
def test_bearerTokens(credentials: str | None, wanted: int) -> None:
    fields = [] if credentials is None else [("Proxy-Authorization", credentials)]
    with proxyOnMemory(hosts={"a.example": PUBLIC_ADDRESS}, **bearerTexts()) as net:  # type: ignore[arg-type]
        client = net.connectThrough("a.example:443", headers=fields)
        assert client.status == wanted
        if wanted == 200:
            (event,) = net.events.established
            assert event.request.identity == Identity(
                "ada", "TokenChecker", ("robots",)
            )
            return
        challenge = client.header("Proxy-Authenticate") or ""
        assert challenge.startswith('Bearer realm="proxy"')
        sent = credentials is not None
        assert challenge.endswith(', error="invalid_token"') is sent


def test_bearerCheckers() -> None:
    module = program("bearer_tokens")
    checkAuthScheme(module.BearerScheme(), TOKEN.encode())
    known = sha256(TOKEN.encode()).hexdigest()
    identity = checkChecker(
        module.TokenChecker(ada=known),
        module.Token(TOKEN.encode()),
        [module.Token(b""), module.Token(known.encode())],
    )
    assert identity.user == "ada"
    with pytest.raises(ValueError, match="ada: write the token's SHA-256"):
        module.TokenChecker(ada=TOKEN)


# office_hours.py


@pytest.mark.parametrize(
    ("now", "isOpen"),
    [
        ("2026-06-05 07:59", False),  # a Friday
        ("2026-06-05 08:00", True),
        ("2026-06-05 17:59", True),
        ("2026-06-05 18:00", False),
        ("2026-06-06 12:00", False),
        ("2026-06-07 12:00", False),
        ("2026-06-08 12:00", True),
    ],
)
def test_officeHours(now: str, isOpen: bool) -> None:
    assert program("office_hours").isOpen(datetime.fromisoformat(now)) is isOpen


@pytest.mark.parametrize("isOpen", [True, False])
def test_officeHoursDecides(isOpen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    office = program("office_hours")
    monkeypatch.setattr(office, "isOpen", lambda now: isOpen)
    closed = Deny("the office is closed; it opens on weekdays at eight")
    assert decide(office.officeHours) == (Allow() if isOpen else closed)


def test_officeHoursIsAPlugin() -> None:
    checkPolicy(plugin(POLICY, "office_hours.py:officeHours"))
    checkPlugin(program("office_hours").officeHours)


# ask_service.py


class May(Resource):
    """
    The service that is asked.

    @ivar asked: the questions, as the query has them.
    """

    isLeaf = True

    def __init__(self, code: int = 204, words: bytes = b"") -> None:
        super().__init__()
        self.asked: list[dict[bytes, list[bytes]]] = []
        self._code, self._words = code, words

    def render_GET(self, request: Any) -> bytes:
        self.asked.append(request.args)
        request.setResponseCode(self._code)
        return self._words


class Silent:
    """An agent whose request is never answered."""

    def __init__(self) -> None:
        self.cancelled = 0

    def request(self, *arguments: Any) -> Deferred[Any]:
        return Deferred(self._cancel)

    def _cancel(self, _: Deferred[Any]) -> None:
        self.cancelled += 1


@implementer(IAgentEndpointFactory)
class ServiceAt:
    """Where an agent on a memory network finds the service."""

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network

    def endpointForURI(self, uri: URI) -> TCP4ClientEndpoint:
        return TCP4ClientEndpoint(self._network, SERVICE, 80)


class Asking(Rig):
    """A proxy whose policy asks a service, by real HTTP on its network."""

    def __init__(self, service: May | None, chunk: Any = None, **kept: Any) -> None:
        network = MemoryNetwork(chunk=chunk)
        pool = HTTPConnectionPool(network, persistent=False)
        agent = Agent.usingEndpointFactory(network, ServiceAt(network), pool)
        policy = program("ask_service").AskPolicy("http://service.example/may", agent)
        super().__init__(network=network, policies=[policy], **kept)
        if service is None:
            network.blackhole(SERVICE)
        else:
            site = Site(service, reactor=network, timeout=None)
            self.site = network.listenTCP(80, site, interface=SERVICE)

    def over(self, client: Peer) -> None:
        """Neither the proxy nor the agent has kept anything."""
        client.abort()
        self.flush()
        self.site.stopListening()  # its clock ticks
        self.assertOver()


@everyChunk
def test_serviceIsAsked(chunk: Any) -> None:
    service = May()
    rig = Asking(service, chunk)
    client, destination = rig.tunnel("Example.COM:443")
    rig.over(client)
    assert service.asked == [{b"host": [b"example.com"], b"port": [b"443"]}]


def test_serviceIsToldTheUser() -> None:
    """Whatever characters a name has."""
    service = May()
    rig = Asking(service)
    policy = rig.proxy.policies[-1].plugin
    waiting = decideAsync(policy, "example.com:443", user="a&b=\xe9 c")
    answers: list[Any] = []
    waiting.addBoth(answers.append)
    rig.flush()
    assert answers == [Allow()]
    assert service.asked[0][b"user"] == ["a&b=\xe9 c".encode()]


@everyChunk
def test_serviceRefusesInItsOwnWords(chunk: Any) -> None:
    rig = Asking(May(403, b"not before noon\n"), chunk)
    client = rig.client(connect())
    assert status(client) == 403
    assert rig.events.refused[0].reason == "not before noon"
    rig.over(client)


def test_longWordsAreCut() -> None:
    rig = Asking(May(403, b"x" * 1000))
    rig.client(connect())
    assert rig.events.refused[0].reason == "x" * 200


@everyChunk
@pytest.mark.parametrize("code", [200, 302, 404, 500, 503])
def test_otherAnswersRefuseAsTrouble(code: int, chunk: Any) -> None:
    """Only a clear yes allows, and trouble is not shown as a policy's no."""
    rig = Asking(May(code, b"welcome"), chunk)
    client = rig.client(connect())
    assert status(client) == 500
    refused = rig.events.refused[0]
    assert refused.cause is Cause.PLUGIN_ERROR
    assert refused.reason.endswith(f"the service answered with status {code}")
    rig.over(client)


def test_slowServiceIsGivenUp() -> None:
    """The proxy refuses at the hook's deadline, and the question is cancelled."""
    rig = Asking(None, settings={"hookTimeout": 3.0})
    client = rig.client(connect())
    rig.network.advance(2.9)
    assert client.received == b""
    rig.network.advance(0.2)
    rig.flush()
    assert status(client) == 500
    assert rig.events.refused[0].cause is Cause.PLUGIN_TIMEOUT
    client.close()
    rig.assertOver()


def test_askIsMadeFromItsArgument() -> None:
    policy = plugin(POLICY, "ask_service.py:ask:http://127.0.0.1:8080/may")
    assert policy._url == "http://127.0.0.1:8080/may"
    for wrong in ("127.0.0.1:8080", "ftp://example.com/", "http://b\xfccher.example/"):
        with pytest.raises(ValueError, match="no http:// or https:// URL"):
            program("ask_service").AskPolicy(wrong)


# tunnel_file.py


def test_renamedTunnelFileIsOpenedAgain(tmp_path: Path) -> None:
    """[F10] As after logrotate; the old file stays in use where there is no new one."""
    path, old = tmp_path / "tunnels.txt", tmp_path / "tunnels.txt.1"
    observer = program("tunnel_file").TunnelFile(str(path))
    rig = Rig(observers=[observer])
    checkObserver(observer)
    path.rename(old)
    path.mkdir()
    assert rig.proxy.reopenLogs() == []
    observer.observe(closedBy("ada", 1, 2))
    path.rmdir()
    assert rig.proxy.reopenLogs() == ["TunnelFile"]
    observer.observe(closedBy("ada", 3, 4))
    rig.proxy.stopService()
    assert observer.file.closed
    assert old.read_text().endswith(" 1 2\n")
    assert path.read_text() == "example.com:443 3 4\n"


# byte_counter.py


def closedBy(user: str | None, up: int, down: int) -> TunnelClosed:
    identity = None if user is None else Identity(user, "test")
    return TunnelClosed(
        makeTunnel(makeRequest(user=identity)), up, down, 1.0, Closed.CLIENT
    )


def test_byteCounterCountsForEachUser() -> None:
    counter = plugin(OBSERVER, "byte_counter.py:ByteCounter")
    checkObserver(program("byte_counter").ByteCounter())
    for event in (closedBy("ada", 1, 2), closedBy("bob", 10, 0), closedBy(None, 5, 5)):
        counter.observe(event)
    counter.observe(closedBy("ada", 0, 100))
    assert counter.bytes == {"ada": 103, "bob": 10, "anyone": 10}
    with logging() as logged:
        counter.stopService()
    assert [each["user"] for each in logged.events] == ["ada", "bob", "anyone"]


def test_byteCounterInAProxy() -> None:
    """Started and stopped with it, and told of every tunnel."""
    counter = plugin(OBSERVER, "byte_counter.py:ByteCounter")
    counter.bytes.clear()
    rig = Rig(observers=[counter])
    client, destination = rig.tunnel(echo=True)
    client.send(b"hello")
    client.end()
    rig.flush()
    assert counter.running
    assert counter.bytes == {"anyone": 10}
    rig.proxy.stopService()
    assert not counter.running


# tls_only.py


@everyChunk
def test_tlsOnlyLetsTLSPass(chunk: Any) -> None:
    rig = Rig(chunk=chunk, taps=[plugin(TAP, "tls_only.py:tlsOnly")])
    client, destination = rig.tunnel(early=b"\x16\x03\x01\x02\x00")
    client.send(b"more")
    destination.send(b"220 whatever the other side says")
    rig.flush()
    assert destination.received == b"\x16\x03\x01\x02\x00more"
    assert body(client) == b"220 whatever the other side says"
    client.abort()
    rig.assertOver()


@everyChunk
@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"\x16GET", b"SSH-2.0-x\r\n"])
def test_tlsOnlyCutsEverythingElse(chunk: Any, data: bytes) -> None:
    """[F50] [F54] Nothing of it has reached the destination; a policy's doing."""
    rig = Rig(chunk=chunk, taps=[Named("tls-only", plugin(TAP, "tls_only.py:tlsOnly"))])
    client, destination = rig.tunnel()
    client.send(data)
    rig.flush()
    assert client.reset
    assert destination.received == b""
    rig.assertOver()
    (closed,) = rig.events.closed
    assert (closed.reason, closed.rule) == (Closed.POLICY, "tls-only")
    assert closed.detail == "the client sends no TLS"


def test_tlsOnlyLeavesOtherPortsAlone() -> None:
    tap = plugin(TAP, "tls_only.py:tlsOnly")
    assert tap.tap(makeTunnel(makeRequest("example.com:22"))) is None
    see = tap.tap(makeTunnel(makeRequest("example.com:443")))
    assert see is not None
    see(Direction.DOWN, b"SSH-2.0-x\r\n")
    with pytest.raises(EndTunnel, match="the client sends no TLS"):
        see(Direction.UP, b"SSH-2.0-x\r\n")


# shouting_pair.py


@everyChunk
def test_shoutingPair(chunk: Any) -> None:
    pair = plugin(PAIR, "shouting_pair.py:shoutingPair")
    checkPairFactory(pair)
    rig = Rig(chunk=chunk, pairFactory=pair)
    client, destination = rig.tunnel(banner=b"220 ready\r\n")
    client.send(b"hello")
    client.end()
    rig.flush()
    assert destination.received == b"hello"
    destination.send(b"bye")
    destination.end()
    rig.flush()
    assert body(client) == b"220 READY\r\nBYE"
    assert client.ended
    rig.assertOver()


# embedding.py


def test_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    """It listens, lets its hosts through, and prints whom it refuses."""
    embedding = program("embedding")
    network = MemoryNetwork()
    made = partial(
        ConnectProxyFactory,
        getaddrinfo=scriptedLookup({"www.example.org": [PUBLIC_ADDRESS]}),
        pool=ImmediatePool(),
    )
    printed: list[str] = []
    monkeypatch.setattr(embedding, "ConnectProxyFactory", made)
    monkeypatch.setattr(
        embedding, "print", lambda line, flush: printed.append(line), raising=False
    )
    running = Deferred.fromCoroutine(embedding.main(network, "3128"))
    destination = network.serve(PUBLIC_ADDRESS, 443, banner=b"hello")
    allowed = network.connect("127.0.0.1", 3128)
    allowed.send(connect("www.example.org:443"))
    refused = network.connect("127.0.0.1", 3128)
    refused.send(connect("example.com:443"))
    network.flush()
    assert body(allowed) == b"hello"
    assert destination.peer.received == b""
    assert status(refused) == 403
    assert printed == [
        "listening on 3128",
        "refused: hosts: 'example.com is not among the allowed hosts'",
    ]
    assert not running.called


# assetregister, without its installation


def test_registerPolicy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES / "assetregister"))
    file = tmp_path / "hosts"
    file.write_text("Example.com\nexample.org.\n")
    policy = checkPlugin(registered(), str(file))
    assert decide(policy, "EXAMPLE.com.:443") == Allow("registered")
    assert decide(policy, "example.org:443") == Allow("registered")
    assert decide(policy, "www.example.com:443") == Deny(
        "www.example.com is not in the register"
    )


@pytest.mark.parametrize("content", [None, b"b\xfccher.example\n"])
def test_registerThatCannotBeReadStopsStartUp(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES / "assetregister"))
    if content is not None:
        (tmp_path / "hosts").write_bytes(content)
    with pytest.raises(ValueError, match="the register cannot be read: "):
        registered().fromString(str(tmp_path / "hosts"))


def registered() -> Any:
    """The package's plugin, as Twisted finds it."""
    path = "assetregister/twisted/plugins/assetregister_plugin"
    return program(path).registeredHosts
