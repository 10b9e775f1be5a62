"""
Dialling what was judged: who is tried when, who wins, and what is left behind.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from rig import Logged, Rig, body, connect, logging, status
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectBindError, UserError, getConnectError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txconnect.dialing.dialer import Dialer
from txconnect.dialing.openers import transportOpener
from txconnect.dialing.race import interleave
from txconnect.errors import Refused, causeOf
from txconnect.settings import Settings
from txconnect.testing import MemoryNetwork, makeRequest
from txconnect.testing.transports import MemoryClientTransport
from txconnect.tunnel.transport.leg import Leg
from txconnect.values import Authority, Cause, IPAddress, Reached

A, B, C, D = "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"
SIX, SIX2 = "2001:db8:1::1", "2001:db8:1::2"


@pytest.fixture(autouse=True)
def logged() -> Iterator[Logged]:
    """The log; no test may leave a Deferred's error that nobody looked at."""
    with logging() as logged:
        yield logged
        assert logged.unhandled == []


def addressesOf(*texts: str) -> list[IPAddress]:
    """The addresses of literals."""
    return [
        address
        for text in texts
        if (address := Authority(text, 443).address) is not None
    ]


class Dial:
    """
    One dial on the memory network.

    @ivar attempts: C{(seconds, address)} of each attempt.
    @ivar outcome: what became of it.
    """

    def __init__(
        self, *addresses: str, network: MemoryNetwork | None = None, **settings: Any
    ) -> None:
        self.network = network or MemoryNetwork()
        self.attempts: list[tuple[float, str]] = []
        self.outcome: list[Any] = []
        self._open = transportOpener(self.network)
        self.dialer = Dialer(self.network, Settings(**settings), self._opened)
        self._addresses = addressesOf(*addresses)

    def run(self) -> Any:
        """Begin."""
        won: Any = self.dialer.begin(self._addresses, 443)
        won.addBoth(self.outcome.append)
        self.network.flush()
        return won

    def _opened(self, address: IPAddress, port: int) -> Deferred[Leg]:
        self.attempts.append((round(self.network.seconds(), 3), str(address)))
        return self._open(address, port)

    @property
    def winner(self) -> str:
        """The address that was reached."""
        (reached,) = self.outcome
        assert not isinstance(reached, Failure), reached
        return str(reached.address)

    @property
    def refused(self) -> Refused:
        """The refusal."""
        (failure,) = self.outcome
        assert isinstance(failure, Failure), failure
        assert isinstance(failure.value, Refused), failure
        return failure.value

    def assertOver(self) -> None:
        """But for the winner's, no descriptor is left, nor any timer."""
        self.network.flush()
        winners = [it for it in self.outcome if not isinstance(it, Failure)]
        assert [each.protocol for each in self.network.open] == [
            reached.leg for reached in winners
        ]
        assert not self.network.getDelayedCalls()
        assert not self.network.failures


class TestOrder:
    """RFC 8305, section 4."""

    @pytest.mark.parametrize(
        ("given", "tried"),
        [
            ([A], [A]),
            ([A, B, SIX], [A, SIX, B]),
            ([SIX, SIX2, A, B], [SIX, A, SIX2, B]),
            ([SIX, SIX2, A], [SIX, A, SIX2]),
            ([A, B, C], [A, B, C]),
            ([A, B, C, SIX], [A, SIX, B, C]),
            ([], []),
        ],
    )
    def test_interleaved(self, given: list[str], tried: list[str]) -> None:
        """[TU-09] The families alternate, beginning with the resolver's first."""
        assert interleave(addressesOf(*given)) == addressesOf(*tried)


