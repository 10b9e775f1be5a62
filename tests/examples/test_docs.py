"""
What the pages say is what the program does: no field, option or plugin is
missing or made up, and the programs on them run.
"""

from __future__ import annotations

import re
import runpy
import sqlite3
import textwrap
from pathlib import Path
from typing import Any

import pytest
from namednetwork import NamedNetwork
from rig import Rig, body, connect, status
from twisted.internet.endpoints import clientFromString

from txconnect.client import ProxyURL
from txconnect.command import Options
from txconnect.errors import ConfigurationError
from txconnect.plugins import KINDS, POLICY, installed, loadPlugin
from txconnect.policy import HostsPolicy
from txconnect.routing.targets import splitRoute
from txconnect.testing import checkPolicy, decide, makeRequest
from txconnect.values import Allow, Cause, Deny

DOCS = Path(__file__).parent.parent.parent / "docs"
_tables = runpy.run_path(str(DOCS / "tables.py"))
TABLES, pageWith, tableText = (
    _tables[name] for name in ("TABLES", "pageWith", "tableText")
)
PAGES = sorted(DOCS.rglob("*.rst"))
# Of twistd, txconnect-nc, the benchmarks, and other programs that the pages mention.
FOREIGN = """
    against checkout credentials gid logfile logger pidfile proxy proxy-cacert proxy-server retries rundir
    syslog uid
""".split()


def text(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


def firstCells(table: str) -> list[str]:
    """The literals in the first column of a list-table."""
    rows = re.findall(r"^   \* - (.*)$", table, re.MULTILINE)
    return [each for row in rows for each in re.findall(r"``([^`]+)``", row)]


def test_listsInFiles() -> None:
    """[F31] The page's list is a good one, and covers what its comments say."""
    policy = HostsPolicy(f"@{DOCS / 'howto' / 'hosts.list'}")
    for target, allowed in [
        ("pypi.example:443", True),
        ("files.pypi.example:443", True),
        ("debian.example:80", True),
        ("git.example:22", True),
        ("git.example:443", False),
        ("eu.registry.example:5000", True),
        ("[2001:db8::10]:8443", True),
        ("[2001:db8::11]:8443", False),
    ]:
        assert isinstance(decide(policy, target), Allow) == allowed, target
    assert policy.opensPort(makeRequest("git.example:22")) == "git.example:22"


def test_messagesOfLists(tmp_path: Path) -> None:
    """[F28] [F31] The sentences about a wrong item are the program's."""
    with pytest.raises(ConfigurationError) as caught:
        loadPlugin(POLICY, "hosts:*example.com")
    assert f"txconnect: {caught.value}\n" in text("howto/policy.rst")
    path = tmp_path / "hosts"
    path.write_text("\n" * 6 + "*example.com\n")
    with pytest.raises(ConfigurationError) as caught:
        loadPlugin(POLICY, f"hosts:@{path}")
    said = str(caught.value).removeprefix(f"--policy hosts:@{path}: ")
    said = said.replace(str(path), "/etc/txconnect/hosts")
    page = text("howto/running.rst")
    assert f"{said}; the version before it stays in force\n" in page


def test_optionsOnPagesExist() -> None:
    """No page tells of an option that is not there."""
    known = {each.rstrip("=") for each in Options().longOpt} | set(FOREIGN)
    unknown = {
        f"{page.name}: --{option}"
        for page in PAGES
        for option in re.findall(r"``--([a-z0-9-]+)", page.read_text("utf-8"))
        if option not in known
    }
    assert unknown == set()


def test_everyOptionIsOnThePageForOperators() -> None:
    """Those that are no settings by hand, the settings in the table of the program."""
    described = set(firstCells(text("howto/running.rst").partition("* - Option")[2]))
    options = {f"--{each.rstrip('=')}" for each in Options().longOpt}
    assert options - described == set()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.noun)
def test_stockPluginsAreOnAPage(kind: Any) -> None:
    pages = "".join(page.read_text("utf-8") for page in PAGES)
    names = [str(plugin.name) for plugin in installed(kind)]
    missing = [each for each in names if not re.search(rf"\b{each}\b", pages)]
    assert missing == []


def test_endpointStringsOnPagesAreSome() -> None:
    """Their backslashes are as many as they have to be."""
    shown = re.findall(r"``(connect:[^`]+)``|^ +(connect:\S+)$", everyPage(), re.M)
    # On the page some leave open which proxy it is.
    strings = [each or other for each, other in shown]
    whole = [each for each in strings if "proxy=" in each and "..." not in each]
    for each in whole:
        clientFromString(NamedNetwork(), each)
    assert len(whole) > 1


def test_routesOnPagesAreSome(tmp_path: Path) -> None:
    """With whatever credentials there would be."""
    (tmp_path / "line").write_text("alice:secret")
    shown = re.findall(r"--route '([^']+)'", everyPage())
    for each in shown:
        splitRoute(re.sub(r"credentials=[^,|]+", f"credentials={tmp_path}/line", each))
    assert len(shown) > 2


