"""
What is said of an option that does not exist, or is written wrongly: whole lines.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest
from twisted.python import usage
from twisted.scripts.twistd import ServerOptions

from txconnect.command import Options
from txconnect.command.mistakes import explainArgument

TWISTD = "it is twistd's: write twistd [twistd's options] connectproxy [the proxy's]"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(*arguments: str) -> str:
    """The one line on standard error, behind the program's name."""
    config, said = ServerOptions(), io.StringIO()
    with contextlib.redirect_stderr(said), pytest.raises(SystemExit) as caught:
        config.parseOptions(["-n", "connectproxy", *arguments])
    assert caught.value.code == 1
    line = said.getvalue()
    assert line.count("\n") == 1 and line.endswith("\n")
    return line.removeprefix("twistd connectproxy: ").removesuffix("\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--polcy", "x"], "--polcy: there is no such option; did you mean --policy?"),
        (["--listn", "1"], "--listn: there is no such option; did you mean --listen?"),
        (
            ["--POLICY", "x"],
            "--POLICY: there is no such option; did you mean --policy?",
        ),
        (["--port", "1"], "--port: there is no such option; did you mean --listen?"),
        (["-p", "3128"], "-p: there is no such option; did you mean --listen?"),
        (
            ["--upstream", "x"],
            "--upstream: there is no such option; did you mean --route?",
        ),
        (["--allow", "x"], "--allow: there is no such option; did you mean --policy?"),
        (
            ["--hosts", "a.example"],
            "--hosts: there is no such option; did you mean --policy "
            "hosts:NAME|*.NAME|.NAME|ADDRESS[:PORT]|@FILE,...?",
        ),
        (
            ["--acceslog", "x"],
            "--acceslog: there is no such option; did you mean --observer "
            "accesslog:PATH|-[,format=json|text][,events=EVENTS][,required=yes|no]?",
        ),
        (["--zzzz"], "--zzzz: there is no such option; --help lists them all"),
        (
            ["--daemon"],
            "--daemon: there is no such option; txconnect stays in the foreground; for a "
            "daemon, write twistd --pidfile=FILE --logfile=FILE connectproxy [the "
            "proxy's options]",
        ),
        (
            ["--idle-timeout", "10m"],
            "--idle-timeout: '10m' is not a number of seconds, such as 600",
        ),
        (
            ["--help-auth-type", "htpaswd"],
            "--help-auth-type htpaswd: there is no checker 'htpaswd'; did you mean "
            "'htpasswd'? Installed: file, htpasswd, memory, unix",
        ),
        (["-z"], "-z: there is no such option; --help lists them all"),
        (["--logfile", "x"], f"--logfile: there is no such option; {TWISTD}"),
        (["-n"], f"-n: there is no such option; {TWISTD}"),
        (["--policy"], "--policy: a value is missing"),
        (["-l"], "-l: a value is missing"),
        (["--open-proxy=yes"], "--open-proxy: it takes no value"),
        (
            ["--l"],
            "--l may be any of --linger-limit, --linger-timeout, --listen, "
            "--lookup-cache, --lookup-queue, --lookup-spare-threads, --lookup-threads, --lookup-timeout",
        ),
        (["--hea=1"], "--hea may be any of --head-limit, --head-timeout"),
        (
            ["--half=1"],
            "--half may be any of --half-close, --half-closed-requests, --half-closed-timeout",
        ),
        (["ports:1"], "'ports:1' is no option; did you mean --policy ports:1?"),
        (["memory:a:sesame"], "'memory' is no option; did you mean --auth memory:...?"),
        (
            ["pasword", "users", "ann"],
            "'pasword' is no option; did you mean txconnect passwd FILE USER?",
        ),
        (
            ["example.com"],
            "'example.com' is no option (is it a value that lacks its option?)",
        ),
        (
            ["--policy", "prots:443"],
            "--policy prots:443: policy 'prots' is not installed; did you mean 'ports'? "
            "Installed policies: clients, deny-hosts, hosts, networks, ports, users.",
        ),
        (
            ["--observer", "acceslog:x"],
            "--observer acceslog:x: observer 'acceslog' is not installed; did you mean "
            "'accesslog'? Installed observers: accesslog, console, counters.",
        ),
        (
            ["--plugin", "quota"],
            "--plugin quota: plugin 'quota' is not installed. Installed plugins: "
            "accesslog, basic, clients, console, counters, deny-hosts, hosts, networks, ports, sni, users.",
        ),
        (
            ["--auth", "htpaswd:/x"],
            "--auth htpaswd: there is no checker 'htpaswd'; did you mean 'htpasswd'? "
            "Installed: file, htpasswd, memory, unix",
        ),
        (
            ["--policy", "*.a.example,b.example"],
            "--policy *.a.example,b.example: no plugin is named; did you mean "
            "--policy hosts:*.a.example,b.example?",
        ),
        (
            ["--policy", "a.example:8443"],
            "--policy a.example:8443: there is no module 'a' on the import path (for a "
            "file, write a/example.py:NAME with its path); did you mean --policy "
            "hosts:a.example:8443?",
        ),
        (
            ["--policy", "@hosts.list"],
            "--policy @hosts.list: no plugin is named; did you mean --policy "
            "hosts:@hosts.list?",
        ),
        (
            ["--policy", "hosts=a.example"],
            "--policy hosts=a.example: no plugin is named; did you mean --policy "
            "hosts:a.example?",
        ),
        (
            ["--policy", "10.0.0.0/8"],
            "--policy 10.0.0.0/8: no plugin is named; did you mean --policy "
            "networks:10.0.0.0/8?",
        ),
        (
            ["--policy", "443"],
            "--policy 443: policy '443' is not installed. Installed policies: clients, "
            "deny-hosts, hosts, networks, ports, users. Did you mean --policy ports:443?",
        ),
        (
            ["--policy", "ports=443"],
            "--policy ports=443: policy 'ports=443' is not installed; did you mean "
            "'ports'? Installed policies: clients, deny-hosts, hosts, networks, ports, "
            "users. Did you mean --policy ports:443?",
        ),
        (
            ["--observer", "access.log"],
            "--observer access.log: no plugin is named; did you mean --observer "
            "accesslog:access.log?",
        ),
        (
            ["--policy", "a b"],
            "--policy a b: policy 'a b' is not installed. Installed policies: "
            "clients, deny-hosts, hosts, networks, ports, users.",
        ),
        (
            ["--policy", "\x1b[2J"],
            "--policy '\\x1b[2J': policy '\\x1b[2J' is not installed. Installed "
            "policies: clients, deny-hosts, hosts, networks, ports, users.",
        ),
    ],
)
def test_mistakesNameTheOptionAndTheNearest(arguments: list[str], line: str) -> None:
    """[F28] One sentence, before anything is opened."""
    assert complaint(*arguments) == line


