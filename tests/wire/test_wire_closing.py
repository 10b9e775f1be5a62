"""
How a tunnel ends: every row of the table, and every way through it.
"""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, strategies as st

from txconnect.values import Closed
from txconnect.wire import closing
from txconnect.wire.closing import (
    WITH_HALF_CLOSE,
    WITHOUT_HALF_CLOSE,
    Action,
    Ended,
    Happening,
    State,
    Step,
)

ROWS = list(itertools.product(State, Happening, (True, False)))
Row = tuple[State, Happening, bool]

_MIRROR = {"CLIENT": "DESTINATION", "DESTINATION": "CLIENT"}


def step(state: State, happening: Happening, canEnd: bool) -> Step:
    """Look a row up, as the tunnel does."""
    return (WITH_HALF_CLOSE if canEnd else WITHOUT_HALF_CLOSE)[state, happening]


def printed() -> dict[Row, Step]:
    """The rows of the table that the module's docstring prints."""
    rows: dict[Row, Step] = {}
    state, choices = State.OPEN, (True,)
    for line in (closing.__doc__ or "").splitlines():
        if heading := re.match(r"In ([A-Z_]+)(:|, where)", line):
            state = State[heading[1]]
            choices = (False,) if heading[2] != ":" else (True, False)
        cells = re.split(r"\s{2,}", line)
        if cells[0] not in Happening.__members__:
            continue
        happening, after, actions, ended = cells
        row = Step(
            State[after],
            tuple(Action[word] for word in re.findall("[A-Z_]+", actions)),
            None if ended == "-" else Ended[ended],
        )
        for canEnd in choices:
            rows[state, Happening[happening], canEnd] = row
    return rows


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(map(str, row)))
def test_everyRow(row: Row) -> None:
    """[TU-02] [TU-03] [TU-04] [T11] The table is the one that is printed, whole."""
    rows = printed()
    assert set(rows) == set(ROWS)
    assert step(*row) == rows[row]


@pytest.mark.parametrize("canEnd", [True, False])
def test_tablesAreWhole(canEnd: bool) -> None:
    """[T11] Each of the two tables that a tunnel looks up has every row, and no more."""
    table = WITH_HALF_CLOSE if canEnd else WITHOUT_HALF_CLOSE
    assert set(table) == set(itertools.product(State, Happening))


def mirrored(name: str) -> str:
    """The name of the same thing for the other leg."""
    return re.sub("CLIENT|DESTINATION", lambda match: _MIRROR[match[0]], name)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(map(str, row)))
def test_bothLegsAreAlike(row: Row) -> None:
    """[T11] But for a reset while both close, neither leg is treated otherwise."""
    state, happening, canEnd = row
    one = step(*row)
    other = step(
        State[mirrored(state.name)], Happening[mirrored(happening.name)], canEnd
    )
    if state is State.CLOSED and happening.name.endswith("RESET"):
        return
    assert other.state is State[mirrored(one.state.name)]
    assert set(other.actions) == {
        Action[mirrored(action.name)] for action in one.actions
    }
    if one.ended is None:
        assert other.ended is None
    else:
        assert other.ended is Ended[mirrored(one.ended.name)]


def run(
    happenings: list[tuple[Happening, bool]],
) -> tuple[State, list[Action], Ended | None]:
    """Let things happen to a tunnel, as a relay does."""
    state, done, ended = State.OPEN, list[Action](), None
    for happening, canEnd in happenings:
        row = step(state, happening, canEnd)
        state = row.state
        done += row.actions
        ended = ended if row.ended is None else row.ended
    return state, done, ended


def after(*happenings: Happening) -> tuple[State, list[Action], Ended | None]:
    """What comes of these where legs can be half-closed."""
    return run([(happening, True) for happening in happenings])


def test_finAndFin() -> None:
    """[TU-03] [T11] FIN in, FIN out, either way round; the second closes, flushed."""
    assert after(Happening.CLIENT_ENDED, Happening.DESTINATION_ENDED) == (
        State.CLOSED,
        [Action.END_DESTINATION, Action.CLOSE_CLIENT, Action.CLOSE_DESTINATION],
        Ended.CLIENT,
    )
    assert after(Happening.DESTINATION_ENDED, Happening.CLIENT_ENDED) == (
        State.CLOSED,
        [Action.END_CLIENT, Action.CLOSE_CLIENT, Action.CLOSE_DESTINATION],
        Ended.DESTINATION,
    )


def test_resetAfterTheOthersFin() -> None:
    """[TU-04] A reset names the end, even when the other leg had ended its direction."""
    assert after(Happening.CLIENT_ENDED, Happening.DESTINATION_RESET) == (
        State.CLOSED,
        [Action.END_DESTINATION, Action.ABORT_CLIENT],
        Ended.DESTINATION_RESET,
    )


def test_resetAfterItsOwnFin() -> None:
    """
    [TU-02] A server that sends, closes, and is then written to answers with a
    reset: what it had sent still reaches the client, whole.
    """
    state, actions, ended = after(
        Happening.DESTINATION_ENDED, Happening.DESTINATION_RESET
    )
    assert state is State.CLOSED
    assert actions == [Action.END_CLIENT, Action.CLOSE_CLIENT]
    assert ended is Ended.DESTINATION


def test_resetWhileTheOtherFlushes() -> None:
    """[TU-02] The client's last octets are not lost because the destination resets."""
    for first in (Happening.DESTINATION_ENDED, Happening.DESTINATION_GONE):
        done = after(first, Happening.CLIENT_ENDED, Happening.DESTINATION_RESET)
        assert Action.ABORT_CLIENT not in done[1]
        assert done[2] is Ended.DESTINATION


def test_cutIsNeverClean() -> None:
    """[TU-04] What the proxy cuts off never looks complete, whatever came before."""
    for state in State:
        row = step(state, Happening.CUT, True)
        assert row.actions == (Action.ABORT_CLIENT, Action.ABORT_DESTINATION)
        assert row.state is State.CLOSED


def test_endedIsClosed() -> None:
    """The relay turns all but one reason into L{Closed} by their values."""
    named = {ended.value for ended in Ended} - {Ended.PROXY.value}
    assert named < {closed.value for closed in Closed}
    assert Ended.PROXY.value not in {closed.value for closed in Closed}


@given(st.lists(st.tuples(st.sampled_from(Happening), st.booleans()), max_size=8))
def test_everyWay(happenings: list[tuple[Happening, bool]]) -> None:
    """[T11] No way through the table leaves a leg open, or ends one twice."""
    state, done, ended = run(happenings)
    assert (ended is None) is (state is State.OPEN) is (not happenings)
    for action in (Action.END_CLIENT, Action.END_DESTINATION):
        assert done.count(action) <= 1
    for action in (Action.CLOSE_CLIENT, Action.CLOSE_DESTINATION):
        assert done.count(action) <= 1
    if state is not State.CLOSED:
        return
    happened = {happening.name for happening, _ in happenings}
    for leg in ("CLIENT", "DESTINATION"):
        names = {action.name for action in done}
        closing = {f"CLOSE_{leg}", f"ABORT_{leg}"} & names
        assert closing or {f"{leg}_GONE", f"{leg}_RESET"} & happened


@given(st.lists(st.tuples(st.sampled_from(Happening), st.booleans()), max_size=8))
def test_closedStaysClosed(happenings: list[tuple[Happening, bool]]) -> None:
    """[T11] Once closing there is no way back, and no other reason."""
    state, named = State.CLOSED, None
    for happening, canEnd in happenings:
        row = step(state, happening, canEnd)
        state = row.state
        named = named or row.ended
    assert state is State.CLOSED
    assert named is None