def everyPage() -> str:
    pages = [*PAGES, DOCS.parent / "README.rst"]
    return "".join(page.read_text("utf-8") for page in pages)


def test_escapesOfURLsAreRight() -> None:
    """What the page says of a password's characters is what is read."""
    page = text("howto/client.rst").partition("are written with an escape")[2]
    pairs = re.findall(r"``(%..)``\s+for\s+(?:``(.+?)``|a (blank))", page)
    assert len(pairs) == 8
    for escape, sign, blank in pairs:
        url = ProxyURL.parse(f"http://a:{escape}@proxy:1")
        # A backslash is one in literals.
        assert url.password == (" " if blank else sign)


def test_refusalsAreMadeOfTheTable() -> None:
    """Those rows that are only logged are named beside the table."""
    page = text("refusals.rst")
    for cause in Cause:
        if cause.error is None:
            assert f"``{cause.label}``" in page


def test_everyPageIsListed() -> None:
    """Sphinx also holds this; here it costs no Sphinx."""
    index = text("index.rst")
    names = {str(page.relative_to(DOCS).with_suffix("")) for page in PAGES}
    assert {name for name in names - {"index"} if f"   {name}\n" not in index} == set()


# The programs on the pages


def load(program: str) -> Any:
    """A policy on a page, as the command line loads it."""
    return loadPlugin(POLICY, f"{DOCS}/{program}").plugin


def test_tutorialsTest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "tutorial"))
    program = runpy.run_path(str(DOCS / "tutorial" / "test_only.py"))
    program["test_exampleOnly"]()


WHOLE = {
    name: each
    for file in ("whole_proxy", "asyncio_policy", "parent_by_test")
    for name, each in runpy.run_path(str(DOCS / "howto" / f"test_{file}.py")).items()
}


@pytest.mark.parametrize("name", [name for name in WHOLE if name.startswith("test_")])
def test_testingPagesTests(name: str) -> None:
    """[F56] The tests on the page about tests run, as they are shown."""
    WHOLE[name]()


def test_tutorialsPolicy() -> None:
    """In a proxy: the lines that the page shows."""
    rig = Rig(policies=[load("tutorial/only.py:exampleOnly")])
    checkPolicy(load("tutorial/only.py:exampleOnly"))
    rig.serve(banner=b"hello")
    assert body(rig.client(connect("example.com:443"))) == b"hello"
    assert status(rig.client(connect("www.python.org:443"))) == 403
    refused = rig.events.refused[0]
    assert (refused.rule, refused.reason) == (
        "example-only",
        "www.python.org is not below example.com",
    )


def test_tutorialsPolicyThatWaits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is asked, here without a thread."""
    policy = load("tutorial/owned.py:owned")
    monkeypatch.chdir(tmp_path)
    with sqlite3.connect("hosts.db") as hosts:
        hosts.execute("create table hosts (name primary key, owner)")
        hosts.execute("insert into hosts values ('example.com', 'ada')")
    hosts.close()
    monkeypatch.setitem(
        policy.function.__globals__, "deferToThread", lambda f, *given: now(f, *given)
    )
    assert decide(policy, "example.com:443") == Allow("owned by ada")
    assert decide(policy, "example.org:443") == Deny("nobody owns example.org")


async def now(function: Any, *given: Any) -> Any:
    """Call it at once."""
    return function(*given)


def test_readmesPolicy(tmp_path: Path) -> None:
    """The first program that anybody sees."""
    readme = (DOCS.parent / "README.rst").read_text("utf-8")
    block = re.search(
        r"``work.py``:\n\n.. code-block:: python\n((?:\n|    .*\n)+)", readme
    )
    assert block is not None
    (tmp_path / "work.py").write_text(textwrap.dedent(block[1]))
    policy = loadPlugin(POLICY, f"{tmp_path}/work.py:workOnly").plugin
    assert decide(policy, "docs.python.org:443") == Allow()
    assert decide(policy, "example.com:443") == Deny(
        "example.com is not needed for work"
    )


def test_rulesOnThePolicyPage() -> None:
    rules, trial = load("howto/rules.py:rules"), load("howto/rules.py:trial")
    checkPolicy(rules)
    assert isinstance(decide(rules, "www.pypi.example:443"), Allow)
    assert isinstance(decide(rules, "example.com:443", user="ada"), Allow)
    assert isinstance(decide(rules, "example.com:443", user="bob"), Deny)
    assert isinstance(decide(trial, "example.com:443"), Allow)


@pytest.mark.parametrize("name", TABLES)
def test_tablesAreThoseOfTheProgram(name: str) -> None:
    """[F29] What C{python docs/tables.py} would write stands on the page."""
    page = text(TABLES[name][0])
    assert pageWith(name, page) == page
    assert tableText(name).count("\n   * - ") > 15
