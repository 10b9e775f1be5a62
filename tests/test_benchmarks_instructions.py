"""
Counting instructions, as far as it needs neither valgrind nor a socket: what
callgrind writes, the arithmetic, the options and the papers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__, counting, instructions, units
from benchmarks.builds import buildOf, ownBuild, shownBuild
from benchmarks.callgrind import Callgrind, parseTotal, underCallgrind
from benchmarks.conditions import processor, secondCache
from benchmarks.connections import Connection
from benchmarks.counting import Counted, Span, awaitRest
from benchmarks.countreport import (
    CountRun,
    changes,
    countDocument,
    countLine,
    countPage,
    countTable,
    differences,
    worsened,
    write,
)
from benchmarks.instructions import main, options, subjects
from benchmarks.interpreter import kindOfPython, probe, treeOf
from benchmarks.peers import Peer, Setup
from benchmarks.running import Failed
from benchmarks.scheduling import ahead, mayRunAhead
from benchmarks.surcharges import PLAIN, VARIANTS, surchargePage
from benchmarks.units import UNITS, CountedLoad, Unit, shortened

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "docs" / "performance"
SHOWN = ("tunnel", "refusal")

PROFILE = """\
# callgrind format
version: 1
creator: callgrind-3.19.0
pid: 4711
cmd:  python -m txconnect
part: 3

desc: I1 cache:
desc: Trigger: Client Request: dump

positions: line
events: {events}
summary: 126199552

ob=(1) /usr/bin/python3.11
fn=(1) _PyEval_EvalFrameDefault
0 90000000
"""
TOTALS = "\ntotals: 126199552\n"


def profile(events: str = "Ir") -> str:
    """A file as callgrind writes it."""
    return PROFILE.format(events=events) + TOTALS


# --- callgrind


def test_total() -> None:
    """The sum at the end of the file."""
    assert parseTotal(profile()) == 126_199_552


@pytest.mark.parametrize(
    "text",
    [
        "",
        PROFILE.format(events="Ir"),  # still being written
        profile("Ir Dr Dw"),
        profile("Bc"),
    ],
)
def test_noTotalIsGuessed(text: str) -> None:
    """Half a file, or a count of something else, is an error and no number."""
    with pytest.raises(ValueError, match=r"total|instructions"):
        parseTotal(text)


def _setup(program: str, home: Path, port: int) -> Setup:
    files = {home / "it.conf": "its configuration"}
    return Setup((program, str(port)), files, environment={"A": "1"}, user="nobody")


def test_startedByCallgrind(tmp_path: Path) -> None:
    """
    The proxy's own command behind valgrind's, all that it needs kept, and
    hashes of strings the same in each run.
    """
    peer = underCallgrind(Peer("it", "it", _setup), "/usr/bin/valgrind")
    plain, wrapped = _setup("it", tmp_path, 4711), peer.setup("it", tmp_path, 4711)
    assert wrapped.command[0] == "/usr/bin/valgrind"
    assert wrapped.command[-2:] == plain.command
    own = wrapped.command[1:-2]
    assert "--tool=callgrind" in own
    assert all(word.startswith("--") for word in own)
    assert (wrapped.files, wrapped.user) == (plain.files, plain.user)
    assert wrapped.environment["A"] == "1"
    assert wrapped.environment["PYTHONHASHSEED"] == "0"


def answering(home: Path, *texts: str) -> Callable[..., None]:
    """C{vgdb} to a callgrind that writes these files, one after the other."""
    left = list(enumerate(texts, 1))

    def tell(*words: str) -> None:
        if words == ("dump",):
            number, text = left.pop(0)
            (home / f"callgrind.out.{number}").write_text(text)

    return tell


def test_eachDumpIsReadOnce(tmp_path: Path) -> None:
    """The files are numbered, and removed as soon as they are read."""
    second = profile().replace("126199552", "7")
    callgrind = Callgrind(tmp_path, 1, answering(tmp_path, profile(), second))
    callgrind.begin()
    assert [callgrind.take(), callgrind.take()] == [126_199_552, 7]
    assert list(tmp_path.iterdir()) == []


def test_missingDumpFails(tmp_path: Path) -> None:
    """A callgrind that wrote nothing, or half a file, makes no figure."""
    with pytest.raises(Failed, match="callgrind"):
        Callgrind(tmp_path, 1, lambda *_: None).take()
    half = answering(tmp_path, PROFILE.format(events="Ir"))
    with pytest.raises(Failed, match="total"):
        Callgrind(tmp_path, 1, half).take()


# --- units


class Instant(Connection):
    """A connection that has done its unit at once."""

    def begin(self) -> None:
        self.began = 0.0
        self.repeat()

    def repeat(self) -> None:
        self.finished()
        self.load.again(self)

    def close(self) -> None:
        """It has no socket."""


def instantLoad(concurrency: int = 4) -> CountedLoad:
    """A load that needs no proxy."""
    unit = Unit("instant", Instant, concurrency, 16)
    return CountedLoad(("127.0.0.1", 1), unit, 2)


def test_doesAsManyAsItIsTold() -> None:
    """One for each connection before it counts, and then exactly so many."""
    load = instantLoad()
    load.prepare()
    assert len(load.times) == 4
    for count in (4, 16, 5):
        load.do(count)
        assert len(load.times) == count


def test_tooFewIsNoCount(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that hangs does not make a window cheap."""
    monkeypatch.setattr(units, "LIMIT", 0.0)
    load = CountedLoad(("127.0.0.1", 1), Unit("x", Instant, 1, 1), 2)
    with pytest.raises(Failed, match="x: only 0 of 2 done"):
        load.do(2)


