"""Requests to the proxy itself, and fields of the 200, in an embedded proxy."""

from __future__ import annotations

from typing import Any

import pytest
from rig import Rig, connect
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.defer import Deferred, succeed
from twisted.logger import globalLogPublisher
from zope.interface import implementer

from txconnect.errors import ConfigurationError
from txconnect.interfaces import IDestinationPolicy, IRequestHandler, ITunnelFields
from txconnect.observers.lines import jsonLine, record
from txconnect.testing import CHUNKS
from txconnect.values import Answer, Attempted, Cause, Deny, Named, Request

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: proxy.example\r\n\r\n"
ADA = "Proxy-Authorization: Basic YWRhOmxvdmVsYWNl"
WRONG = "Proxy-Authorization: Basic YWRhOndyb25n"


@implementer(IRequestHandler)
class Handler:
    """Answers paths that are among its answers, and keeps what it was asked."""

    name = "status"

    def __init__(
        self, answers: dict[str, Any], withoutCredentials: Any = False
    ) -> None:
        self.answers = answers
        self.withoutCredentials = withoutCredentials
        self.asked: list[Request] = []

    def handle(self, request: Request) -> Any:
        self.asked.append(request)
        answer = self.answers.get(request.target)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def health(withoutCredentials: Any = False) -> Handler:
    return Handler({"/healthz": Answer("well\n")}, withoutCredentials)


def asked(*lines: str, rig: Rig) -> bytes:
    """All that a client gets for a request of these lines."""
    peer = rig.client("\r\n".join([*lines, "", ""]).encode("latin-1"))
    return peer.received


def users() -> Any:
    return InMemoryUsernamePasswordDatabaseDontUse(ada=b"lovelace")


@pytest.mark.parametrize("chunk", CHUNKS)
def test_served(chunk: Any) -> None:
    """[F60] A path is answered by a handler, and the connection closes."""
    handler = health()
    rig = Rig(chunk=chunk, handlers=[handler])
    client = rig.client(HEALTH)
    assert client.received == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Cache-Control: no-store\r\nContent-Length: 5\r\nConnection: close\r\n"
        b"Proxy-Connection: close\r\n\r\nwell\n"
    )
    assert client.ended and not client.reset
    client.end()
    rig.assertOver()
    (request,) = handler.asked
    assert (request.kind, request.method, request.target) == ("own", "GET", "/healthz")
    assert str(request.authority) == "127.0.0.1:3128"
    assert request.header(b"host") == b"proxy.example"


def test_oneEvent() -> None:
    """[F60] A request that is answered here ends in one event, as any other."""
    rig = Rig(handlers=[Named("page", health())])
    rig.client(HEALTH).end()
    rig.assertOver()
    (event,) = rig.events.events
    assert event is rig.events.refused[0]
    assert (event.cause, event.rule) == (Cause.ANSWERED, "page")
    assert event.reason == "GET /healthz: 200"
    assert event.request is not None and event.request.kind == "own"
    assert event.attempted == Attempted("", "GET", "/healthz")


@pytest.mark.parametrize(
    ("path", "credentials", "cause", "user"),
    [
        ("/healthz", [ADA], Cause.ANSWERED, ""),
        ("/other", [ADA], Cause.METHOD, ""),
        ("/other", [], Cause.CREDENTIALS_MISSING, ""),
        ("/other", [WRONG], Cause.CREDENTIALS_REFUSED, "ada"),
    ],
)
def test_noQueryInTheEvent(
    path: str, credentials: list[str], cause: Cause, user: str
) -> None:
    """[F12] [F60] A query may be a token: no event of such a request has it, however it
    ends."""
    target = f"{path}?token=sesame"
    handler = Handler({"/healthz?token=sesame": Answer("well\n")})
    rig = Rig(handlers=[handler], checkers=[users()])
    asked(f"GET {target} HTTP/1.0", *credentials, rig=rig)
    (event,) = rig.events.refused
    assert event.cause is cause
    assert event.attempted == Attempted(user, "GET", f"{path}?...")
    assert "sesame" not in event.reason
    assert "sesame" not in jsonLine(record(event, 0.0))


def test_longTargetInTheEvent() -> None:
    path = "/" + "x" * 3000
    rig = Rig(handlers=[Handler({path: Answer(status=204)})])
    assert asked(f"GET {path} HTTP/1.0", rig=rig).startswith(b"HTTP/1.1 204 No Content")
    assert len(rig.events.refused[0].reason) < 220
    rig = Rig(handlers=[Handler({"/": Answer(status=204)})])
    assert asked(f"{path[1:]} / HTTP/1.0", rig=rig).startswith(b"HTTP/1.1 204 ")
    assert len(rig.events.refused[0].reason) < 220


