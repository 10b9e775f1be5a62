"""
Real-time priority for the load and the destinations.

A proxy under callgrind is some fifty times slower than its load, so that all
its turns are full: unless the load is kept waiting by other processes of the
machine.  Then the proxy catches up with it, and more and emptier turns cost
more instructions a round trip.  Ahead of all others, the load never waits.  It
sleeps most of the time, so that others do not notice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

__all__ = ["ahead", "mayRunAhead"]

_LEAST = 1
"""The lowest of the real-time priorities is above all usual ones."""


@contextmanager
def ahead(pids: Sequence[int]) -> Iterator[None]:
    """
    Run these processes ahead of all others while the context lasts, but not
    the processes that they start.

    @raise PermissionError: only root may do that.
    """
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    for pid in pids:
        os.sched_setscheduler(pid, policy, os.sched_param(_LEAST))
    try:
        yield
    finally:
        for pid in pids:
            os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


def mayRunAhead() -> bool:
    """Find out if this process is allowed to."""
    try:
        with ahead((os.getpid(),)):
            return True
    except PermissionError:
        return False