class TestTiming:
    """[TU-09] Who is tried when."""

    def test_first_answers(self) -> None:
        """The first that answers is the only one that is tried."""
        dial = Dial(A, B)
        dial.network.serve(A, 443)
        dial.run()
        assert dial.winner == A
        assert dial.attempts == [(0.0, A)]
        dial.assertOver()

    def test_delay(self) -> None:
        """[TU-09] A silent address gets 250 ms before the next is tried, and
        the one after that another 250."""
        dial = Dial(A, B, C)
        for silent in (A, B):
            dial.network.blackhole(silent)
        dial.network.serve(C, 443)
        dial.run()
        dial.network.advance(1)
        assert dial.attempts == [(0.0, A), (0.25, B), (0.5, C)]
        assert dial.winner == C
        dial.assertOver()

    def test_delay_is_a_setting(self) -> None:
        """The delay can be set."""
        dial = Dial(A, B, attemptDelay=1.0)
        dial.network.blackhole(A)
        dial.network.serve(B, 443)
        dial.run()
        dial.network.advance(2)
        assert dial.attempts == [(0.0, A), (1.0, B)]

    def test_next_at_once_on_failure(self) -> None:
        """[TU-09] A failure does not let the next wait."""
        dial = Dial(A, SIX, B)
        dial.network.refuse(A)
        dial.network.unroutable(SIX)
        dial.network.serve(B, 443)
        dial.run()
        assert dial.attempts == [(0.0, A), (0.0, SIX), (0.0, B)]
        assert dial.winner == B
        dial.assertOver()

    def test_failure_moves_the_delay(self) -> None:
        """[TU-09] The delay counts from the attempt that was started last."""
        gates: list[Deferred[Leg]] = []
        clock = Clock()
        starts: list[float] = []

        def open(address: IPAddress, port: int) -> Deferred[Leg]:
            starts.append(clock.seconds())
            gates.append(Deferred())
            return gates[-1]

        won = Dialer(clock, Settings(), open).dial(addressesOf(A, B, C), 443)
        clock.advance(0.125)
        gates[0].errback(OSError(errno.ECONNREFUSED, "no"))
        clock.advance(0.125)
        assert starts == [0.0, 0.125]
        clock.advance(0.125)
        assert starts == [0.0, 0.125, 0.375]
        won.addErrback(lambda _: None)
        won.cancel()
        assert not clock.getDelayedCalls()

    def test_slow_first_still_wins(self) -> None:
        """[TU-09] An earlier attempt that answers while a later one waits wins,
        and the later one leaves no descriptor."""
        gates: dict[str, Deferred[Leg]] = {}
        given: list[str] = []

        def open(address: IPAddress, port: int) -> Deferred[Leg]:
            gate: Deferred[Leg] = Deferred(lambda _: given.append(str(address)))
            gates[str(address)] = gate
            return gate

        clock, outcome = Clock(), []
        won = Dialer(clock, Settings(), open).dial(addressesOf(A, B), 443)
        won.addBoth(outcome.append)
        clock.advance(0.25)
        leg = Leg()
        gates[A].callback(leg)
        assert outcome == [Reached(leg, addressesOf(A)[0])]
        assert given == [B]
        assert not clock.getDelayedCalls()

    def test_losers_are_given_up(self) -> None:
        """[TU-09] [TU-10] Losers hold no descriptor, and never see a byte."""
        dial = Dial(A, B)
        dial.network.blackhole(A)
        destination = dial.network.serve(B, 443)
        dial.run()
        dial.network.advance(0.25)
        assert dial.winner == B
        assert len(destination.peers) == 1
        dial.assertOver()

    def test_two_in_one_turn(self) -> None:
        """[TU-09] [TU-10] Of two that come up in one turn of the reactor the
        first wins; the other is closed without a byte."""
        dial = Dial(A, B)
        network = dial.network
        network.blackhole(A)
        destinations = [network.serve(A, 443), network.serve(B, 443)]
        dial.run()
        (slow,) = (each for each in network.kernel.sockets.values() if each._waiting)
        # Just before the second attempt begins, the first one is answered.
        network.clock.advance(0.25)
        slow._waiting = False
        slow._joinListener(network.kernel.listener(A, 443), A, 443)
        network.flush()
        assert len(dial.attempts) == 2
        assert dial.winner == A
        assert [len(each.peers) for each in destinations] == [1, 1]
        assert destinations[1].peer.ended and not destinations[1].peer.received
        dial.assertOver()

    def test_up_in_spite_of_being_given_up(self) -> None:
        """[TU-10] An opening that cannot be given up any more, because it is
        up, is reset."""

        class Recorded(Leg):
            aborted = 0

            def abort(self) -> None:
                self.aborted += 1

        first, second = Recorded(), Recorded()
        gates: list[Deferred[Leg]] = []

        def open(address: IPAddress, port: int) -> Deferred[Leg]:
            gates.append(Deferred(lambda it: it.callback(second)))
            return gates[-1]

        clock, outcome = Clock(), []
        won = Dialer(clock, Settings(), open).dial(addressesOf(A, B), 443)
        won.addBoth(outcome.append)
        clock.advance(0.25)
        gates[0].callback(first)
        assert outcome == [Reached(first, addressesOf(A)[0])]
        assert (first.aborted, second.aborted) == (0, 1)

    def test_at_once(self) -> None:
        """An opening that is up at once has won before C{dial} returns."""
        leg, clock, outcome = Leg(), Clock(), []
        dialer = Dialer(clock, Settings(), lambda *_: succeed(leg))
        dialer.dial(addressesOf(A, B), 443).addBoth(outcome.append)
        assert outcome == [Reached(leg, addressesOf(A)[0])]
        assert not clock.getDelayedCalls()

    def test_many_that_fail_at_once(self) -> None:
        """As many as one look-up may give fail at once, one behind another."""
        clock, outcome = Clock(), []
        error = OSError(errno.ECONNREFUSED, "no")
        dialer = Dialer(clock, Settings(), lambda *_: fail(error))
        addresses = addressesOf(*(f"10.0.0.{n}" for n in range(32)))
        dialer.dial(addresses, 443).addBoth(outcome.append)
        assert outcome[0].value.cause is Cause.CONNECTION_REFUSED
        assert outcome[0].value.reason.count("[Errno") == 32
        assert not clock.getDelayedCalls()


