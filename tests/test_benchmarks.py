"""
The benchmarks' arithmetic and papers.  What they measure is no test's
business: no assertion here is about time.
"""

from __future__ import annotations

import ast
import json
import os
import pwd
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import lists
from benchmarks.__main__ import options, works
from benchmarks.chart import axis, chart
from benchmarks.connections import Connection, isComplete, statusOf
from benchmarks.figures import (
    COLUMNS,
    Column,
    Measured,
    figure,
    percentile,
    problems,
    ratio,
    saturated,
    spread,
)
from benchmarks.load import GaveUp, Load
from benchmarks.measuring import Cores, Rounds, Work
from benchmarks.peers import PEERS, Peer, Setup, found, squid, txconnect, versionOf
from benchmarks.procfs import (
    Process,
    Tree,
    members,
    parsePss,
    parseStat,
    parseState,
    sleeps,
)
from benchmarks.report import Run, document, line, pages, table, write
from benchmarks.running import asUser, prepare

ROOT = Path(__file__).parent.parent
STAT = (
    "{pid} ({name}) S {parent} {session} {session} 0 -1 4194560 1 2 3 4"
    " {user} {system} {waitedUser} {waitedSystem} 20 0 1 0 100 1000 200\n"
)


def stat(pid: int, parent: int, session: int, **more: Any) -> str:
    """A line as Linux writes it."""
    given = {"name": "proxy", "user": 0, "system": 0, "waitedUser": 0}
    return STAT.format(
        pid=pid,
        parent=parent,
        session=session,
        **{**given, "waitedSystem": 0, **more},
    )


def column(key: str) -> Column:
    """The column of that key."""
    return next(column for column in COLUMNS if column.key == key)


# --- the package


