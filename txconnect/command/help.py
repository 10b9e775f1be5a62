"""
What C{--help} shows: the options in groups, and examples.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs
from twisted.python import usage

from txconnect.settings import Settings


def optionName(field: str) -> str:
    """C{headTimeout} as an option: C{head-timeout}."""
    return "".join("-" + c.lower() if c.isupper() else c for c in field)


_LONG = """\
An HTTP CONNECT proxy.  Without options it listens on 127.0.0.1:3128 and lets
this machine's programs through to port 443 of public addresses.

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
  TERM, INT   end the proxy; open tunnels are reset
  HUP, USR1   open the log files of observers again, for logrotate
  USR2        list the open tunnels in the log
"""
_MAIN = (
    "listen auth auth-scheme policy observer open-proxy workers route router tap pair "
    "help help-policy help-observer help-auth help-auth-type version"
).split()


def usageText(options: usage.Options, width: int, console: bool) -> str:
    """
    The help text below the synopsis.

    @param console: whether the program is C{txconnect}.
    """
    settings = [optionName(field.name) for field in attrs.fields(Settings)]
    examples = _EXAMPLES
    if console:
        examples = examples.replace("twistd -n --pidfile= connectproxy", "txconnect")
    return "".join(
        [
            "\n" + _LONG + "Options:\n",
            *_chunks(options, _MAIN, width),
            "\nSettings (times in seconds, sizes in octets):\n",
            *_chunks(options, settings, width),
            _SIGNALS,
            examples,
        ]
    )


def _chunks(options: usage.Options, names: Iterable[str], width: int) -> Iterable[str]:
    described = [
        {
            "long": name,
            "short": "l" if name == "listen" else None,
            "doc": " ".join((options.docs[name] or "").split()),
            "optType": "parameter" if name + "=" in options.longOpt else "flag",
            "default": options.defaults.get(name),
        }
        for name in names
    ]
    chunks: list[str] = usage.docMakeChunks(described, width)
    return chunks
