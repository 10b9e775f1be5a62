"""From Proxy-Authorization to an Identity, or a refusal."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from rig import logging
from twisted.cred.checkers import (
    ANONYMOUS,
    FilePasswordDB,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import (
    ICredentials,
    IUsernameHashedPassword,
    IUsernamePassword,
)
from twisted.cred.error import LoginDenied, LoginFailed, UnauthorizedLogin
from twisted.cred.strcred import makeChecker
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.auth.authenticator import Authenticator
from txconnect.auth.basic import BasicScheme, IBasicCredentials
from txconnect.errors import ConfigurationError, Refused
from txconnect.interfaces import IAuthScheme
from txconnect.testing import makeRequest
from txconnect.values import (
    AuthAttempt,
    Authority,
    Cause,
    ChallengeReason,
    Identity,
    Named,
    Request,
)

REQUEST = Request(Authority("example.com", 443), id="7f3a-1")


def basic(user: str | bytes, password: str | bytes, scheme: bytes = b"Basic") -> bytes:
    pair = [one.encode() if isinstance(one, str) else one for one in (user, password)]
    return scheme + b" " + b64encode(b":".join(pair))


@implementer(ICredentialsChecker)
class Checker:
    """Answers what a test tells it to, and keeps what it was asked."""

    def __init__(
        self,
        answer: Callable[[Any], Any],
        *interfaces: Any,
    ) -> None:
        self.credentialInterfaces = interfaces or (IUsernamePassword,)
        self._answer = answer
        self.asked: list[Any] = []

    def requestAvatarId(self, credentials: Any) -> Any:
        self.asked.append(credentials)
        return self._answer(credentials)


def refusing(_: Any) -> Any:
    raise UnauthorizedLogin


def accepting(credentials: Any) -> Any:
    return credentials.username


@implementer(IAuthScheme)
class Scheme:
    """A scheme that is not Basic, and offers what only it knows."""

    def __init__(self, name: str, challenge: Any = b"Other") -> None:
        self.name = name
        self.value = challenge
        self.reasons: list[ChallengeReason] = []

    def challenge(self, reason: ChallengeReason, realm: str) -> bytes:
        self.reasons.append(reason)
        if isinstance(self.value, Exception):
            raise self.value
        answer: bytes = self.value
        return answer

    def parse(self, attempt: AuthAttempt) -> Any:
        raise LoginFailed(f"no good: {attempt.parameters.decode()}")


def refusal(authenticator: Authenticator, credentials: bytes | None) -> Refused:
    with pytest.raises(Refused) as caught:
        authenticator.authenticate(REQUEST, credentials)
    return caught.value


def outcomeOf(waiting: Any) -> list[Any]:
    """What a Deferred has come to, or will have by and by."""
    assert isinstance(waiting, Deferred)
    found: list[Any] = []
    waiting.addBoth(found.append)
    return found


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Everything that is logged, with every field of it."""
    events: list[str] = []

    def observe(event: Any) -> None:
        events.append(repr({**event, "log_logger": None, "log_source": None}))

    globalLogPublisher.addObserver(observe)
    yield events
    globalLogPublisher.removeObserver(observe)


# What a client may write.


@pytest.mark.parametrize("scheme", [b"Basic", b"basic", b"BASIC", b"bAsIc"])
def test_schemeInAnyCase(scheme: bytes) -> None:
    """[AU-01] A scheme's name is read without regard to case."""
    authenticator = Authenticator((), [Checker(accepting)])
    credentials = basic("alice", "p", scheme)
    assert authenticator.authenticate(REQUEST, credentials) == Identity(
        "alice", "Checker"
    )


def test_spacesAroundAndBetween() -> None:
    """[AU-01] RFC 9110, 11.4 has one or more SP behind the scheme."""
    authenticator = Authenticator((), [Checker(accepting)])
    token = b64encode(b"alice:p")
    for credentials in (b"Basic   " + token, b" \tBasic " + token + b" \t"):
        assert isinstance(authenticator.authenticate(REQUEST, credentials), Identity)


def test_noCredentials() -> None:
    """[H1-38] Without the field it is a 407."""
    checker = Checker(accepting)
    refused = refusal(Authenticator((), [checker]), None)
    assert (refused.cause, refused.cause.status) == (Cause.CREDENTIALS_MISSING, 407)
    assert checker.asked == []