def test_firstErrorEnds() -> None:
    """A count with an error in it is none."""
    with pytest.raises(Failed, match="instant: answered 503"):
        instantLoad().failed("answered 503")


def test_refusalsAskForThePortThatIsRefused() -> None:
    """The others ask for the destination."""
    heads = {
        unit.name: CountedLoad(("127.0.0.1", 1), unit, 4711).request for unit in UNITS
    }
    assert heads.pop("refusal").startswith(b"CONNECT 127.0.0.1:9 ")
    assert all(head.startswith(b"CONNECT 127.0.0.1:4711 ") for head in heads.values())


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_windowsAreLargeEnough(unit: Unit) -> None:
    """Each connection has something to do, in a quick run as well."""
    for one, effort in ((unit, counting.FULL), (shortened(unit), counting.QUICK)):
        assert 0 < one.concurrency <= min(one.count, effort.warming)


# --- counting


def test_collectionOfGarbageIsAPartOfTheCost() -> None:
    """The mean of the windows, in which a dear one counts."""
    one = Counted("a", "refusal", 100, (1000, 1000, 4000))
    assert one.each == 20
    assert one.eachByWindow == [10, 10, 40]
    assert one.spread == pytest.approx(1.5)


def test_idleInstructionsAreTakenOff() -> None:
    """A window that takes longer, on a busy machine, costs no more for that."""
    idle = Span(900, 3.0)
    assert idle.rate == 300
    quick, slow = Span(10_600, 2.0), Span(11_500, 5.0)
    assert quick.without(idle.rate) == slow.without(idle.rate) == 10_000


def looks(*seen: str) -> tuple[list[int], Callable[[int], bool]]:
    """A C{sleeps} that sees these states, and who was looked at."""
    asked: list[int] = []
    left = list(seen)

    def sleeps(pid: int) -> bool:
        asked.append(pid)
        return (left.pop(0) if left else "S") == "S"

    return asked, sleeps


@pytest.mark.parametrize("seen", [(), ("R",), ("S", "R", "S", "S", "R")])
def test_restIsSeenSeveralTimesInARow(
    seen: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was busy in between has to be quiet from the beginning."""
    asked, sleeps = looks(*seen)
    monkeypatch.setattr(counting, "sleeps", sleeps)
    monkeypatch.setattr(counting, "PAUSE", 0)
    awaitRest((1, 2, 1))
    assert asked[-3 * counting.LOOKS :] == [1, 2, 1] * counting.LOOKS
    assert len(asked) > 3 * counting.LOOKS or not seen


def test_noRestFails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that spins is not waited for without end."""
    monkeypatch.setattr(counting, "sleeps", lambda pid: False)
    monkeypatch.setattr(counting, "RESTING", 0.0)
    monkeypatch.setattr(counting, "PAUSE", 0)
    with pytest.raises(Failed, match="rest"):
        awaitRest((1,))


# --- ahead of other processes


@pytest.fixture
def scheduled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool, int]]:
    """Of each process: its id, C{True} for real time, and its priority."""
    asked: list[tuple[int, bool, int]] = []

    def setScheduler(pid: int, policy: int, given: Any) -> None:
        asked.append((pid, bool(policy & os.SCHED_FIFO), given.sched_priority))
        assert policy in (os.SCHED_OTHER, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK)

    monkeypatch.setattr(os, "sched_setscheduler", setScheduler)
    return asked


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these")
def test_loadRunsAheadForAWhile(scheduled: list[tuple[int, bool, int]]) -> None:
    """Back to usual at the end, also after an error."""
    with pytest.raises(Failed), ahead((1, 2)):
        assert scheduled == [(1, True, 1), (2, True, 1)]
        raise Failed
    assert scheduled[2:] == [(1, False, 0), (2, False, 0)]
    assert mayRunAhead()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these")