def importedBenchmarks(path: Path) -> Iterator[str]:
    """The modules of the package that a module imports, for types or not."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            package, _, module = node.module.partition(".")
            if package == "benchmarks":
                yield from [module] if module else [name.name for name in node.names]


def test_noCircleOfImports() -> None:
    """Each module can be read after those that it imports."""
    modules = (ROOT / "benchmarks").glob("*.py")
    graph = {path.stem: set(importedBenchmarks(path)) for path in modules}
    assert "load" in graph["target"]
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("connections") < order.index("load")


# --- /proc


@pytest.mark.parametrize("name", ["proxy", "a b", "x) S 1 (y", "(sd-pam)"])
def test_statIsReadBehindTheName(name: str) -> None:
    """The name may hold what the fields are divided by."""
    text = stat(7, 3, 5, name=name, user=1, system=20, waitedUser=300)
    assert parseStat(text) == Process(pid=7, parent=3, session=5, ticks=321)
    assert parseState(text) == "S"


def test_endedChildrenCount() -> None:
    """What a child used moves to its parent when the child is waited for."""
    assert parseStat(stat(7, 3, 5, waitedUser=4, waitedSystem=5)).ticks == 9


def test_treeHoldsDescendantsAndSession() -> None:
    """A process whose parent has left is found by its session."""
    processes = [
        Process(1, 0, 1, 0),
        Process(10, 1, 10, 0),
        Process(12, 11, 10, 0),
        Process(11, 10, 10, 0),
        Process(13, 1, 10, 0),  # its parent has left
        Process(14, 13, 14, 0),  # a session of its own, by a child
        Process(20, 1, 20, 0),
    ]
    random.Random(3).shuffle(processes)
    assert {one.pid for one in members(10, processes)} == {10, 11, 12, 13, 14}


def test_treeAddsUp(tmp_path: Path) -> None:
    """CPU and memory of all in the tree, of nobody else; entries that are no
    process, and one that ends just then, do no harm."""
    for pid, parent, user, pss in ((10, 1, 150, 64), (11, 10, 50, 36), (20, 1, 7, 9)):
        home = tmp_path / str(pid)
        home.mkdir()
        (home / "stat").write_text(
            stat(pid, parent, 20 if pid == 20 else 10, user=user)
        )
        (home / "smaps_rollup").write_text(
            f"Rss: 999 kB\nPss:   {pss} kB\nPss_Dirty: 1 kB\n"
        )
    (tmp_path / "self").mkdir()
    (tmp_path / "30").mkdir()
    tree = Tree(10, tmp_path)
    ticks = tree.cpu() * os.sysconf("SC_CLK_TCK")
    assert round(ticks) == 200
    assert tree.memory() == 100 * 1024


def test_pssIsNotGuessed() -> None:
    """A kernel that does not tell is an error, and no proxy of 0 octets."""
    with pytest.raises(ValueError, match="Pss"):
        parsePss("Rss: 1 kB\n")


def test_whoIsKeptWaitingDoesNotSleep(tmp_path: Path) -> None:
    """On a busy machine a process that has work may not run; it is not at rest."""
    for pid, state in ((10, "S"), (11, "R"), (12, "T")):
        (tmp_path / str(pid)).mkdir()
        line = stat(pid, 1, pid).replace(") S ", f") {state} ")
        (tmp_path / str(pid) / "stat").write_text(line)
    assert [sleeps(pid, tmp_path) for pid in (10, 11, 12)] == [True, False, False]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this /proc")
def test_ownProcessIsFound() -> None:
    """The real C{/proc} is read the same way."""
    own = os.getpid()
    assert own in Tree(own).pids()
    assert Tree(own).memory() > 0


# --- figures


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, 0.0),
        ([5.0], 99, 5.0),
        ([1.0, 2.0], 50, 1.0),
        ([1.0, 2.0, 3.0], 50, 2.0),
        ([float(n) for n in range(1, 101)], 50, 50.0),
        ([float(n) for n in range(1, 101)], 99, 99.0),
        ([float(n) for n in range(1, 101)], 100, 100.0),
        ([float(n) for n in range(1, 102)], 99, 100.0),
        ([1.0, 2.0], 0, 1.0),
    ],
)
def test_percentile(values: list[float], percent: float, expected: float) -> None:
    """The nearest rank, and always a value that was measured."""
    assert percentile(values, percent) == expected


def sample(proxy: str, round: int, cpu: float, **more: Any) -> Measured:
    """One second of a thousand tunnels."""
    given: dict[str, Any] = {"seconds": 1.0, "done": 1000, "p50": 0.002, "p99": 0.005}
    return Measured(proxy, round, "tunnel", cpu=cpu, **{**given, **more})


def test_units() -> None:
    """Each column in its unit."""
    bulk: dict[str, Any] = {"seconds": 2.0, "cpu": 1.0, "octets": 1 << 29}
    shown = {
        "cpu_us_tunnel": sample("a", 1, 0.25),
        "tunnels_s": sample("a", 1, 0.25, seconds=2.0),
        "tunnel_p99_ms": sample("a", 1, 0.25),
        "cpu_us_trip": Measured("a", 1, "trip", 1.0, 0.5, done=50_000),
        "cpu_s_gib_down": Measured("a", 1, "down", **bulk),
        "cpu_s_gib_up": Measured("a", 1, "up", **bulk),
        "kib_idle": Measured("a", 1, "idle", 1.0, open=4, memory=8192),
    }
    values = {key: column(key).value(one) for key, one in shown.items()}
    assert values == {
        "cpu_us_tunnel": 250.0,
        "tunnels_s": 500.0,
        "tunnel_p99_ms": 5.0,
        "cpu_us_trip": 10.0,
        "cpu_s_gib_down": 2.0,
        "cpu_s_gib_up": 2.0,
        "kib_idle": 2.0,
    }


def test_medianOfRoundsAndRatioWithinRounds() -> None:
    """
    A round that was slow for all does not move a ratio: 3, 2 and 2 times as
    much is 2 times, though the medians are 0.3 and 0.2.
    """
    runs = [sample("a", n, cpu) for n, cpu in ((1, 0.3), (2, 0.8), (3, 0.2))]
    runs += [sample("b", n, cpu) for n, cpu in ((1, 0.1), (2, 0.4), (3, 0.1))]
    cost = column("cpu_us_tunnel")
    assert figure(cost, "a", runs) == pytest.approx(300)
    assert spread(cost, "a", runs) == pytest.approx((200, 800))
    assert ratio(cost, "a", "b", runs) == pytest.approx(2)
    assert ratio(cost, "a", "absent", runs) is None
    assert figure(cost, "absent", runs) is None
    assert spread(cost, "absent", runs) is None


@pytest.mark.parametrize(
    "bad",
    [
        sample("a", 2, 0.001, errors={"answered 503": 4}),
        sample("a", 2, 0.001, done=0),
        Measured("a", 2, "tunnel", errors={"the load hung": 1}),
    ],
)
def test_errorsMakeInvalid(bad: Measured) -> None:
    """A proxy that refuses is quick, and must not be praised for it."""
    runs = [sample("a", 1, 0.3), bad]
    assert not bad.valid
    assert figure(column("cpu_us_tunnel"), "a", runs) == pytest.approx(300)
    [told] = problems(runs)
    assert told.startswith("a, tunnel, round 2: ")
    assert "INVALID" in line(bad)


def test_saturated() -> None:
    """Busy by the cores it may use."""
    runs = [sample("a", 1, 0.95), sample("b", 1, 0.5), sample("c", 1, 1.9)]
    busy = [saturated(name, "tunnel", 1, runs) for name in ("a", "b", "x")]
    assert busy == [True, False, False]
    assert saturated("c", "tunnel", 2, runs)
    assert not saturated("a", "tunnel", 2, runs)


# --- the load, as far as it is pure


def test_loadCountsErrorsAndGivesUp() -> None:
    """A proxy that refuses all does not keep the load for ever."""
    load = Load(("127.0.0.1", 1), 2, Connection)
    with pytest.raises(GaveUp):
        for _ in range(1000):
            load.failed("answered 403")
    assert 1 < load.errors["answered 403"] < 1000


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n", False),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n", False),
        (b"HTTP/1.1 403 Forbidden\r\ncontent-length:2\r\n\r\nno", True),
        (b"HTTP/1.1 403 Forbidden\r\nX-Content-Length: 2\r\n\r\n", True),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", True),
    ],
)
def test_refusalIsReadToItsEnd(answer: bytes, expected: bool) -> None:
    """A proxy that closes before its answer is read may lose some of it."""
    assert isComplete(answer) is expected
    assert statusOf(answer) == "403"


# --- who runs where, and how much


@pytest.mark.parametrize(
    ("usable", "expected"),
    [
        ([0], Cores(0, (0, 0), 0, 0)),
        ([0, 1], Cores(1, (1, 0), 0, 0)),
        ([0, 1, 2], Cores(2, (2, 0), 1, 0)),
        ([4, 5, 6, 7, 8], Cores(8, (8, 5), 7, 6)),
    ],
)
def test_cores(usable: list[int], expected: Cores) -> None:
    """The proxy has a core of its own as soon as there are two."""
    assert Cores.of(usable) == expected
    assert Cores.of(usable).forProxy(1) == {expected.proxy}
    assert Cores.of(usable).forProxy(2) == set(expected.proxies)


def _setup(program: str, home: Path, port: int) -> Setup:
    return Setup((program,))


def test_idleTunnelsFitTheDescriptors() -> None:
    """What one process may open bounds what is asked of it."""
    peers = {
        "two": (Peer("two", "x", _setup), "x"),
        "six": (Peer("six", "x", _setup, descriptors=6), "x"),
    }
    work = Work("idle", 4000, 1.0)
    rounds = Rounds(peers, [work], Cores.of([0, 1]), 20_000)
    assert rounds._fitted(work, "two") == work
    assert rounds._fitted(work, "six").concurrency == 3300


def test_optionsAndWorks() -> None:
    """The defaults run everything; C{--quick} is one short round."""
    chosen = options([])
    assert chosen.proxies == [peer.name for peer in PEERS]
    sizes = {work.workload: work.concurrency for work in works(chosen)}
    assert sizes == {
        "idle": 4000,
        "tunnel": 64,
        "alone": 1,
        "trip": 64,
        "down": 8,
        "up": 8,
    }
    quick = options(["--quick", "--workloads", "up,tunnel", "--docs"])
    assert (quick.rounds, quick.output) == (1, ROOT / "docs" / "performance")
    assert [work.workload for work in works(quick)] == ["tunnel", "up"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--proxies", "squit"],
        ["--workloads", "sideways"],
        ["--rounds", "0"],
        ["--seconds", "-1"],
        ["--program", "squid"],
        ["--program", "squit=/bin/true"],
    ],
)
def test_badOptions(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A word that is not known is a line and a status, and no other run."""
    with pytest.raises(SystemExit) as stopped:
        options(arguments)
    assert stopped.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_help() -> None:
    """C{python -m benchmarks --help} works from the checkout."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--rounds" in done.stdout and done.stderr == ""


# --- the peers


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_configuration(peer: Peer, tmp_path: Path) -> None:
    """
    Each listens on loopback at its port, and keeps its files in the directory
    that it is given.
    """
    setup = peer.setup("/opt/it", tmp_path, 4711)
    words = " ".join((*setup.command, *setup.files.values()))
    assert "4711" in words and "127.0.0.1" in words
    assert "0.0.0.0" not in words
    assert all(path.is_relative_to(tmp_path) for path in setup.files)
    logless = ("goproxy", "mitmproxy")
    assert peer.name in logless or str(tmp_path / "access.log") in words


def test_ownCommand(tmp_path: Path) -> None:
    """The default policies with networks and ports widened, log and counters."""
    peers = {peer.name: peer for peer in PEERS}
    one = peers["txconnect"].setup("python", tmp_path, 4711).command
    two = peers["txconnect-2-workers"].setup("python", tmp_path, 4711).command
    for word in ("networks:any", "ports:any", "counters"):
        assert word in one
    assert two == (*one, "--workers", "2")
    assert (peers["txconnect"].cores, peers["txconnect-2-workers"].cores) == (1, 2)


def test_otherPortsAndCheckout(tmp_path: Path) -> None:
    """A proxy that refuses some ports, and this proxy from another tree."""
    ours = txconnect(ports="1024-65535", checkout=tmp_path)("python", tmp_path, 4711)
    assert "ports:1024-65535" in ours.command and "ports:any" not in ours.command
    assert ours.environment["PYTHONPATH"] == str(tmp_path)
    theirs = squid("1024-65535", "nobody")("squid", tmp_path, 4711)
    [text] = theirs.files.values()
    assert "acl allowed port 1024-65535\nhttp_access allow localhost allowed\n" in text
    assert theirs.user == "nobody"


def test_squidsDoNotShareMemory(tmp_path: Path) -> None:
    """A second squid of the same name does not start."""
    one, two = (squid()("squid", tmp_path, port).command for port in (4711, 4712))
    assert one[one.index("-n") + 1] != two[two.index("-n") + 1]


def test_onlyRootCanBecomeAnother(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not root runs it as it is."""
    own = pwd.getpwuid(os.getuid())
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert asUser(own.pw_name) == {}
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert asUser("") == {}
    expected = {"user": own.pw_uid, "group": own.pw_gid, "extra_groups": []}
    assert asUser(own.pw_name) == expected


