"""
The command line of C{twistd connectproxy}, parsed as C{twistd} parses it.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
from twisted.cred.checkers import FilePasswordDB
from twisted.cred.strcred import ICheckerFactory
from twisted.internet.address import IPv4Address
from twisted.plugin import getPlugins
from twisted.python import usage
from twisted.scripts.twistd import ServerOptions

import txconnect
from txconnect import __main__
from txconnect.command import Options, makeService
from txconnect.command.help import optionName
from txconnect.command.options import LOG_OBSERVER
from txconnect.command.startup import standingPolicies, welcome
from txconnect.configuration import Configuration, PluginSet, pluginset, proxyService
from txconnect.listening import Listener, ListeningService
from txconnect.observers import terminal
from txconnect.settings import Settings
from txconnect.testing.samples import makeEvents
from txconnect.values import Named

HERE = IPv4Address("TCP", "127.0.0.1", 3128)

PLUGINS = """
from zope.interface import implementer
from txconnect.interfaces import *
from txconnect.plugins import *
from txconnect.values import Allow

nice = policyPlugin("nice", "Nice.")(lambda request: Allow())
watch = observerPlugin("watch", "Watch.")(lambda event: None)
tap = tapPlugin("tap", "Tap.")(lambda tunnel: None)
router = routerPlugin("router", "Router.")(lambda request: None)
pair = pairPlugin("pair", "Pair.")(lambda tunnel: None)

@implementer(IAuthScheme)
class Scheme:
    name = "Own"
    def challenge(self, reason, realm):
        return b"Own"
    def parse(self, attempt):
        raise ValueError
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An own directory with a file of plugins and one of passwords."""
    (tmp_path / "mine.py").write_text(PLUGINS)
    (tmp_path / "users").write_text("alice:secret\n")
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("txconnect_file_"):
            del sys.modules[name]


def parsed(*arguments: str, twistd: tuple[str, ...] = ("-n",)) -> Options:
    """Our options, below twistd's."""
    config = ServerOptions()
    config.parseOptions([*twistd, "connectproxy", *arguments])
    options = config.subOptions
    assert isinstance(options, Options)
    return options