def test_onlyRootMayRunAhead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others count without."""

    def refuse(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert not mayRunAhead()


# --- the interpreter and the tree


@pytest.mark.parametrize(
    ("program", "debian", "expected"),
    [
        ("/usr/bin/python3.11", True, "Debian's python3.11"),
        ("/usr/bin/python3.11", False, "the system's python3.11"),
        ("/usr/local/bin/python3.12", True, "a python3.12 of another build"),
        ("/opt/python/bin/python3.12", False, "a python3.12 of another build"),
    ],
)
def test_kindOfPython(program: str, debian: bool, expected: str) -> None:
    """It tells who built it, and no directory of the machine."""
    assert kindOfPython(program, debian) == expected


def test_probe(tmp_path: Path) -> None:
    """This Python runs this tree; a directory without a tree is an error."""
    found = probe(sys.executable, ROOT)
    assert found.version == sys.version.split()[0]
    assert Path(found.source) == ROOT / "txconnect" / "__init__.py"
    with pytest.raises(Failed, match="Python"):
        probe(sys.executable, tmp_path)


def test_treeWithoutGit(tmp_path: Path) -> None:
    """A tree that was unpacked has no commit."""
    assert treeOf(tmp_path) == ""


# --- the options


def test_options() -> None:
    """All of both by default; C{--quick} is one small window."""
    chosen = options([])
    assert chosen.proxies == ["txconnect", "squid"]
    assert chosen.units == UNITS
    assert (chosen.checkout, chosen.python) == (ROOT, sys.executable)
    assert chosen.output is None
    quick = options(["--quick", "--units", "refusal,tunnel", "--docs"])
    assert [unit.name for unit in quick.units] == ["tunnel", "refusal"]
    assert quick.output == ROOT / "docs" / "performance"
    assert quick.effort == counting.QUICK
    assert options(["--windows", "9"]).effort.windows == 9
    assert quick.units[0].count < UNITS[0].count


@pytest.mark.parametrize(
    "arguments",
    [
        ["--proxies", "goproxy"],
        ["--units", "sideways"],
        ["--windows", "0"],
        ["--checkout", "/nowhere"],
        ["--against", "/nowhere.json"],
        ["--seconds", "3"],
    ],
)
def test_badOptions(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A word that is not known is a line and a status, and no other run."""
    with pytest.raises(SystemExit) as stopped:
        options(arguments)
    assert stopped.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_isACommandOfTheBenchmarks() -> None:
    """C{python -m benchmarks instructions --help} works from the checkout."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "instructions", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--checkout" in done.stdout and done.stderr == ""


def test_withoutValgrind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine without it is told so, through either command."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert main([]) == 1
    assert __main__.main(["instructions"]) == 1
    assert capsys.readouterr().err.count("valgrind") == 2


def test_bothRefuseLowPorts(tmp_path: Path) -> None:
    """The same ports for both; ours from the tree that is asked for."""
    ours, theirs = subjects(tmp_path)
    setup = ours.setup("python", tmp_path, 4711)
    assert "ports:1024-65535" in setup.command
    assert setup.environment["PYTHONPATH"] == str(tmp_path)
    [text] = theirs.setup("squid", tmp_path, 4711).files.values()
    assert "port 1024-65535" in text


# --- the papers


def aRun(*counted: Counted, proxies: Sequence[str] = ("txconnect", "squid")) -> Any:
    """A run of tunnels and refusals."""
    conditions = {
        "date": "2026-01-02",
        "tree": "0123456789ab",
        "machine": "a machine",
        "l2": "512K",
        "python": {
            "version": "3.11.2",
            "program": "Debian's python3.11",
            "build": {"configure": [], "opt": "-g -O2", "pgo": True, "lto": False},
        },
        "twisted": "26.10.0",
        "valgrind": "3.19.0",
        "windows": 2,
        "reference": "squid",
        "versions": {"squid": "5.7", "txconnect": "26.1.0"},
    }
    kinds = tuple(unit for unit in UNITS if unit.name in ("tunnel", "refusal"))
    return CountRun(conditions, tuple(proxies), kinds, counted)


@pytest.fixture
def run() -> CountRun:
    """Two proxies, of which one was not counted in full."""
    return aRun(
        Counted("txconnect", "tunnel", 100, (50_000_000, 49_000_000)),
        Counted("txconnect", "refusal", 100, (60_000_000, 60_000_000), 1234.4),
        Counted("squid", "tunnel", 100, (20_000_000, 19_600_000)),
    )


def test_table(run: CountRun) -> None:
    """Counts, ratios, spreads; what was not counted is not a number."""
    lines = [line.split() for line in countTable(run).splitlines()]
    assert lines[0] == ["instructions", "txconnect", "squid"]
    assert ["tunnel", "495,000", "198,000"] in lines
    assert ["tunnel", "2.50", "1.00"] in lines
    assert ["tunnel", "2.02%", "2.02%"] in lines
    assert ["refusal", "600,000", "–"] in lines
    assert ["change", "txconnect", "squid"] not in lines


def test_changeSinceAnEarlierRun(run: CountRun) -> None:
    """Before and after, as far as both have it."""
    before = Counted("txconnect", "tunnel", 10, (5_500_000,))
    earlier = json.loads(json.dumps(countDocument(aRun(before))))
    found = changes(run, earlier)
    assert found == {("txconnect", "tunnel"): pytest.approx(-0.1)}
    text = countTable(run, earlier)
    assert ["tunnel", "-10.00%", "–"] in [line.split() for line in text.splitlines()]
    assert "Not comparable" not in text


def test_whatCannotBeCompared(run: CountRun) -> None:
    """Another Python and another number at a time are said."""
    earlier = json.loads(json.dumps(countDocument(run)))
    assert differences(run, earlier) == []
    earlier["conditions"]["python"]["program"] = "a python3.11 of another build"
    earlier["units"]["tunnel"]["at_a_time"] = 8
    assert differences(run, earlier) == ["python", "tunnel"]
    assert "Not comparable, as these differ: python, tunnel" in countTable(run, earlier)


def test_worseThanKept(run: CountRun) -> None:
    """More than three parts in a hundred are said; so is what was not counted."""
    less = Counted("txconnect", "tunnel", 100, (48_100_000,))
    more = Counted("txconnect", "tunnel", 100, (47_900_000,))
    lines = [
        worsened(run, json.loads(json.dumps(countDocument(aRun(one)))), "txconnect")
        for one in (less, more)
    ]
    unknown = "refusal: not counted in both runs"
    assert lines == [[unknown], ["tunnel: +3.34%, more than 3%", unknown]]


def checked(run: CountRun, kept: CountRun, monkeypatch: pytest.MonkeyPatch) -> int:
    """The status of C{--check} for a run, beside a kept one in C{kept.json}."""
    Path("kept.json").write_text(json.dumps(countDocument(kept)))
    monkeypatch.setattr(instructions, "probe", lambda *_: None)
    monkeypatch.setattr(instructions, "_run", lambda *_: run)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    return main(["--check", "--against", "kept.json"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has valgrind's counts")
def test_checkFailsWhenWorse(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Status 1 for a worse figure of ours, and for what cannot be compared."""
    monkeypatch.chdir(tmp_path)

    def both(instructions: int) -> CountRun:
        counts = (Counted("txconnect", n, 1, (instructions,)) for n in SHOWN)
        return aRun(*counts, Counted("squid", "tunnel", 1, (instructions * 9,)))

    assert checked(both(102), both(100), monkeypatch) == 0
    assert checked(both(90), both(100), monkeypatch) == 0
    assert "WORSE" not in capsys.readouterr().out
    assert checked(both(104), both(100), monkeypatch) == 1
    said = capsys.readouterr().out
    assert "WORSE: txconnect, tunnel: +4.00%, more than 3%" in said
    assert "WORSE: squid" not in said
    other = both(100)
    other.conditions["valgrind"] = "3.20.0"
    assert checked(both(100), other, monkeypatch) == 1
    assert "cannot be compared, as these differ: valgrind" in capsys.readouterr().out


