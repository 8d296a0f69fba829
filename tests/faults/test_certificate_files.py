"""Certificate files change under a running edge, and visitors and apps notice nothing."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scripts.authority import Authority, Files
from tests.e2e.harness import Edge as EdgeProcess
from tests.e2e.harness import edge_command
from websockets.asyncio.client import connect

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel.token import Token
from asgi_tunnel_edge import server, shown
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import EdgeConfig, TlsConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord, new_secret, new_token_id, secret_digest

from .app import PIECE, app, piece
from .conftest import Row

pytestmark = pytest.mark.e2e

TUNNELS = [f"shop-{number}" for number in range(4)]
NAMES = ["localhost", *(f"{name}.localhost" for name in TUNNELS)]
"""Of every certificate; OpenSSL takes no wildcard that is right below a top-level domain."""

MANY = 50
"""Tunnels to these names together, in the long form."""

TIMEOUT = 30.0  # seconds without a byte until a visitor calls a connection dead
PATIENCE = 30.0  # seconds for the edge to look at the files, on a loaded machine


@dataclass
class World:
    """A running edge that reads its certificate from files, and apps behind it.

    Attributes:
        port: Of the edge.
        files: That it reads.
        ca: That issues them.
        said: Returns the edge's log.
        look: Seconds in which it looks at the files at least once.
    """

    port: int
    files: Files
    ca: Authority
    said: Callable[[], str]
    look: float

    def trust(self) -> ssl.SSLContext:
        """A visitor's TLS: the CA's root and nothing else."""
        return ssl.create_default_context(cafile=str(self.ca.root))

    async def dial(
        self, name: str, context: ssl.SSLContext
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new connection, its certificate checked."""
        return await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname=f"{name}.localhost"
        )

    async def shown(self) -> bytes:
        """The certificate that a new visitor gets; DER."""
        _, writer = await self.dial(TUNNELS[0], self.trust())
        found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
        assert isinstance(found, bytes)
        return found