@pytest.mark.parametrize(
    "credentials",
    [
        b"",
        b" ",
        b"Basic",
        b"Basic ",
        b"Basic\tdTpw",
        b"Basic \tdTpw",
        b"Basic dTpw dTpw",
        b"Basic dTp\tw",
        b"Basic dTpw, Basic dTpw",
        b"Basic dTpw\0",
        b"Basic dTpw\n",
        b"Basic=dTpw",
        b"Basic:dTpw",
        b'"Basic" dTpw',
        b"B\xe4sic dTpw",
        b"dTpw",
        b"Digest dTpw",
        b"Bearer dTpw",
        b"Basicdtpw dTpw",
        b"Basic " + b"A" * 1_000_000,
        b64encode(b"alice:hunter2"),
    ],
)
def test_unreadable(credentials: bytes) -> None:
    """[AU-04] [T8] [H1-38] Another scheme, or nothing that can be read, is a
    407 and never a 500; no checker hears of it."""
    checker = Checker(accepting)
    refused = refusal(Authenticator((), [checker]), credentials)
    assert refused.cause is Cause.CREDENTIALS_MALFORMED
    assert refused.cause.status == 407
    assert checker.asked == []
    token = credentials.rpartition(b" ")[2].decode("latin-1")
    assert len(token) < 6 or token not in str(refused)


@given(st.binary(max_size=100))
def test_fuzz(tail: bytes) -> None:
    """[AU-04] Whatever stands there, it is an Identity or a 407."""
    authenticator = Authenticator((), [Checker(refusing)])
    for credentials in (tail, b"Basic " + tail, b"Basic " + b64encode(tail)):
        assert refusal(authenticator, credentials).cause.status == 407


# The checkers.


def test_fileWantsBytes(tmp_path: Path) -> None:
    """strcred's "file:" knows its users in bytes."""
    path = tmp_path / "users"
    path.write_bytes("ärne:p:q\n".encode())
    checker = FilePasswordDB(str(path), delim=b":", passwordField=1)
    authenticator = Authenticator((), [checker])
    assert authenticator.authenticate(REQUEST, basic("ärne", "p")) == Identity(
        "ärne", "FilePasswordDB"
    )
    assert refusal(authenticator, basic("ärne", "q")).cause is Cause.CREDENTIALS_REFUSED


def test_memoryWantsText() -> None:
    """strcred's "memory:" knows its users as str."""
    authenticator = Authenticator((), [Named("memory", makeChecker("memory:bob:pä"))])
    assert authenticator.authenticate(REQUEST, basic("bob", "pä")) == Identity(
        "bob", "memory"
    )
    for user, password in (("bob", "p"), ("bob", ""), ("eve", "pä"), ("", "")):
        refused = refusal(authenticator, basic(user, password))
        assert refused.cause is Cause.CREDENTIALS_REFUSED


def test_bytesInMemory() -> None:
    """A checker filled as its documentation says works as well."""
    checker = InMemoryUsernamePasswordDatabaseDontUse(bob=b"p")
    identity = Authenticator((), [checker]).authenticate(REQUEST, basic("bob", "p"))
    assert isinstance(identity, Identity) and identity.user == "bob"


def test_bothFormsInOrder() -> None:
    """A checker is asked in bytes, then in str; one that says that it wants
    bytes, once; what came in Latin-1 is in UTF-8 by then (F42)."""
    checker = Checker(refusing)
    exact = Checker(refusing, IUsernamePassword, IBasicCredentials)
    authenticator = Authenticator((), [checker, exact])
    refusal(authenticator, basic("bob", "p"))
    assert [one.username for one in checker.asked] == [b"bob", "bob"]
    assert [one.password for one in checker.asked] == [b"p", "p"]
    assert [one.username for one in exact.asked] == [b"bob"]
    refusal(authenticator, basic(b"\xfc", "p"))
    assert [one.username for one in checker.asked[2:]] == ["ü".encode(), "ü"]


