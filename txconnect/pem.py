"""
Certificates and keys from PEM files that an operator names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL.crypto import X509, PKey

from txconnect.errors import ConfigurationError

__all__ = ["readCertificates", "readPrivateKey"]

_T = TypeVar("_T")


def readCertificates(label: str, path: str) -> list[X509]:
    """
    Read every certificate of a file, at least one, in order.

    @param label: the name of the file in a message.
    @raise ConfigurationError: when it cannot be read, or holds none.
    """
    parsed = _parseFile(label, path, "certificate", x509.load_pem_x509_certificates)
    return [X509.from_cryptography(one) for one in parsed]


def readPrivateKey(label: str, path: str) -> PKey:
    """
    Read the key of a file.

    @raise ConfigurationError: when it cannot be read, or cannot be used
        without a passphrase.
    """
    try:
        return PKey.from_cryptography_key(_parseFile(label, path, "key", _loadKey))
    except TypeError:
        # Both libraries' way to say so; without this, OpenSSL would ask on
        # the terminal for a passphrase.
        raise ConfigurationError(
            f"{label} has a passphrase, or is of a kind that TLS has no use for; "
            "give an RSA or EC key without a passphrase"
        ) from None


def _loadKey(content: bytes) -> Any:
    return load_pem_private_key(content, password=None)


def _parseFile(label: str, path: str, kind: str, load: Callable[[bytes], _T]) -> _T:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise ConfigurationError(f"{label} cannot be read: {error.strerror}") from None
    try:
        return load(content)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(
            f"{label} holds no {kind} in PEM that can be read"
        ) from None
