"""
TLS with a parent: the certificates that this proxy trusts, and its own.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from txconnect.errors import ConfigurationError
from txconnect.pem import readCertificates, readPrivateKey
from txconnect.routing.targets import ParentTarget

__all__ = ["TLSEndpoint", "tlsTo"]


class _ParentTLS(BufferingTLSTransport):
    """
    TLS that records how the connection below it has ended: Twisted reports a
    reset and an end without C{close_notify} in the same words.

    @ivar broken: true when the connection below ended by an error.
    """

    broken = False

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.broken = reason.check(ConnectionDone) is None
        super().connectionLost(reason)


class _ParentTLSFactory(TLSMemoryBIOFactory):
    protocol = _ParentTLS


@implementer(IStreamClientEndpoint)
class TLSEndpoint:
    """
    TLS around another endpoint.

    Like C{twisted.internet.endpoints.wrapClientTLS}, except that the proxy's
    own clock flushes small writes, and that a reset is told from an end.
    """

    def __init__(
        self,
        creator: IOpenSSLClientConnectionCreator,
        endpoint: IStreamClientEndpoint,
        clock: IReactorTime,
    ) -> None:
        self._creator = creator
        self._endpoint = endpoint
        self._clock = clock

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See L{IStreamClientEndpoint.connect}."""
        factory = _ParentTLSFactory(self._creator, True, protocolFactory, self._clock)
        # Fires with the TLS protocol; the caller's own is the one inside.
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        return connecting.addCallback(lambda wrapper: wrapper.wrappedProtocol)


def tlsTo(target: ParentTarget) -> IOpenSSLClientConnectionCreator:
    """
    Make the TLS options for an C{https} parent, whose certificate is verified
    for its host.

    @raise ConfigurationError: a file cannot be read, does not hold a
        certificate or key, or the key is another certificate's.
    """
    # None stands for the platform's certificates.
    root = None
    if target.ca is not None:
        found = readCertificates(f"{target}: ca={target.ca}", target.ca)
        root = trustRootFromCertificates([Certificate(ca) for ca in found])
    creator: IOpenSSLClientConnectionCreator = optionsForClientTLS(
        target.url.host,
        trustRoot=root,
        extraCertificateOptions=_ownCertificate(target, target.cert)
        if target.cert
        else None,
    )
    return creator


def _ownCertificate(target: ParentTarget, path: str) -> dict[str, Any]:
    key = target.key or path
    certificate, *chain = readCertificates(f"{target}: cert={path}", path)
    own: dict[str, Any] = {
        "certificate": certificate,
        "extraCertChain": chain,
        "privateKey": readPrivateKey(f"{target}: key={key}", key),
    }
    try:
        # OpenSSL compares key and certificate only in a context, which would
        # else be made for the first tunnel.
        CertificateOptions(**own).getContext()
    except SSL.Error:
        raise ConfigurationError(
            f"{target}: key={key} is not the key of cert={path}"
        ) from None
    return own
