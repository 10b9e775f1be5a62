"""
The identity in a client's certificate.

Call nothing here with a certificate that the TLS library has not verified: a
name is read, and no signature is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

from txconnect.values import Identity
from txconnect.wire.grammar import findControl

if TYPE_CHECKING:
    from OpenSSL.crypto import X509

__all__ = ["SOURCE", "certificateIdentity", "certificateName"]

SOURCE = "certificate"
"""L{Identity.source<txconnect.values.Identity>} of a client with a certificate."""


def certificateName(certificate: X509) -> str | None:
    """
    Return the name in a verified certificate: its first DNS or mail name among
    the subject's alternatives (RFC 5280, 4.2.1.6), else its common name.

    @return: L{None} when it has none, when it cannot be read without doubt,
        or when the name holds a control character: then it gives no identity.
    """
    parsed = certificate.to_cryptography()
    try:
        name = _alternativeName(parsed) or _commonName(parsed)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        # Malformed beyond what the TLS library looks at.
        return None
    if not name or findControl(name):
        return None
    return name


def certificateIdentity(certificate: X509) -> Identity | None:
    """
    Return the identity that a verified certificate gives, or L{None}.
    """
    name = certificateName(certificate)
    return Identity(name, SOURCE) if name else None


def _alternativeName(parsed: x509.Certificate) -> str | None:
    try:
        names = parsed.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
    except x509.ExtensionNotFound:
        return None
    for name in names:
        if isinstance(name, (x509.DNSName, x509.RFC822Name)) and name.value:
            return name.value
    return None


def _commonName(parsed: x509.Certificate) -> str | None:
    names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    # Of several, none is more its name than the others.
    if len(names) != 1 or not isinstance(names[0].value, str):
        return None
    return names[0].value
