"""[F22] Lost lines are counted, and the count is the next line."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, strategies as st

from txconnect.observers.countedlines import CountedLines


@attrs.define
class Scripted:
    """An output that takes lines, refuses them, or loses them later."""

    taken: list[bytes] = attrs.Factory(list)
    refuses: str = ""
    losesLater: bool = False
    failures: int = 0
    failed: int = 0
    untold: int = 0
    broken: bool = False
    reason: str = ""
    closed: bool = False

    def write(self, line: bytes, counts: int = 0) -> None:
        if self.refuses:
            raise OSError(self.refuses)
        if not self.losesLater:
            self.broken = False
            self.taken.append(line)
            return
        self.broken, self.reason = True, "gone"
        self.failures += 1
        if counts:
            self.untold += counts
        else:
            self.failed += 1

    def close(self) -> None:
        self.closed = True


class Rig:
    """Lines, and what is said of their losses."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self.output = Scripted()
        self.lines = CountedLines(
            lambda lost: b"lost %d\n" % lost, self.said.append, self.said.append
        )
        self.lines.useOutput(self.output)


def test_theCountIsTheNextLine() -> None:
    """[F22] It stands where the lines are missing, and is told once."""
    rig = Rig()
    rig.lines.write(b"1\n")
    rig.output.refuses = "full"
    assert not rig.lines.write(b"2\n")
    assert not rig.lines.write(b"3\n")
    rig.output.refuses = ""
    assert rig.lines.write(b"4\n")
    assert rig.lines.write(b"5\n")
    assert rig.output.taken == [b"1\n", b"lost 2\n", b"4\n", b"5\n"]
    assert rig.said == ["full", 2]
    assert (rig.lines.lost, rig.lines.reason) == (2, "full")


def test_lossesThatComeLate() -> None:
    """[F22] Lines that a thread has lost are counted, the notes' own counts not twice."""
    rig = Rig()
    rig.output.losesLater = True
    for number in range(5):
        rig.lines.write(b"%d\n" % number)
    assert rig.said == ["gone"], "told once, though lines are accepted again and again"
    rig.output.losesLater = False
    rig.lines.write(b"a\n")
    assert rig.output.taken == [b"lost 5\n", b"a\n"]
    rig.lines.write(b"b\n")
    assert rig.output.taken == [b"lost 5\n", b"a\n", b"b\n"]
    assert rig.said == ["gone", 5]
    assert rig.lines.lost == 5


def test_aNoteThatIsLostIsToldAgain() -> None:
    """[F22] Also when nothing else is lost with it."""
    rig = Rig()
    rig.output.refuses = "full"
    rig.lines.write(b"1\n")
    rig.output.refuses, rig.output.losesLater = "", True
    assert rig.lines.works() or rig.output.broken
    rig.output.losesLater = False
    assert rig.lines.write(b"2\n")
    assert rig.output.taken == [b"lost 1\n", b"2\n"]


def test_works() -> None:
    """After a loss, the count itself is the attempt."""
    rig = Rig()
    assert rig.lines.works()
    rig.output.refuses = "full"
    assert rig.lines.works(), "nothing is known of it before a line is lost"
    rig.lines.write(b"1\n")
    assert not rig.lines.works()
    assert rig.said == ["full"]
    rig.output.refuses = ""
    assert rig.lines.works()
    assert rig.output.taken == [b"lost 1\n"]
    rig.output.losesLater = True
    rig.lines.write(b"2\n")
    assert not rig.lines.works()
    rig.output.losesLater = False
    rig.lines.works()
    assert rig.lines.works()


def test_withoutAnOutput() -> None:
    """Lines without an output are lost like others, and told in the next output."""
    rig = Rig()
    assert rig.lines.useOutput(None) is rig.output
    assert not rig.lines.works()
    assert not rig.lines.write(b"1\n")
    second = Scripted()
    assert rig.lines.useOutput(second) is None
    assert rig.lines.write(b"2\n")
    assert second.taken == [b"lost 1\n", b"2\n"]
    assert rig.said == ["it is not open", 1]


def test_lossesOfTheOutputBefore() -> None:
    """What a replaced output has lost is counted when it is replaced."""
    rig = Rig()
    rig.output.losesLater = True
    rig.lines.write(b"1\n")
    second = Scripted()
    rig.lines.useOutput(second)
    rig.lines.write(b"2\n")
    assert second.taken == [b"lost 1\n", b"2\n"]


@given(st.lists(st.sampled_from(["write", "refuse", "lose", "heal"])))
def test_nothingIsUncounted(steps: list[str]) -> None:
    """[F22] Lines taken and lines lost are always all lines, and notes add up to the loss."""
    rig, count = Rig(), 0
    for step in (*steps, "heal", "write", "write"):
        if step == "write":
            rig.lines.write(b"line\n")
            count += 1
        rig.output.refuses = {"refuse": "no", "heal": ""}.get(step, rig.output.refuses)
        if step in ("lose", "heal"):
            rig.output.losesLater = step == "lose"
    told = [int(line.split()[1]) for line in rig.output.taken if line != b"line\n"]
    taken = rig.output.taken.count(b"line\n")
    assert taken + rig.lines.lost == count
    assert sum(told) == rig.lines.lost
    assert rig.lines.works()


def test_silentByDefault() -> None:
    """Who has nobody to tell, as the program's own log, tells nobody."""
    output = Scripted(refuses="full")
    lines = CountedLines(lambda lost: b"%d\n" % lost)
    lines.useOutput(output)
    assert not lines.write(b"1\n")
    output.refuses = ""
    assert lines.write(b"2\n")
    assert output.taken == [b"1\n", b"2\n"]


@pytest.mark.parametrize("error", [OSError("words"), OSError(28, "No space")])
def test_reasons(error: OSError) -> None:
    """The reason is the system's words, without its number."""

    class Failing(Scripted):
        def write(self, line: bytes, counts: int = 0) -> None:
            raise error

    said: list[str] = []
    lines = CountedLines(lambda lost: b"", said.append)
    lines.useOutput(Failing())
    lines.write(b"1\n")
    assert said == [error.strerror or "words"]
