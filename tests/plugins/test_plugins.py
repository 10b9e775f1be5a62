"""
Plugins: declared by function and by class, found by name, path and file.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.plugin import IPlugin, getPlugins
from zope.interface.verify import verifyObject

from txconnect.errors import ConfigurationError
from txconnect.interfaces import IAddressPolicy, IDestinationPolicy, IPolicyPlugin
from txconnect.plugins import (
    AUTH_SCHEME,
    KINDS,
    OBSERVER,
    PAIR,
    POLICY,
    ROUTER,
    TAP,
    Catalogue,
    addressPolicyPlugin,
    authSchemeFactory,
    installed,
    loadPlugin,
    observerFactory,
    observerPlugin,
    pairFactory,
    pairPlugin,
    parseArgument,
    policyFactory,
    policyPlugin,
    routerFactory,
    routerPlugin,
    tapFactory,
    tapPlugin,
)
from txconnect.plugins.listing import listed
from txconnect.values import Allow, Authority, Decision, Deny, Request

REQUEST = Request(Authority("example.com", 443))

HEAD = """
from zope.interface import implementer
from txconnect.interfaces import IDestinationPolicy
from txconnect.plugins import *
from txconnect.values import Allow, Deny
"""

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """
    C{install(source)} is a distribution with that one plugin module, in a
    directory of its own; it is gone after the test.
    """
    before = set(sys.modules)
    numbers = itertools.count()

    def write(source: str, name: str = "") -> Path:
        number = next(numbers)
        directory = tmp_path / f"dist{number}"
        directory.mkdir()
        path = directory / f"{name or f'other{number}_{tmp_path.name}'}.py"
        path.write_text(HEAD + source)
        package = import_module("twisted.plugins")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(directory)])
        return path

    yield write
    for name in set(sys.modules) - before:
        if name.startswith(("twisted.plugins.other", "txconnect_file_")):
            del sys.modules[name]


def refusal(description: str, kind: Any = POLICY) -> str:
    """What start-up says when a plugin cannot be had."""
    with pytest.raises(ConfigurationError) as caught:
        loadPlugin(kind, description)
    return str(caught.value)


# The grammar of arguments


@pytest.mark.parametrize(
    ("argument", "items", "keys"),
    [
        pytest.param("", (), {}, id="nothing is no item"),
        pytest.param("443,8443", ("443", "8443"), {}, id="items between commas"),
        pytest.param(" 443 , 8443 ", ("443", "8443"), {}, id="white space is dropped"),
        pytest.param("public,fd00:1::/64", ("public", "fd00:1::/64"), {}, id="colons"),
        pytest.param("-,format=json", ("-",), {"format": "json"}, id="keys last"),
        pytest.param("key=a=b", (), {"key": "a=b"}, id="the first = splits"),
        pytest.param("key=", (), {"key": ""}, id="a key may be empty"),
        pytest.param("/a=b/c", ("/a=b/c",), {}, id="a path with = is an item"),
    ],
)
def test_argumentsAreItemsThenKeys(
    argument: str, items: tuple[str, ...], keys: dict[str, str]
) -> None:
    assert parseArgument(argument) == (items, keys)


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("443,,8443", "an item of the argument is empty"),
        ("443,", "an item of the argument is empty"),
        ("format=json,-", "'-' follows a key=value item; those come last"),
        ("a=1,a=2", "the key 'a' is given twice"),
    ],
)
def test_argumentsThatAreRefused(argument: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parseArgument(argument)


def test_factoryNamesWhatDoesNotFit() -> None:
    """A wrong count or key says so, and how the argument is written."""

    def build(path: str, format: str = "json") -> str:
        return path + format

    factory = policyFactory("log", "Logs.", build, "PATH[,format=json|text]")
    assert factory.fromString("x,format=text") == "xtext"
    for argument, reason in [
        ("", "missing a required argument: 'path'"),
        ("a,b,c", "too many positional arguments"),
        ("a,fromat=text", "unexpected keyword argument 'fromat'"),
    ]:
        with pytest.raises(ValueError) as caught:
            factory.fromString(argument)
        assert reason in str(caught.value)
        assert str(caught.value).endswith(r"write log:PATH[,format=json|text]")


def test_factoryLeavesATypeErrorOfThePluginAlone() -> None:
    """What the plugin itself raises is not blamed on the argument."""

    def build(item: str) -> object:
        return item + 1  # type: ignore[operator]

    with pytest.raises(TypeError, match="concatenate"):
        policyFactory("bad", "Bad.", build).fromString("x")


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "a:b", "a,b", " a"])
def test_namesHoldNothingOfTheGrammar(name: str) -> None:
    with pytest.raises(ValueError, match="no plugin name"):
        policyFactory(name, "", object)
    with pytest.raises(ValueError, match="no plugin name"):
        policyPlugin(name, "")(lambda request: Allow())


# Declared by a decorator


def test_decoratedFunctionIsPluginPolicyAndFunction() -> None:
    """One object: found by twisted.plugin, a policy when embedding, callable."""

    @policyPlugin("nice", "Allow what is nice.")
    def nice(request: Request) -> Decision:
        """Its own words."""
        return Allow("nice") if request is REQUEST else Deny("not nice")

    assert verifyObject(IPolicyPlugin, nice)
    assert verifyObject(IDestinationPolicy, nice)
    assert IPlugin.providedBy(nice)
    assert nice(REQUEST) == nice.decide(REQUEST) == Allow("nice")
    assert (nice.name, nice.summary) == ("nice", "Allow what is nice.")
    assert nice.__doc__ == "Its own words."
    assert nice.fromString("") is nice
    with pytest.raises(ValueError, match="it takes no argument; write nice"):
        nice.fromString("x")


def test_asyncFunctionsStayWhatTheyAre() -> None:
    """A coroutine function and one that returns a Deferred are left alone."""

    @policyPlugin("a", "")
    async def awaited(request: Request) -> Decision:
        return Allow()

    @policyPlugin("b", "")
    def later(request: Request) -> Deferred[Decision]:
        return succeed(Allow())

    coroutine = awaited.decide(REQUEST)
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    assert stopped.value.value == Allow()
    assert isinstance(later.decide(REQUEST), Deferred)


def test_everyKindHasItsDecoratorAndFactory() -> None:
    """Each helper makes a plugin of its kind that provides the kind's hook."""
    one: Any = lambda value: None  # noqa: E731
    two: Any = lambda request, address: Allow()  # noqa: E731
    decorated = [
        (POLICY, policyPlugin("x", "X.")(one)),
        (POLICY, addressPolicyPlugin("x", "X.")(two)),
        (OBSERVER, observerPlugin("x", "X.")(one)),
        (TAP, tapPlugin("x", "X.")(one)),
        (ROUTER, routerPlugin("x", "X.")(one)),
        (PAIR, pairPlugin("x", "X.")(one)),
    ]
    for kind, plugin in decorated:
        assert verifyObject(kind.factory, plugin)
        faces = [face for face in kind.provides if face.providedBy(plugin)]
        assert faces and all(verifyObject(face, plugin) for face in faces)
    factories: list[tuple[Any, Any]] = [
        (POLICY, policyFactory),
        (OBSERVER, observerFactory),
        (TAP, tapFactory),
        (ROUTER, routerFactory),
        (PAIR, pairFactory),
        (AUTH_SCHEME, authSchemeFactory),
    ]
    for kind, make in factories:
        assert verifyObject(kind.factory, make("x", "X.", object))
    assert {kind for kind, _ in factories} == set(KINDS)