def test_prepareWrites(tmp_path: Path) -> None:
    """Configuration is on disk before the program starts."""
    peer = next(peer for peer in PEERS if peer.name == "squid")
    setup = prepare(peer, "/usr/sbin/squid", tmp_path, 4711)
    assert [path.read_text("utf-8") for path in setup.files] == [*setup.files.values()]


def test_foundIsWhatIsInstalled(tmp_path: Path) -> None:
    """A named program counts where it is there; nothing is made up."""
    here = found(["txconnect", "squid"], {"squid": str(tmp_path / "nothing")})
    assert list(here) == ["txconnect"]
    mine = found(["squid"], {"squid": sys.executable})
    assert mine["squid"][1] == sys.executable


def test_version() -> None:
    """The first number with a dot in what a program says."""
    python = Peer("python", "python", _setup)
    assert versionOf(python, sys.executable) == sys.version.split()[0]
    nothing = Peer("x", "x", _setup, ("no-such-program-here",))
    assert versionOf(nothing, sys.executable) == ""


# --- the papers


def aRun(measured: tuple[Measured, ...], proxies: Mapping[str, int]) -> Run:
    """A run of the tunnel and idle workloads."""
    conditions = {
        "date": "2026-01-02",
        "machine": "a machine",
        "l2": "",
        "build": {"configure": [], "opt": "-O2", "pgo": False, "lto": False},
        "system": "Linux 6",
        "python": "3.11",
        "load": 0.1,
        "cores": {"proxy": 1, "load": 0},
        "rounds": 2,
        "reference": "squid",
        "versions": {"squid": "5.7", "txconnect": "26.1.0"},
    }
    sizes = (Work("tunnel", 64, 1.0), Work("idle", 100, 1.0))
    return Run(conditions, proxies, sizes, measured)


