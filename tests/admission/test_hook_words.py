"""
What the log says of a hook that did wrong: the mistake, and what to write.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rig import ANYTHING, Logged, Rig, connect, logging, status
from twisted.internet.defer import Deferred
from zope.interface import implementer

from txconnect.admission.hooks import inWords
from txconnect.interfaces import IDestinationPolicy, ITrafficObserver, ITrafficTap
from txconnect.proxy import ConnectProxy
from txconnect.testing import RecordingObserver
from txconnect.values import Allow, Cause, Deny, Named, TunnelRefused


@pytest.fixture
def logged() -> Iterator[Logged]:
    with logging() as logged:
        yield logged


@implementer(IDestinationPolicy)
class Says:
    """Answers with what it was made with."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def decide(self, request: Any) -> Any:
        return self.answer


def lines(logged: Logged) -> list[str]:
    """What was logged as an error."""
    return [each.strip() for each in logged.errors]


def reasonFor(answer: Any) -> tuple[str, str]:
    """The reason in the event, and the client's status line."""
    rig = Rig(policies=[Named("mine", Says(answer))])
    client = rig.client(connect())
    (event,) = rig.events.events
    assert isinstance(event, TunnelRefused)
    assert (event.cause, event.rule) == (Cause.PLUGIN_ERROR, "mine")
    assert status(client) == 500
    return event.reason, event.id


@pytest.mark.parametrize(
    ("cause", "mistake"),
    [
        (503, "the cause 503 is no Cause: write such as Cause.LIMIT, which is a 503"),
        (403, "the cause 403 is no Cause: write such as Cause.POLICY, which is a 403"),
        ("x", "the cause 'x' is no Cause: write such as Cause.POLICY, which is a 403"),
        (
            Cause.CLIENT_LEFT,
            "Cause.CLIENT_LEFT is for the log alone: no client is ever sent it",
        ),
        (
            Cause.CREDENTIALS_MISSING,
            "Cause.CREDENTIALS_MISSING is a 407, and this proxy asks for no credentials",
        ),
    ],
)
def test_denyWithAWrongCause(cause: Any, mistake: str, logged: Logged) -> None:
    """[F61] The answer was a Deny: what is wrong is the cause."""
    reason, id = reasonFor(Deny("no", cause))
    assert reason == f"it answered Deny, but {mistake}"
    assert f"mine failed over {id}: {reason}" in lines(logged)


def test_wrongTypeIsSaidWithTheRightOnes(logged: Logged) -> None:
    """[F61] Without a word about causes; the usual slips with their remedy."""
    wanted = "not Allow or Deny"
    for answer, words in (
        (None, f"None, {wanted}: one of its ways ends without a return"),
        (True, f"True, {wanted}"),
        (Allow, f"the class Allow, {wanted}: write Allow(...)"),
        (Deny, f"the class Deny, {wanted}: write Deny(...)"),
        ("allow", f"a str, {wanted}"),
        (OSError(), f"an OSError, {wanted}"),
    ):
        assert reasonFor(answer)[0] == f"it answered {words}"


def test_timeoutOfAHookIsLogged(logged: Logged) -> None:
    """[F61] A program without observers has no other line of it."""
    rig = Rig(policies=[Named("mine", Says(Deferred()))])
    rig.proxy.replaceRules(
        rig.proxy.makeRules(policies=[*ANYTHING, Named("mine", Says(Deferred()))])
    )
    client = rig.client(connect())
    rig.network.advance(10)
    assert status(client) == 500
    (line,) = [each for each in lines(logged) if "mine" in each]
    assert line.startswith("mine failed over ")
    assert line.endswith(": no decision within 10 seconds")
    rig.network.advance(30)
    rig.assertOver()


def test_timeoutOfACheckerIsLogged(logged: Logged) -> None:
    """[F61] Likewise; and nothing of the credentials."""
    from twisted.cred.checkers import ICredentialsChecker
    from twisted.cred.credentials import IUsernamePassword

    @implementer(ICredentialsChecker)
    class Slow:
        credentialInterfaces = (IUsernamePassword,)

        def requestAvatarId(self, credentials: Any) -> Any:
            return Deferred()

    rig = Rig(checkers=[Slow()])
    client = rig.client(connect("example.com:443", "Proxy-Authorization: Basic YTpi"))
    rig.network.advance(10)
    assert status(client) == 500
    (line,) = [each for each in lines(logged) if "authentication" in each]
    assert line.endswith(": no decision within 10 seconds")
    assert "YTpi" not in "".join(lines(logged))


def test_observerThatAnswersWithACoroutine(logged: Logged) -> None:
    """[F61] One that no start-up could see says so with its first event."""

    async def heard(event: Any) -> None:
        raise AssertionError("never run")

    @implementer(ITrafficObserver)
    class Later:
        def observe(self, event: Any) -> Any:
            return heard(event)

    second = RecordingObserver()
    rig = Rig(observers=[Named("mine", Later()), second])
    rig.client(connect("example.com:443"))
    assert len(second.events) == 1
    (line,) = [each for each in lines(logged) if "mine" in each]
    assert line == (
        "observer mine failed: it answered with a coroutine, which nobody awaits, so "
        "it has heard nothing; observe() is a plain def, which may start a task"
    )


def test_wordsOfAsyncioGetTheirHint() -> None:
    """[F61] Under a reactor that is not asyncio's."""
    assert inWords(RuntimeError("no running event loop")) == (
        "RuntimeError: no running event loop; what uses asyncio needs its reactor: "
        "twistd --reactor=asyncio"
    )
    assert inWords(KeyError("x")) == "KeyError: 'x'"


def test_decisionsThatAreRightAreNotLogged(logged: Logged) -> None:
    """Nothing is said of a policy that does its work."""
    rig = Rig(policies=[Named("mine", Says(Allow("fine")))])
    rig.tunnel()
    assert isinstance(rig.proxy, ConnectProxy)
    assert [each for each in lines(logged) if "mine" in each] == []


def test_tapThatAnswersWithAnAsyncDef(logged: Logged) -> None:
    """[F61] It would be called with every chunk, and see none."""

    async def see(direction: Any, data: bytes) -> None:
        raise AssertionError("never run")

    @implementer(ITrafficTap)
    class Tapper:
        def tap(self, tunnel: Any) -> Any:
            return see

    rig = Rig(taps=[Named("mine", Tapper())])
    rig.serve()
    client = rig.client(connect())
    assert status(client) == 500
    (event,) = rig.events.events
    assert event.reason == (
        "it answered with an async def, and nobody awaits it: a tap's callable is a "
        "plain def, which may start a task"
    )