def complaint(*arguments: str) -> str:
    """The one line by which an option is refused, behind the program's name."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), pytest.raises(SystemExit) as caught:
        parsed(*arguments)
    assert caught.value.code == 1
    line = said.getvalue()
    assert line.startswith("twistd connectproxy: ") and line.endswith("\n")
    assert line.count("\n") == 1
    return line.removeprefix("twistd connectproxy: ").removesuffix("\n")


def names(plugins: Sequence[Named]) -> list[str]:
    return [named.name for named in plugins]


def rules(*arguments: str) -> PluginSet:
    """What the options mean."""
    built: PluginSet = parsed(*arguments)["built"].pluginSet
    return built


# Without options


def test_withoutOptionsTheDefaultsAreSafe() -> None:
    """Loopback only, port 443, public addresses, nobody asked."""
    options = parsed()
    built = options["built"]
    (listener,) = built.listeners
    assert listener.description == "tcp:3128:interface=127.0.0.1"
    assert options["configuration"] == built.configuration == Configuration()
    assert built.pluginSet.policies == ()
    assert names(built.proxy.policies) == ["ports", "networks"]
    assert standingPolicies(built.pluginSet) == ["ports:443", "networks:public"]
    assert built.pluginSet.schemes == () and built.pluginSet.checkers == ()


def test_argumentsAreAConfiguration() -> None:
    """[F19] Every option that takes a text is in it, as it was written."""
    arguments = [
        *("--listen", "3128", "-l", "unix:sock", "--workers", "2"),
        *("--auth", "file:users", "--auth", "memory:bob:b=c"),
        *("--auth-scheme", "./mine.py:Scheme", "--observer", "./mine.py:watch"),
        *("--policy", "ports:1-2", "--policy", "hosts:a.example"),
        *("--router", "./mine.py:router", "--tap", "./mine.py:tap"),
        *("--route", "direct", "--pair", "./mine.py:pair"),
        *("--open-proxy", "--idle-timeout", "5", "--realm", "a=b c"),
    ]
    assert parsed(*arguments)["configuration"] == Configuration(
        listeners=("3128", "unix:sock"),
        checkers=("file:users", "memory:bob:b=c"),
        schemes=("./mine.py:Scheme",),
        policies=("ports:1-2", "hosts:a.example"),
        routers=("./mine.py:router",),
        routes=("direct",),
        observers=("./mine.py:watch",),
        taps=("./mine.py:tap",),
        pair="./mine.py:pair",
        settings=Settings(idleTimeout=5.0, realm="a=b c"),
        openProxy=True,
        workers=2,
    )


def test_makeServiceOpensNothing() -> None:
    """It runs before the fork."""
    options = parsed("--listen", "0")
    before = os.listdir("/proc/self/fd")
    service = makeService(options).service
    assert isinstance(service, ListeningService)
    assert os.listdir("/proc/self/fd") == before
    assert service.proxy is options["built"].proxy
    assert not service.proxy.running


def test_theCollectorIsTunedOnceItRuns() -> None:
    """Whoever imports, embeds or only prepares the proxy keeps their own."""
    announced: list[Any] = []
    threshold, frozen = gc.get_threshold(), gc.get_freeze_count()
    from twisted.internet import reactor

    service: Any = proxyService(
        reactor, parsed()["built"], cast(Any, None), announced.append
    )
    assert (gc.get_threshold(), gc.get_freeze_count()) == (threshold, frozen)
    try:
        service._announce([])
        assert gc.get_freeze_count() > frozen
        assert gc.get_threshold()[0] > threshold[0]
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)
    assert announced == [[]]


# Settings


@pytest.mark.parametrize("field", attrs.fields(Settings), ids=lambda f: f.name)
def test_everySettingIsAnOption(field: attrs.Attribute[Any]) -> None:
    """Under its name, with its default, documented."""
    option = optionName(field.name)
    choices = field.metadata["choices"]
    if choices:
        value = next(each for each in choices if each != field.default)
    else:
        value = {int: "12345", float: "12.5", str: "word"}[type(field.default)]
    got = getattr(rules(f"--{option}", value).settings, field.name)
    assert got == type(field.default)(value)
    assert type(got) is type(field.default)
    text = " ".join(parsed().getUsage(200).split())
    assert f"--{option}= {field.metadata['help']}" in text


def test_defaultsAreShownAsPeopleWriteThem() -> None:
    text = " ".join(parsed().getUsage(200).split())
    for shown in (
        "most fields in a request head [default: 100]",
        "send its request's head [default: 10]",
        "live at all; 0: for ever [default: 0]",
        "a 407 names [default: proxy]",
    ):
        assert shown in text


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        (
            "--head-timeout",
            "ten",
            "--head-timeout: 'ten' is not a number of seconds, such as 600",
        ),
        ("--head-timeout", "0", "--head-timeout: 0.0 must be 0.001 or more"),
        ("--head-timeout", "nan", "--head-timeout: 'nan' is not finite"),
        ("--idle-timeout", "inf", "--idle-timeout: 'inf' is not finite"),
        ("--field-limit", "1.5", "--field-limit: '1.5' is not a whole number"),
        ("--field-limit", "0", "--field-limit: 0 must be 1 or more"),
        ("--errors", "loud", "--errors: 'loud' is none of brief, full"),
    ],
)
def test_badSettingsNameTheirOption(option: str, value: str, reason: str) -> None:
    assert complaint(option, value) == reason


def test_aNoteWithAnUnknownPlaceholder() -> None:
    """[F20] It stops at start-up, with the known ones."""
    known = "%{host}, %{port}, %{rule}, %{id}, %{cause}, %{user}"
    assert complaint("--refusal-note", "Ask for %{hots}") == (
        f"--refusal-note: '%{{hots}}' is no placeholder: these are {known}, and %% is a "
        "percent sign"
    )
    settings = parsed("--refusal-note", "Ask for %{host}")["built"].proxy.settings
    assert settings.refusalNote == "Ask for %{host}"


# Endpoints and plugins


def test_listenersAreRepeatable() -> None:
    built = parsed("--listen", "3128", "-l", "unix:sock")["built"]
    assert [each.description for each in built.listeners] == ["3128", "unix:sock"]
    assert complaint("--listen", "tcp:x").startswith("--listen 'tcp:x' is no endpoint")


def test_pluginsOfEveryKindAreLoadedInOrder() -> None:
    options = parsed(
        *("--policy", "ports:443,8443", "--policy", "./mine.py:nice"),
        *("--observer", "./mine.py:watch", "--tap", "./mine.py:tap"),
        *("--router", "./mine.py:router", "--pair", "./mine.py:pair"),
    )
    pluginSet = options["built"].pluginSet
    assert names(pluginSet.policies) == ["ports", "nice"]
    assert names(options["built"].proxy.policies) == ["networks", "ports", "nice"]
    assert names(pluginSet.observers) == ["watch"]
    assert names(pluginSet.taps) == ["tap"]
    assert names(pluginSet.routers) == ["router"]
    assert pluginSet.pairFactory.name == "pair"
    assert standingPolicies(pluginSet) == [
        "networks:public",
        "ports:443,8443",
        "./mine.py:nice",
    ]


def test_portsOfItemsAreSaidAtStartUp(tmp_path: Path) -> None:
    """[F31] Where an item opens a port, the lines do not say that 443 is all."""
    path = tmp_path / "list"
    for item, ports in [
        ("a.example", "ports:443"),
        ("a.example:22", "ports:443, or an item's"),
        (f"@{path}", "ports:443, or an item's"),
    ]:
        path.write_text("b.example\nc.example:22\n")
        text = f"hosts:{item}"
        shown = standingPolicies(rules("--policy", text))
        assert shown == [ports, "networks:public", text]
    given = ("--policy", "ports:443", "--policy", "hosts:a.example:22")
    assert standingPolicies(rules(*given))[1] == "ports:443"


def test_joinedListsAreShownAsOne() -> None:
    """[F14] The line says what all must allow, so two lists of one name are one."""
    texts = [
        "hosts:a.example",
        "./mine.py:nice",
        "ports:1",
        "hosts:b.example,c.example",
    ]
    given = [each for text in (*texts, "./mine.py:nice") for each in ("--policy", text)]
    assert standingPolicies(rules(*given)) == [
        "networks:public",
        "hosts:a.example,b.example,c.example",
        "./mine.py:nice",
        "ports:1",
        "./mine.py:nice",
    ]


@pytest.mark.parametrize(
    ("policies", "reason"),
    [
        (["networks:any", "networks:public"], "policy 'networks' is given twice"),
        (["ports:any", "ports:1"], "'any' allows every port already"),
        (["hosts:/etc/list"], "write @/etc/list"),
        (["hosts:@no/list"], "no/list: the list of hosts cannot be read: No such file"),
        (["hosts:@list"], "list:2: '*b' is not a host: a star is allowed only at"),
        (["deny-hosts:@empty"], "empty: the list of hosts has no item"),
        (["clients:a.example"], "clients are known by their addresses"),
    ],
)
def test_badListsAreOneLine(
    policies: list[str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[F14] [F28] [F31] One sentence, with file and line, and nothing is opened."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list").write_text("a\n*b\n")
    (tmp_path / "empty").write_text("")
    said = complaint(*[each for text in policies for each in ("--policy", text)])
    assert reason in said
    assert "\n" not in said


def test_secondPairIsRefused() -> None:
    """Only one can build the pair: two given stop start-up."""
    pair = ("--pair", "./mine.py:pair")
    assert "given twice" in complaint(*pair, *pair)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--policy", "prots:443"), "policy 'prots' is not installed"),
        (("--policy", "hosts:a*b.example"), "--policy hosts:a*b.example: "),
        (("--observer", "ports"), "observer 'ports' is not installed"),
        (("--tap", "./no.py:x"), "there is no file"),
        (("--polcy", "x"), "--polcy: there is no such option"),
        (("--policy",), "--policy: a value is missing"),
        (("ports:443",), "'ports:443' is no option"),
        (("--auth-scheme", "basic"), "also give --auth"),
        (("--route", "hosts:a.example"), "a route has no target"),
        (("--route", "http://u:p@parent:1"), "write credentials=FILE"),
        (("--route", "http://p:1,credentials=no"), "'no': No such file"),
        (("--route", "https://p,ca=no"), "ca=no cannot be read"),
        (("--route", "networks:public=direct"), "before any address is known"),
        (("--route", "direct", "--route", "ports:1=direct"), "is never taken"),
        (("--route", "users:ann=direct"), "users: needs --auth"),
    ],
)
def test_badOptionsAreOneLine(arguments: tuple[str, ...], reason: str) -> None:
    assert reason in complaint(*arguments)


def test_listedUsersMustBeAskedWhoTheyAre(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it starts, and refuses everyone."""
    users = ("--policy", "users:alice")
    assert complaint(*users) == ("--policy users: needs --auth or a proxytls: listener")
    assert names(rules(*users, "--auth", "file:users").policies) == ["users"]
    monkeypatch.setattr(Listener, "certified", True)
    assert names(rules(*users).policies) == ["users"]


