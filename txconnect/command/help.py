"""
The text of C{--help}: the options in groups, the signals and examples.

L{usage.Options} would list them in one alphabet, with the settings between the
few options that a newcomer needs.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs
from twisted.python import usage

from txconnect.settings import Settings


def optionName(field: str) -> str:
    """Return the name of a field as an option: C{headTimeout} is C{head-timeout}."""
    return "".join("-" + c.lower() if c.isupper() else c for c in field)


_LONG = """\
An HTTP CONNECT proxy.  Without options it listens only on 127.0.0.1:3128 and
connects only to port 443 on public addresses.

"""
_EXAMPLES = """
Examples:
  twistd -n --pidfile= connectproxy
  twistd -n --pidfile= connectproxy --listen 0.0.0.0:3128 \\
      --auth htpasswd:users --policy 'hosts:*.example.com' \\
      --observer accesslog:/var/log/connectproxy.log,format=json
"""
_SIGNALS = """
Signals:
  TERM, INT   stop the proxy and reset open tunnels
  HUP, USR1   reopen the log files of observers, for logrotate
  USR2        write the list of open tunnels to the log
"""
_MAIN = (
    "listen auth auth-scheme policy observer open-proxy workers route router tap pair "
    "plugin help help-policy help-observer help-tap help-pair help-router help-plugin "
    "help-auth help-auth-scheme help-auth-type version"
).split()
_SHORT = {"listen": "l", "help": "h"}
_PLUGINS = r"""
Plugins:
  NAME:ARGUMENT             an installed one; see --help-policy and the like
  ./file.py:NAME:ARGUMENT   a class, an object or a decorated function in a file
  package.module:NAME       the same in a module
  An argument is items between commas, key=value last; \, is a comma in one.
"""


def usageText(options: usage.Options, width: int, console: bool) -> str:
    """
    Return the help text that follows the synopsis.

    @param console: true when the program is C{txconnect}.
    """
    settings = [optionName(field.name) for field in attrs.fields(Settings)]
    examples = _EXAMPLES
    if console:
        examples = examples.replace("twistd -n --pidfile= connectproxy", "txconnect")
    return "".join(
        [
            "\n" + _LONG + "Options:\n",
            *_optionChunks(options, _MAIN, width),
            "\nSettings (times in seconds, sizes in octets):\n",
            *_optionChunks(options, settings, width),
            _PLUGINS,
            _SIGNALS,
            examples,
        ]
    )


def _optionChunks(
    options: usage.Options, names: Iterable[str], width: int
) -> list[str]:
    # In the form in which usage.Options describes its options to itself.
    described = [
        {
            "long": name,
            "short": _SHORT.get(name),
            "doc": " ".join((options.docs[name] or "").split()),
            "optType": "parameter" if name + "=" in options.longOpt else "flag",
            # An option that is a method has no default here: its text says it.
            "default": options.defaults.get(name),
        }
        for name in names
    ]
    chunks: list[str] = usage.docMakeChunks(described, width)
    return chunks
