"""
The command C{txconnect-nc HOST PORT --proxy URL}: standard input and output
through a tunnel, as OpenSSH's C{ProxyCommand} wants it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import attrs
from OpenSSL.SSL import Error as SSLError
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from txconnect.client.conversation import Conversation, IStreams
from txconnect.client.destination import makeDestination
from txconnect.client.environment import ProxyEnvironment
from txconnect.client.errors import ProxyError
from txconnect.client.proxyurl import ProxyURL, tunnelEndpoint
from txconnect.client.secrets import StoredCredentials, loadCredentials
from txconnect.client.streams import StandardStreams, replaceClosedStreams
from txconnect.client.strings import isURL, parseTimeout, tunnelThrough
from txconnect.wire.authority import Authority, parsePort

__all__ = ["ChosenEndpoint", "chooseEndpoint", "converse", "main", "parseArguments"]

NAME = "txconnect-nc"
FAILED, MISUSED = 1, 2

_OPTIONS = ("credentials", "help", "proxy", "timeout")
# Those of curl, nc and ncat.
_OTHERS = {"x": "proxy", "u": "credentials", "U": "credentials", "w": "timeout"} | {
    "user": "credentials",
    "proxy-user": "credentials",
    "proxy-auth": "credentials",
}

# A long NO_PROXY of another program's making must not fill the terminal.
_HINTS = 3

DESCRIPTION = """\
Connect standard input and output to HOST and PORT, through a proxy: by HTTP
CONNECT, or by SOCKS5.
"""

EPILOG = """\
Without --proxy the environment says which proxy, as it says it to curl for
https://HOST:PORT: HTTPS_PROXY, ALL_PROXY and NO_PROXY.

Exit status: 0 when both sides have ended, 1 when there was no tunnel or it
was lost, 2 for wrong usage.

For OpenSSH, in ~/.ssh/config:

    Host *.example.com
        ProxyCommand txconnect-nc %h %p --proxy http://proxy.example.com:3128