def test_routes() -> None:
    """They reach the proxy in their order, and the lines at start-up."""
    built = parsed(
        *("--route", "hosts:*.corp.example=http://parent:3128"),
        *("--route", "ports:22=direct"),
    )["built"]
    assert [str(rule) for rule in built.pluginSet.routes] == [
        "hosts:*.corp.example=http://parent:3128",
        "ports:22=direct",
    ]
    routers = built.proxy.rules.routers
    assert names(routers) == ["route 'hosts:*.corp.example'", "route 'ports:22'"]
    lines = welcome(built, "").lines([(Listener("x", None), HERE)])
    assert lines[3:-1] == [
        "  via   http://parent:3128  for requests that hosts:*.corp.example allows",
        "  via   direct  for requests that ports:22 allows",
        "        a parent looks names up itself: networks cannot judge their "
        "addresses there",
    ]
    direct = parsed("--route", "bind:127.0.0.1")["built"]
    lines = welcome(direct, "").lines([(Listener("x", None), HERE)])
    assert lines[3:-1] == ["  via   bind:127.0.0.1  for everything"]


def test_withoutRoutesNothingIsImported() -> None:
    """Who has no parents does not wait for what reaches them."""
    program = (
        "import sys; from txconnect.command import Options; Options().parseOptions([]);"
        "print(*(m for m in sys.modules if m.startswith('txconnect.routing')))"
    )
    root = Path(txconnect.__file__).parent.parent
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        timeout=60,
    )
    assert ran.stdout.strip() == ""