@pytest.mark.parametrize("chunk", CHUNKS)
def test_nothingBehindItIsParsed(chunk: Any) -> None:
    """[F60] What came behind the head is dropped, even a second request."""
    handler = health()
    rig = Rig(chunk=chunk, handlers=[handler])
    client = rig.client(HEALTH + HEALTH + connect())
    assert client.received.count(b"HTTP/1.1") == 1
    client.end()
    rig.assertOver()
    assert len(handler.asked) == len(rig.events.events) == 1


@pytest.mark.parametrize("chunk", CHUNKS)
def test_tunnelsAreAsBefore(chunk: Any) -> None:
    """[F60] Beside handlers a CONNECT is what it was."""
    rig = Rig(chunk=chunk, handlers=[health()])
    client, destination = rig.tunnel(early=b"hello")
    assert destination.received == b"hello"
    client.abort()
    rig.assertOver()


@pytest.mark.parametrize(
    ("lines", "status", "reason"),
    [
        (["GET /other HTTP/1.1", "Host: a"], b"405", "the method is not CONNECT"),
        (["GET http://a.example/ HTTP/1.1", "Host: a"], b"405", "the method is not"),
        (["GET a.example:443 HTTP/1.1", "Host: a"], b"405", "the method is not"),
        (["GET *x HTTP/1.1", "Host: a"], b"405", "the method is not"),
        (["connect a.example:443 HTTP/1.1", "Host: a"], b"405", "the method is not"),
        (["CONNECT /healthz HTTP/1.1", "Host: a"], b"400", "must be host:port"),
        (["CONNECT * HTTP/1.1", "Host: a"], b"400", "must be host:port"),
        (["GET /healthz HTTP/1.1"], b"400", "there is no Host field"),
        (["GET /healthz HTTP/1.1", "Host: a", "Host: b"], b"400", "more than one Host"),
        (["GET /healthz HTTP/2.0", "Host: a"], b"505", "the major version"),
        (["GET  /healthz HTTP/1.1", "Host: a"], b"400", "single"),
        (
            ["POST /healthz HTTP/1.1", "Host: a", "Content-Length: 3"],
            b"400",
            "a request to this proxy has no content here, so no Content-Length but 0",
        ),
        (
            ["POST /healthz HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"],
            b"400",
            "a request to this proxy has no content here, so no Transfer-Encoding",
        ),
    ],
)
def test_notServed(lines: list[str], status: bytes, reason: str) -> None:
    """[F60] Everything else is refused as it is without handlers."""
    rig = Rig(handlers=[health()])
    assert asked(*lines, rig=rig).split()[1] == status
    assert reason in rig.events.refused[0].reason


def test_withoutHandlers() -> None:
    """Where there is none, no path is served: the 405 of ever."""
    rig = Rig()
    client = rig.client(HEALTH)
    assert client.received.startswith(b"HTTP/1.1 405 ")
    assert b"Allow: CONNECT\r\n" in client.received


@pytest.mark.parametrize("method", ["GET", "HEAD", "PURGE", "OPTIONS"])
def test_otherMethods(method: str) -> None:
    """[F60] Any method; a HEAD gets no content, in a refusal neither."""
    rig = Rig(handlers=[health()])
    received = asked(f"{method} /healthz HTTP/1.0", rig=rig)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 5\r\n" in received
    assert received.endswith(b"\r\n\r\n" if method == "HEAD" else b"\r\n\r\nwell\n")
    refused = asked(f"{method} /other HTTP/1.0", rig=rig)
    assert refused.startswith(b"HTTP/1.1 405 ")
    assert refused.endswith(b"\r\n\r\n") is (method == "HEAD")


def test_asterisk() -> None:
    rig = Rig(handlers=[Handler({"*": Answer(status=204)})])
    assert asked("OPTIONS * HTTP/1.0", rig=rig).startswith(b"HTTP/1.1 204 ")