def test_everyCheckerInOrder() -> None:
    """[T8] Several checkers of one kind are all asked, in order, until one
    accepts; Portal would have kept the last."""
    first, second = Checker(refusing), Checker(lambda _: fail(UnauthorizedLogin()))
    third, fourth = Checker(accepting), Checker(accepting)
    authenticator = Authenticator((), [first, second, Named("third", third), fourth])
    assert authenticator.authenticate(REQUEST, basic("bob", "p")) == Identity(
        "bob", "third"
    )
    assert [len(one.asked) for one in (first, second, third, fourth)] == [2, 2, 1, 0]


def test_nobodyAccepts() -> None:
    """[H1-38] Wrong credentials are a 407, and the log is told who said no."""
    checkers = [Named("one", Checker(refusing)), Named("two", Checker(refusing))]
    refused = refusal(Authenticator((), checkers), basic("bob", "p"))
    assert (refused.cause, refused.cause.status) == (Cause.CREDENTIALS_REFUSED, 407)
    said = "unknown user or wrong password"
    assert refused.reason == f"one: {said}; two: {said}"


def test_checkerForOtherCredentials() -> None:
    """A checker is not asked about credentials that are none of its kinds."""
    checker = Checker(accepting, IUsernameHashedPassword)
    scheme = Scheme("Basic")
    # It says nowhere what it reads, so start-up cannot know.
    scheme.parse = lambda attempt: BasicScheme().parse(attempt)  # type: ignore[method-assign]
    refused = refusal(Authenticator([scheme], [checker]), basic("bob", "p"))
    assert refused.cause is Cause.CREDENTIALS_REFUSED
    assert "no checker takes" in refused.reason
    assert checker.asked == []


@pytest.mark.parametrize("avatar", [ANONYMOUS, "", b""])
def test_anonymousIsNobody(avatar: Any) -> None:
    """[T8] An anonymous avatar, or an empty one, is no Identity."""
    refused = refusal(Authenticator((), [Checker(lambda _: avatar)]), basic("", ""))
    assert refused.cause is Cause.CREDENTIALS_REFUSED
    refused = refusal(
        Authenticator((), [Checker(lambda _: Identity("", "x"))]), basic("", "")
    )
    assert refused.cause is Cause.CREDENTIALS_REFUSED


@pytest.mark.parametrize("avatar", [None, True, 0, 7, object(), ("a",), ["bob"]])
def test_avatarThatIsNoName(avatar: Any, logged: list[str]) -> None:
    """[T8] Only a name says who it is: anything else is a plugin's error."""
    checker = Checker(lambda _: avatar)
    refused = refusal(Authenticator((), [checker]), basic("bob", "p"))
    assert (refused.cause, refused.rule) == (Cause.PLUGIN_ERROR, "Checker")
    assert len(checker.asked) == 1


def test_userInLatin1() -> None:
    """[AU-03] [F42] It names the same user as its UTF-8."""
    for user in (b"\xfc", "ü"):
        authenticator = Authenticator((), [Checker(accepting)])
        identity = authenticator.authenticate(REQUEST, basic(user, "p"))
        assert isinstance(identity, Identity)
        assert identity.user == "ü"


def test_avatarThatIsNoUTF8() -> None:
    """[AU-03] A checker's name in another encoding is not mistaken for another user."""
    checker = Checker(lambda _: b"\xfc")
    refused = refusal(Authenticator((), [checker]), basic("u", "p"))
    assert refused.cause is Cause.CREDENTIALS_MALFORMED


def test_checkerKnowsGroups() -> None:
    """A checker that knows more than a name answers with an Identity."""
    checker = Checker(lambda _: Identity("bob", "", ("ops",)))
    identity = Authenticator((), [Named("ldap", checker)]).authenticate(
        REQUEST, basic("bob", "p")
    )
    assert identity == Identity("bob", "ldap", ("ops",))


def test_checkersNames() -> None:
    """[F59] The given name comes first, then an object's own, then its class's."""
    own = Checker(accepting)
    own.name = "own"  # type: ignore[attr-defined]
    for checker, name in (
        (Named("given", own), "given"),
        (own, "own"),
        (Named("given", Checker(accepting)), "given"),
        (Checker(accepting), "Checker"),
    ):
        identity = Authenticator((), [checker]).authenticate(REQUEST, basic("b", "p"))
        assert isinstance(identity, Identity) and identity.source == name