def test_whatTheProxyItselfRefusesIsAUsageError(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Raised by makeService it would be a traceback."""
    monkeypatch.setattr(pluginset, "ConsoleLog", lambda write: object())
    assert "ITrafficObserver" in complaint()


# Checkers


def test_checkersKeepTheirNameAndGetTheirScheme() -> None:
    pluginSet = rules("--auth", "memory:bob:x", "--auth", "file:users")
    assert names(pluginSet.checkers) == ["memory", "file"]
    assert names(pluginSet.schemes) == ["basic"]
    own = rules("--auth", "file:users", "--auth-scheme", "./mine.py:Scheme")
    assert names(own.schemes) == ["Scheme"]


def test_passwordFileIsMadeAbsolute(directory: Path) -> None:
    """It is read at every log-in, after C{--rundir} applies."""
    (named,) = rules("--auth", "file:users").checkers
    assert isinstance(named.plugin, FilePasswordDB)
    assert named.plugin.filename == str(directory / "users")


@pytest.mark.parametrize(
    ("checker", "reason"),
    [
        ("file:missing", "missing: No such file or directory"),
        ("file:.", ": Is a directory"),
        ("file", "--auth file: say which, as file:PATH"),
        ("fiel:users", "no checker 'fiel'; did you mean 'file'?"),
        ("zzz", "no checker 'zzz'. Installed: file,"),
        ("memory:bob", "--auth memory: argstring must be in format U:P:..."),
        (
            "anonymous",
            "--auth anonymous: it checks IAnonymous, which no scheme reads",
        ),
    ],
)
def test_checkersThatCannotBeHad(
    checker: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert reason in complaint("--auth", checker)
    assert capfd.readouterr().err == ""


def test_complaintsAboutCheckersHoldNoSecret(monkeypatch: pytest.MonkeyPatch) -> None:
    """[AU-05] An unexpected exception may hold the argument: it is not shown."""
    memory = next(f for f in getPlugins(ICheckerFactory) if f.authType == "memory")

    def broken(argument: str) -> None:
        raise KeyError(argument)

    monkeypatch.setattr(memory, "generateChecker", broken)
    text = complaint("--auth", "memory:bob:sesame")
    assert text.startswith("--auth memory: the checker failed with KeyError (")


# Who reads what


@pytest.mark.parametrize(
    ("twistd", "foreground"),
    [(("-n",), True), ((), False), (("--nodaemon", "-l", "x.log"), True)],
)
def test_linesGoToTheTerminalOrTheDaemonsLog(
    twistd: tuple[str, ...], foreground: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = parsed(twistd=twistd)
    assert options.foreground is foreground
    written: list[str] = []
    monkeypatch.setattr(terminal.Terminal, "write", lambda self, t: written.append(t))
    monkeypatch.setattr(terminal, "logLine", lambda t: written.append("log " + t))
    options.write()("line")
    assert written == ["line" if foreground else "log line"]
    assert options.exit(None).foreground is foreground


def test_observerReplacesTheLinesForPeople(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without C{--observer} people are told; with one, that is told instead."""
    asked: list[Any] = []

    def proxy(reactor: Any, **arguments: Any) -> None:
        asked.append(names(arguments["observers"]))

    monkeypatch.setattr("txconnect.configuration.builder.ConnectProxy", proxy)
    parsed()
    parsed("--observer", "./mine.py:watch")
    parsed("--observer", "console", "--observer", "accesslog:log")
    assert asked == [["console"], ["watch"], ["console", "accesslog"]]


def test_consoleByNameWritesWhereTheLinesGo(monkeypatch: pytest.MonkeyPatch) -> None:
    """[F17] C{--observer console} is what there is without any observer."""
    written: list[str] = []
    monkeypatch.setattr(terminal.Terminal, "write", lambda self, t: written.append(t))
    for arguments in ((), ("--observer", "console", "--observer", "counters")):
        (first, *_) = rules(*arguments).observers
        assert first.name == "console"
        first.plugin.observe(makeEvents()[0])
    assert len(written) == 2
    assert "write console" in complaint("--observer", "console:x")


def test_embeddedOptionsNeverExitTheProgram() -> None:
    """Without twistd above, a failure is an exception."""
    options = Options()
    options.parseOptions([])
    assert not options.exit(None).foreground


# Help


def test_helpShowsGroupsAndAnExample() -> None:
    text = parsed().getUsage(80)
    titles = ("Options:", "Settings", "Signals:", "Examples:")
    assert sorted(titles, key=text.index) == list(titles)
    assert max(map(len, text.splitlines())) <= 80
    for option in Options().longOpt:
        assert f"--{option}" in text


def test_errorsAreNotBuriedUnderTheHelp() -> None:
    """twist prints the usage with the error: there it is one line."""
    options = Options()
    with pytest.raises(usage.UsageError):
        options.parseOptions(["--policy", "prots"])
    assert len(str(options).splitlines()) == 2


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ("--help-policy", "  ports:PORT"),
        ("--help-observer", "  accesslog:PATH"),
        ("--help-auth", "  file"),
        ("--version", f"txconnect {txconnect.__version__}\nTwisted "),
        ("--help", "Usage: "),
    ],
)
def test_listsExitWithStatusZero(
    option: str,
    shown: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Options, "authOutput", sys.stdout)
    with pytest.raises(SystemExit) as caught:
        parsed(option)
    assert not caught.value.code
    assert shown in capsys.readouterr().out


