"""
Look-ups: one flight a name, a deadline for each who waits, a short memory,
and an end of patience.
"""

from __future__ import annotations

import errno
import gc
import queue
import socket
import threading
import weakref
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest
from rig import Logged, Rig, connect, logging, status
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txconnect.dialing import lookups as room
from txconnect.dialing.lookups import MAX_ADDRESSES, Lookups
from txconnect.errors import Refused
from txconnect.settings import Settings
from txconnect.testing import ManualPool, MemoryNetwork, scriptedLookup
from txconnect.values import Authority, Cause

ONE = (ip_address("192.0.2.1"),)


@pytest.fixture(autouse=True)
def logged() -> Iterator[Logged]:
    """The log; no test may leave a Deferred's error that nobody looked at."""
    with logging() as logged:
        yield logged
        assert logged.unhandled == []


class Desk:
    """Look-ups on a clock, with a pool that works when it is told to."""

    def __init__(self, answers: Any = None, **settings: Any) -> None:
        self.network = MemoryNetwork()
        self.pool = ManualPool()
        self.resolver = scriptedLookup(
            {"a.example": ["192.0.2.1"]} if answers is None else answers
        )
        self.lookups = Lookups(
            self.network, Settings(**settings), self.resolver, self.pool
        )
        self.lookups.start()

    def ask(self, name: str = "a.example") -> list[Any]:
        """Look a name up; where the outcome will be."""
        return self.asking(name)[1]

    def asking(self, name: str = "a.example") -> tuple[Deferred[Any], list[Any]]:
        """As L{ask}, with the Deferred."""
        waiting = self.lookups.lookup(name)
        assert isinstance(waiting, Deferred)
        outcome: list[Any] = []
        waiting.addBoth(outcome.append)
        return waiting, outcome

    def assertIdle(self) -> None:
        """Nothing is under way, and no timer runs."""
        assert not self.lookups._flights
        assert not self.network.getDelayedCalls()


def refusedOf(outcome: list[Any]) -> Refused:
    """The refusal that one look-up has failed with."""
    (failure,) = outcome
    assert isinstance(failure, Failure)
    error = failure.value
    assert isinstance(error, Refused), failure
    return error