def test_filesOfTwistd(directory: Path) -> None:
    """[F21] A log or a pidfile that cannot be is one line, not twistd's traceback."""

    def twistd(*arguments: str) -> str:
        config, said = ServerOptions(), io.StringIO()
        with contextlib.redirect_stderr(said), pytest.raises(SystemExit) as caught:
            config.parseOptions([*arguments, "connectproxy"])
        assert caught.value.code == 1
        return said.getvalue().removeprefix("twistd connectproxy: ").rstrip("\n")

    for option in ("--logfile", "--pidfile"):
        assert (
            twistd(f"{option}=no/x") == f"{option} no/x: {directory}/no is no directory"
        )
        assert twistd(f"{option}={directory}") == (
            f"{option} {directory}: it is a directory: name a file in it"
        )
    for fine in (
        ["--logfile=-"],
        ["--logfile=x.log"],
        ["--pidfile="],
        ["--pidfile=x.pid"],
    ):
        config = ServerOptions()
        config.parseOptions([*fine, "connectproxy"])
        assert isinstance(config.subOptions, Options)
    # What counts is the directory that twistd changes to.
    config = ServerOptions()
    config.parseOptions(["--rundir=/", "--pidfile=no/x.pid", "connectproxy"])
    assert isinstance(config.subOptions, Options)


def test_aPasswordFileWithoutItsChecker(directory: Path) -> None:
    """[F28] A file that is there is meant; any other text may be a password."""
    (directory / "users").write_text("")
    assert complaint("--auth", "users") == (
        "--auth users: there is no checker 'users'; did you mean --auth htpasswd:users? "
        "Installed: file, htpasswd, memory, unix"
    )
    assert complaint("--auth", "./users") == (
        "--auth ./users: no plugin is named; did you mean --auth htpasswd:./users?"
    )
    assert "did you mean" not in complaint("--auth", "./others")


def test_bearerWithACheckerOfPasswords(directory: Path) -> None:
    """[F61] It started, and refused everybody."""
    (directory / "bearer.py").write_text(
        """
from twisted.cred.credentials import ICredentials
from zope.interface import implementer
from txconnect.interfaces import IAuthScheme

class ITokenCredentials(ICredentials):
    pass

@implementer(IAuthScheme)
class Bearer:
    name = "Bearer"
    def challenge(self, reason, realm):
        return b"Bearer"
    def parse(self, attempt) -> ITokenCredentials:
        raise NotImplementedError
"""
    )
    scheme = ("--auth-scheme", "./bearer.py:Bearer")
    assert complaint(*scheme, "--auth", "memory:bob:sesame") == (
        "--auth memory: it checks IUsernamePassword, IUsernameHashedPassword, which no "
        "scheme reads: Bearer reads ITokenCredentials"
    )
    basic = ("--auth-scheme", "basic")
    assert complaint(*scheme, *basic, "--auth", "memory:bob:sesame") == (
        "--auth-scheme Bearer: it reads ITokenCredentials, which no checker takes: "
        "memory checks IUsernamePassword, IUsernameHashedPassword"
    )


