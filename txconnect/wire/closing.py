"""
The end of a tunnel: a table of happenings, and of the actions that answer them.

A tunnel has two directions, and each ends by itself: a FIN says that nothing
more will come, not that nothing more is wanted (TU-03).  Passed on behind the
last octets of its direction, it leaves the other direction running.  A reset
says that octets were lost; it is passed on as a reset, because a clean end
would make what was cut short look complete (TU-04).  For the same reason what
the proxy itself cuts off is aborted.

The octets taken from one leg are delivered to the other before that one is
closed (RFC 9110, 9.3.6; TU-02): END and CLOSE wait until all pending octets are
written, ABORT drops them.  So a reset by a leg that had ended its direction
before closes the other leg and does not abort it: nothing that it sent was
lost, and a server that sends, closes, and is then written to answers just so.
In CLOSED each leg is left to flush what is pending for it, whatever becomes of
the other; the tunnel's deadline bounds that.

In OPEN:

=================  =================  ===============================  =================
Happening          New state          Actions                          Ended
=================  =================  ===============================  =================
CLIENT_ENDED       CLIENT_ENDED       END_DESTINATION                  CLIENT
DESTINATION_ENDED  DESTINATION_ENDED  END_CLIENT                       DESTINATION
CLIENT_GONE        CLOSED             CLOSE_DESTINATION                CLIENT
DESTINATION_GONE   CLOSED             CLOSE_CLIENT                     DESTINATION
CLIENT_RESET       CLOSED             ABORT_DESTINATION                CLIENT_RESET
DESTINATION_RESET  CLOSED             ABORT_CLIENT                     DESTINATION_RESET
CUT                CLOSED             ABORT_CLIENT, ABORT_DESTINATION  PROXY
=================  =================  ===============================  =================

In OPEN, where the leg that would have to be half-closed cannot be (TLS has no end
of one direction; an operator may ask to close both, as RFC 9110 words it):

=================  =================  ===============================  =================
Happening          New state          Actions                          Ended
=================  =================  ===============================  =================
CLIENT_ENDED       CLOSED             CLOSE_CLIENT, CLOSE_DESTINATION  CLIENT
DESTINATION_ENDED  CLOSED             CLOSE_CLIENT, CLOSE_DESTINATION  DESTINATION
=================  =================  ===============================  =================

In CLIENT_ENDED:

=================  =================  ===============================  =================
Happening          New state          Actions                          Ended
=================  =================  ===============================  =================
CLIENT_ENDED       CLIENT_ENDED       -                                CLIENT
DESTINATION_ENDED  CLOSED             CLOSE_CLIENT, CLOSE_DESTINATION  CLIENT
CLIENT_GONE        CLOSED             CLOSE_DESTINATION                CLIENT
DESTINATION_GONE   CLOSED             CLOSE_CLIENT                     CLIENT
CLIENT_RESET       CLOSED             CLOSE_DESTINATION                CLIENT
DESTINATION_RESET  CLOSED             ABORT_CLIENT                     DESTINATION_RESET
CUT                CLOSED             ABORT_CLIENT, ABORT_DESTINATION  PROXY
=================  =================  ===============================  =================

In DESTINATION_ENDED:

=================  =================  ===============================  =================
Happening          New state          Actions                          Ended
=================  =================  ===============================  =================
CLIENT_ENDED       CLOSED             CLOSE_CLIENT, CLOSE_DESTINATION  DESTINATION
DESTINATION_ENDED  DESTINATION_ENDED  -                                DESTINATION
CLIENT_GONE        CLOSED             CLOSE_DESTINATION                DESTINATION
DESTINATION_GONE   CLOSED             CLOSE_CLIENT                     DESTINATION
CLIENT_RESET       CLOSED             ABORT_DESTINATION                CLIENT_RESET
DESTINATION_RESET  CLOSED             CLOSE_CLIENT                     DESTINATION
CUT                CLOSED             ABORT_CLIENT, ABORT_DESTINATION  PROXY
=================  =================  ===============================  =================

In CLOSED:

=================  =================  ===============================  =================
Happening          New state          Actions                          Ended
=================  =================  ===============================  =================
CLIENT_ENDED       CLOSED             -                                -
DESTINATION_ENDED  CLOSED             -                                -
CLIENT_GONE        CLOSED             -                                -
DESTINATION_GONE   CLOSED             -                                -
CLIENT_RESET       CLOSED             -                                -
DESTINATION_RESET  CLOSED             -                                -
CUT                CLOSED             ABORT_CLIENT, ABORT_DESTINATION  -
=================  =================  ===============================  =================
"""