def test_checkTakesTheKeptRun() -> None:
    """Where no other is named."""
    assert options(["--check"]).against == KEPT / "instructions.json"
    both = options(["--check", "--surcharges"])
    assert both.against == KEPT / "surcharges.json"


# --- the surcharges


def test_surchargesAreOptions() -> None:
    """They take the place of the proxies; the reference is the plain one."""
    chosen = options(["--surcharges"])
    assert chosen.proxies == list(VARIANTS)
    assert [unit.name for unit in chosen.units] == ["tunnel", "trip"]
    assert chosen.reference == PLAIN
    some = options(["--surcharges", "--proxies", "plain,tap", "--units", "alone"])
    assert (some.proxies, some.units[0].name) == (["plain", "tap"], "alone")
    with pytest.raises(SystemExit):
        options(["--surcharges", "--proxies", "squid"])


def test_surchargePage(run: CountRun) -> None:
    """A row for each, with what is asked of the proxy."""
    run.conditions["reference"] = PLAIN
    counted = (
        Counted(PLAIN, "tunnel", 1, (100,)),
        Counted("tap", "tunnel", 1, (130,)),
    )
    kinds = run.units[:1]
    text = surchargePage(CountRun(run.conditions, (PLAIN, "tap"), kinds, counted))
    assert '"nothing more","100","1.00"' in text
    assert '"``--tap``, one that stays and only looks","130","1.30"' in text


