"""The endpoint string "proxytls:": what is read, and what is said.

Who gets through it is tested in tests/live/test_proxytls.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import CertificateAuthority, Issued, makeAuthority
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from OpenSSL import SSL
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor
from zope.interface.verify import verifyObject

from txconnect.errors import ConfigurationError
from txconnect.listening.proxytls import ProxyTLSServerEndpoint, parseProxyTLS

# What Twisted's CertificateOptions hands to newer pyOpenSSLs.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Passing pyOpenSSL .* deprecated:DeprecationWarning"
)


class Files:
    """The files of a working endpoint."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority: CertificateAuthority = makeAuthority(directory)
        self.server: Issued = self.authority.server()
        self.options = {
            "cert": str(self.server.certificate),
            "key": str(self.server.key),
            "clientCA": str(self.authority.certificate),
        }

    def write(self, content: bytes) -> str:
        path = self.directory / "written.pem"
        path.write_bytes(content)
        return str(path)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A server's certificate and its authority's."""
    return Files(tmp_path)


def described(files: Files, rest: str = "") -> str:
    pairs = (
        f"{key}={quoteStringArgument(path)}" for key, path in files.options.items()
    )
    return ":".join(["proxytls:3128", *pairs]) + rest


def listening(files: Files, rest: str = "") -> tuple[object, ...]:
    reactor = MemoryReactor()
    endpoint = serverFromString(reactor, described(files, rest))
    assert isinstance(endpoint, ProxyTLSServerEndpoint)
    endpoint.listen(Factory())
    ((port, _, options, backlog, interface),) = reactor.sslServers
    context = options.getContext()
    assert context.set_options(0) & SSL.OP_NO_TLSv1_1
    mode = context.get_verify_mode()
    assert mode & SSL.VERIFY_PEER and mode & SSL.VERIFY_FAIL_IF_NO_PEER_CERT
    return port, backlog, interface


def test_endpoint(files: Files) -> None:
    """The string makes an endpoint that asks for a certificate, with a
    backlog of 1024, on all of IPv4, unless it says otherwise."""
    assert listening(files) == (3128, 1024, "")
    assert listening(files, ":interface=127.0.0.1:backlog=7") == (3128, 7, "127.0.0.1")
    assert listening(files, r":interface=\:\:1") == (3128, 1024, "::1")
    endpoint = parseProxyTLS(MemoryReactor(), "0", **files.options)
    assert verifyObject(IStreamServerEndpoint, endpoint)
    assert endpoint.requiresClientCertificate is True


def test_filesAreReadAtOnce(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths count from where the string is parsed, and nothing is
    read later: by then the directory, or the rights, may be others."""
    monkeypatch.chdir(files.directory)
    files.options = {key: Path(path).name for key, path in files.options.items()}
    reactor = MemoryReactor()
    endpoint = serverFromString(reactor, described(files))
    for path in files.directory.iterdir():
        path.unlink()
    monkeypatch.chdir("/")
    endpoint.listen(Factory())
    assert len(reactor.sslServers) == 1


def test_keyBesideTheCertificate(files: Files) -> None:
    """One file may hold the certificate and the key."""
    both = files.server.certificate.read_bytes() + files.server.key.read_bytes()
    files.options["cert"] = files.options["key"] = files.write(both)
    assert listening(files)[0] == 3128


def encrypted(files: Files) -> bytes:
    key = load_pem_private_key(files.server.key.read_bytes(), None)
    secret = BestAvailableEncryption(b"secret")
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)


def useless(files: Files) -> bytes:
    return X25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


