"""
The endpoint C{proxytls:}: TLS with a client's certificate required, which
neither C{ssl:} nor C{tls:} of Twisted can ask for.

C{proxytls:PORT:cert=PATH:key=PATH:clientCA=PATH[:interface=ADDR][:backlog=N]}

C{certKey=} and C{privateKey=}, as C{ssl:} calls the first two, do as well.

All files are read when the string is parsed, before the program forks,
changes its directory or drops its privileges; a new certificate is used from
the next start on.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from OpenSSL import SSL
from OpenSSL.crypto import X509StoreFlags
from twisted.internet import defer
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorSSL,
    IStreamServerEndpoint,
)
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    TLSVersion,
    trustRootFromCertificates,
)
from zope.interface import implementer

from txconnect.errors import ConfigurationError
from txconnect.listening.strings import BACKLOG
from txconnect.pem import readCertificates, readPrivateKey

__all__ = ["ProxyTLSServerEndpoint", "clientCertificateOptions", "parseProxyTLS"]

FORM = "proxytls:PORT:cert=PATH:key=PATH:clientCA=PATH[:interface=ADDRESS][:backlog=NUMBER]"

_OF_SSL = {"certKey": "cert", "privateKey": "key"}
"""The names that C{ssl:} has for arguments of C{proxytls:}."""


@implementer(IStreamServerEndpoint)
class ProxyTLSServerEndpoint:
    """
    An endpoint with TLS that requires a valid certificate of each client.

    @cvar requiresClientCertificate: true: the certificate guards this
        endpoint, so a proxy that listens on it is no open proxy.
    """

    requiresClientCertificate = True

    def __init__(
        self,
        reactor: IReactorSSL,
        port: int,
        options: CertificateOptions,
        interface: str = "",
        backlog: int = BACKLOG,
    ) -> None:
        """
        @param options: from L{clientCertificateOptions}.
        @param interface: an address of this machine; empty: all IPv4 ones.
        """
        # listenSSL takes CertificateOptions, which mypy cannot see.
        self._reactor: Any = reactor
        self._port = port
        self._options = options
        self._interface = interface
        self._backlog = backlog

    def listen(
        self, protocolFactory: IProtocolFactory
    ) -> defer.Deferred[IListeningPort]:
        """See L{IStreamServerEndpoint.listen}."""
        return defer.execute(
            self._reactor.listenSSL,
            self._port,
            protocolFactory,
            self._options,
            backlog=self._backlog,
            interface=self._interface,
        )


def parseProxyTLS(
    reactor: IReactorSSL, *arguments: str, **options: str
) -> ProxyTLSServerEndpoint:
    """
    Make the endpoint from the arguments of C{proxytls:}.

    @raise ConfigurationError: one sentence that names the wrong argument.
    """
    options = _ownNames(options)
    known = ("cert", "key", "clientCA", "interface", "backlog")
    if unknown := sorted(set(options) - set(known)):
        near = get_close_matches(unknown[0], (*known, *_OF_SSL), 1)
        hint = f"; did you mean {near[0]}=?" if near else f"; write {FORM}"
        raise ConfigurationError(f"proxytls: there is no {unknown[0]}={hint}")
    if len(arguments) != 1:
        raise ConfigurationError(f"proxytls: needs one port; write {FORM}")
    for needed in ("cert", "key", "clientCA"):
        if not options.get(needed):
            raise ConfigurationError(f"proxytls: needs {needed}=PATH; write {FORM}")
    interface = options.get("interface", "")
    if interface and not (isIPAddress(interface) or isIPv6Address(interface)):
        raise ConfigurationError(
            f"proxytls: interface={interface} is no address (the colons of an IPv6 "
            r"one are written \:)"
        )
    return ProxyTLSServerEndpoint(
        reactor,
        _parseNumber("port", arguments[0], 0, 65535),
        clientCertificateOptions(options["cert"], options["key"], options["clientCA"]),
        interface,
        _parseNumber("backlog", options.get("backlog", str(BACKLOG)), 1, 65535),
    )


def _ownNames(options: Mapping[str, str]) -> dict[str, str]:
    """
    Return the arguments under their own names.

    @raise ConfigurationError: one is given under both of its names, with two
        values.
    """
    found: dict[str, str] = {}
    for name, value in options.items():
        own = _OF_SSL.get(name, name)
        if found.setdefault(own, value) != value:
            of = next(each for each in _OF_SSL if _OF_SSL[each] == own)
            raise ConfigurationError(
                f"proxytls: {own}= and {of}= are two names of one argument, and have "
                "two values: give one of them"
            )
    return found


def clientCertificateOptions(
    certificate: str, key: str, clientCA: str
) -> CertificateOptions:
    """
    Make the options of TLS 1.2 or newer for a server that requires a client's
    certificate.

    @param certificate: the path of the server's certificate in PEM, followed by
        its chain.
    @param key: the path of its key in PEM, without a passphrase.
    @param clientCA: the path of the certificates in PEM, one of which must
        have signed a client's.  An intermediate may be there without its root.
    @raise ConfigurationError: when a file cannot be read or has other content,
        or the key is another certificate's.
    """
    own, *chain = readCertificates(f"proxytls: cert={certificate}", certificate)
    options = CertificateOptions(
        privateKey=readPrivateKey(f"proxytls: key={key}", key),
        certificate=own,
        extraCertChain=chain,
        trustRoot=trustRootFromCertificates(
            [
                Certificate(ca)
                for ca in readCertificates(f"proxytls: clientCA={clientCA}", clientCA)
            ]
        ),
        raiseMinimumTo=TLSVersion.TLSv1_2,
    )
    # The key is compared with the certificate when the context is made.
    try:
        store = options.getContext().get_cert_store()
    except SSL.Error as error:
        raise ConfigurationError(
            f"proxytls: cert={certificate} and key={key} do not work together: "
            f"{_opensslReason(error)}"
        ) from None
    # Every certificate in the file is trusted.  Without the flag OpenSSL trusts
    # only the self-signed ones, and an intermediate would need its root.
    store.set_flags(X509StoreFlags.PARTIAL_CHAIN)
    return options


def _opensslReason(error: SSL.Error) -> str:
    reasons = error.args[0] if error.args else ()
    return "; ".join(str(entry[-1]) for entry in reasons) or "OpenSSL gives no reason"


def _parseNumber(field: str, text: str, least: int, most: int) -> int:
    # isdigit alone takes digits of other scripts, and some that int() refuses.
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise ConfigurationError(
            f"proxytls: the {field} {text!r} is not {least} to {most}; write {FORM}"
        )
    return int(text)