@pytest.mark.parametrize(
    "answer",
    [
        ValueError("no connection"),
        LoginFailed("no connection"),
        LoginDenied("no connection"),
        CancelledError("no connection"),
        NotImplementedError("no connection"),
    ],
)
@pytest.mark.parametrize("how", ["raise", "fail", "Failure", "coroutine"])
def test_anotherErrorStops(answer: Exception, how: str, logged: list[str]) -> None:
    """[T8] Only UnauthorizedLogin moves on to the next checker: any other
    error refuses with a 500, and the log has it with its reason."""

    def ask(_: Any) -> Any:
        if how == "fail":
            return fail(answer)
        if how == "Failure":
            return Failure(answer)
        if how == "coroutine":
            return coroutine()
        raise answer

    async def coroutine() -> Any:
        raise answer

    after = Checker(accepting)
    authenticator = Authenticator((), [Named("ldap", Checker(ask)), after])
    refused = refusal(authenticator, basic("bob", "pass"))
    assert (refused.cause, refused.rule) == (Cause.PLUGIN_ERROR, "ldap")
    assert refused.reason == f"{type(answer).__name__}: no connection"
    assert after.asked == []
    assert "no connection" in logged[0] and "7f3a-1" in logged[0]


def test_checkerRefusesItself() -> None:
    """A checker that raises a row of the refusals table is obeyed."""

    def ask(_: Any) -> Any:
        raise Refused(Cause.EXHAUSTED, "too many")

    assert (
        refusal(Authenticator((), [Checker(ask)]), basic("b", "p")).cause
        is Cause.EXHAUSTED
    )


# What takes its time.


def test_answersLater() -> None:
    """Checkers that take their time are asked one after the other."""
    waiting = [Deferred[Any](), Deferred[Any]()]
    first, second = Checker(lambda _: waiting[0]), Checker(lambda _: waiting[1])
    first.credentialInterfaces = (IBasicCredentials,)
    found = outcomeOf(
        Authenticator((), [first, Checker(refusing), second]).authenticate(
            REQUEST, basic("bob", "p")
        )
    )
    assert (found, second.asked) == ([], [])
    waiting[0].errback(UnauthorizedLogin())
    assert found == [] and len(second.asked) == 1
    waiting[1].callback(b"bob")
    assert found == [Identity("bob", "Checker")]


def test_answersLaterThenAtOnce() -> None:
    """What is decided after a wait comes through the Deferred."""
    for then, cause in ((accepting, None), (refusing, Cause.CREDENTIALS_REFUSED)):
        waiting = Deferred[Any]()
        slow = Checker(lambda _, waiting=waiting: waiting, IBasicCredentials)  # type: ignore[misc]
        found = outcomeOf(
            Authenticator((), [slow, Checker(then)]).authenticate(
                REQUEST, basic("bob", "p")
            )
        )
        waiting.errback(UnauthorizedLogin())
        if cause is None:
            assert found == [Identity("bob", "Checker")]
        else:
            assert found[0].check(Refused) and found[0].value.cause is cause


def test_failsLater(logged: list[str]) -> None:
    """An error after a wait is the same 500."""
    waiting = Deferred[Any]()
    found = outcomeOf(
        Authenticator((), [Checker(lambda _: waiting)]).authenticate(
            REQUEST, basic("bob", "pass")
        )
    )
    waiting.errback(ValueError("no connection"))
    assert found[0].value.cause is Cause.PLUGIN_ERROR
    assert "no connection" in logged[0]


def test_alreadyFiredIsNoDeferred() -> None:
    """A Deferred that has fired, or a coroutine that never waits, costs no
    turn of the reactor: the answer is the Identity itself."""

    async def ask(credentials: Any) -> Any:
        return await succeed(credentials.username)

    for answer in (lambda c: succeed(c.username), ask):
        identity = Authenticator((), [Checker(answer)]).authenticate(
            REQUEST, basic("bob", "p")
        )
        assert identity == Identity("bob", "Checker")