BROKEN = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("cert", lambda files: b"", "cert=.* holds no certificate in PEM"),
        ("cert", lambda files: BROKEN, "cert=.* holds no certificate in PEM"),
        ("clientCA", lambda files: b"no", "clientCA=.* holds no certificate in PEM"),
        ("clientCA", lambda files: files.server.key.read_bytes(), "clientCA=.* holds"),
        ("key", lambda files: b"\xff", "key=.* holds no key in PEM"),
        ("key", lambda files: BROKEN, "key=.* holds no key in PEM"),
        ("key", encrypted, "key=.* has a passphrase"),
        ("key", useless, "key=.* of a kind that TLS"),
        (
            "key",
            lambda files: files.authority.server().key.read_bytes(),
            "cert=.* and key=.* do not work together: .*mismatch",
        ),
    ],
)
def test_badFiles(
    files: Files, option: str, content: Callable[[Files], bytes], said: str
) -> None:
    """What is wrong with a file is one sentence with its name, and no
    question for a passphrase."""
    files.options[option] = files.write(content(files))
    with pytest.raises(ConfigurationError, match=said) as caught:
        serverFromString(MemoryReactor(), described(files))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["cert", "key", "clientCA"])
def test_missingFiles(files: Files, option: str) -> None:
    """A file that is not there, or an option that is not given, is named."""
    files.options[option] = str(files.directory / "missing")
    with pytest.raises(ConfigurationError, match=f"{option}=.*missing cannot be read"):
        serverFromString(MemoryReactor(), described(files))
    del files.options[option]
    with pytest.raises(ConfigurationError, match=f"needs {option}=PATH; write"):
        serverFromString(MemoryReactor(), described(files))


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (":interface=localhost", "is no address"),
        (":interface=999.0.0.1", "is no address"),
        (":backlog=many", "backlog"),
        (":backlog=0", "backlog"),
        (":backlog=", "backlog"),
        (":clientCa=x", "no clientCa="),
        (":more", "one port"),
    ],
)
def test_badStrings(files: Files, rest: str, said: str) -> None:
    """What is wrong with the string is one sentence."""
    with pytest.raises(ConfigurationError, match=said):
        serverFromString(MemoryReactor(), described(files, rest))


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        ({"certKey": "cert", "privateKey": "key"}, None),
        ({"certKey": "cert", "key": "key"}, None),
        ({"cert": "cert", "certKey": "cert", "key": "key", "privateKey": "key"}, None),
        ({"cert": "cert", "key": "key", "certKey": "key"}, "cert= and certKey="),
        ({"privateKey": "cert", "cert": "cert", "key": "key"}, "key= and privateKey="),
    ],
)
def test_namesOfSslDoAsWell(
    files: Files, names: dict[str, str], wrong: str | None
) -> None:
    """[F28] Both names of an argument; two values are a mistake."""
    own = files.options
    files.options = {name: own[value] for name, value in names.items()}
    files.options["clientCA"] = own["clientCA"]
    if wrong is None:
        assert listening(files)[0] == 3128
        return
    with pytest.raises(ConfigurationError) as caught:
        listening(files)
    assert str(caught.value) == (
        f"proxytls: {wrong} are two names of one argument, and have two values: give "
        "one of them"
    )


@pytest.mark.parametrize(
    ("given", "meant"),
    [("clientCa", "clientCA"), ("privatekey", "privateKey"), ("certs", "cert")],
)
def test_wrongNameGetsTheNearest(files: Files, given: str, meant: str) -> None:
    """[F28] As a wrong option does."""
    with pytest.raises(ConfigurationError) as caught:
        listening(files, f":{given}=x")
    assert (
        str(caught.value) == f"proxytls: there is no {given}=; did you mean {meant}=?"
    )


@pytest.mark.parametrize("port", ["", "x", "-1", "65536", "+1", "1.0", "٣"])
def test_badPorts(files: Files, port: str) -> None:
    """A port is a number that there is."""
    with pytest.raises(ConfigurationError, match="the port"):
        parseProxyTLS(MemoryReactor(), port, **files.options)
    with pytest.raises(ConfigurationError, match="one port"):
        parseProxyTLS(MemoryReactor(), **files.options)