def test_firstThatAnswers() -> None:
    """[F60] They are asked in order, until one answers, at once or later."""
    waiting: Deferred[Answer | None] = Deferred()
    first = Handler({"/": succeed(None)})
    second = Handler({"/": waiting})
    third = Handler({"/": Answer("third")})
    rig = Rig(handlers=[first, second, third])
    client = rig.client(b"GET / HTTP/1.0\r\n\r\n")
    assert not client.received and not third.asked
    waiting.callback(None)
    rig.flush()
    assert client.received.endswith(b"\r\n\r\nthird")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("well", "it answered a str, not an Answer or None"),
        (True, "it answered True, not an Answer or None"),
        (ZeroDivisionError("oh"), "ZeroDivisionError: oh"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_handlerThatFails(answer: Any, reason: str) -> None:
    """[F60] A handler that fails, or answers nonsense, is a 500 and one log line."""
    rig = Rig(handlers=[Handler({"/": answer})])
    logged: list[Any] = []
    globalLogPublisher.addObserver(logged.append)
    try:
        received = asked("GET / HTTP/1.0", rig=rig)
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert received.startswith(b"HTTP/1.1 500 ")
    (event,) = rig.events.refused
    assert (event.cause, event.rule) == (Cause.PLUGIN_ERROR, "status")
    assert event.reason == reason and len(logged) == 1


def test_handlerThatIsLate() -> None:
    """[F60] A handler has the time of a hook; then it is cancelled."""
    cancelled: list[Any] = []
    rig = Rig(handlers=[Handler({"/": Deferred(cancelled.append)})])
    client = rig.client(b"GET / HTTP/1.0\r\n\r\n")
    rig.network.advance(rig.proxy.settings.hookTimeout)
    assert client.received.startswith(b"HTTP/1.1 500 ") and len(cancelled) == 1
    client.end()
    rig.assertOver()
    assert rig.events.refused[0].cause is Cause.PLUGIN_TIMEOUT


def test_clientLeaves() -> None:
    """A client that resets meanwhile cancels the handler."""
    cancelled: list[Any] = []
    rig = Rig(handlers=[Handler({"/": Deferred(cancelled.append)})])
    rig.client(b"GET / HTTP/1.0\r\n\r\n").abort()
    rig.assertOver()
    assert len(cancelled) == 1
    assert rig.events.refused[0].cause is Cause.CLIENT_LEFT


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("behind", [b"", b"x" * 5000], ids=["none", "over the bound"])
@pytest.mark.parametrize("end", [False, True], ids=["open", "FIN"])
def test_answeredBehindTheEnd(chunk: Any, behind: bytes, end: bool) -> None:
    """[F04] [F60] A client that has sent FIN, or more than is held, is answered."""
    answer: Deferred[Answer] = Deferred()
    settings = {"earlyDataLimit": 1000}
    rig = Rig(chunk=chunk, settings=settings, handlers=[Handler({"/": answer})])
    client = rig.client(b"GET / HTTP/1.0\r\n\r\n" + behind)
    if end:
        client.end()
        rig.flush()
    assert client.received == b""
    answer.callback(Answer("well\n"))
    rig.flush()
    assert client.received.endswith(b"\r\n\r\nwell\n")
    assert not client.reset
    if not end:
        client.end()
    rig.assertOver()
    assert not len(rig.proxy.halfClosed)


def test_ownRequestsAreCountedToo() -> None:
    """[F04] [F60] Behind a FIN a request to the proxy itself counts as any other."""
    answer: Deferred[Answer] = Deferred()
    settings = {"halfClosedRequests": 1}
    rig = Rig(settings=settings, handlers=[Handler({"/": answer})])
    clients = [rig.client(b"GET / HTTP/1.0\r\n\r\n") for _ in range(2)]
    for client in clients:
        client.end()
        rig.flush()
    refused = [client.received.startswith(b"HTTP/1.1 503 ") for client in clients]
    assert refused == [False, True]
    clients[0].abort()
    rig.assertOver()


# Credentials


def test_credentialsFirst() -> None:
    """[F60] Where credentials are asked for, they are for a handler, too; the 407 is
    the same for a path that there is, and one that there is not."""
    handler = health()
    rig = Rig(handlers=[handler], checkers=[users()])
    for path in ("/healthz", "/other"):
        received = asked(f"GET {path} HTTP/1.0", rig=rig)
        assert received.startswith(b"HTTP/1.1 407 ")
    assert asked("GET /healthz HTTP/1.0", WRONG, rig=rig).startswith(b"HTTP/1.1 407 ")
    assert not handler.asked
    assert asked("GET /healthz HTTP/1.0", ADA, rig=rig).startswith(b"HTTP/1.1 200 OK")
    (request,) = handler.asked
    assert request.identity is not None and request.identity.user == "ada"
    assert request.header(b"proxy-authorization") is None


def test_withoutCredentials() -> None:
    """[F60] A handler that says so is asked before that, whatever its place, and sees
    neither an identity nor credentials."""
    guarded, open = Handler({"/status": Answer("busy")}), health(True)
    rig = Rig(handlers=[guarded, open], checkers=[users()])
    assert asked("GET /healthz HTTP/1.0", rig=rig).startswith(b"HTTP/1.1 200 OK")
    assert asked("GET /healthz HTTP/1.0", ADA, rig=rig).startswith(b"HTTP/1.1 200 OK")
    assert not guarded.asked
    assert all(each.identity is None for each in open.asked)
    assert asked("GET /status HTTP/1.0", rig=rig).startswith(b"HTTP/1.1 407 ")
    assert asked("GET /status HTTP/1.0", ADA, rig=rig).endswith(b"busy")


@pytest.mark.parametrize("almost", [1, "yes", None, 0])
def test_onlyTrueIsWithoutCredentials(almost: Any) -> None:
    """[F60] What is not exactly true asks for credentials."""
    rig = Rig(handlers=[health(almost)], checkers=[users()])
    assert asked("GET /healthz HTTP/1.0", rig=rig).startswith(b"HTTP/1.1 407 ")


def test_onlyOpenHandlers() -> None:
    """Where no handler is left to ask, nobody is asked who they are."""
    rig = Rig(handlers=[health(True)], checkers=[users()])
    assert asked("GET /other HTTP/1.0", rig=rig).startswith(b"HTTP/1.1 405 ")


# Fields of the 200


@implementer(ITunnelFields)
class Fields:
    """Adds these fields."""

    name = "fields"

    def __init__(self, *fields: Any) -> None:
        self.fields = fields

    def tunnelFields(self, tunnel: Any) -> Any:
        return self.fields


def test_severalThatAddFields() -> None:
    """[F60] In order, those of one behind those of the other."""
    adding = [Fields(("A", "1"), ("B", "2")), Fields(), Fields(("A", "3"))]
    rig = Rig(tunnelFields=adding)
    rig.serve()
    client = rig.client(connect())
    assert client.received == (
        b"HTTP/1.1 200 Connection established\r\nA: 1\r\nB: 2\r\nA: 3\r\n\r\n"
    )
    client.abort()
    rig.assertOver()


@pytest.mark.parametrize(
    "fields",
    [
        [("Content-Length", "3")],
        [("A", "1\r\n\r\nHTTP/1.1 200 OK")],
        [("A", "1")] * 33,
        [None],
    ],
)
def test_fieldsThatCannotBeSent(fields: Any) -> None:
    """[F60] They are a 500 in place of the 200, and the destination is let go."""
    rig = Rig(tunnelFields=[Fields(), Fields(*fields)])
    destination = rig.serve()
    client = rig.client(connect())
    assert client.received.startswith(b"HTTP/1.1 500 ")
    client.end()
    rig.flush()
    assert destination.peer.closed
    (event,) = rig.events.events
    assert (event.cause, event.rule) == (Cause.PLUGIN_ERROR, "fields")  # type: ignore[union-attr]


# Start-up


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"handlers": health()}, "handlers: give a list, not a value of type Handler"),
        ({"handlers": [Fields()]}, "IRequestHandler"),
        ({"tunnelFields": [health()]}, "ITunnelFields"),
        ({"tunnelFields": "x"}, "tunnelFields: give a list"),
    ],
)
def test_wrongKinds(arguments: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Rig(**arguments)


def test_replaced() -> None:
    """[F60] With the rules the handlers are replaced."""
    rig = Rig()
    rig.proxy.replaceRules(rig.proxy.makeRules(handlers=[health()]))
    assert asked("GET /healthz HTTP/1.0", rig=rig).startswith(b"HTTP/1.1 200 OK")
    late = rig.client(b"GET /healthz HTTP/1.0\r\n")
    rig.proxy.replaceRules(rig.proxy.makeRules())
    late.send(b"\r\n")
    rig.flush()
    assert late.received.startswith(b"HTTP/1.1 405 ")


@implementer(IDestinationPolicy)
class Claims:
    """Denies a CONNECT with the cause of an answer."""

    name = "claims"

    def decide(self, request: Any) -> Any:
        return Deny("served", Cause.ANSWERED)


def test_aConnectIsNeverAnswered() -> None:
    """[F60] A CONNECT gets no other 2xx than the 200 of its tunnel, whatever a plugin
    says."""
    rig = Rig(handlers=[health(True)], policies=[Claims()])
    assert rig.client(connect()).received.startswith(b"HTTP/1.1 500 ")
    assert rig.events.refused[0].cause is Cause.PLUGIN_ERROR