def test_checkersLoadFromAFile(directory: Path) -> None:
    """[F58] As policies do; and no message repeats what may be a password."""
    (directory / "mine.py").write_text(
        """
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from zope.interface import implementer

@implementer(ICredentialsChecker)
class Directory:
    credentialInterfaces = (IUsernamePassword,)
    def __init__(self, place, key):
        if place == "break":
            raise KeyError(key)
    def requestAvatarId(self, credentials):
        raise NotImplementedError

def bare(credentials):
    raise NotImplementedError
"""
    )
    config = ServerOptions()
    text = r"./mine.py:Directory:ldap,key=sesame\,two"
    config.parseOptions(["-n", "connectproxy", "--auth", text])
    options = config.subOptions
    assert isinstance(options, Options)
    (named,) = options["built"].pluginSet.checkers
    assert named.name == "Directory"
    where = f"{directory}/mine.py"
    for given, said in [
        (
            "./mine.py:Directry:a,b",
            f"{where} has no 'Directry'; did you mean 'Directory'?",
        ),
        ("./mine.py:Directory:break,sesame", f"KeyError ({where}, line 11)"),
        ("./mine.py", "say what in it is meant, as ./mine.py:NAME"),
        (
            "mine.nothing:x",
            "there is no module 'mine' on the import path (for a file, ",
        ),
        (
            "./mne.py:x:sesame",
            f"there is no file {directory}/mne.py; did you mean ./mine.py?",
        ),
    ]:
        line = complaint("--auth", given)
        name = ":".join(given.split(":")[:2])
        assert line.startswith(f"--auth {name}: {said}"), line
        assert "sesame" not in line
    assert "does not provide ICredentialsChecker" in complaint(
        "--auth", "./mine.py:bare"
    )


def test_factoriesOfCredLoadFromAFile(directory: Path) -> None:
    """[F58] An ICheckerFactory, as a package would install, or its class."""
    (directory / "mine.py").write_text(
        """
from twisted.cred.checkers import FilePasswordDB
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import ICheckerFactory
from zope.interface import implementer

@implementer(ICheckerFactory)
class Ldap:
    authType = "ldap"
    authHelp = argStringFormat = "Where."
    credentialInterfaces = (IUsernamePassword,)
    def generateChecker(self, argument):
        if not argument.startswith("tls:"):
            raise ValueError("say where, as tls:HOST")
        return FilePasswordDB(argument)

ldap = Ldap()
"""
    )
    for name in ("ldap", "Ldap"):
        config = ServerOptions()
        config.parseOptions(
            ["-n", "connectproxy", "--auth", f"./mine.py:{name}:tls:ldap.example:636"]
        )
        options = config.subOptions
        assert isinstance(options, Options)
        (named,) = options["built"].pluginSet.checkers
        assert named.name == name
        assert named.plugin.filename == "tls:ldap.example:636"
        assert complaint("--auth", f"./mine.py:{name}:sesame") == (
            f"--auth ./mine.py:{name}: say where, as tls:HOST"
        )


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ("--help-tap", "  sni:NAME|*.NAME,...\n      End tunnels whose TLS"),
        ("--help-pair", "No pair factories installed.\n"),
        ("--help-router", "No routers installed.\n"),
        ("--help-auth-scheme", "  basic\n      User name and password with every "),
        (
            "--help-plugin",
            "  accesslog:PATH|-[,format=json|text][,events=EVENTS][,required=yes|no]\n      (observer) Append",
        ),
        ("--help-auth", "  htpasswd:ARGUMENT\n      The path of the password file.\n"),
    ],
)
def test_eachKindHasItsHelp(
    option: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """[F58] What is installed, and how an option is written."""
    with pytest.raises(SystemExit) as caught:
        ServerOptions().parseOptions(["-n", "connectproxy", option])
    assert not caught.value.code
    said = capsys.readouterr().out
    asked = "--auth" if option == "--help-auth" else option.replace("help-", "")
    assert said.startswith(
        f"Usage: {asked} NAME[:ARGUMENT]\n"
        f"       {asked} ./file.py:NAME[:ARGUMENT]\n"
        f"       {asked} package.module:NAME[:ARGUMENT]\n"
    )
    assert shown in said
    assert max(map(len, said.splitlines())) <= 80


def test_shortHelp(capsys: pytest.CaptureFixture[str]) -> None:
    """[F28] C{-h} is C{--help}."""
    for option in ("-h", "--help"):
        with pytest.raises(SystemExit) as caught:
            ServerOptions().parseOptions(["-n", "connectproxy", option])
        assert not caught.value.code
    said = capsys.readouterr().out
    half = len(said) // 2
    assert said[:half] == said[half:] and "-h, --help" in said


def test_belowTwistItIsAUsageError() -> None:
    """[F28] The same words, without an end of the program."""
    with pytest.raises(usage.UsageError) as caught:
        Options().parseOptions(["--polcy"])
    assert (
        str(caught.value) == "--polcy: there is no such option; did you mean --policy?"
    )
    assert (
        explainArgument("x")
        == "'x' is no option (is it a value that lacks its option?)"
    )
