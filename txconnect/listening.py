"""
Listening: the endpoints that a proxy is reached by, and the service that opens
them.

An open proxy is somebody else's weapon, so a listener that others can reach
and that nothing guards stops start-up.  Only the port itself knows where it
listens (C{systemd:} and nested endpoints tell nothing earlier): it is judged
before the first connection is passed on.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any, NoReturn

import attrs
from twisted.application.service import IService, Service
from twisted.internet.address import IPv4Address, IPv6Address as Address6, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, DeferredList, maybeDeferred
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txconnect.errors import ConfigurationError

DEFAULT_LISTEN = "tcp:3128:interface=127.0.0.1"
BACKLOG = 1024

_log = Logger()

# What Twisted calls its parsers says nothing to an operator.
_PARSER = re.compile(r"^[\w.<>]+\(\) ")
_BACKLOGGED = ("tcp", "tcp6", "ssl", "unix", "proxytls")
_ENCRYPTED = ("ssl", "tls", "proxytls")
_PART = re.compile(r"(?:\A|:)((?:\\.|[^:\\])*)", re.DOTALL)
_SPECIFIC = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w-]*\.[\w.-]*|localhost):([0-9]+)")


class CannotStart(Exception):
    """
    The proxy cannot listen as it was told to.

    @ivar short: the same in a few words, the address and the reason first: of
        a daemon's exception C{twistd} shows about 98 octets.
    """

    def __init__(self, line: str, short: str) -> None:
        super().__init__(line)
        self.short = short


@attrs.frozen
class Listener:
    """
    One endpoint to listen on.

    @ivar description: as the operator wrote it.
    @ivar endpoint: what it means.
    @ivar encrypted: whether clients speak TLS to it.
    """

    description: str
    endpoint: IStreamServerEndpoint
    encrypted: bool = False

    @property
    def certified(self) -> bool:
        """Whether no client gets through without a valid certificate."""
        return bool(getattr(self.endpoint, "requiresClientCertificate", False))


def parseListener(reactor: Any, description: str) -> Listener:
    """
    Read one C{--listen}: an endpoint string, or C{3128} (this machine only),
    C{host:3128}, C{[::1]:3128}.

    A relative path of C{unix:} is made absolute, and the backlog is
    L{BACKLOG} where none is given.

    @raise ConfigurationError: when it is neither.
    """
    text = _withDefaults(_fromShort(description))
    try:
        endpoint = serverFromString(reactor, text)
    except Exception as error:
        reason = _PARSER.sub("", str(error)) or type(error).__name__
        raise ConfigurationError(
            f"--listen {description!r} is no endpoint: {reason} (write such as "
            f"{DEFAULT_LISTEN}, or 127.0.0.1:3128)"
        ) from error
    encrypted = bool(set(_split(text)[:2]) & set(_ENCRYPTED))
    return Listener(description, endpoint, encrypted)


def _fromShort(text: str) -> str:
    if text.isascii() and text.isdigit():
        return f"tcp:{text}:interface=127.0.0.1"
    match = _SPECIFIC.fullmatch(text)
    if match is None:
        return text
    host = match[1].strip("[]")
    kind = "tcp6" if ":" in host else "tcp"
    return f"{kind}:{match[2]}:interface={quoteStringArgument(host)}"


def _withDefaults(text: str) -> str:
    parts = _split(text)
    # haproxy:tcp:3128 hands all but its own name on.
    kind = 1 if parts[0] == "haproxy" and len(parts) > 1 else 0
    if parts[kind] == "unix":
        parts = [_absolute(part, i == kind + 1) for i, part in enumerate(parts)]
    if parts[kind] in _BACKLOGGED and len(parts) > kind + 1:
        if not any(part.startswith("backlog=") for part in parts):
            parts.append(f"backlog={BACKLOG}")
    return ":".join(parts)


def _split(text: str) -> list[str]:
    """The parts of an endpoint string, still quoted."""
    return [str(part) for part in _PART.findall(text)]


def _absolute(part: str, isPath: bool) -> str:
    if part.startswith("address="):
        return "address=" + _absolute(part.removeprefix("address="), True)
    if not isPath or not part or part.startswith(("/", "\\0", "\0")):
        return part
    plain = re.sub(r"\\(.)", r"\1", part)
    return str(quoteStringArgument(os.path.abspath(plain)))


def isLocal(host: IAddress) -> bool:
    """
    Whether only this machine can reach an address: the judge of open proxies.

    An address of a kind that is not known is not.
    """
    if isinstance(host, UNIXAddress):
        return True
    if not isinstance(host, (IPv4Address, Address6)):
        return False
    try:
        address = ip_address(host.host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def shownAddress(host: IAddress) -> str:
    """An address for people: C{127.0.0.1:3128}, C{[::1]:3128}, C{unix:/path}."""
    if isinstance(host, UNIXAddress):
        return "unix:" + os.fsdecode(host.name or b"")
    name, port = getattr(host, "host", None), getattr(host, "port", None)
    if name is None or port is None:
        return str(host)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


class Gate(Factory):
    """
    Holds connections off until their listener has been judged; then adds one
    call a connection and nothing a byte.
    """

    noisy = False

    def __init__(self, factory: IProtocolFactory) -> None:
        self.open = False
        self._factory = factory

    def startFactory(self) -> None:
        self._factory.doStart()

    def stopFactory(self) -> None:
        self._factory.doStop()

    def buildProtocol(self, addr: Any) -> Any:
        return self._factory.buildProtocol(addr) if self.open else None


class ListeningService(Service):
    """
    A proxy with its listeners, as one service.

    Listens when C{twistd} still has its privileges, or else at
    C{startService}; starts the proxy once all ports are bound, and stops it
    once all are closed.

    @ivar proxy: the L{txconnect.service.ConnectProxy}: an C{IService} that
        also has C{addListener(host)}.
    """

    def __init__(
        self,
        proxy: Any,
        factory: IProtocolFactory,
        listeners: Sequence[Listener],
        exit: Exit,
        *,
        guarded: bool,
        announce: Callable[[Sequence[tuple[Listener, IAddress]]], object],
    ) -> None:
        """
        @param guarded: whether nobody gets through unasked on any listener:
            users are authenticated, or the operator wants an open proxy.
        @param announce: called once, when all listen and the proxy runs.
        @param exit: what to do when they cannot.
        """
        self.proxy = proxy
        self._factory = factory
        self._listeners = listeners
        self._exit = exit
        self._guarded = guarded
        self._announce = announce
        self._waiting: list[Deferred[None]] = []
        self._ports: dict[int, IListeningPort] = {}
        self._starting = False
        self._listening = False
        self._failure: Failure | None = None

    def privilegedStartService(self) -> None:
        """Bind the ports.  Only C{twistd} calls this."""
        Service.privilegedStartService(self)
        IService(self.proxy).privilegedStartService()
        self._listen()

    def startService(self) -> None:
        """Bind the ports if they are not, then run the proxy."""
        Service.startService(self)
        if not self._listening:
            self._listen()
        self._startProxy()
        # Nearly always fired by now; a port that comes late is announced late.
        ready = DeferredList(self._waiting)
        ready.addCallback(lambda _: self._ready())

    def stopService(self) -> Deferred[None]:
        """Close the ports, then stop the proxy."""
        Service.stopService(self)
        done = self._closePorts()
        done.addCallback(lambda _: maybeDeferred(IService(self.proxy).stopService))
        return done

    def _startProxy(self) -> None:
        try:
            IService(self.proxy).startService()
        except (ConfigurationError, OSError) as error:
            # A plugin that is a service: a log that cannot be opened.  Threads
            # that run already would keep the program from ending.
            self._closePorts()
            maybeDeferred(IService(self.proxy).stopService)
            self._exit.now(CannotStart(f"cannot start: {error}", str(error)))

    def _listen(self) -> None:
        self._starting = self._listening = True
        self._waiting.clear()
        raiseDescriptorLimit()
        for number, listener in enumerate(self._listeners):
            gate = Gate(self._factory)
            waiting = maybeDeferred(listener.endpoint.listen, gate)
            bound = waiting.addCallback(self._bound, number, listener, gate)
            self._waiting.append(bound.addErrback(self._failed, listener))
        self._starting = False
        if self._failure is not None:
            self._closePorts()
            self._exit.now(_cannotStart(self._failure))

    def _bound(
        self, port: IListeningPort, number: int, listener: Listener, gate: Gate
    ) -> None:
        if not self._listening:  # stopped, and the endpoint could not be cancelled
            port.stopListening()
            return
        self._ports[number] = port
        host = port.getHost()
        if not (self._guarded or listener.certified or isLocal(host)):
            raise _unguarded(host)
        self.proxy.addListener(host)
        gate.open = True

    def _failed(self, failure: Failure, listener: Listener) -> None:
        if failure.check(CancelledError) or self._failure is not None:
            return
        self._failure = failure
        if not failure.check(CannotListenError, CannotStart, OSError, OverflowError):
            _log.failure(
                "Listening on {where} failed", failure, where=listener.description
            )
        if not self._starting:
            self._exit.later(_cannotStart(failure))

    def _ready(self) -> None:
        if self._failure is None and self.running:
            self._announce(
                [
                    (listener, self._ports[number].getHost())
                    for number, listener in enumerate(self._listeners)
                ]
            )

    def _closePorts(self) -> Deferred[None]:
        for waiting in self._waiting:
            waiting.cancel()
        closing = [maybeDeferred(port.stopListening) for port in self._ports.values()]
        self._ports.clear()
        self._listening = False
        return DeferredList(closing, consumeErrors=True).addCallback(lambda _: None)


def _unguarded(host: IAddress) -> CannotStart:
    where = shownAddress(host)
    return CannotStart(
        f"refusing to start: {where} is within reach of others and nothing guards it; "
        "ask for passwords (--auth htpasswd:users), listen on 127.0.0.1, or say "
        "--open-proxy to let everyone through",
        f"{where} is open to others: give --auth or --open-proxy",
    )


def _cannotStart(failure: Failure) -> CannotStart:
    error = failure.value
    if isinstance(error, CannotStart):
        return error
    if not isinstance(error, CannotListenError):
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return CannotStart(f"cannot listen: {text}", text)
    reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
    short = f"{_whereOf(error)}: {reason}"
    return CannotStart(f"cannot listen on {short}", short)


def _whereOf(error: CannotListenError) -> str:
    if isinstance(error.port, (bytes, str)):
        return "unix:" + os.fsdecode(error.port)
    host = error.interface or "*"
    return f"[{host}]:{error.port}" if ":" in host else f"{host}:{error.port}"


def raiseDescriptorLimit() -> None:
    """
    Raise the soft limit of open descriptors to the hard one: a tunnel takes
    two, and the usual soft limit is 1024.
    """
    try:
        import resource
    except ImportError:  # not on this system
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        _log.warn(
            "The limit of open descriptors stays at {soft}: {error}",
            soft=soft,
            error=error,
        )


@attrs.frozen
class Exit:
    """
    How the program ends when it cannot listen.

    @ivar foreground: whether somebody waits for the exit status: one line and
        status 1.  A daemon must raise instead, so that its parent hears of it;
        C{SystemExit} there leaves the parent waiting.
    @ivar program: what the line begins with.
    @ivar pidfile: the file that C{twistd} wrote and, on these ways out, does
        not remove; or empty.
    """

    reactor: Any
    foreground: bool
    program: str = "txconnect"
    pidfile: str = ""

    def now(self, reason: CannotStart) -> NoReturn:
        """End the start-up that is under way."""
        if not self.foreground:
            raise CannotStart(reason.short, reason.short) from None
        self._say(reason)
        self._removePidfile()
        raise SystemExit(1)

    def later(self, reason: CannotStart) -> None:
        """Stop the running reactor; the exit status is 1."""
        if self.foreground:
            self._say(reason)
        else:
            _log.error("{reason}", reason=str(reason))
        self.reactor.addSystemEventTrigger("after", "shutdown", self._leave)
        self.reactor.stop()

    def _say(self, reason: CannotStart) -> None:
        # sys.stderr is the log by now.
        stream = sys.__stderr__ or sys.stderr
        stream.write(f"{self.program}: {reason}\n")
        stream.flush()

    def _leave(self) -> None:
        # twistd ends with status 0 whatever its services did.
        self._removePidfile()
        sys.stdout.flush()
        os._exit(1)

    def _removePidfile(self) -> None:
        if self.pidfile and os.path.exists(self.pidfile):
            os.unlink(self.pidfile)