class TestDeadline:
    """[T12] One deadline over all."""

    def test_silence(self) -> None:
        """[T12] Nobody answers: a time-out that names them all, and nothing
        left."""
        dial = Dial(A, SIX, connectTimeout=15.0)
        dial.network.blackhole(A)
        dial.network.blackhole(SIX)
        dial.run()
        dial.network.advance(14.9)
        assert dial.outcome == []
        dial.network.advance(0.2)
        assert dial.refused.cause is Cause.CONNECTION_TIMEOUT
        assert dial.refused.reason == f"no answer within 15 seconds from {A}, {SIX}"
        dial.assertOver()

    def test_story_at_the_deadline(self) -> None:
        """[T12] What failed before the deadline is told too."""
        dial = Dial(A, B)
        dial.network.blackhole(A)
        dial.network.refuse(B)
        dial.run()
        dial.network.advance(20)
        assert dial.refused.cause is Cause.CONNECTION_TIMEOUT
        assert f"from {A}; {B}: " in dial.refused.reason
        dial.assertOver()

    def test_before_all_are_tried(self) -> None:
        """[T12] The deadline ends it however many are left to be tried."""
        dial = Dial(A, B, C, D, connectTimeout=0.4)
        for silent in (A, B, C, D):
            dial.network.blackhole(silent)
        dial.run()
        dial.network.advance(5)
        assert [address for _, address in dial.attempts] == [A, B]
        dial.assertOver()

    def test_in_a_proxy(self) -> None:
        """[T12] [H1-32] The client hears nothing until then, and then a 504."""
        rig = Rig(settings={"connectTimeout": 15.0})
        rig.network.blackhole(A)
        client = rig.client(connect())
        rig.network.advance(14.9)
        assert client.received == b""
        rig.network.advance(0.2)
        assert status(client) == 504
        assert b"connection_timeout" in client.received
        client.close()
        rig.assertOver()