from __future__ import annotations

from enum import Enum

import attrs


class _Row(Enum):
    """
    The base of a row's keys.  Enum's own hash is Python's work, and each
    tunnel looks up a dozen; the members are equal to nobody else anyway.
    """

    __hash__ = object.__hash__


class Happening(_Row):
    """An event that a relay reports about a leg."""

    CLIENT_ENDED = "client-ended"
    """The client's FIN: it sends nothing more, and may still read."""
    DESTINATION_ENDED = "destination-ended"
    CLIENT_GONE = "client-gone"
    """The client's whole connection has closed, cleanly: it reads nothing more."""
    DESTINATION_GONE = "destination-gone"
    CLIENT_RESET = "client-reset"
    DESTINATION_RESET = "destination-reset"
    CUT = "cut"
    """The proxy ends it: a deadline, the operator, a tap, shutdown."""


class State(_Row):
    """The progress of a tunnel's end."""

    OPEN = "open"
    CLIENT_ENDED = "client-ended"
    DESTINATION_ENDED = "destination-ended"
    CLOSED = "closed"
    """Both legs are gone, or are flushing their last octets."""


class Action(_Row):
    """An action of the relay on a leg."""

    END_CLIENT = "end-client"
    """Send a FIN to the client behind what is pending for it."""
    END_DESTINATION = "end-destination"
    CLOSE_CLIENT = "close-client"
    """Write what is pending for the client, then close both its directions."""
    CLOSE_DESTINATION = "close-destination"
    ABORT_CLIENT = "abort-client"
    """Reset the client's connection at once; what is pending is lost."""
    ABORT_DESTINATION = "abort-destination"


class Ended(_Row):
    """
    The reason of a tunnel's end.  The first four have the same values in
    L{txconnect.values.Closed}; for the last the relay knows which one it is.
    """

    CLIENT = "client"
    DESTINATION = "destination"
    CLIENT_RESET = "client-reset"
    DESTINATION_RESET = "destination-reset"
    PROXY = "proxy"


@attrs.frozen
class Step:
    """
    A row of the table.

    @ivar state: the state from now on.
    @ivar actions: what to do, in this order.
    @ivar ended: why the tunnel ended, replacing what an earlier step said;
        L{None} when that stands.
    """

    state: State
    actions: tuple[Action, ...] = ()
    ended: Ended | None = None


def _closing(ended: Ended, *actions: Action) -> Step:
    return Step(State.CLOSED, actions, ended)


_CLOSE_BOTH = (Action.CLOSE_CLIENT, Action.CLOSE_DESTINATION)
_ABORT_BOTH = (Action.ABORT_CLIENT, Action.ABORT_DESTINATION)
_STILL_CLOSED = Step(State.CLOSED)

