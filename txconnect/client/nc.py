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
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure

from txconnect.client.conversation import Conversation, IStreams
from txconnect.client.destination import makeDestination
from txconnect.client.environment import ProxyEnvironment
from txconnect.client.errors import ProxyError
from txconnect.client.proxyurl import ProxyURL, tunnelEndpoint
from txconnect.client.secrets import StoredCredentials, loadCredentials
from txconnect.client.streams import StandardStreams
from txconnect.client.strings import isURL, parseTimeout, tunnelThrough
from txconnect.wire.authority import Authority, parsePort

__all__ = ["Way", "chooseWay", "converse", "main", "parseArguments"]

NAME = "txconnect-nc"
FAILED, MISUSED = 1, 2

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
class Way:
    """
    How to get to the destination.

    @ivar endpoint: to connect to.
    @ivar first: what is connected to first, for messages: the proxy, or the
        destination itself.
    """

    endpoint: IStreamClientEndpoint
    first: str


def chooseWay(
    reactor: Any, arguments: argparse.Namespace, environ: Mapping[str, str]
) -> Way:
    """
    Say how to get where the command line wants to.

    @param arguments: as L{parseArguments} reads them.
    @raise ValueError: for an argument or a variable that is none, and when
        there is no proxy; in one line without a password.
    """
    destination = makeDestination(arguments.host, parsePort(arguments.port))
    timeout = parseTimeout(arguments.timeout)
    stored = None
    if arguments.credentials is not None:
        stored = loadCredentials(arguments.credentials, environ)
    proxy = arguments.proxy
    if proxy is None:
        return _wayOfEnvironment(reactor, destination, environ, stored, timeout)
    endpoint = tunnelThrough(
        reactor, proxy, arguments.host, arguments.port, stored=stored, timeout=timeout
    )
    # An endpoint string may have a password deep in it.
    shown = f" {ProxyURL.parse(proxy)}" if isURL(proxy) else ""
    return Way(endpoint, f"the proxy{shown}")


def _wayOfEnvironment(
    reactor: Any,
    destination: Authority,
    environ: Mapping[str, str],
    stored: StoredCredentials | None,
    timeout: float,
) -> Way:
    host, port = destination.lookupName, destination.port
    environment = ProxyEnvironment(environ)
    if environment.excepts(host):
        return Way(HostnameEndpoint(reactor, host, port, timeout), str(destination))
    url = environment.proxyFor("https", host, port)
    if url is None:
        # Going directly instead could be what the proxy is there against.
        raise ValueError(
            "there is no proxy: give --proxy URL, or set HTTPS_PROXY or ALL_PROXY"
        )
    endpoint = tunnelEndpoint(
        reactor, url, host, port, credentials=stored, timeout=timeout
    )
    return Way(endpoint, f"the proxy {url}")


def converse(way: Way, streams: IStreams) -> Deferred[str | None]:
    """
    Connect, and carry bytes until both sides have ended.

    @return: fires with L{None}, or with one line that says what went wrong.
    """

    def notConnected(failure: Failure) -> str:
        if failure.check(ProxyError):
            return _lineOf(failure)
        return f"cannot connect to {way.first}: {_lineOf(failure)}"

    def connected(conversation: Conversation) -> Deferred[str | None]:
        finished: Deferred[Any] = conversation.finished
        return finished.addErrback(_lineOf)

    connecting: Deferred[Any] = connectProtocol(way.endpoint, Conversation(streams))
    return connecting.addCallbacks(connected, notConnected)


def _lineOf(failure: Failure) -> str:
    error = failure.value
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, SSLError) and error.args and isinstance(error.args[0], list):
        # Of each (library, function, reason) the last says it.
        return "TLS failed: " + ", ".join(str(each[-1]) for each in error.args[0])
    return " ".join(str(error).split()) or type(error).__name__


class _Parser(argparse.ArgumentParser):
    """Complains in one line."""

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
        help="until the tunnel has to stand (30)",
    )
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        # Not shown: it may be a URL that "--proxy" was forgotten before.
        parser.error("there are arguments behind HOST and PORT, or unknown options")
    return arguments


def main() -> int:
    """
    Do what C{sys.argv} says.

    @return: the exit status.
    """
    try:
        arguments = parseArguments(sys.argv[1:])
        from twisted.internet import reactor

        way = chooseWay(reactor, arguments, os.environ)
    except ValueError as error:
        _complain(str(error))
        return MISUSED
    return _run(reactor, way)


def _run(reactor: Any, way: Way) -> int:
    outcomes: list[str | None] = []
    stopping: list[bool] = []

    def ended(complaint: str | None) -> None:
        # A signal has cut it off otherwise, which needs no words.
        if not stopping:
            outcomes.append(complaint)
            reactor.stop()

    def begin() -> None:
        done = maybeDeferred(converse, way, StandardStreams(reactor))
        done.addErrback(_lineOf).addCallback(ended)

    reactor.addSystemEventTrigger("before", "shutdown", stopping.append, True)
    reactor.callWhenRunning(begin)
    reactor.run()
    if not outcomes:
        return FAILED
    (complaint,) = outcomes
    if complaint is None:
        return 0
    _complain(complaint)
    return FAILED


def _complain(line: str) -> None:
    try:
        sys.stderr.write(f"{NAME}: {line}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        # Nobody reads it.  Python would try again at its end, and change the
        # status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


if __name__ == "__main__":
    sys.exit(main())