# txconnect


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[str]:
    """What C{txconnect} makes of its arguments."""
    monkeypatch.setattr(sys, "argv", ["/usr/bin/txconnect", *arguments])
    monkeypatch.setattr("twisted.scripts.twistd.run", lambda: None)
    __main__.main()
    return sys.argv


def test_txconnectIsAThinWrapper(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "--listen", "3128") == [
        "txconnect",
        "--nodaemon",
        "--pidfile=",
        "--logger=txconnect.command.terminallog.logObserver",
        "--reactor=txconnect",
        "connectproxy",
        "--listen",
        "3128",
    ]


def test_txconnectWithoutEpoll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no epoll, twistd chooses the reactor."""
    monkeypatch.delattr("select.epoll")
    assert not [each for each in run(monkeypatch) if each.startswith("--reactor")]


def test_txconnectSaysItsErrorsAlone(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed("--policy", "prots", twistd=("-n", f"--logger={LOG_OBSERVER}"))
    assert caught.value.code == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("txconnect: --policy prots: policy 'prots' is not")


def test_txconnectKnowsItsNameAfterParsing() -> None:
    options = parsed(twistd=("-n", "--pidfile=", f"--logger={LOG_OBSERVER}"))
    assert options.exit(None).program == "txconnect"
    assert options.exit(None).pidfile == ""
    assert options.getSynopsis().startswith("Usage: txconnect [options]\n")
    assert "  txconnect --listen 0.0.0.0:3128" in options.getUsage()
    assert parsed().exit(None).program == "twistd connectproxy"


def test_passwdIsHandedOn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, "passwd")
    assert caught.value.code == 2
    assert "passwd" in capsys.readouterr().err


def test_noReactorBeforeTwistdChoseOne() -> None:
    """C{twistd --reactor asyncio connectproxy} must work."""
    program = (
        "import sys, txconnect.__main__, txconnect.command, txconnect.proxy\n"
        "import txconnect.plugins.listing\n"
        "sys.exit('twisted.internet.reactor' in sys.modules)\n"
    )
    root = Path(txconnect.__file__).parent.parent
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root, timeout=60)
