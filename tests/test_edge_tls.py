"""Each way in which TLS with an edge fails, against a real server: one sentence, and no token."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.dial import dial
from asgi_tunnel.edge_tls import EdgeTLSError, PinError
from asgi_tunnel.errors import ConfigError, TunnelError
from asgi_tunnel.token import Token

DAY = dt.timedelta(days=1)
SECRET = "att1.e30.secret"
OK = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Issuer:
    """A CA of this file's own; a CA's certificate signs, the others are signed by it."""

    def __init__(self, folder: Path, name: str = "Test CA") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.root = folder / f"{name}.pem"
        certificate = self._sign(self._name, self._key, is_ca=True)
        self.root.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        hostname: str = "localhost",
        begins: dt.timedelta = -DAY,
        ends: dt.timedelta = DAY,
        is_ca: bool = False,
        signs_itself: bool = False,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name if signs_itself else self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
            .sign(key if signs_itself else self._key, hashes.SHA256())
        )

    def issue(
        self,
        *,
        hostname: str = "localhost",
        begins: dt.timedelta = -DAY,
        ends: dt.timedelta = DAY,
        signs_itself: bool = False,
    ) -> Path:
        """Return a PEM file with a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edge")])
        certificate = self._sign(
            name, key, hostname=hostname, begins=begins, ends=ends, signs_itself=signs_itself
        )
        path = self._folder / f"{certificate.serial_number}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
        return path


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """A CA that an app is told of."""
    return Issuer(tmp_path_factory.mktemp("ca"))


@dataclass
class Server:
    """What a server has heard."""

    port: int = 0
    heard: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def server(certificate: Path | None, *, reply: bytes = OK) -> AsyncIterator[Server]:
    """A server with TLS, or without."""
    one = Server()
    context: ssl.SSLContext | None = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            one.heard.append(await reader.read(65536))
            writer.write(reply)
            await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with listener:
        one.port = listener.sockets[0].getsockname()[1]
        yield one


async def refused(
    one: Server, *, ca_file: Path | None = None, pins: Sequence[str] = ()
) -> TunnelError:
    """Dial, be refused in one sentence, and see that no token was sent."""
    with pytest.raises((EdgeTLSError, PinError)) as caught:
        await dial(f"wss://localhost:{one.port}", SECRET, ca_file=ca_file, pins=pins)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert "secret" not in sentence
    assert b"secret" not in b"".join(one.heard)
    return caught.value


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"hostname": "other.test"}, "is for other names; dial a name that it is for"),
        ({"begins": -2 * DAY, "ends": -DAY}, "has expired: renew it there, or set this machine's"),
        ({"begins": DAY, "ends": 2 * DAY}, "is not valid yet: set this machine's clock, which "),
        ({"signs_itself": True}, "is self-signed, and the token names no pin"),
    ],
    ids=["name", "expired", "not-yet", "self-signed"],
)
async def test_a_wrong_certificate(
    issuer: Issuer, options: dict[str, object], sentence: str
) -> None:
    """T34: another name, time or issuer is refused; the sentence says which, and what to do."""
    async with server(issuer.issue(**options)) as one:  # type: ignore[arg-type]
        error = await refused(one, ca_file=issuer.root)
        assert sentence in str(error)
        assert f"localhost:{one.port}" in str(error)


async def test_an_unknown_ca(issuer: Issuer, tmp_path: Path) -> None:
    """T34: a certificate of a CA that this machine does not know is refused."""
    async with server(issuer.issue()) as one:
        for ca_file in (None, Issuer(tmp_path, "Other CA").root):
            error = await refused(one, ca_file=ca_file)
            assert "is from a CA that this machine does not know" in str(error)


