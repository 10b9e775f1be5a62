"""
Coroutines in a task of asyncio: what is written for asyncio works in a hook, and so
do Deferreds.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from rig import Logged, logging
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txconnect.asynciotasks import startCoroutine
from txconnect.maybeasync import settle, withTimeout


class PausedLoop(asyncio.SelectorEventLoop):
    """A loop whose time stands still, but for L{advance}."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0

    def time(self) -> float:
        return self.now


def eagerly(loop: Any, coroutine: Any, **more: Any) -> Any:
    """A factory of tasks that take their first step at once, as newer Pythons have."""
    raise AssertionError("the loop's own factory makes no task of a hook")


@pytest.fixture(params=["plain", "debug"])
def loop(request: Any) -> Any:
    """A loop of its own; nothing that a test began may be left in it."""
    loop = PausedLoop()
    loop.set_debug(request.param == "debug")
    with logging() as logged:
        yield loop
        assert not asyncio.all_tasks(loop)
        assert logged.unhandled == []
    loop.close()


def inLoop(loop: PausedLoop, program: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test within the loop."""
    loop.run_until_complete(program())


async def turn(times: int = 5) -> None:
    """Let the loop do what is ready."""
    for _ in range(times):
        await asyncio.sleep(0)


async def outcome(waiting: Any) -> Any:
    """What a Deferred has come to, after some turns of the loop."""
    found: list[Any] = []
    waiting.addBoth(found.append)
    await turn()
    return found[0] if found else None


def test_timeoutsOfAsyncioWorkInAHook(loop: PausedLoop) -> None:
    """[F61] asyncio.timeout, and aiohttp's, ask for the current task."""

    async def hook() -> str:
        try:
            async with asyncio.timeout(1):
                await loop.create_future()
        except TimeoutError:
            return "too late"
        return "never"

    async def program() -> None:
        waiting = settle(hook())
        assert isinstance(waiting, Deferred)
        assert await outcome(Deferred.fromCoroutine(_awaits(succeed(1)))) == 1
        loop.now += 2
        assert await outcome(waiting) == "too late"

    inLoop(loop, program)


async def _awaits(deferred: Deferred[Any]) -> Any:
    return await deferred


def test_answerThatNeverWaitsComesAtOnce(loop: PausedLoop) -> None:
    """[F61] As it does without a loop; with a current task all the same."""
    tasks: list[Any] = []

    async def hook(error: BaseException | None) -> str:
        tasks.append(asyncio.current_task())
        if error is not None:
            raise error
        return "answer"

    async def program() -> None:
        own = asyncio.current_task()
        assert settle(hook(None)) == "answer"
        assert tasks[0] not in (None, own) and asyncio.current_task() is own
        for error in (KeyError("x"), SystemExit(3), asyncio.CancelledError()):
            with pytest.raises(type(error)):
                settle(hook(error))
        await turn()

    inLoop(loop, program)


def test_deferredsAndFuturesInOneCoroutine(loop: PausedLoop) -> None:
    """[F61] One after the other, fired before, while and after it waits."""
    first: Deferred[int] = Deferred()
    failing: Deferred[int] = Deferred()
    future = loop.create_future()

    async def hook() -> list[Any]:
        found: list[Any] = [await succeed(0), await first]
        found.append(await future)
        try:
            await failing
        except KeyError as error:
            found.append(error.args[0])
        found.append(await succeed(5))
        return found

    async def program() -> None:
        waiting = settle(hook())
        await turn()
        first.callback(1)
        await turn()
        future.set_result(2)
        await turn()
        failing.errback(KeyError(3))
        assert await outcome(waiting) == [0, 1, 2, 3, 5]

    inLoop(loop, program)


@pytest.mark.parametrize("turns", [0, 1, 5])
@pytest.mark.parametrize("kind", ["deferred", "future", "sleep"])
def test_cancellingReachesWhatItAwaits(loop: PausedLoop, kind: str, turns: int) -> None:
    """[F61] At once after its first step, and later; nothing is left waiting."""
    cancelled: list[str] = []
    deferred: Deferred[None] = Deferred(lambda _: cancelled.append("deferred"))
    future = loop.create_future()

    async def hook() -> None:
        try:
            if kind == "deferred":
                await deferred
            elif kind == "future":
                await future
            else:
                await asyncio.sleep(0)
                await asyncio.sleep(1000)
        finally:
            cancelled.append("hook")

    async def program() -> None:
        waiting = settle(hook())
        waiting.addErrback(lambda failure: failure.check(CancelledError))
        await turn(turns)
        waiting.cancel()
        await turn()
        assert sorted(cancelled) == sorted({"hook", kind} - {"future", "sleep"})
        assert future.cancelled() is (kind == "future")

    inLoop(loop, program)


def test_timeoutOfAHookStands(loop: PausedLoop) -> None:
    """[F61] The proxy's own timer refuses first, and then cancels."""
    clock = Clock()

    async def hook() -> str:
        try:
            await loop.create_future()
        except asyncio.CancelledError:
            return "swallowed"
        return "never"

    async def program() -> None:
        waiting = withTimeout(clock, 10, settle(hook()), lambda: ValueError("late"))
        clock.advance(10)
        found = await outcome(waiting)
        assert isinstance(found, Failure) and found.check(ValueError)
        await turn()

    inLoop(loop, program)


def test_contextIsTheTasks(loop: PausedLoop) -> None:
    """[F61] A variable that the first step sets is there in the next."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    async def hook() -> str:
        variable.set("set")
        await asyncio.sleep(0)
        return variable.get()

    async def program() -> None:
        assert await outcome(settle(hook())) == "set"
        assert variable.get("unset") == "unset"

    inLoop(loop, program)


def test_factoryOfTheLoopIsNotAsked(loop: PausedLoop) -> None:
    """[F61] One that steps at once would take the first step twice."""

    async def program() -> None:
        loop.set_task_factory(eagerly)
        try:
            assert settle(_awaits(succeed(7))) == 7
        finally:
            loop.set_task_factory(None)
        await turn()

    inLoop(loop, program)


def test_withoutALoopItIsADeferredsCoroutine() -> None:
    """Nothing changes for those who have no asyncio."""
    assert settle(_awaits(succeed(3))) == 3
    waiting: Deferred[int] = Deferred()
    found: list[Any] = []
    startCoroutine(_awaits(waiting)).addBoth(found.append)
    waiting.callback(4)
    assert found == [4]


@pytest.fixture
def logged() -> Any:
    with logging() as logged:
        yield logged


def test_badAwaitableIsAnError(loop: PausedLoop, logged: Logged) -> None:
    """[F61] What neither of the two can wait for fails, as in any task."""

    class Odd:
        def __await__(self) -> Any:
            yield "odd"

    async def hook() -> None:
        await Odd()

    async def program() -> None:
        found = await outcome(settle(hook()))
        assert isinstance(found, Failure) and "bad yield" in str(found.value)

    inLoop(loop, program)
