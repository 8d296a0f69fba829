"""Real edges for commands, which have an event loop of their own: in a thread of this process."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.commands.inspect_client import find_inspectors
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel.inspector.reply import RefusedError
from asgi_tunnel.inspector.settings import Inspect
from asgi_tunnel.names import names_of
from asgi_tunnel.policy.collect import collect
from asgi_tunnel.token import Token
from asgi_tunnel_edge.certificates.internal import create_internal_certificate, fingerprint
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import AccessLogConfig, EdgeConfig, TlsConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import TokenRecord, new_secret, new_token_id, secret_digest

T = TypeVar("T")


@contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@dataclass
class World:
    """An edge.

    Attributes:
        loop: Where it runs.
        edge: Itself.
        store: Its tokens.
        pin: Of its certificate; None without TLS.
    """

    loop: asyncio.AbstractEventLoop
    edge: Edge
    store: Store
    pin: str | None

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something where the edge runs."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def token(self, name: str, *hostnames: str) -> Token:
        """Make a token that the edge knows."""
        scheme = "ws" if self.pin is None else "wss"
        token = Token(
            edge=f"{scheme}://127.0.0.1:{self.edge.address.port}",
            id=new_token_id(),
            secret=new_secret(),
            pin=self.pin,
        )
        self.store.create_token(
            TokenRecord(
                id=token.id,
                name=name,
                secret_sha256=secret_digest(token.secret),
                hostnames=hostnames,
                created_at=0,
            )
        )
        self.follow()
        return token

    def follow(self) -> None:
        """Let the edge see its store now, and not at its next look."""
        snapshot = self.store.snapshot()

        async def apply() -> None:
            self.edge._apply(snapshot)

        self.do(apply())

    @contextmanager
    def connected(
        self,
        token: Token,
        app: Any,
        *,
        status_folder: Path | None = None,
        inspect: Inspect | None = None,
        name: str = "the app",
    ) -> Iterator[Connector]:
        """An app that serves with a token."""
        settings = TunnelConfig(
            token=token,
            text=token.format(),
            grace=0.0,
            connections=1,
            status_folder=status_folder,
            inspect=inspect,
        )

        async def start() -> Connector:
            connector = Connector(
                settings, Origin(app), name=name, served=names_of(app), policy=collect(app)
            )
            connector.start()
            await connector.wait_connected()
            return connector

        connector = self.do(start())
        try:
            if inspect is not None and status_folder is not None:
                _wait_for_inspector(status_folder)
            yield connector
        finally:
            self.do(connector.stop())


def _wait_for_inspector(folder: Path) -> None:
    """Return when a socket there replies: it opens beside the tunnel."""
    deadline = time.monotonic() + 20
    while True:
        try:
            find_inspectors([folder])
            return
        except RefusedError:
            assert time.monotonic() < deadline, "no inspector"
            time.sleep(0.01)


@contextmanager
def world(folder: Path, *, tls: bool, **settings: Any) -> Iterator[World]:
    """An edge with a certificate of its own, or without TLS; other settings as they are given."""
    config = EdgeConfig(
        data_dir=folder,
        domain="example.test",
        listen="127.0.0.1:0",
        tls=TlsConfig(mode="internal" if tls else "off"),
        access_log=AccessLogConfig(path="access.log"),  # standard output is the command's
        **settings,
    )
    folder.mkdir()
    store = Store(config.database_path)
    store.migrate()
    pin = None
    if tls:
        files = create_internal_certificate(config.domain, folder / "tls")
        pin = fingerprint(files.certificate.read_bytes())
    with event_loop() as loop:
        edge = Edge(config)
        made = World(loop, edge, store, pin)
        made.do(edge.start())
        try:
            yield made
        finally:
            made.do(edge.stop())


def answering(status: int) -> Any:
    """An app that answers everything with one status."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"hello\n"})

    return app


@contextmanager
def listener(
    loop: asyncio.AbstractEventLoop, serve: Any, context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """A server of a few lines; yields its port."""

    async def start() -> asyncio.Server:
        return await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(30)

    async def stop() -> None:
        server.close()

    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(30)


def authority(folder: Path, *, days: float) -> tuple[Path, ssl.SSLContext]:
    """A CA, and a server with its certificate for 127.0.0.1 that ends in some days."""
    now = dt.datetime.now(dt.UTC)

    def certificate(
        subject: str, key: Any, issuer: str, signer: Any, end: float, *, is_ca: bool
    ) -> x509.Certificate:
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=30))
            .not_valid_after(now + dt.timedelta(days=end))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(names, critical=False)
            .sign(signer, hashes.SHA256())
        )

    folder.mkdir()
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = certificate("CA", root_key, "CA", root_key, 30, is_ca=True)
    leaf = certificate("edge", key, "CA", root_key, days, is_ca=False)
    pem = serialization.Encoding.PEM
    (folder / "root.pem").write_bytes(root.public_bytes(pem))
    (folder / "leaf.pem").write_bytes(leaf.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem", folder / "key.pem")
    return folder / "root.pem", context


def pinless(token: Token, edge: str) -> Token:
    """The same token for another edge that CAs vouch for."""
    return replace(token, edge=edge, pin=None)