@pytest.fixture
def run() -> Run:
    """Two proxies, one of which once went wrong."""
    return aRun(
        (
            sample("txconnect", 1, 0.5),
            sample("squid", 1, 1.0),
            sample("txconnect", 2, 0.5),
            sample("squid", 2, 1.0, errors={"answered <503>": 2}),
            Measured("squid", 1, "idle", 1.0, open=100, memory=3_276_800),
        ),
        {"txconnect": 1, "squid": 1},
    )


def test_table(run: Run) -> None:
    """Figures, ratios in the run, and what was not measured is not a number."""
    lines = [line.split() for line in table(run).splitlines()]
    assert lines[0] == ["txconnect", "squid"]
    assert ["CPU", "µs", "a", "tunnel", "500.0", "1,000.0"] in lines
    assert ["CPU", "µs", "a", "tunnel", "0.50", "1.00"] in lines
    assert ["KiB", "idle", "tunnel", "–", "32.0"] in lines


def test_idleProxyIsALowerBound(run: Run) -> None:
    """Where the proxy waited for the load, its pace is marked."""
    lines = [line.split() for line in table(run).splitlines()]
    assert ["tunnels", "a", "second", ">1,000", "1,000"] in lines


def test_document(run: Run) -> None:
    """The JSON has every measurement, and says which do not count."""
    read = json.loads(json.dumps(document(run)))
    assert len(read["measured"]) == 5
    assert read["measured"][3]["errors"] == {"answered <503>": 2}
    cost = read["figures"]["txconnect"]["cpu_us_tunnel"]
    assert cost["median"] == pytest.approx(500)
    assert cost["ratio_to_squid"] == pytest.approx(0.5)
    assert read["figures"]["txconnect"]["kib_idle"]["median"] is None
    assert len(read["invalid"]) == 1


