"""
TLS with a parent: whom this proxy trusts, and what certificate it shows.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocolFactory,
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


class _Transport(BufferingTLSTransport):
    """
    TLS that knows how what is below it has ended: Twisted says the same of a
    reset as of an end without C{close_notify}.

    @ivar broken: that was no end in order.
    """

    broken = False

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.broken = reason.check(ConnectionDone) is None
        super().connectionLost(reason)


class _Wrapping(TLSMemoryBIOFactory):
    protocol = _Transport


@implementer(IStreamClientEndpoint)
class TLSEndpoint:
    """
    TLS around another endpoint.

    It is C{twisted.internet.endpoints.wrapClientTLS}, but for the clock that
    flushes small writes, which is the proxy's own, and for what it knows of
    resets.
    """

    def __init__(
        self,
        creator: IOpenSSLClientConnectionCreator,
        endpoint: IStreamClientEndpoint,
        clock: Any,
    ) -> None:
        self._creator = creator
        self._endpoint = endpoint
        self._clock = clock

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """See L{IStreamClientEndpoint.connect}."""
        wrapping = _Wrapping(self._creator, True, protocolFactory, self._clock)
        connecting: Deferred[Any] = self._endpoint.connect(wrapping)
        return connecting.addCallback(lambda made: made.wrappedProtocol)


def tlsTo(target: ParentTarget) -> IOpenSSLClientConnectionCreator:
    """
    How to speak TLS with an C{https} parent, which is verified for its host.

    @raise ConfigurationError: a file cannot be read, is not what it should be,
        or the key is another certificate's.
    """
    root = None
    if target.ca is not None:
        found = readCertificates(f"{target}: ca={target.ca}", target.ca)
        root = trustRootFromCertificates([Certificate(ca) for ca in found])
    creator: IOpenSSLClientConnectionCreator = optionsForClientTLS(
        target.url.host,
        trustRoot=root,
        extraCertificateOptions=_own(target, target.cert) if target.cert else None,
    )
    return creator


def _own(target: ParentTarget, path: str) -> dict[str, Any]:
    key = target.key or path
    certificate, *chain = readCertificates(f"{target}: cert={path}", path)
    own: dict[str, Any] = {
        "certificate": certificate,
        "extraCertChain": chain,
        "privateKey": readPrivateKey(f"{target}: key={key}", key),
    }
    try:
        # What does not fit together shows only here, or with the first tunnel.
        CertificateOptions(**own).getContext()
    except SSL.Error:
        raise ConfigurationError(
            f"{target}: key={key} is not the key of cert={path}"
        ) from None
    return own