"""


@attrs.frozen
class ChosenEndpoint:
    """
    The endpoint that leads to the destination.

    @ivar endpoint: the endpoint to connect to.
    @ivar firstHop: the name, for messages, of the host that it connects to
        first: the proxy, or the destination itself.
    @ivar hints: sentences on variables that do not mean what they seem to.
    """

    endpoint: IStreamClientEndpoint
    firstHop: str
    hints: tuple[str, ...] = ()


def chooseEndpoint(
    reactor: IReactorTime, arguments: argparse.Namespace, environ: Mapping[str, str]
) -> ChosenEndpoint:
    """
    Make the endpoint for the destination on the command line.

    @param arguments: as L{parseArguments} reads them.
    @raise ValueError: for an argument or a variable that is not valid, and when
        there is no proxy; with a message of one line without a password.
    """
    destination = makeDestination(arguments.host, parsePort(arguments.port))
    timeout = parseTimeout(arguments.timeout)
    stored = None
    if arguments.credentials is not None:
        stored = loadCredentials(arguments.credentials, environ)
    proxy = arguments.proxy
    if proxy is None:
        return _chooseFromEnvironment(reactor, destination, environ, stored, timeout)
    endpoint = tunnelThrough(
        reactor, proxy, arguments.host, arguments.port, stored=stored, timeout=timeout
    )
    # Not an endpoint string, which may have a password deep in it.
    shown = f" {ProxyURL.parse(proxy)}" if isURL(proxy) else ""
    return ChosenEndpoint(endpoint, f"the proxy{shown}")


def _chooseFromEnvironment(
    reactor: IReactorTime,
    destination: Authority,
    environ: Mapping[str, str],
    stored: StoredCredentials | None,
    timeout: float,
) -> ChosenEndpoint:
    host, port = destination.lookupName, destination.port
    environment = ProxyEnvironment(environ)
    if environment.excepts(host):
        return ChosenEndpoint(
            HostnameEndpoint(reactor, host, port, timeout), str(destination)
        )
    url = environment.proxyFor("https", host, port)
    if url is None:
        # Not directly: that may be the very thing that the proxy has to
        # prevent.
        raise ValueError(
            "there is no proxy: give --proxy URL, or set HTTPS_PROXY or ALL_PROXY"
        )
    endpoint = tunnelEndpoint(
        reactor, url, host, port, credentials=stored, timeout=timeout
    )
    return ChosenEndpoint(endpoint, f"the proxy {url}", environment.hints)


def converse(chosen: ChosenEndpoint, streams: IStreams) -> Deferred[str | None]:
    """
    Connect, and copy bytes until both sides have ended.

    @return: fires with L{None}, or with an error message of one line.
    """

    def notConnected(failure: Failure) -> str:
        if failure.check(ProxyError):
            return _lineOf(failure)
        # The proxy is named already, and better: with its scheme, or not at all.
        named = f": the proxy {getattr(failure.value, 'proxy', '')}"
        line = _lineOf(failure)
        if chosen.firstHop != "the proxy":
            line = line.replace(named, "")
        return f"cannot connect to {chosen.firstHop}: {line}"

    def waitForEnd(conversation: Conversation) -> Deferred[str | None]:
        return conversation.finished.addErrback(_lineOf)

    connecting: Deferred[Conversation] = connectProtocol(
        chosen.endpoint, Conversation(streams)
    )
    return connecting.addCallbacks(waitForEnd, notConnected)


def _lineOf(failure: Failure) -> str:
    error = failure.value
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, SSLError) and error.args and isinstance(error.args[0], list):
        # Each is (library, function, reason): only the last is for users.
        return "TLS failed: " + ", ".join(str(each[-1]) for each in error.args[0])
    return " ".join(str(error).split()) or type(error).__name__


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} ({NAME} -h shows them all)")


def parseArguments(argv: Sequence[str]) -> argparse.Namespace:
    """
    Read the command line.

    @raise ValueError: for wrong usage.
    @raise SystemExit: once the help is shown.
    """
    parser = _Parser(
        prog=NAME,
        description=DESCRIPTION,
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("host", metavar="HOST")
    parser.add_argument("port", metavar="PORT")
    parser.add_argument(
        "--proxy",
        metavar="URL",
        help="http://PROXY:PORT, https://PROXY[:PORT] or socks5://PROXY:PORT; or a "
        "client endpoint string, at which an HTTP proxy is",
    )
    parser.add_argument(
        "--credentials",
        metavar="FILE",
        help="one line user:password or Bearer TOKEN, in a file or, as env:NAME, in "
        "an environment variable; a password in a URL is for everybody to read",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        help="to get the tunnel (30)",
    )
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        # Not shown: it may be the URL of a forgotten "--proxy", with a
        # password.
        parser.error(
            "there are arguments after HOST and PORT, or unknown options"
            f"{_nearestOption(unknown)}"
        )
    return arguments


def _nearestOption(unknown: list[str]) -> str:
    """Return a hint for the first unknown argument that looks like an option of ours."""
    from difflib import get_close_matches

    for argument in unknown:
        name = argument.lstrip("-").partition("=")[0]
        near = get_close_matches(name, _OPTIONS, 1)
        if argument.startswith("-") and (near or name in _OTHERS):
            return f"; did you mean --{_OTHERS.get(name) or near[0]}?"
    return ""


def main() -> int:
    """
    Run the command with the arguments in C{sys.argv}.

    @return: the exit status.
    """
    try:
        # First, as the next file that is opened would get a closed one's number.
        replaceClosedStreams()
        arguments = parseArguments(sys.argv[1:])
        # Late: wrong usage and --help need no reactor.
        from twisted.internet import reactor

        chosen = chooseEndpoint(reactor, arguments, os.environ)
    except ValueError as error:
        _writeComplaint(str(error))
        return MISUSED
    for hint in chosen.hints[:_HINTS]:
        _writeComplaint(hint)
    return _runReactor(reactor, chosen)


def _runReactor(reactor: Any, chosen: ChosenEndpoint) -> int:
    outcomes: list[str | None] = []
    stopping: list[bool] = []

    def conversationEnded(complaint: str | None) -> None:
        # Otherwise a signal ended it: the user knows why, and gets no message.
        if not stopping:
            outcomes.append(complaint)
            reactor.stop()

    def startConversation() -> None:
        done = maybeDeferred(converse, chosen, StandardStreams(reactor))
        done.addErrback(_lineOf).addCallback(conversationEnded)

    reactor.addSystemEventTrigger("before", "shutdown", stopping.append, True)
    reactor.callWhenRunning(startConversation)
    reactor.run()
    if not outcomes:
        return FAILED
    (complaint,) = outcomes
    if complaint is None:
        return 0
    _writeComplaint(complaint)
    return FAILED


def _writeComplaint(line: str) -> None:
    try:
        sys.stderr.write(f"{NAME}: {line}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        # The reader is gone.  Python would flush again when it exits, fail,
        # and change the status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


if __name__ == "__main__":
    sys.exit(main())
