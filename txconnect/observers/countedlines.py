"""
Lines of a log, of which the lost ones are counted.

A log that cannot be written holds up nothing: its lines are lost.  The next line that
can be written is the count of those that are lost, ahead of the line itself, so that
whoever reads the log sees where something is missing, and how much.  The beginning and
the end of an outage are told once each, as a message for each lost line would flood
another log.
"""

from __future__ import annotations

from collections.abc import Callable

from txconnect.observers.outputs import Output

__all__ = ["CountedLines"]


class CountedLines:
    """
    A writer of lines to one output, which may be replaced.

    @ivar lost: the number of lines lost since the start.
    @ivar reason: the reason for the last loss, in words.
    """

    def __init__(
        self,
        note: Callable[[int], bytes],
        stopped: Callable[[str], object] = lambda reason: None,
        resumed: Callable[[int], object] = lambda lost: None,
    ) -> None:
        """
        @param note: makes the line that tells a number of lost lines.
        @param stopped: called with the reason, when the first line of an outage is
            lost.
        @param resumed: called when lines are written again, with the number of those
            lost meanwhile.
        """
        self.lost = 0
        self.reason = ""
        self._note = note
        self._stopped = stopped
        self._resumed = resumed
        self._output: Output | None = None
        # The output's numbers of failures that are counted here already.
        self._failures = 0
        self._failed = 0
        self._untoldBefore = 0
        # Lost lines that no note has told yet, and those of the whole outage.
        self._untold = 0
        self._outage = 0

    def useOutput(self, output: Output | None) -> Output | None:
        """
        Write to another output from now on, or to none.

        @return: the one before, not closed.
        """
        before = self._output
        if before is not None:
            self._countLate(before)
        self._output = output
        self._failures = self._failed = self._untoldBefore = 0
        return before

    def write(self, line: bytes) -> bool:
        """
        Write a line, behind the count of those lost ahead of it.

        @return: whether it is written, or accepted for writing.
        """
        output = self._output
        if output is None:
            self._lose(1, "it is not open")
            return False
        if self._outage or output.failures != self._failures:
            self._tellLoss(output)
        try:
            output.write(line)
        except OSError as error:
            self._lose(1, error.strerror or str(error))
            return False
        return True

    def works(self) -> bool:
        """Tell whether lines can be written; after a loss, try by its count."""
        output = self._output
        if output is None:
            self.reason = "it is not open"
            return False
        if self._outage or output.failures != self._failures:
            self._tellLoss(output)
        return not (self._outage or output.broken)

    def _tellLoss(self, output: Output) -> None:
        """Write the count, and end the outage when the output is whole again."""
        self._countLate(output)
        if self._untold:
            try:
                output.write(self._note(self._untold), self._untold)
            except OSError as error:
                self.reason = error.strerror or str(error)
                return
            self._untold = 0
        if self._outage and not output.broken:
            lost, self._outage = self._outage, 0
            self._resumed(lost)

    def _countLate(self, output: Output) -> None:
        """Count what was accepted and lost later; notes among it are due again."""
        self._failures = output.failures
        late, self._failed = output.failed - self._failed, output.failed
        again, self._untoldBefore = output.untold - self._untoldBefore, output.untold
        self._untold += again
        if late:
            self._lose(late, output.reason)

    def _lose(self, lines: int, reason: str) -> None:
        begins = not self._outage
        self.lost += lines
        self._untold += lines
        self._outage += lines
        self.reason = reason
        if begins:
            self._stopped(reason)