class TestFlights:
    """One flight a name."""

    def test_answer(self) -> None:
        """The addresses come in the resolver's order, both families."""
        desk = Desk({"a.example": ["2001:db8::5", "192.0.2.2", "192.0.2.1"]})
        outcome = desk.ask()
        desk.pool.run()
        assert outcome == [
            tuple(map(ip_address, ("2001:db8::5", "192.0.2.2", "192.0.2.1")))
        ]
        desk.assertIdle()

    def test_one_flight_for_all_who_ask(self) -> None:
        """Who asks while it is under way joins it."""
        desk = Desk()
        first, second = desk.ask(), desk.ask()
        assert desk.pool.waiting == 1
        desk.pool.run()
        assert first == second == [ONE]
        assert desk.resolver.calls == ["a.example"]
        desk.assertIdle()

    def test_names_fly_alone(self) -> None:
        """A slow name delays no other."""
        desk = Desk({"a.example": ["192.0.2.1"], "b.example": ["192.0.2.2"]})
        slow = desk.ask("a.example")
        desk.pool._work.reverse()
        other = desk.ask("b.example")
        desk.pool._work.reverse()
        desk.pool.run(1)
        assert (slow, other) == ([], [(ip_address("192.0.2.2"),)])
        desk.pool.run()

    def test_deadline_is_each_ones_own(self) -> None:
        """[T12] Who joins late waits his own time, not the first one's."""
        desk = Desk(lookupTimeout=5.0)
        first = desk.ask()
        desk.network.advance(3)
        second = desk.ask()
        desk.network.advance(2)
        assert refusedOf(first).cause is Cause.DNS_TIMEOUT
        assert "5 seconds" in refusedOf(first).reason
        assert second == []
        desk.pool.run()
        assert second == [ONE]
        desk.assertIdle()

    def test_late_landing(self) -> None:
        """[T12] What lands when all have left is dropped, but remembered; and
        whoever comes later is not answered by a stale deadline."""
        desk = Desk(lookupTimeout=5.0)

        def slow() -> list[str]:
            desk.network.advance(5)
            return ["192.0.2.1"]

        desk.resolver.answers["a.example"] = slow
        outcome = desk.ask()
        desk.pool.run()
        assert refusedOf(outcome).cause is Cause.DNS_TIMEOUT
        desk.assertIdle()
        assert desk.lookups.lookup("a.example") == ONE

    def test_cancel(self) -> None:
        """[TU-05] Who leaves leaves no timer, and nothing in the flight."""
        desk = Desk()
        waiting, outcome = desk.asking()
        staying = desk.ask()
        waiting.cancel()
        assert outcome[0].check(CancelledError)
        assert len(desk.network.getDelayedCalls()) == 1
        desk.pool.run()
        assert staying == [ONE]
        desk.assertIdle()

    def test_cancelled_waiter_is_let_go(self) -> None:
        """[TU-05] Nothing of him is held, though the resolver cannot be
        interrupted."""
        desk = Desk()
        waiting, _ = desk.asking()
        held = weakref.ref(waiting)
        waiting.cancel()
        del waiting
        gc.collect()
        assert held() is None
        desk.pool.run()

    def test_nobody_left_nothing_asked(self) -> None:
        """[TU-05] A look-up whose turn comes when all have left is not made:
        a thousand clients that come and go keep no thread busy."""
        desk = Desk()
        for number in range(100):
            desk.asking(f"n{number}.example")[0].cancel()
        desk.pool.run()
        assert desk.resolver.calls == []
        desk.assertIdle()

    def test_joined_on_the_way_back(self) -> None:
        """Who joins a flight that has turned round without asking is served by
        another."""
        desk = Desk()
        desk.asking()[0].cancel()
        (outcome_, work) = desk.pool._work.pop()
        result = work()
        late = desk.ask()
        assert outcome_ is not None
        outcome_(True, result)
        assert late == []
        desk.pool.run()
        assert late == [ONE]
        desk.assertIdle()

    def test_one_who_hears_makes_others_leave(self) -> None:
        """One who is told may cancel the others that wait for the same."""
        desk = Desk()
        first = desk.lookups.lookup("a.example")
        second, secondOutcome = desk.asking()
        assert isinstance(first, Deferred)
        outcome: list[Any] = []
        first.addCallback(lambda _: second.cancel()).addBoth(outcome.append)
        third = desk.ask()
        desk.pool.run()
        assert outcome == [None]
        assert secondOutcome[0].check(CancelledError)
        assert third == [ONE]
        desk.assertIdle()

    def test_one_who_hears_asks_again(self) -> None:
        """One who is told of a failure may ask again at once."""
        desk = Desk({})
        again: list[Any] = []
        first = desk.lookups.lookup("a.example")
        assert isinstance(first, Deferred)
        first.addErrback(lambda _: again.append(desk.ask()))
        desk.pool.run()
        assert desk.pool.waiting == 1
        desk.pool.run()
        assert refusedOf(again[0]).cause is Cause.DNS_ERROR
        desk.assertIdle()