def test_pages(run: Run) -> None:
    """The tables of the documentation name versions, conditions, what failed."""
    text = pages(run)
    assert '"squid 5.7","1,000.0 (1.00)","32.0 (1.00)"' in text
    assert ":tunnel: 64 at once, 1 s, 2 rounds" in text
    assert "answered <503> (2×)" in text
    assert "Not counted" not in pages(aRun(run.measured[:2], run.proxies))


def test_withoutTheReference(run: Run) -> None:
    """A run without squid has figures and no ratios."""
    alone = aRun(run.measured, {"txconnect": 1})
    assert "ratio" not in table(alone)
    assert ElementTree.fromstring(chart(alone)) is not None


def test_written(run: Run, tmp_path: Path) -> None:
    """Three papers; the chart is the command's to add."""
    write(run, tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["figures.json", "table.txt", "tables.inc"]


def test_chart(run: Run) -> None:
    """
    Well-formed, a dot for each figure, inside the picture, the dearer one to
    the right.
    """
    root = ElementTree.fromstring(chart(run))
    name = "{http://www.w3.org/2000/svg}"
    dots = [float(dot.get("cx", "")) for dot in root.iter(f"{name}circle")]
    assert len(dots) == 3  # two of the tunnel, one of the idle panel
    assert dots[0] < dots[1]
    width = float(root.get("viewBox", "").split()[2])
    assert all(0 < dot < width for dot in dots)
    texts = [text.text for text in root.iter(f"{name}text")]
    assert "txconnect" in texts and "1,000.0" in texts


@pytest.mark.parametrize(
    ("values", "expected"),
    [([5.0], (1, 10)), ([1.0], (1, 10)), ([0.3, 120.0], (0.1, 1000))],
)
def test_axis(values: list[float], expected: tuple[float, float]) -> None:
    """Whole powers of ten, and never an axis of no length."""
    assert axis(values) == pytest.approx(expected)
    assert axis(values)[0] < axis(values)[1]


def test_listsOfEverySize() -> None:
    """[F31] The table has a line for each list and size; how long, no test says."""
    head, *lines = lists.rows([10, 20], calls=1)
    assert head.split()[:2] == ["list", "items"]
    assert [line.split()[:2] for line in lines] == [
        ["hosts", "10"],
        ["hosts", "20"],
        ["networks", "10"],
        ["networks", "20"],
    ]