# Found by name


def test_installedPluginsAreFoundAndListed(install: Install) -> None:
    """A module attribute in twisted/plugins is a plugin, by name."""
    install(
        """
@policyPlugin("nice", "Allow what is nice.")
def nice(request):
    return Allow()
other = observerPlugin("nice", "An observer of the same name.")(print)
"""
    )
    found = loadPlugin(POLICY, "nice")
    assert found.name == "nice"
    assert found.plugin(REQUEST) == Allow()
    assert "nice" in [plugin.name for plugin in installed(POLICY)]
    assert "  nice\n      Allow what is nice.\n" in listed(POLICY)
    assert found.plugin in list(getPlugins(IPolicyPlugin))


def test_stockPluginsAreInstalled() -> None:
    names = {kind.noun: [p.name for p in installed(kind)] for kind in KINDS}
    assert {"deny-hosts", "hosts", "networks", "ports", "users"} <= set(names["policy"])
    assert {"accesslog", "counters"} <= set(names["observer"])
    assert names["auth-scheme"] == ["basic"]
    # One that is both a policy of names and one of addresses keeps its name.
    assert loadPlugin(POLICY, "networks:public,10.0.0.0/8").name == "networks"
    assert IAddressPolicy.providedBy(loadPlugin(POLICY, "networks").plugin)


def test_unknownNameNamesTheNearestAndTheInstalled() -> None:
    text = refusal("prots:443")
    assert "policy 'prots' is not installed; did you mean 'ports'?" in text
    assert "deny-hosts, hosts, networks, ports, users" in text