class TestCancel:
    """[TU-05] Giving a dial up."""

    @pytest.mark.parametrize("after", [0.0, 0.1, 0.3, 0.6])
    def test_midway(self, after: float) -> None:
        """[TU-05] However far it had come: no descriptor, no timer."""
        dial = Dial(A, B, C)
        for silent in (A, B, C):
            dial.network.blackhole(silent)
        won = dial.run()
        dial.network.advance(after)
        won.cancel()
        assert dial.outcome[0].check(CancelledError)
        dial.network.advance(20)
        assert len(dial.outcome) == 1
        dial.assertOver()

    def test_in_the_turn_in_which_it_began(self) -> None:
        """[TU-05] Even before the reactor has turned once."""
        dial = Dial(A)
        dial.network.serve(A, 443)
        won = dial.dialer.dial(addressesOf(A), 443)
        won.addBoth(dial.outcome.append)
        won.cancel()
        dial.assertOver()

    def test_opening_that_fails_its_own_way(self) -> None:
        """[TU-05] Whatever an opening says when it is given up is not heard."""
        clock = Clock()

        def open(address: IPAddress, port: int) -> Deferred[Leg]:
            return Deferred(lambda it: it.errback(KeyError("own way")))

        won = Dialer(clock, Settings(), open).dial(addressesOf(A, B), 443)
        outcome: list[Any] = []
        won.addBoth(outcome.append)
        clock.advance(0.25)
        won.cancel()
        assert outcome[0].check(CancelledError)
        assert not clock.getDelayedCalls()


class TestFailures:
    """Every failure is kept, and one row is chosen."""

    def test_every_failure_is_in_the_story(self) -> None:
        """[TU-09] Not the last one alone."""
        dial = Dial(A, B, C)
        dial.network.refuse(A)
        dial.network.unroutable(B)
        dial.network.fail(C, 443, errno.EHOSTUNREACH)
        dial.run()
        reason = dial.refused.reason
        assert [part.split(": ")[0] for part in reason.split("; ")] == [A, B, C]
        assert "refused" in reason and "111" in reason
        dial.assertOver()

    @pytest.mark.parametrize(
        ("errnos", "cause"),
        [
            ([errno.ENETUNREACH, errno.ECONNREFUSED], Cause.CONNECTION_REFUSED),
            ([errno.ECONNREFUSED, errno.ENETUNREACH], Cause.CONNECTION_REFUSED),
            ([errno.ETIMEDOUT, errno.EHOSTUNREACH], Cause.CONNECTION_TIMEOUT),
            ([errno.ECONNRESET, errno.ETIMEDOUT], Cause.CONNECTION_TERMINATED),
            ([errno.ENETUNREACH, errno.EMFILE], Cause.EXHAUSTED),
            ([errno.ENETUNREACH, errno.EIO], Cause.UNROUTABLE),
            ([errno.EIO], Cause.INTERNAL),
        ],
    )
    def test_who_got_furthest_chooses(
        self, errnos: Sequence[int], cause: Cause
    ) -> None:
        """The failure that tells most chooses, wherever it stood."""
        dial = Dial(*[A, B][: len(errnos)])
        for address, number in zip([A, B], errnos, strict=False):
            dial.network.fail(address, 443, number)
        dial.run()
        assert dial.refused.cause is cause
        dial.assertOver()

    @pytest.mark.parametrize(
        ("number", "cause"),
        [
            (errno.ECONNREFUSED, Cause.CONNECTION_REFUSED),
            (errno.ECONNRESET, Cause.CONNECTION_TERMINATED),
            (errno.ECONNABORTED, Cause.CONNECTION_TERMINATED),
            (errno.EPIPE, Cause.CONNECTION_TERMINATED),
            (errno.ETIMEDOUT, Cause.CONNECTION_TIMEOUT),
            (errno.ENETUNREACH, Cause.UNROUTABLE),
            (errno.EHOSTUNREACH, Cause.UNROUTABLE),
            (errno.ENETDOWN, Cause.UNROUTABLE),
            (errno.EHOSTDOWN, Cause.UNROUTABLE),
            (errno.EACCES, Cause.UNROUTABLE),
            (errno.EPERM, Cause.UNROUTABLE),
            (errno.EINVAL, Cause.UNROUTABLE),
            (errno.EAFNOSUPPORT, Cause.UNROUTABLE),
            (errno.EMFILE, Cause.EXHAUSTED),
            (errno.ENFILE, Cause.EXHAUSTED),
            (errno.ENOMEM, Cause.EXHAUSTED),
            (errno.ENOBUFS, Cause.EXHAUSTED),
            (errno.EADDRNOTAVAIL, Cause.EXHAUSTED),
            (errno.EADDRINUSE, Cause.EXHAUSTED),
            (errno.EAGAIN, Cause.EXHAUSTED),
            (errno.EIO, Cause.INTERNAL),
        ],
    )
    def test_errno(self, number: int, cause: Cause) -> None:
        """Each errno has its row, whichever exception bears it."""
        assert causeOf(OSError(number, "x")) is cause
        assert causeOf(getConnectError((number, "x"))) is cause
        assert causeOf(ConnectBindError(number, "x")) is cause

    @pytest.mark.parametrize("error", [KeyError("k"), UserError(), None])
    def test_no_errno(self, error: BaseException | None) -> None:
        """What bears none is the proxy's own trouble."""
        assert causeOf(error) is Cause.INTERNAL

    def test_no_descriptors(self) -> None:
        """[T12] Out of descriptors: a 503, not a 502, and the proxy lives on."""
        rig = Rig()
        rig.serve()
        refused = rig.client()
        rig.network.exhaust()
        refused.send(connect())
        rig.flush()
        assert status(refused) == 503
        assert rig.events.refused[0].cause is Cause.EXHAUSTED
        rig.network.exhaust(False)
        refused.close()
        client = rig.client(connect())
        assert body(client) == b""
        client.close()
        rig.network.advance(10)

    def test_opening_that_raises(self) -> None:
        """An opening that raises is an attempt that failed."""
        clock, outcome = Clock(), []
        leg = Leg()

        def open(address: IPAddress, port: int) -> Deferred[Leg]:
            if str(address) == A:
                raise OSError(errno.EMFILE, "files")
            return succeed(leg)

        dialer = Dialer(clock, Settings(), open)
        dialer.dial(addressesOf(A, B), 443).addBoth(outcome.append)
        dialer.dial(addressesOf(A), 443).addBoth(outcome.append)
        assert outcome[0] == Reached(leg, addressesOf(B)[0])
        assert outcome[1].value.cause is Cause.EXHAUSTED
        assert not clock.getDelayedCalls()

    def test_opening_that_is_cancelled_from_outside(self) -> None:
        """An opening that says by itself that it was cancelled has failed; it is
        not waited for until the deadline."""
        clock, outcome = Clock(), []
        dialer = Dialer(clock, Settings(), lambda *_: fail(CancelledError()))
        dialer.dial(addressesOf(A), 443).addBoth(outcome.append)
        assert isinstance(outcome[0].value, Refused)
        assert not clock.getDelayedCalls()

    def test_broadcast(self) -> None:
        """[T6] The broadcast address fails once and does not go round."""
        dial = Dial("255.255.255.255")
        dial.network.fail("255.255.255.255", None, errno.EACCES)
        dial.run()
        assert dial.refused.cause is Cause.UNROUTABLE
        assert len(dial.attempts) == 1
        dial.assertOver()


