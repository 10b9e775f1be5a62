"""
The surcharges: what a tunnel costs more where more is asked of the proxy than to relay.

Each is the same proxy with one thing more, beside C{plain}, which has none: a password that
it has checked before (the check itself is slow on purpose, and made once), a parent, which is
the same proxy again and not counted, a tap that stays and only looks, and the relay of
Twisted's transports.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.countreport import CountRun, conditionLines, countCell, ratioCell
from benchmarks.peers import Peer, txconnect
from benchmarks.report import csvTable
from benchmarks.running import started
from benchmarks.units import ALLOWED
from txconnect.command.passwd import setPassword

__all__ = ["PLAIN", "VARIANTS", "surchargePage", "variants", "writeLooks"]

PLAIN = "plain"
VARIANTS = {
    PLAIN: "nothing more",
    "password": "``--auth htpasswd:``, a password that was checked before",
    "parent": "``--route http://``, a parent for all",
    "tap": "``--tap``, one that stays and only looks",
    "transport": "``--relay transport``",
}
"""All of them, and what is asked for, in the order of the table."""

_USER, _PASSWORD = "ann", "a password"
_LOOKS = """
from txconnect import tapPlugin

@tapPlugin("looks", "Look.")
def looks(tunnel):
    return lambda direction, data: None
"""


def writeLooks(directory: Path) -> str:
    """Write a tap that stays and only looks; return it as an option has it."""
    looks = directory / "looks.py"
    looks.write_text(_LOOKS, "utf-8")
    return f"{looks}:looks"


@contextmanager
def variants(program: str, checkout: Path, core: int) -> Iterator[tuple[Peer, ...]]:
    """
    Yield all of them, while what they need is there.

    @param program: the Python for the parent.
    @param core: the parent's.
    """
    plain = txconnect(ports=ALLOWED, checkout=checkout)
    with TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        home = directory / "parent"
        home.mkdir()
        users = directory / "users"
        setPassword(users, _USER, _PASSWORD)
        secret = b64encode(f"{_USER}:{_PASSWORD}".encode()).decode("ascii")
        with started(Peer("parent", program, plain), program, home, {core}) as parent:

            def variant(
                name: str, *more: str, fields: str = "", behind: tuple[int, ...] = ()
            ) -> Peer:
                setup = txconnect(*more, ports=ALLOWED, checkout=checkout)
                return Peer(name, program, setup, fields=fields, behind=behind)

            yield (
                variant(PLAIN),
                variant(
                    "password",
                    *("--auth", f"htpasswd:{users}"),
                    fields=f"Proxy-Authorization: Basic {secret}\r\n",
                ),
                variant(
                    "parent",
                    *("--route", f"http://127.0.0.1:{parent.port}"),
                    behind=(parent.pid,),
                ),
                variant("tap", "--tap", writeLooks(directory)),
                variant("transport", "--relay", "transport"),
            )


def surchargePage(run: CountRun) -> str:
    """Return the reStructuredText that the documentation includes: a row for each."""
    heading = ["", *(cell for unit in run.units for cell in (unit.name, "ratio"))]
    rows = [heading]
    for name in run.proxies:
        cells = [
            cell(run, name, unit.name)
            for unit in run.units
            for cell in (countCell, ratioCell)
        ]
        rows.append([VARIANTS[name], *cells])
    title = "Instructions in user space (ratio: to a plain tunnel's)"
    return "\n".join(conditionLines(run)) + "\n\n" + csvTable(title, rows)