class Load:
    """Visitors of every kind, until it is stopped.

    Attributes:
        done: How often something came as it should: handshakes, requests, messages, pieces.
        failed: What did not, in sentences.
    """

    def __init__(self, world: World, *, visitors: int) -> None:
        self.done: Counter[str] = Counter()
        self.failed: list[str] = []
        self._world = world
        self._is_over = asyncio.Event()
        names = [TUNNELS[number % len(TUNNELS)] for number in range(visitors)]
        work = [self._come(name) for name in names]
        work += [self._stay(name) for name in TUNNELS * 2]
        work += [self._talk(name) for name in TUNNELS]
        work += [self._download(TUNNELS[0])]
        self._tasks = [asyncio.create_task(self._note(one)) for one in work]

    async def stop(self) -> None:
        """Let all finish what they do."""
        self._is_over.set()
        await asyncio.gather(*self._tasks)

    async def _note(self, work: Any) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
            self.failed.append(f"{work.__name__}: {error.__class__.__name__}: {error}")

    async def _come(self, name: str) -> None:
        """A handshake, a request and away, again and again; nothing is resumed."""
        context = self._world.trust()
        while not self._is_over.is_set():
            async with asyncio.timeout(TIMEOUT):
                reader, writer = await self._world.dial(name, context)
                await self._ask(name, reader, writer)
            writer.transport.abort()
            self.done["handshakes"] += 1

    async def _stay(self, name: str) -> None:
        """One connection for all requests."""
        reader, writer = await self._world.dial(name, self._world.trust())
        while not self._is_over.is_set():
            async with asyncio.timeout(TIMEOUT):
                await self._ask(name, reader, writer)
            self.done["requests"] += 1
            await asyncio.sleep(0.01)
        writer.transport.abort()

    async def _ask(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(f"GET /hello HTTP/1.1\r\nHost: {name}.localhost\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        assert await reader.readexactly(5) == b"hello"

    async def _talk(self, name: str) -> None:
        """A WebSocket."""
        url = f"wss://{name}.localhost:{self._world.port}/echo"
        trust = self._world.trust()
        async with connect(url, host="127.0.0.1", ssl=trust, proxy=None) as socket:
            while not self._is_over.is_set():
                text = str(self.done["messages"])
                await socket.send(text)
                async with asyncio.timeout(TIMEOUT):
                    assert await socket.recv() == text
                self.done["messages"] += 1
                await asyncio.sleep(0.01)

    async def _download(self, name: str) -> None:
        """One response that lasts as long as the load does."""
        reader, writer = await self._world.dial(name, self._world.trust())
        request = f"GET /download?pieces=1000000 HTTP/1.1\r\nHost: {name}.localhost\r\n\r\n"
        writer.write(request.encode())
        await reader.readuntil(b"\r\n\r\n")
        while not self._is_over.is_set():
            async with asyncio.timeout(TIMEOUT):
                assert await reader.readexactly(PIECE) == piece(self.done["pieces"])
            self.done["pieces"] += 1
            await asyncio.sleep(0.02)
        writer.transport.abort()


def connectors(port: int, tokens: list[Token]) -> list[Connector]:
    """An app for each token."""
    settings = [TunnelConfig(token=one, text=one.format(), grace=1.0) for one in tokens]
    return [Connector(one, Origin(app)) for one in settings]


@contextlib.asynccontextmanager
async def connected(apps: list[Connector]) -> AsyncIterator[None]:
    """Their tunnels are open in the block."""
    for one in apps:
        one.start()
    try:
        for one in apps:
            await one.wait_connected()
        yield
    finally:
        for one in apps:
            await one.stop()


def put(files: Files, *, certificate: bytes | None = None, key: bytes | None = None) -> None:
    """Write files as programs do that know of nobody who reads them."""
    if key is not None:
        files.key.write_bytes(key)
    if certificate is not None:
        files.certificate.write_bytes(certificate)


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for something that the edge does at its next look."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        found = condition()
        if await found if asyncio.iscoroutine(found) else found:
            return
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.02)


async def change(world: World, number: int) -> None:
    """Replace both files; every other time they are of no use between the first and the last write.

    Then the certificate in use stays, and the log says why.
    """
    new = world.ca.issue(f"new-{number}", NAMES)
    certificate, key = new.certificate.read_bytes(), new.key.read_bytes()
    before, loop = await world.shown(), asyncio.get_running_loop()
    bad = {1: "are not a certificate and a key in PEM form", 3: "does not belong to"}.get(
        number % 4
    )
    if number % 4 == 1:  # half of both is written
        put(
            world.files,
            certificate=certificate[: len(certificate) // 2],
            key=key[: len(key) // 2],
        )
    elif number % 4 == 3:  # the certificate has come, its key has not
        put(world.files, certificate=certificate)
    if bad is not None:
        # Once a minute: the log sums up what it says again.
        lines = f"the certificate in use stays: [^\n]*{bad}"
        await until(lambda: re.search(lines, world.said()), "the log says why")
        end = loop.time() + world.look
        while loop.time() < end:
            assert await world.shown() == before
            await asyncio.sleep(world.look / 3)
    if number % 4 == 2:  # as certbot does: other files in their place
        new.key.replace(world.files.key)
        new.certificate.replace(world.files.certificate)
    else:
        put(world.files, certificate=certificate, key=key)
    wanted = ssl.PEM_cert_to_DER_cert(certificate.decode())

    async def is_shown() -> bool:
        return await world.shown() == wanted

    await until(is_shown, "the new certificate is shown")


async def replace_under_load(world: World, *, changes: int, visitors: int) -> Counter[str]:
    """Change the files while everybody is there; return what was done meanwhile."""
    load = Load(world, visitors=visitors)
    kinds = ("handshakes", "requests", "messages", "pieces")
    await until(lambda: load.failed or all(load.done[kind] for kind in kinds), "the load begins")
    assert not load.failed
    lost = world.said().count("has lost its connection"), world.said().count("has ended")
    for number in range(1, changes + 1):
        await change(world, number)
    await load.stop()
    assert not load.failed
    assert (world.said().count("has lost its connection"), world.said().count("has ended")) == lost
    return load.done


def write_files(ca: Authority, config: EdgeConfig) -> Files:
    """Give an edge its first certificate."""
    files, first = Files(config.certificate_path, config.key_path), ca.issue("first", NAMES)
    files.certificate.parent.mkdir(exist_ok=True)
    put(files, certificate=first.certificate.read_bytes(), key=first.key.read_bytes())
    return files


async def test_files_change_under_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Good pairs, half of a pair, and a key of another: no handshake fails, nothing is dropped."""
    monkeypatch.setattr(shown, "_FILE_CHECK", 0.05)
    monkeypatch.setattr(server, "_EXPIRY_CHECK", 0.05)
    ca = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.root))
    caplog.set_level("INFO")
    config = EdgeConfig(
        data_dir=tmp_path / "edge",
        domain="localhost",
        listen="127.0.0.1:0",
        tls=TlsConfig(mode="files"),
    )
    config.data_dir.mkdir()
    Store(config.database_path).migrate()
    files = write_files(ca, config)
    edge = Edge(config)
    await edge.start()
    try:
        where = f"wss://localhost:{edge.address.port}"
        tokens = [Token(edge=where, id=new_token_id(), secret=new_secret()) for _ in TUNNELS]
        records = [
            TokenRecord(
                id=one.id,
                name=name,
                secret_sha256=secret_digest(one.secret),
                hostnames=(f"{name}.localhost",),
                created_at=0,
            )
            for name, one in zip(TUNNELS, tokens, strict=True)
        ]
        edge._apply(Snapshot.of(1, records))
        apps = connectors(edge.address.port, tokens)
        world = World(edge.address.port, files, ca, lambda: caplog.text, 0.15)
        async with connected(apps):
            await replace_under_load(world, changes=3, visitors=4)
    finally:
        await edge.stop()


@pytest.mark.faults_long
@pytest.mark.timeout(400)
async def test_twenty_changes_under_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Row
) -> None:
    """An edge with its own times, 50 tunnels, 32 visitors who come anew and 12 who stay."""
    ca = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.root))
    data = tmp_path / "edge"
    where = ["--data", str(data), "--domain", "localhost", "--listen", "127.0.0.1:0"]
    edge_command("init", *where, "--tls", "files")
    files = write_files(ca, EdgeConfig.load(data))
    edge = EdgeProcess(data, "localhost")
    edge.start()
    try:
        tokens = [Token.parse(edge.create_token(name).token) for name in TUNNELS]
        apps = connectors(edge.port, (tokens * MANY)[:MANY])
        world = World(edge.port, files, ca, lambda: edge.running.output, 2.6)
        async with connected(apps):
            done = await replace_under_load(world, changes=20, visitors=32)
    finally:
        edge.stop()
    row("20 changes of the certificate's files", failed=0, dropped=0, **done)