class TestLegs:
    """What the winner is."""

    def test_options(self) -> None:
        """The leg's transport neither delays small segments nor outlives a
        destination that is gone."""
        dial = Dial(A)
        dial.network.serve(A, 443)
        dial.run()
        leg = dial.outcome[0].leg
        assert leg.transport.getTcpNoDelay()
        assert leg.transport.getTcpKeepAlive()

    def test_options_that_fail(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A leg that is lost before it could be told fails its attempt at
        once."""
        network = MemoryNetwork()
        dial = Dial(A, network=network)
        network.serve(A, 443)

        def failing(*_: Any) -> None:
            raise OSError(errno.EINVAL, "the peer is gone")

        monkeypatch.setattr(MemoryClientTransport, "setTcpNoDelay", failing)
        dial.run()
        assert dial.refused.reason.startswith(A)
        assert network.open == []
        assert not network.getDelayedCalls()

    def test_bind_address(self) -> None:
        """An opener may dial from an address of its own."""
        network = MemoryNetwork()
        destination = network.serve(A, 443)
        open = transportOpener(network, ("198.51.100.1", 0))
        outcome: list[Any] = []
        open(addressesOf(A)[0], 443).addBoth(outcome.append)
        network.flush()
        assert destination.peer.peer.host == "198.51.100.1"

    def test_direct(self) -> None:
        """[TU-11] The direct route dials the addresses that it is given, at the
        port that was asked for, and no name."""
        network = MemoryNetwork()
        destination = network.serve(A, 8443)
        dialer = Dialer(network, Settings(), transportOpener(network))
        route = dialer.direct()
        outcome: list[Any] = []
        route.connect(makeRequest("example.com:8443"), addressesOf(A)).addBoth(
            outcome.append
        )
        network.flush()
        assert route.name == "direct" and not route.resolves
        assert len(destination.peers) == 1
        assert outcome[0].address == addressesOf(A)[0]

    def test_losers_get_no_early_data(self) -> None:
        """[TU-10] [TU-07] What the client sent ahead goes to the winner alone."""
        rig = Rig(names={"example.com": [A, B]})
        rig.network.blackhole(A)
        winner = rig.serve(B)
        client = rig.client(connect() + b"early")
        rig.network.advance(0.3)
        assert body(client) == b""
        assert winner.peer.received == b"early"
        client.close()
        winner.peer.close()
        rig.assertOver()


class TestOneAddress:
    """One address needs no race; what is promised of a race holds for it too."""

    def test_its_result_is_none_of_the_race(self) -> None:
        """One address makes no Deferred, and no timer beside the shared one."""
        dial = Dial(A)
        dial.network.blackhole(A)
        attempt = dial.run()
        assert not isinstance(attempt, Deferred)
        assert len(dial.network.getDelayedCalls()) == 1
        attempt.cancel()
        dial.assertOver()
        assert dial.outcome == []

    def test_given_up_midway(self) -> None:
        """[TU-05] Nothing is heard of it, no descriptor and no timer is left."""
        dial = Dial(A)
        dial.network.blackhole(A)
        attempt = dial.run()
        dial.network.advance(1)
        attempt.cancel()
        dial.network.advance(60)
        dial.assertOver()
        assert dial.outcome == []

    def test_up_when_it_is_given_up(self) -> None:
        """[TU-09] A connection that comes all the same is reset."""
        clock, leg, heard = Clock(), Aborted(), []
        dialer = Dialer(
            clock, Settings(), lambda *_: Deferred(lambda it: it.callback(leg))
        )
        attempt = dialer.begin(addressesOf(A), 443)
        attempt.addBoth(heard.append)
        attempt.cancel()
        assert leg.aborted
        assert heard == []
        assert not clock.getDelayedCalls()

    def test_up_after_the_deadline(self) -> None:
        """[TU-09] [T12] It is refused at the deadline, and reset when it comes."""
        clock, leg, heard = Clock(), Aborted(), []
        dialer = Dialer(
            clock,
            Settings(connectTimeout=3),
            lambda *_: Deferred(lambda it: it.callback(leg)),
        )
        dialer.begin(addressesOf(A), 443).addBoth(heard.append)
        clock.advance(3)
        assert heard[0].value.cause is Cause.CONNECTION_TIMEOUT
        assert heard[0].value.reason == f"no answer within 3 seconds from {A}"
        assert leg.aborted
        assert len(heard) == 1

    @pytest.mark.parametrize("asynchronous", [True, False])
    def test_one_failure(self, asynchronous: bool) -> None:
        """Its cause is the row, whether it failed at once or later."""
        error = OSError(errno.EMFILE, "none left")

        def open(address: IPAddress, port: int) -> Deferred[Leg]:
            if asynchronous:
                return fail(error)
            raise error

        clock, heard = Clock(), []
        dialer = Dialer(clock, Settings(), open)
        dialer.begin(addressesOf(A), 443).addBoth(heard.append)
        assert heard[0].value.cause is Cause.EXHAUSTED
        assert heard[0].value.reason == f"{A}: {error}"
        assert not clock.getDelayedCalls()

    def test_up_at_once(self) -> None:
        """A result that is there before anybody listens is kept."""
        leg, heard = Leg(), []
        dialer = Dialer(Clock(), Settings(), lambda *_: succeed(leg))
        attempt = dialer.begin(addressesOf(A), 443)
        assert attempt.called
        attempt.addBoth(
            heard.append,
        )
        assert heard == [Reached(leg, addressesOf(A)[0])]


class Aborted(Leg):
    """A leg that says whether it was reset."""

    aborted = False

    def abort(self) -> None:
        self.aborted = True