WITH_HALF_CLOSE = {
    (State.OPEN, Happening.CLIENT_ENDED): Step(
        State.CLIENT_ENDED, (Action.END_DESTINATION,), Ended.CLIENT
    ),
    (State.OPEN, Happening.DESTINATION_ENDED): Step(
        State.DESTINATION_ENDED, (Action.END_CLIENT,), Ended.DESTINATION
    ),
    (State.OPEN, Happening.CLIENT_GONE): _closing(
        Ended.CLIENT, Action.CLOSE_DESTINATION
    ),
    (State.OPEN, Happening.DESTINATION_GONE): _closing(
        Ended.DESTINATION, Action.CLOSE_CLIENT
    ),
    (State.OPEN, Happening.CLIENT_RESET): _closing(
        Ended.CLIENT_RESET, Action.ABORT_DESTINATION
    ),
    (State.OPEN, Happening.DESTINATION_RESET): _closing(
        Ended.DESTINATION_RESET, Action.ABORT_CLIENT
    ),
    (State.OPEN, Happening.CUT): _closing(Ended.PROXY, *_ABORT_BOTH),
    (State.CLIENT_ENDED, Happening.CLIENT_ENDED): Step(
        State.CLIENT_ENDED, (), Ended.CLIENT
    ),
    (State.CLIENT_ENDED, Happening.DESTINATION_ENDED): _closing(
        Ended.CLIENT, *_CLOSE_BOTH
    ),
    (State.CLIENT_ENDED, Happening.CLIENT_GONE): _closing(
        Ended.CLIENT, Action.CLOSE_DESTINATION
    ),
    (State.CLIENT_ENDED, Happening.DESTINATION_GONE): _closing(
        Ended.CLIENT, Action.CLOSE_CLIENT
    ),
    (State.CLIENT_ENDED, Happening.CLIENT_RESET): _closing(
        Ended.CLIENT, Action.CLOSE_DESTINATION
    ),
    (State.CLIENT_ENDED, Happening.DESTINATION_RESET): _closing(
        Ended.DESTINATION_RESET, Action.ABORT_CLIENT
    ),
    (State.CLIENT_ENDED, Happening.CUT): _closing(Ended.PROXY, *_ABORT_BOTH),
    (State.DESTINATION_ENDED, Happening.CLIENT_ENDED): _closing(
        Ended.DESTINATION, *_CLOSE_BOTH
    ),
    (State.DESTINATION_ENDED, Happening.DESTINATION_ENDED): Step(
        State.DESTINATION_ENDED, (), Ended.DESTINATION
    ),
    (State.DESTINATION_ENDED, Happening.CLIENT_GONE): _closing(
        Ended.DESTINATION, Action.CLOSE_DESTINATION
    ),
    (State.DESTINATION_ENDED, Happening.DESTINATION_GONE): _closing(
        Ended.DESTINATION, Action.CLOSE_CLIENT
    ),
    (State.DESTINATION_ENDED, Happening.CLIENT_RESET): _closing(
        Ended.CLIENT_RESET, Action.ABORT_DESTINATION
    ),
    (State.DESTINATION_ENDED, Happening.DESTINATION_RESET): _closing(
        Ended.DESTINATION, Action.CLOSE_CLIENT
    ),
    (State.DESTINATION_ENDED, Happening.CUT): _closing(Ended.PROXY, *_ABORT_BOTH),
    (State.CLOSED, Happening.CLIENT_ENDED): _STILL_CLOSED,
    (State.CLOSED, Happening.DESTINATION_ENDED): _STILL_CLOSED,
    (State.CLOSED, Happening.CLIENT_GONE): _STILL_CLOSED,
    (State.CLOSED, Happening.DESTINATION_GONE): _STILL_CLOSED,
    (State.CLOSED, Happening.CLIENT_RESET): _STILL_CLOSED,
    (State.CLOSED, Happening.DESTINATION_RESET): _STILL_CLOSED,
    (State.CLOSED, Happening.CUT): Step(State.CLOSED, _ABORT_BOTH),
}
"""The rows where the leg opposite to the one that ended can be half-closed."""

WITHOUT_HALF_CLOSE = {
    **WITH_HALF_CLOSE,
    (State.OPEN, Happening.CLIENT_ENDED): _closing(Ended.CLIENT, *_CLOSE_BOTH),
    (State.OPEN, Happening.DESTINATION_ENDED): _closing(
        Ended.DESTINATION, *_CLOSE_BOTH
    ),
}
"""The rows where it cannot be."""
