"""
Sentences for options that do not exist or are written wrongly, with the option that
was probably meant.

C{getopt}, which C{usage.Options} uses, says only "option --polcy not recognized".
"""

from __future__ import annotations

import getopt
from collections.abc import Iterable

from twisted.python import usage

from txconnect.plugins import KINDS, Catalogue
from txconnect.plugins.catalogue import nearest
from txconnect.plugins.checkers import installedCheckers

__all__ = ["explainArgument", "explainMistake"]

_MEANT = {
    "listen": "port p bind b address addr interface host http-port proxy-port server",
    "auth": "user users u password passwd htpasswd basic basic-auth credentials",
    "policy": "allow deny acl rule rules filter whitelist allowlist blocklist "
    "denylist blacklist domain domains",
    "observer": "log access-log accesslog access logfile log-file",
    "route": "parent upstream proxy forward chain next-hop x",
    "idle-timeout": "timeout",
    "max-lifetime": "lifetime",
    "workers": "processes jobs threads w j",
    "open-proxy": "open no-auth anonymous",
    "version": "v V",
    "help": "usage man ?",
}
"""For an option, the names that other programs have for the same."""
_DAEMON = ("daemon", "daemonize", "background", "fork", "detach", "D")
_DAEMON_FORM = (
    "txconnect stays in the foreground; for a daemon, write twistd --pidfile=FILE "
    "--logfile=FILE connectproxy [the proxy's options]"
)
_OTHERS = {name: option for option, names in _MEANT.items() for name in names.split()}


def explainMistake(options: usage.Options, error: getopt.GetoptError) -> str:
    """Return the sentence for a mistake that C{getopt} has found."""
    given = error.opt
    known = [name.removesuffix("=") for name in options.longOpt]
    isLong = error.msg.startswith("option --")
    option = f"--{given}" if isLong else f"-{given}"
    if isLong and given in known:
        takes = f"{given}=" in options.longOpt
        return f"{option}: {'a value is missing' if takes else 'it takes no value'}"
    if not isLong and given in options.shortOpt:
        return f"{option}: a value is missing"
    if given in _DAEMON:
        return f"{option}: there is no such option; {_DAEMON_FORM}"
    several = sorted(name for name in known if isLong and name.startswith(given))
    if several:
        return f"{option} may be any of {', '.join(map(_dashed, several))}"
    return f"{option}: there is no such option{_hint(options, given, known)}"


def _hint(options: usage.Options, given: str, known: Iterable[str]) -> str:
    meant = _OTHERS.get(given) or _OTHERS.get(given.lower())
    short = len(given) == 1
    if short and meant is not None:
        return f"; did you mean {_dashed(meant)}?"
    if _isOfParent(options.parent, given):
        form = "twistd [twistd's options] connectproxy [the proxy's]"
        return f"; it is twistd's: write {form}"
    if meant is not None:
        return f"; did you mean {_dashed(meant)}?"
    if near := nearest(given, known):
        return f"; did you mean {_dashed(near)}?"
    return _pluginHint(given) or "; --help lists them all"


def _isOfParent(parent: usage.Options | None, given: str) -> bool:
    if parent is None:
        return False
    if len(given) == 1:
        return given in parent.shortOpt
    return {given, f"{given}="} & {*parent.longOpt} != set()


def _pluginHint(given: str) -> str:
    """Return a hint for the name of a plugin that was written as an option."""
    catalogue = Catalogue()
    forms = {
        str(each.name): f"{kind.option} {each.name}"
        + (f":{each.argumentHelp}" if each.argumentHelp else "")
        for kind in KINDS
        for each in catalogue.of(kind)
    }
    near = nearest(given, forms)
    return f"; did you mean {forms[near]}?" if near else ""


def explainArgument(argument: str) -> str:
    """Return the sentence for an argument that is no option."""
    if nearest(argument, ["passwd"]):
        return f"{argument!r} is no option; did you mean txconnect passwd FILE USER?"
    name = argument.partition(":")[0]
    if name in [factory.authType for factory in installedCheckers()]:
        # The rest may be a password.
        return f"{name!r} is no option; did you mean --auth {name}:...?"
    catalogue = Catalogue()
    for kind in KINDS:
        if name in [each.name for each in catalogue.of(kind)]:
            return f"{argument!r} is no option; did you mean {kind.option} {argument}?"
    return f"{argument!r} is no option (is it a value that lacks its option?)"


def _dashed(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name}"