@pytest.mark.parametrize(
    "reaction", [None, UnauthorizedLogin(), ValueError("late"), b"bob"]
)
def test_cancelled(reaction: Any) -> None:
    """Cancelling cancels the checker; whatever it makes of that, the login
    ends there: the next checker is not asked."""

    def cancel(asked: Deferred[Any]) -> None:
        cancelled.append(asked)
        if isinstance(reaction, Exception):
            asked.errback(reaction)
        elif reaction is not None:
            asked.callback(reaction)

    cancelled: list[Any] = []
    waiting = Deferred[Any](cancel)
    after = Checker(accepting)
    login = Authenticator((), [Checker(lambda _: waiting), after]).authenticate(
        REQUEST, basic("bob", "p")
    )
    found = outcomeOf(login)
    assert isinstance(login, Deferred)
    login.cancel()
    assert cancelled == [waiting]
    assert found[0].check(CancelledError) and after.asked == []


def test_cancelledWhileTheSecondIsAsked() -> None:
    """The checker that is being asked is the one that is cancelled."""
    cancelled: list[str] = []
    first = Deferred[Any](lambda _: cancelled.append("first"))
    second = Deferred[Any](lambda _: cancelled.append("second"))
    one = Checker(lambda _: first, IBasicCredentials)
    login = Authenticator((), [one, Checker(lambda _: second)]).authenticate(
        REQUEST, basic("bob", "p")
    )
    outcomeOf(login)
    first.errback(UnauthorizedLogin())
    assert isinstance(login, Deferred)
    login.cancel()
    assert cancelled == ["second"]


# Secrets.


@pytest.mark.parametrize("password", ["hunter2", "pä'\"\\ß", b"\xff\xfe-secret"])
@pytest.mark.parametrize("kind", [ValueError, UnauthorizedLogin])
def test_noSecretInReasonOrLog(
    password: str | bytes, kind: type[Exception], logged: list[str]
) -> None:
    """[AU-05] [T8] What a careless checker or scheme says never brings the
    credentials into a reason or the log, in whatever spelling."""
    credentials = basic("bob", password)
    token = credentials.split()[1].decode()
    octets = password if isinstance(password, bytes) else password.encode()
    spellings = {repr(password).strip("b'"), repr(octets)[2:-1], token}
    if isinstance(password, str):
        spellings.add(password)

    def said(asked: Any) -> list[str]:
        return [
            f"tried {asked.password}",
            f"tried {asked.password!r}",
            f"tried {octets!r}",
            f"tried {octets.decode('latin-1')}",
            f"header {credentials!r}",
            f"token {token}",
        ]

    for at in range(6):

        def ask(asked: Any, at: int = at) -> Any:
            raise kind(said(asked)[at])

        refused = refusal(Authenticator((), [Checker(ask)]), credentials)
        for text in [str(refused), repr(refused), *logged]:
            assert not any(one in text for one in spellings)


def test_noSecretFromAScheme(logged: list[str]) -> None:
    """[AU-05] Nor does what a careless scheme says."""
    authenticator = Authenticator([Scheme("Token")], [Checker(accepting)])
    refused = refusal(authenticator, b"Token hunter2")
    assert refused.cause is Cause.CREDENTIALS_MALFORMED
    assert "hunter2" not in str(refused) + "".join(logged)
    assert "Token" in refused.reason


def test_schemeThatFails(logged: list[str]) -> None:
    """A scheme's own error is a 500."""

    class Broken(Scheme):
        def parse(self, attempt: AuthAttempt) -> Any:
            raise KeyError("oh")

    refused = refusal(
        Authenticator([Broken("Token")], [Checker(accepting)]), b"Token x"
    )
    assert (refused.cause, refused.rule) == (Cause.PLUGIN_ERROR, "Token")
    assert "KeyError" in logged[0]


# Challenges.