def test_requestsHaveFurtherFields() -> None:
    """The fields of a proxy are in each head that asks it for a tunnel."""
    load = CountedLoad(("127.0.0.1", 1), UNITS[0], 7, "X: y\r\n")
    assert load.request.endswith(b"\r\nX: y\r\n\r\n")


# --- the Python and the machine


def test_buildSaysItsOptimizations() -> None:
    """The flags are kept without paths; what they do not say is not claimed."""
    told = buildOf(
        {
            "CONFIG_ARGS": "'--prefix=/usr' '--enable-optimizations' '--with-lto=thin'"
            " '--with-wheel-pkg-dir=/usr/share' 'CFLAGS=-I/usr/include'",
            "OPT": "-DNDEBUG -O3 -Wall",
        }
    )
    assert told == {
        "configure": ["--enable-optimizations", "--with-lto=thin"],
        "opt": "-DNDEBUG -O3 -Wall",
        "pgo": True,
        "lto": True,
    }
    assert shownBuild(told) == "-O3, PGO and LTO by its flags"
    bare = buildOf({"CONFIG_ARGS": None, "OPT": ""})
    assert shownBuild(bare) == "no -O, neither PGO nor LTO by its flags"
    assert set(ownBuild()) == set(told)


def test_machineIsNamed(tmp_path: Path) -> None:
    """The processor with its family, and the second-level cache of a core."""
    text = "model\t: 17\nmodel name\t: AMD EPYC\ncpu family\t: 25\n\nmodel name\t: X"
    assert processor(text) == "AMD EPYC (family 25, model 17)"
    assert processor("Processor: v8\n") == ""
    for index, level in enumerate(("1", "2")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "level").write_text(level + "\n")
        (tmp_path / f"index{index}" / "size").write_text(f"{index + 1}K\n")
    assert secondCache(tmp_path) == "2K"
    assert secondCache(tmp_path / "none") == ""


def test_document(run: CountRun) -> None:
    """The JSON has every window."""
    read = json.loads(json.dumps(countDocument(run)))
    cost = read["figures"]["txconnect"]["tunnel"]
    assert cost == {
        "instructions": 495_000,
        "ratio_to_squid": 2.5,
        "spread": 0.0202,
        "windows": [500_000, 490_000],
        "idle_a_second": 0,
    }
    refusal = read["figures"]["txconnect"]["refusal"]
    assert (refusal["idle_a_second"], refusal["ratio_to_squid"]) == (1234, None)
    assert read["units"]["refusal"]["at_a_time"] == 64


def test_page(run: CountRun) -> None:
    """The table of the documentation names versions, the tree and the Python."""
    text = countPage(run)
    assert '"","unit","txconnect 26.1.0","squid 5.7","ratio"' in text
    assert '64 at a time","495,000","198,000","2.50"' in text
    assert ":Tree: 0123456789ab" in text
    assert "Debian's python3.11 (-O2, PGO by its flags); Twisted" in text
    assert ":Machine: a machine; L2 512K" in text
    assert '"","unit"\n' in countPage(aRun(proxies=()))


def test_line(run: CountRun) -> None:
    """For whoever waits."""
    assert "495,000 instructions" in countLine(run.counted[0])


def test_written(run: CountRun, tmp_path: Path) -> None:
    """The JSON and the page."""
    write(run, tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["instructions.inc", "instructions.json"]


def test_keptRunIsWhole() -> None:
    """The documentation's run counted everything, and its page is made of it."""
    kept = json.loads((ROOT / "docs/performance/instructions.json").read_text("utf-8"))
    assert kept["failed"] == {}
    page = (ROOT / "docs/performance/instructions.inc").read_text("utf-8")
    for figures in kept["figures"].values():
        assert set(figures) == {unit.name for unit in UNITS}
        for figure in figures.values():
            assert f'"{figure["instructions"]:,}"' in page
