"""
Certificates for tests, made on the spot: nothing here is trusted by anybody.

In short::

    authority = makeAuthority(tmp_path)
    server = authority.server()                 # for localhost and 127.0.0.1
    alice = authority.client("alice")           # common name only
    bob = authority.client("bob", mail=["bob@example.com"])
    old = authority.client("old", expired=True)
    stranger = makeAuthority(tmp_path, "other").client("alice")
    middle = authority.intermediate("middle")   # its .server() has the chain

Each C{Issued} has C{.certificate} and C{.key}, both paths of PEM files (the
certificate's with the chain of intermediates behind it), and C{.x509}, the
C{cryptography} object.  An authority's own certificate is at
C{authority.certificate}: give it as C{clientCA=} or to a client as what it
trusts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = timedelta(days=1)
_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@attrs.frozen
class Issued:
    """
    A certificate with its key.

    @ivar certificate: the path of the PEM file, with intermediates behind it.
    @ivar key: the path of the key's PEM file.
    @ivar x509: the certificate itself.
    """

    certificate: Path
    key: Path
    x509: x509.Certificate


@attrs.frozen
class CertificateAuthority:
    """
    Signs certificates; see L{makeAuthority}.

    @ivar certificate: the path of its own certificate in PEM.
    @ivar x509: the same as a C{cryptography} object.
    """

    directory: Path
    name: str
    certificate: Path
    x509: x509.Certificate
    _key: EllipticCurvePrivateKey = attrs.field(repr=False)
    _chain: bytes = attrs.field(default=b"", repr=False)

    def server(
        self,
        name: str = "localhost",
        dns: Sequence[str] = ("localhost",),
        addresses: Sequence[str] = ("127.0.0.1", "::1"),
        expired: bool = False,
    ) -> Issued:
        """A certificate for a server."""
        names: list[x509.GeneralName] = [x509.DNSName(one) for one in dns]
        names += [x509.IPAddress(ip_address(one)) for one in addresses]
        return self._issue(name, names, ExtendedKeyUsageOID.SERVER_AUTH, expired)

    def client(
        self,
        name: str | None,
        dns: Sequence[str] = (),
        mail: Sequence[str] = (),
        expired: bool = False,
    ) -> Issued:
        """
        A certificate for a client: a common name (C{None}: none), and
        alternative names, mail ones first, where any are given.
        """
        names: list[x509.GeneralName] = [x509.RFC822Name(one) for one in mail]
        names += [x509.DNSName(one) for one in dns]
        return self._issue(name, names, ExtendedKeyUsageOID.CLIENT_AUTH, expired)

    def intermediate(self, name: str) -> CertificateAuthority:
        """An authority whose certificate this one signs."""
        return _makeAuthority(self.directory, name, self)

    def sign(
        self, builder: x509.CertificateBuilder, expired: bool = False
    ) -> x509.Certificate:
        """Sign what a test has put together itself."""
        return _sign(builder, self.x509.subject, self._key, expired)

    def _issue(
        self,
        name: str | None,
        names: Sequence[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        expired: bool,
    ) -> Issued:
        key = generate_private_key(SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(_subject(name))
            .public_key(key.public_key())
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(names), critical=name is None
            )
        certificate = self.sign(builder, expired)
        stem = f"{self.name}-{certificate.serial_number:x}"
        return Issued(
            _write(self.directory / f"{stem}.pem", _pem(certificate) + self._chain),
            _write(self.directory / f"{stem}.key", _keyPEM(key)),
            certificate,
        )


def makeAuthority(directory: Path, name: str = "test-ca") -> CertificateAuthority:
    """
    Make a certificate authority of one's own, which signs itself.

    @param directory: where its files go, and those of what it issues; two
        authorities may share it when their names differ.
    """
    return _makeAuthority(directory, name, None)


def _makeAuthority(
    directory: Path, name: str, parent: CertificateAuthority | None
) -> CertificateAuthority:
    key = generate_private_key(SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_subject(name))
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_SIGNS, critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
    )
    if parent is None:
        certificate, chain = _sign(builder, _subject(name), key, False), b""
    else:
        certificate = parent.sign(builder)
        chain = _pem(certificate) + parent._chain
    path = _write(directory / f"{name}.pem", _pem(certificate))
    return CertificateAuthority(directory, name, path, certificate, key, chain)


def _sign(
    builder: x509.CertificateBuilder,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey,
    expired: bool,
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        builder.issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 3 * _DAY)
        .not_valid_after(now - _DAY if expired else now + _DAY)
        # Python from 3.13 on wants this of every certificate.
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )


def _subject(name: str | None) -> x509.Name:
    if name is None:
        return x509.Name([])
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _keyPEM(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