def test_nameOfAnotherKindSaysWhichOption() -> None:
    text = refusal("accesslog")
    assert "There is an installed observer of that name (--observer)" in text


def test_nameOfAFileNearbySaysHowToWriteIt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nightly.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert "write --policy ./nightly.py:NAME" in refusal("nightly:nightly")


def test_brokenPluginModuleIsNamedWithItsMistake(install: Install) -> None:
    """[F28] A name that is missing names every plugin module that failed to import."""
    path = install("import there_is_no_such_module\n")
    broken = (
        f"{path} could not be imported: ModuleNotFoundError: No module named "
        f"'there_is_no_such_module' ({path}, line 6)"
    )
    text = refusal("mine")
    assert text.endswith(f" {broken}.") and "\n" not in text
    assert broken + "\n" in listed(POLICY)


def test_brokenPluginModuleStopsNobodyElse(install: Install) -> None:
    install("this is no Python\n")
    install('mine = policyPlugin("mine", "Mine.")(lambda request: Allow())\n')
    assert loadPlugin(POLICY, "mine").name == "mine"


def test_sameNameTwiceNamesBothFiles(install: Install) -> None:
    """Which of two is meant is not guessed."""
    source = 'mine = policyPlugin("mine", "Mine.")(lambda request: Allow())\n'
    first, second = install(source), install(source)
    text = refusal("mine")
    assert "is declared 2 times" in text
    assert str(first) in text and str(second) in text


def test_samePluginUnderTwoAttributesIsOne(install: Install) -> None:
    install('a = b = policyPlugin("mine", "Mine.")(lambda request: Allow())\n')
    assert loadPlugin(POLICY, "mine").name == "mine"


def test_catalogueLooksOnceAKind(install: Install) -> None:
    catalogue = Catalogue()
    assert "mine" not in [plugin.name for plugin in catalogue.of(POLICY)]
    install('mine = policyPlugin("mine", "Mine.")(lambda request: Allow())\n')
    with pytest.raises(ConfigurationError):
        loadPlugin(POLICY, "mine", catalogue)
    assert loadPlugin(POLICY, "mine", Catalogue()).name == "mine"


def test_factoryThatBreaksItsContractIsRefused(install: Install) -> None:
    """What it lacks, and the file, not an AttributeError later."""
    path = install(
        """
from txconnect.interfaces import IPolicyPlugin
@implementer(IPolicyPlugin)
class Half:
    name = "half"
    summary = "Half a plugin."
half = Half()
"""
    )
    text = refusal("half")
    assert "fromString(argument), which IPolicyPlugin asks for" in text
    assert str(path) in text
    assert "\n" not in text


# What the argument and the object must be


def test_valueErrorIsTheSentenceThatIsShown() -> None:
    assert refusal("ports:http").startswith("--policy ports:http: 'http' is not a port")


