"""Who a client's certificate says it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from certificates import CertificateAuthority, makeAuthority
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    generate_private_key,
)
from cryptography.x509.oid import ExtensionOID, NameOID
from OpenSSL.crypto import X509

from txconnect.auth.certificate import certificateIdentity, certificateName
from txconnect.values import Identity


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """Who signs."""
    directory: Path = tmp_path_factory.mktemp("certificates")
    return makeAuthority(directory)


def wrap(certificate: x509.Certificate) -> X509:
    return X509.from_cryptography(certificate)


def build(
    authority: CertificateAuthority,
    commonNames: Sequence[str],
    *extensions: x509.ExtensionType,
) -> X509:
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in commonNames]
    )
    key = generate_private_key(SECP256R1())
    builder = x509.CertificateBuilder().subject_name(subject)
    builder = builder.public_key(key.public_key())
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return wrap(authority.sign(builder))


@pytest.mark.parametrize(
    ("name", "dns", "mail", "expected"),
    [
        ("alice", (), (), "alice"),
        ("alice", ("a.example",), (), "a.example"),
        ("alice", (), ("a@example.com",), "a@example.com"),
        ("alice", ("a.example", "b.example"), ("a@example.com",), "a@example.com"),
        (None, ("a.example", "b.example"), (), "a.example"),
        (None, (), (), None),
        ("Ärne", (), (), "Ärne"),
    ],
)
def test_firstAlternativeElseCommonName(
    authority: CertificateAuthority,
    name: str | None,
    dns: Sequence[str],
    mail: Sequence[str],
    expected: str | None,
) -> None:
    """[T8] The first DNS or mail name, in the certificate's order, else the
    common name, else nobody."""
    certificate = wrap(authority.client(name, dns, mail).x509)
    assert certificateName(certificate) == expected
    identity = Identity(expected, "certificate") if expected else None
    assert certificateIdentity(certificate) == identity


def test_otherAlternativesAreNoNames(authority: CertificateAuthority) -> None:
    """A URI is passed over; with nothing else the common name counts."""
    uri = x509.UniformResourceIdentifier("spiffe://example/a")
    both = x509.SubjectAlternativeName([uri, x509.DNSName("a.example")])
    assert certificateName(build(authority, ["cn"], both)) == "a.example"
    alone = x509.SubjectAlternativeName([uri])
    assert certificateName(build(authority, ["cn"], alone)) == "cn"


def test_severalCommonNames(authority: CertificateAuthority) -> None:
    """[T8] Of several common names none is guessed."""
    assert certificateName(build(authority, ["alice", "admin"])) is None


@pytest.mark.parametrize("name", ["alice\0.example", "a\nb", "a\x7f", "a\x9b"])
def test_controlCharacters(authority: CertificateAuthority, name: str) -> None:
    """[T8] A name that could end early, or write its own log line, is none."""
    assert certificateName(build(authority, [name])) is None


@pytest.mark.parametrize("value", [b"", b"\xff", b"\x30\x05abc", b"\x04\x01a"])
def test_malformedAlternatives(authority: CertificateAuthority, value: bytes) -> None:
    """[T8] An extension that cannot be read leaves nobody, not the common
    name, and is no traceback."""
    broken = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, value)
    assert certificateName(build(authority, ["alice"], broken)) is None