def test_challenges() -> None:
    """[H1-37] [AU-02] One value a scheme, and Basic first: a client that does
    not know the first scheme may look no further."""
    digest, token = Scheme("Digest", b'Digest realm="r"'), Scheme("Token", b"Token")
    authenticator = Authenticator(
        [digest, BasicScheme(), Named("t", token)], [Checker(accepting)], 'the "r"'
    )
    digest.reasons.clear()
    assert authenticator.challenges(Cause.CREDENTIALS_MISSING) == (
        b'Basic realm="the \\"r\\"", charset="UTF-8"',
        b'Digest realm="r"',
        b"Token",
    )
    authenticator.challenges(Cause.CREDENTIALS_MALFORMED)
    authenticator.challenges(Cause.CREDENTIALS_REFUSED)
    assert digest.reasons == [
        ChallengeReason.MISSING,
        ChallengeReason.BAD,
        ChallengeReason.BAD,
    ]


def test_schemeWithoutChallenge(logged: list[str]) -> None:
    """[H1-37] A scheme that fails, or would break out of its field, is logged
    and answered for with its first challenge: no 407 goes without one, and
    asking for it never raises."""
    token = Scheme("Token", b"Token first")
    alone = Authenticator([token], [Checker(accepting)])
    values = (ValueError("x"), b"a\r\nb", b"", "str", b"\xfc", None)
    for value in values:
        token.value = value
        assert alone.challenges(Cause.CREDENTIALS_MISSING) == (b"Token first",)
    assert len(logged) == len(values)


def test_credentialsOfAnotherKind() -> None:
    """A scheme may have credentials of its own, which go as they are to the
    checkers that take them, and to no other."""

    class IToken(ICredentials):
        """A token."""

    @implementer(IToken)
    class Token:
        """What the scheme reads."""

    class TokenScheme(Scheme):
        def parse(self, attempt: AuthAttempt) -> Any:
            assert (attempt.parameters, attempt.request) == (b"abc", REQUEST)
            return Token()

    other, mine = Checker(refusing), Checker(lambda _: "bob", IToken)
    authenticator = Authenticator([TokenScheme("Token")], [other, mine])
    identity = authenticator.authenticate(REQUEST, b"token abc")
    assert identity == Identity("bob", "Checker")
    assert (len(other.asked), len(mine.asked)) == (0, 1)


# Start-up.


class NoChecker:
    """Provides nothing."""


@implementer(ICredentialsChecker)
class HalfAChecker:
    """Says what it is, and cannot do it."""

    credentialInterfaces = (IUsernamePassword,)


@pytest.mark.parametrize(
    ("schemes", "checkers", "realm", "said"),
    [
        ((), (), "proxy", "no checker"),
        ((), (NoChecker(),), "proxy", "ICredentialsChecker"),
        ((), (HalfAChecker(),), "proxy", "requestAvatarId"),
        ((NoChecker(),), (Checker(accepting),), "proxy", "IAuthScheme"),
        ((BasicScheme(), Scheme("BASIC")), (Checker(accepting),), "proxy", "twice"),
        ((Scheme("no scheme"),), (Checker(accepting),), "proxy", "no scheme's name"),
        ((Scheme(""),), (Checker(accepting),), "proxy", "no scheme's name"),
        ((Scheme("X", ValueError("oh")),), (Checker(accepting),), "proxy", "X.*oh"),
        ((), (Checker(accepting),), "a\r\nb", "realm"),
    ],
)
def test_stopsStartUp(schemes: Any, checkers: Any, realm: str, said: str) -> None:
    """What could not work is said before anything listens."""
    with pytest.raises(ConfigurationError, match=said):
        Authenticator(schemes, checkers, realm)


def test_aCheckerThatFailsAfterItWasGivenUp() -> None:
    """[T13] It swallows its cancellation, and what it says then holds no secret."""
    gate: Deferred[None] = Deferred()

    @implementer(ICredentialsChecker)
    class Stubborn:
        credentialInterfaces = [IUsernamePassword]

        def requestAvatarId(self, credentials: Any) -> Any:
            async def asking() -> None:
                try:
                    await Deferred()
                except BaseException:
                    await gate
                raise RuntimeError(f"no answer for {credentials.password!r}")

            return Deferred.fromCoroutine(asking())

    header = b"Basic " + b64encode(b"alice:hunter2secret")
    with logging() as logged:
        asked: Any = Authenticator([], [Stubborn()]).authenticate(makeRequest(), header)
        asked.addErrback(lambda _: None)
        asked.cancel()
        gate.callback(None)
    (error,) = logged.errors
    assert "given up" in error
    assert "hunter2secret" not in error