def test_otherExceptionsAreShownWithTheirPlace(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(
        HEAD + "def build():\n    return {}['x']\n"
        'mine = policyFactory("mine", "", build)\n'
    )
    text = refusal(f"{path}:mine")
    assert text == f"--policy {path}:mine: KeyError: 'x' ({path}, line 7)"


def test_wrongSignatureIsOneSentence(tmp_path: Path) -> None:
    """A decide() of the wrong parameters stops start-up, with the file."""
    path = tmp_path / "wrong.py"
    path.write_text(
        HEAD + "@policyPlugin('wrong', '')\ndef wrong():\n    return Allow()\n"
    )
    text = refusal(f"{path}:wrong")
    assert "its decide() takes too few arguments" in text
    assert "it is called as decide(request)" in text
    assert text.endswith(f"({path})")


def test_objectOfNoKindIsRefused(tmp_path: Path) -> None:
    path = tmp_path / "odd.py"
    path.write_text(
        HEAD
        + """
class Bare:
    def decide(self, request):
        return Allow()
thing = Bare()
made = policyFactory("made", "", Bare)
"""
    )
    wanted = "does not provide IDestinationPolicy or IAddressPolicy"
    for name in ("Bare", "thing", "made"):
        text = refusal(f"{path}:{name}")
        assert wanted in text and text.endswith(f"({path})")


# Found by path


FILE = (
    HEAD
    + """
from txconnect.interfaces import ITrafficObserver

loads = []
loads.append(1)

@policyPlugin("nice", "Nice.")
async def nice(request):
    return Allow()

@implementer(IDestinationPolicy)
class Only:
    def __init__(self, host, mode="exact"):
        self.host, self.mode = host, mode
    def decide(self, request):
        return Allow()

only = Only("example.com")

@implementer(IDestinationPolicy)
class Own(Only):
    name = "its-own"

def bare(request):
    return Allow()

watch = observerPlugin("watch", "Watch.")(print)
"""
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install: Install) -> str:
    """A file of plugins, by a relative path."""
    (tmp_path / "mine.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return "./mine.py"


def test_fileGivesFactoryClassAndInstance(file: str) -> None:
    assert loadPlugin(POLICY, f"{file}:nice").name == "nice"
    made = loadPlugin(POLICY, f"{file}:Only:example.org,mode=glob")
    assert made.name == "Only"
    assert (made.plugin.host, made.plugin.mode) == ("example.org", "glob")
    assert loadPlugin(POLICY, f"{file}:only").plugin.host == "example.com"
    assert loadPlugin(POLICY, f"{file}:Own:x").name == "Own"


def test_fileIsLoadedOnce(file: str) -> None:
    """Two plugins of one file share its module and so its state."""
    first = loadPlugin(POLICY, f"{file}:Only:a").plugin
    second = loadPlugin(POLICY, f"{Path(file).resolve()}:Only:b").plugin
    assert type(first) is type(second)


def test_fileHidesNoOtherModule(tmp_path: Path, install: Install) -> None:
    path = tmp_path / "random.py"
    path.write_text(FILE)
    before = sys.modules.get("random")
    loadPlugin(POLICY, f"{path}:nice")
    assert sys.modules.get("random") is before


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("", "say what in it is meant, as ./mine.py:NAME"),
        (":", "say what in it is meant"),
        (":nicer", "has no 'nicer'; did you mean 'nice'?"),
        (":Only", "the argument does not fit, missing a required argument: 'host'"),
        (":only:x", "is an object already: it takes no argument"),
        (":nice:x", "it takes no argument"),
        (
            ":bare",
            "is a bare function: decorate it with txconnect.plugins.policyPlugin",
        ),
        (":watch", "is declared as an observer: give it with --observer"),
    ],
)
def test_fileWithoutWhatIsMeant(file: str, what: str, reason: str) -> None:
    text = refusal(file + what)
    assert reason in text
    assert "\n" not in text


def test_missingFileIsNamedInFull(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal("./no.py:x").endswith(f"there is no file {tmp_path}/no.py")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "import no_such_thing",
            "ModuleNotFoundError: No module named 'no_such_thing'",
        ),
        ("def :", "SyntaxError: invalid syntax"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_fileThatFailsToImport(
    tmp_path: Path, install: Install, source: str, reason: str
) -> None:
    """One line with the place; the failure leaves no half-made module."""
    path = tmp_path / "bad.py"
    path.write_text(source)
    for _ in range(2):
        text = refusal(f"{path}:x")
        assert reason in text and f"({path}, line 1)" in text
        assert "\n" not in text


def test_modulesAreImportedByDottedPath(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "otherpkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "policies.py").write_text(FILE)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert loadPlugin(POLICY, "otherpkg.policies:nice").name == "nice"
    assert loadPlugin(OBSERVER, "otherpkg.policies:watch").name == "watch"
    text = refusal("otherpkg.policy:nice")
    assert "there is no module 'otherpkg.policy' on the import path" in text
    (package / "sick.py").write_text("import otherpkg.missing_dependency\n")
    assert "No module named 'otherpkg.missing_dependency'" in refusal(
        "otherpkg.sick:nice"
    )


def test_fileWithoutANameListsWhatFits(tmp_path: Path) -> None:
    """[F57] What is of the kind that the option wants, and nothing else."""
    path = tmp_path / "several.py"
    path.write_text(
        HEAD
        + """
from txconnect import tapPlugin
class Other: pass
@policyPlugin("one", "One.")
def one(request):
    return Allow()
@tapPlugin("two", "Two.")
def two(tunnel):
    return None
"""
    )
    assert refusal(f"{path}").endswith(f"as {path}:NAME; it has one")
    empty = tmp_path / "empty.py"
    empty.write_text(HEAD)
    assert refusal(f"{empty}").endswith(f"as {empty}:NAME")


def test_formOfAClass(tmp_path: Path) -> None:
    """[F57] The right form has the names of the parameters."""
    path = tmp_path / "classes.py"
    path.write_text(
        HEAD
        + """
class Quota:
    def __init__(self, tunnels, octets="1"):
        raise AssertionError("never made")
"""
    )
    text = refusal(f"{path}:Quota")
    assert text.endswith("'tunnels'; write Quota:TUNNELS[,octets=OCTETS]")