class TestMemory:
    """Answers are remembered for a short while."""

    def test_remembered(self) -> None:
        """Within its time an answer is given at once, and nobody is asked."""
        desk = Desk(lookupCache=10.0)
        desk.ask()
        desk.pool.run()
        desk.network.advance(9.9)
        assert desk.lookups.lookup("a.example") == ONE
        assert desk.resolver.calls == ["a.example"]

    def test_expires(self) -> None:
        """Then it is asked for again, and may have moved."""
        desk = Desk(lookupCache=10.0)
        desk.ask()
        desk.pool.run()
        desk.network.advance(10)
        desk.resolver.answers["a.example"] = ["192.0.2.9"]
        outcome = desk.ask()
        desk.pool.run()
        assert outcome == [(ip_address("192.0.2.9"),)]

    def test_switched_off(self) -> None:
        """With 0 nothing is remembered."""
        desk = Desk(lookupCache=0.0)
        for _ in range(2):
            outcome = desk.ask()
            desk.pool.run()
            assert outcome == [ONE]
        assert len(desk.resolver.calls) == 2

    def test_failures_are_not_remembered(self) -> None:
        """A name that comes into being is there at once."""
        desk = Desk({})
        desk.ask()
        desk.pool.run()
        desk.resolver.answers["a.example"] = ["192.0.2.1"]
        outcome = desk.ask()
        desk.pool.run()
        assert outcome == [ONE]

    def test_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The oldest answer goes when there are too many."""
        monkeypatch.setattr(room, "MAX_REMEMBERED", 3)
        desk = Desk({f"{n}.example": ["192.0.2.1"] for n in "abcd"})
        for name in ("a.example", "b.example", "c.example", "d.example"):
            desk.ask(name)
            desk.pool.run()
        assert list(desk.lookups._answers) == ["b.example", "c.example", "d.example"]

    def test_rooted_is_another_name(self) -> None:
        """[T5] The search list may make them two: no answer serves both."""
        desk = Desk({"a.example": ["192.0.2.1"]})
        desk.ask("a.example")
        desk.pool.run()
        desk.ask("a.example.")
        desk.pool.run()
        assert desk.resolver.calls == ["a.example", "a.example."]


class TestAnswers:
    """What a resolver may answer."""

    def test_asked_in_bytes(self) -> None:
        """[LB-09] The name goes to getaddrinfo in bytes, so that no IDNA
        changes it; the type is a stream's, so that each comes once."""
        asked: list[Any] = []
        network, pool = MemoryNetwork(), ManualPool()

        def getaddrinfo(*arguments: Any) -> list[Any]:
            asked.append(arguments)
            return []

        lookups = Lookups(network, Settings(), getaddrinfo, pool)
        lookups.start()
        waiting: Any = lookups.lookup("a.example.")
        waiting.addErrback(lambda _: None)
        pool.run()
        assert asked == [(b"a.example.", None, 0, socket.SOCK_STREAM)]

    def test_duplicates(self) -> None:
        """Each address comes once, where it came first."""
        desk = Desk({"a.example": ["192.0.2.1", "192.0.2.2", "192.0.2.1"]})
        outcome = desk.ask()
        desk.pool.run()
        assert outcome == [(ip_address("192.0.2.1"), ip_address("192.0.2.2"))]

    def test_at_most_so_many(self) -> None:
        """A name with a thousand addresses does not make a thousand dials."""
        desk = Desk({"a.example": [f"10.0.{n // 250}.{n % 250}" for n in range(1000)]})
        outcome = desk.ask()
        desk.pool.run()
        assert len(outcome[0]) == MAX_ADDRESSES == 32
        assert outcome[0][0] == ip_address("10.0.0.0")

    def test_other_families_are_left_out(self) -> None:
        """Only IPv4 and IPv6 can be dialled."""
        desk = Desk()
        desk.lookups._getaddrinfo = lambda *_: [
            (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", "/path")
        ]
        outcome = desk.ask()
        desk.pool.run()
        assert refusedOf(outcome).cause is Cause.DNS_ERROR
        assert "no address" in refusedOf(outcome).reason

    @pytest.mark.parametrize(
        ("error", "cause", "words"),
        [
            (socket.gaierror(socket.EAI_NONAME, "x"), Cause.DNS_ERROR, "EAI_NONAME: x"),
            (socket.gaierror(socket.EAI_NODATA, "x"), Cause.DNS_ERROR, "EAI_NODATA: x"),
            (socket.gaierror(socket.EAI_AGAIN, "x"), Cause.DNS_ERROR, "EAI_AGAIN: x"),
            (socket.gaierror(socket.EAI_FAIL, "x"), Cause.DNS_ERROR, "EAI_FAIL: x"),
            (socket.gaierror(socket.EAI_MEMORY, "x"), Cause.EXHAUSTED, "EAI_MEMORY: x"),
            (socket.gaierror(-99, "odd"), Cause.DNS_ERROR, "EAI -99: odd"),
            (OSError(errno.EMFILE, "files"), Cause.EXHAUSTED, "files"),
            (OSError(errno.ENFILE, "files"), Cause.EXHAUSTED, "files"),
            (OSError(errno.ENOMEM, "memory"), Cause.EXHAUSTED, "memory"),
            (OSError(errno.EIO, "broken"), Cause.DNS_ERROR, "broken"),
            (OSError("no number"), Cause.DNS_ERROR, "no number"),
        ],
    )
    def test_failures(self, error: OSError, cause: Cause, words: str) -> None:
        """The resolver's own code is in the reason; exhaustion is no DNS error."""
        desk = Desk({"a.example": error})
        outcome = desk.ask()
        desk.pool.run()
        assert refusedOf(outcome).cause is cause
        assert words in refusedOf(outcome).reason
        desk.assertIdle()

    @pytest.mark.parametrize(
        ("number", "cause"),
        [(errno.EMFILE, Cause.EXHAUSTED), (errno.ENFILE, Cause.EXHAUSTED)],
    )
    def test_noDescriptor(self, number: int, cause: Cause) -> None:
        """[F16] A resolver that has no descriptor says that there is no such name;
        the refusal says what is missing, and blames no name."""

        def takeDescriptor() -> None:
            raise OSError(number, "Too many open files")

        desk = Desk({"a.example": socket.gaierror(socket.EAI_NONAME, "unknown")})
        desk.lookups._takeDescriptor = takeDescriptor
        outcome = desk.ask()
        desk.pool.run()
        assert refusedOf(outcome).cause is cause
        assert refusedOf(outcome).reason == "the resolver failed: Too many open files"
        desk.assertIdle()

    @pytest.mark.parametrize("rubbish", [5, [()], [(2, 1, 6, "", ("no address", 0))]])
    def test_rubbish(self, rubbish: Any, logged: Logged) -> None:
        """A getaddrinfo that answers rubbish is told at once, not at the
        deadline."""
        desk = Desk()
        desk.lookups._getaddrinfo = lambda *_: rubbish
        outcome = desk.ask()
        desk.pool.run()
        assert refusedOf(outcome).cause is Cause.INTERNAL
        assert logged.errors
        desk.assertIdle()

    def test_another_exception(self, logged: Logged) -> None:
        """Nor does one that raises what it should not."""
        desk = Desk({"a.example": KeyError("k")})
        outcome = desk.ask()
        desk.pool.run()
        assert refusedOf(outcome).cause is Cause.INTERNAL
        assert "KeyError" in refusedOf(outcome).reason
        assert "'k'" in logged.errors[0]


class TestBound:
    """The queue ends somewhere."""

    def test_exhausted(self) -> None:
        """[T12] One more name than the queue takes is refused at once; who
        joins a flight that is under way is not."""
        desk = Desk(lookupQueue=2)
        desk.ask("a.example")
        desk.ask("b.example")
        with pytest.raises(Refused) as refused:
            desk.lookups.lookup("c.example")
        assert refused.value.cause is Cause.EXHAUSTED
        joined = desk.ask("a.example")
        desk.pool.run()
        assert joined == [ONE]
        desk.ask("c.example")
        desk.pool.run()
        desk.assertIdle()

    def test_waiting_requests_count_once_a_name(self) -> None:
        """[F24] The bound is one of names that requests wait for."""
        desk = Desk(lookupQueue=1)
        several = [desk.asking()[0] for _ in range(3)]
        for waiting in several[:2]:
            waiting.cancel()
        with pytest.raises(Refused):
            desk.lookups.lookup("b.example")
        several[2].cancel()
        desk.ask("b.example")
        desk.pool.run()
        desk.assertIdle()

    def test_joining_an_abandoned_one(self) -> None:
        """[F24] Who joins one that was abandoned waits for it again, and it counts."""
        desk = Desk(lookupQueue=1, lookupThreads=1)
        desk.asking()[0].cancel()
        again = desk.ask()
        with pytest.raises(Refused):
            desk.lookups.lookup("b.example")
        desk.pool.run()
        assert again == [ONE]
        desk.assertIdle()


def hanging(number: int) -> list[str]:
    """Names whose resolver never answers."""
    return [f"n{each}.hangs.example" for each in range(number)]


class TestAbandoned:
    """What nobody waits for any more does not count."""

    def test_queued_ones_are_dropped(self) -> None:
        """[F24] The look-ups that had no turn yet are gone with their requests."""
        desk = Desk(lookupThreads=2, lookupSpareThreads=0)
        waiting = [desk.asking(name)[0] for name in hanging(10)]
        assert desk.pool.waiting == 2
        for each in waiting:
            each.cancel()
        assert len(desk.lookups._flights) == 2
        desk.network.advance(0)
        outcome = desk.ask()
        desk.pool.run()
        assert outcome == []
        desk.pool.run()
        assert outcome == [ONE]
        assert desk.resolver.calls == ["a.example"]
        desk.assertIdle()

    def test_a_thousand_that_hang(self) -> None:
        """[F24] 1,100 names whose resolver hangs, and all clients gone: the next name
        is looked up at once, and no request is refused."""
        desk = Desk(lookupQueue=1100)
        waiting = [desk.asking(name)[0] for name in hanging(1100)]
        with pytest.raises(Refused):
            desk.lookups.lookup("a.example")
        for each in waiting:
            each.cancel()
        # In the reactor's next turn: none of those had a successor looked up.
        desk.network.advance(0)
        assert desk.pool.waiting == 16
        outcome = desk.ask()
        assert desk.pool.waiting == 17
        # The oldest sixteen hang.
        desk.pool._work = desk.pool._work[16:]
        desk.pool.run()
        assert outcome == [ONE]

    def test_expired_ones_give_their_turn(self) -> None:
        """[F24] Those that are in a thread when their requests' time is over give their
        turn to the next, in a spare thread."""
        desk = Desk(lookupThreads=2, lookupSpareThreads=3, lookupTimeout=5.0)
        late = [desk.ask(name) for name in hanging(2)]
        desk.network.advance(3)
        queued = desk.ask()
        assert desk.pool.waiting == 2
        desk.network.advance(2)
        assert [refusedOf(each).cause for each in late] == [Cause.DNS_TIMEOUT] * 2
        assert queued == []
        assert desk.pool.waiting == 3
        desk.pool._work.reverse()
        desk.pool.run(1)
        assert queued == [ONE]
        desk.pool.run()
        desk.assertIdle()

    def test_spare_threads_are_bounded(self) -> None:
        """[F24] [T12] Where all threads are held, the next name waits for one, within
        its own time."""
        desk = Desk(lookupThreads=1, lookupSpareThreads=2, lookupTimeout=5.0)
        for name in hanging(6):
            desk.asking(name)[0].cancel()
        assert desk.pool.waiting == 3
        first = desk.ask()
        desk.network.advance(5)
        assert refusedOf(first).cause is Cause.DNS_TIMEOUT
        second = desk.ask()
        assert desk.pool.waiting == 3
        # One of the three comes back at last.
        desk.pool.run(1)
        assert desk.pool.waiting == 3
        desk.pool.run()
        assert second == [ONE]
        desk.assertIdle()

    def test_turns_are_in_order(self) -> None:
        """[F24] The one that has waited longest comes first."""
        names = [f"{each}.example" for each in "abcd"]
        desk = Desk({name: ["192.0.2.1"] for name in names}, lookupThreads=1)
        outcomes = [desk.ask(name) for name in names]
        for done in range(1, 5):
            desk.pool.run()
            assert [bool(each) for each in outcomes].count(True) == done
        assert desk.resolver.calls == names
        desk.assertIdle()

    def test_stop_with_a_turn_due(self) -> None:
        """[F24] [T12] A stop leaves no timer, and the queued ones are told."""
        desk = Desk(lookupThreads=1)
        first, _ = desk.asking("n.hangs.example")
        queued = desk.ask()
        first.cancel()
        assert len(desk.network.getDelayedCalls()) == 2
        desk.lookups.stop()
        assert refusedOf(queued).cause is Cause.SHUTDOWN
        desk.assertIdle()
        desk.lookups.start()
        again = desk.ask()
        desk.pool.run()
        assert again == [ONE]
        desk.assertIdle()


class TestLife:
    """Starting, stopping, starting again."""

    def test_not_started(self) -> None:
        """Before the start there is no look-up."""
        lookups = Lookups(MemoryNetwork(), Settings(), pool=ManualPool())
        with pytest.raises(Refused) as refused:
            lookups.lookup("a.example")
        assert refused.value.cause is Cause.INTERNAL

    def test_stop_lets_go(self) -> None:
        """Who still waits is told, and no timer is left."""
        desk = Desk()
        outcome = desk.ask()
        desk.lookups.stop()
        assert refusedOf(outcome).cause is Cause.SHUTDOWN
        desk.assertIdle()
        assert not desk.pool.started

    def test_restart(self) -> None:
        """After a stop it starts again, and remembers nothing."""
        desk = Desk()
        desk.ask()
        desk.pool.run()
        desk.lookups.stop()
        desk.lookups.start()
        desk.resolver.answers["a.example"] = ["192.0.2.7"]
        outcome = desk.ask()
        desk.pool.run()
        assert outcome == [(ip_address("192.0.2.7"),)]

    def test_restart_with_a_flight_that_never_lands(self) -> None:
        """Who asks after a restart does not wait for what the stop dropped."""
        desk = Desk()
        desk.ask()
        desk.pool._work.clear()
        desk.lookups.stop()
        desk.lookups.start()
        outcome = desk.ask()
        desk.pool.run()
        assert outcome == [ONE]
        desk.assertIdle()

    def test_flight_lands_after_restart(self) -> None:
        """What a stopped run had asked for answers nobody of the next run."""
        desk = Desk({"a.example": ["192.0.2.66"]})
        desk.ask()
        (outcome_, work) = desk.pool._work.pop()
        desk.lookups.stop()
        desk.lookups.start()
        desk.resolver.answers["a.example"] = ["192.0.2.1"]
        fresh = desk.ask()
        assert outcome_ is not None
        outcome_(True, (ip_address("192.0.2.66"),))
        assert fresh == []
        desk.pool.run()
        assert fresh == [ONE]
        desk.assertIdle()


class Reactor(Clock):
    """A clock, and a queue of what threads want to have called."""

    def __init__(self) -> None:
        super().__init__()
        self.called: queue.Queue[Any] = queue.Queue()

    def callFromThread(self, function: Any, *arguments: Any) -> None:
        self.called.put((function, arguments, threading.current_thread()))

    def turn(self) -> threading.Thread:
        """Wait for one call from a thread and make it; which thread it was."""
        function, arguments, thread = self.called.get(timeout=30)
        function(*arguments)
        return thread


class TestThreads:
    """With threads of its own."""

    def test_in_a_thread(self) -> None:
        """The resolver is asked in a thread that keeps no program alive."""
        reactor = Reactor()
        lookups = Lookups(reactor, Settings(), scriptedLookup({"a.example": ["::1"]}))
        lookups.start()
        outcome: list[Any] = []
        waiting: Any = lookups.lookup("a.example")
        waiting.addBoth(outcome.append)
        thread = reactor.turn()
        assert outcome == [(ip_address("::1"),)]
        assert thread is not threading.main_thread()
        assert thread.daemon
        lookups.stop()

    def test_stop_with_a_hanging_thread(self) -> None:
        """[T12] Stopping waits for no resolver, and the next run has threads
        of its own."""
        entered, leave = threading.Event(), threading.Event()
        answers = scriptedLookup({"b.example": ["192.0.2.2"]})

        def hanging(host: bytes, *arguments: Any) -> Any:
            if host == b"a.example":
                entered.set()
                leave.wait(30)
                raise socket.gaierror(socket.EAI_AGAIN, "at last")
            return answers(host, *arguments)

        reactor = Reactor()
        lookups = Lookups(reactor, Settings(lookupThreads=1), hanging)
        lookups.start()
        stuck: list[Any] = []
        waiting: Any = lookups.lookup("a.example")
        waiting.addBoth(stuck.append)
        assert entered.wait(30)
        lookups.stop()
        assert refusedOf(stuck).cause is Cause.SHUTDOWN
        lookups.start()
        outcome: list[Any] = []
        waiting = lookups.lookup("b.example")
        waiting.addBoth(outcome.append)
        reactor.turn()
        assert outcome == [(ip_address("192.0.2.2"),)]
        leave.set()
        reactor.turn()
        assert len(stuck) == 1
        lookups.stop()


class TestInAProxy:
    """As a client sees it."""

    def test_clients_that_come_and_go(self) -> None:
        """[F24] Those who come behind a thousand whose names hang are served."""
        pool = ManualPool()
        rig = Rig(pool=pool)
        rig.serve()
        gone = [rig.client(connect(f"{name}:443")) for name in hanging(1000)]
        for each in gone:
            each.abort()
        rig.flush()
        client = rig.client(connect())
        rig.flush()
        pool._work.reverse()
        pool.run(1)
        rig.flush()
        assert status(client) == 200
        causes = {each.cause for each in rig.events.refused}
        assert causes == {Cause.CLIENT_LEFT}

    @pytest.mark.parametrize("literal", ["192.0.2.1:443", "[2001:db8::7]:443"])
    def test_literals_are_not_looked_up(self, literal: str) -> None:
        """[TU-11] An address is dialled as it is."""
        rig = Rig()
        rig.tunnel(literal, host=Authority.parse(literal).host)
        assert rig.lookup.calls == []

    def test_rooted_name(self) -> None:
        """[T5] The trailing dot is kept for the resolver, and only for it."""
        rig = Rig()
        rig.tunnel("example.com.:443")
        assert rig.lookup.calls == ["example.com."]
        request = rig.events.established[0].tunnel.request
        assert request.authority.host == "example.com"

    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            (socket.gaierror(socket.EAI_NONAME, "x"), 502),
            (OSError(errno.EMFILE, "x"), 503),
        ],
    )
    def test_refused(self, answer: BaseException, code: int) -> None:
        """The client is told by the refusals table, the log by the resolver."""
        rig = Rig(names={"example.com": answer})
        client = rig.client(connect())
        assert status(client) == code
        assert len(rig.events.refused) == 1
        client.close()
        rig.assertOver()

    def test_timeout(self) -> None:
        """[T12] A look-up that takes too long is a 504."""
        pool = ManualPool()
        rig = Rig(pool=pool, settings={"lookupTimeout": 5.0})
        client = rig.client(connect())
        rig.network.advance(4.9)
        assert client.received == b""
        rig.network.advance(0.2)
        assert status(client) == 504
        assert b"dns_timeout" in client.received
        client.close()
        pool.run()
        rig.assertOver()