async def test_a_wrong_pin(issuer: Issuer) -> None:
    """T34: a certificate that is none of the pins is refused, even of a good CA."""
    async with server(issuer.issue()) as one:
        error = await refused(one, pins=[f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"])
    assert isinstance(error, PinError)
    assert str(error).startswith("the edge's certificate is not the one that the token names; ")
    assert "remove /pins" in str(PinError("/pins"))


async def test_the_second_pin_is_enough(issuer: Issuer) -> None:
    """T94: the certificate may be any of the pins; only then is the token sent."""
    path = issuer.issue()
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    pin = f"sha256:{certificate.fingerprint(hashes.SHA256()).hex()}"
    async with server(path) as one:
        with pytest.raises(ConnectionError, match="the edge answered 404"):
            await dial(f"wss://localhost:{one.port}", SECRET, pins=[f"sha256:{'a' * 64}", pin])
        assert b"secret" in one.heard[0]


async def test_no_tls_at_all(issuer: Issuer) -> None:
    """T34: a server without TLS, where TLS is expected, hears no token."""
    async with server(None) as one:
        error = await refused(one, ca_file=issuer.root)
    assert "does not speak TLS, and no token is sent without it" in str(error)


async def test_tls_that_is_too_old(issuer: Issuer) -> None:
    """T34: a server that has TLS 1.1 at most is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issuer.issue())
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    heard: list[ssl.SSLError] = []

    def serve(listener: socket.socket) -> None:
        # In a thread: asyncio's own server closes without the alert that says why.
        raw, _ = listener.accept()
        with raw, pytest.raises(ssl.SSLError) as caught:
            context.wrap_socket(raw, server_side=True)
        heard.append(caught.value)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        serving = asyncio.create_task(asyncio.to_thread(serve, listener))
        error = await refused(Server(listener.getsockname()[1]), ca_file=issuer.root)
        await serving
    assert "offers no TLS 1.2 or later" in str(error)
    assert heard


async def test_a_server_that_hangs_up(issuer: Issuer) -> None:
    """One that closes during the handshake is an edge that cannot be reached."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(EdgeTLSError, match="closed the connection during the TLS handshake"):
            await dial(f"wss://localhost:{port}", SECRET, ca_file=issuer.root)


async def test_a_redirect_to_plain_http(issuer: Issuer) -> None:
    """T34: a redirect is not followed, to plain HTTP least of all; the sentence says where to."""
    async with server(None) as other:
        target = f"http://localhost:{other.port}/"
        reply = f"HTTP/1.1 301 Moved\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
        async with server(issuer.issue(), reply=reply.encode()) as one:
            with pytest.raises(ConnectionError) as caught:
                await dial(f"wss://localhost:{one.port}", SECRET, ca_file=issuer.root)
        assert other.heard == []
    sentence = str(caught.value)
    assert f"the edge's URL answers 301 and leads to {target}; no token is sent after" in sentence
    assert "correct public_url in edge.toml" in sentence


async def test_a_ca_that_changes(issuer: Issuer, tmp_path: Path) -> None:
    """The file of a private CA is read at each dial: replacing it is all that a new CA takes."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(issuer.root.read_bytes())
    other = Issuer(tmp_path, "Other CA")
    async with server(issuer.issue()) as first, server(other.issue()) as second:
        for one, root in ((first, issuer.root), (second, other.root)):
            ca_file.write_bytes(root.read_bytes())
            one.heard.clear()
            with pytest.raises(ConnectionError, match="the edge answered 404"):
                await dial(f"wss://localhost:{one.port}", SECRET, ca_file=ca_file)
            assert b"secret" in one.heard.pop()
        ca_file.write_bytes(b"half of a file")
        assert f"names {ca_file}, which cannot be used (holds no certificate)" in str(
            await refused(first, ca_file=ca_file)
        )
        ca_file.unlink()
        assert "which cannot be used (No such file" in str(await refused(first, ca_file=ca_file))


def test_settings_of_a_ca(tmp_path: Path) -> None:
    """A file that is not there, or a CA beside a pin, is refused before anything is dialed."""
    name = "ASGI_TUNNEL_CA_FILE"
    token = Token(edge="wss://edge.test", id="tok_1", secret="secret")
    pinned = Token(edge="wss://edge.test", id="tok_1", secret="secret", pin=f"sha256:{'a' * 64}")
    (tmp_path / "ca.pem").write_text("")
    for one, path, why in (
        (token, tmp_path / "none.pem", "names no file"),
        (pinned, tmp_path / "ca.pem", "the token knows the edge by a pin and asks no CA"),
    ):
        with pytest.raises(ConfigError, match=why):
            TunnelConfig.from_env({name: str(path)}, token=one.format())
    config = TunnelConfig.from_env({name: str(tmp_path / "ca.pem")}, token=token.format())
    assert config is not None
    assert config.ca_file == tmp_path / "ca.pem"


@pytest.mark.parametrize(
    ("edge", "why"),
    [
        ("http://edge.test", "names an edge whose URL is neither wss:// nor ws://"),
        ("https://edge.test", "names an edge whose URL is neither wss:// nor ws://"),
        ("ws://edge.test", "leads to edge.test without TLS: anyone on the way could read"),
        ("ws://127.0.0.1.edge.test", "without TLS"),
    ],
)
def test_a_downgrade(edge: str, why: str) -> None:
    """T34: a token for another machine without TLS is refused before anything is dialed."""
    token = Token(edge=edge, id="tok_1", secret="secret")
    with pytest.raises(ConfigError, match=why):
        TunnelConfig.from_env({}, token=token.format())
