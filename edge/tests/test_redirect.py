"""The port for plain HTTP of a real edge: it sends visitors to https, and serves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from asgi_tunnel.protocol.handshake import SUBPROTOCOL, TUNNEL_PATH
from asgi_tunnel_edge.certificates.internal import create_internal_certificate
from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import EdgeConfig, TlsConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

NAME = "shop.example.test"


@asynccontextmanager
async def running(folder: Path, public_url: str | None = None) -> AsyncIterator[Edge]:
    """An edge with both ports, and one hostname whose app is away."""
    config = EdgeConfig(
        data_dir=folder,
        domain="example.test",
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        public_url=public_url,
        tls=TlsConfig(mode="files"),
    )
    Store(config.database_path).migrate()
    create_internal_certificate(config.domain, config.data_dir / "tls")
    edge = Edge(config)
    await edge.start()
    other = "shop.other.test"  # for which there is no certificate
    record = TokenRecord(id="t", name="t", secret_sha256="", hostnames=(NAME, other), created_at=0)
    edge.directory.apply(Snapshot.of(1, [record]))
    try:
        yield edge
    finally:
        await edge.stop()


async def say(edge: Edge, request: bytes) -> tuple[int, dict[str, str]]:
    """Send one request to the plain port; return status and fields of the response."""
    assert edge.http_address is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.http_address.port)
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    writer.close()
    fields = dict(line.split(": ", 1) for line in head[1:] if line)
    return int(head[0].split()[1]), fields


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("GET", "/", 301), ("HEAD", "/a?b=c", 301), ("POST", "/form", 308), ("PUT", "/%2e%2E", 308)],
)
async def test_visitors_are_sent_to_https(
    tmp_path: Path, method: str, target: str, status: int
) -> None:
    """With the path and the query as they were; 308 keeps the method."""
    async with running(tmp_path, public_url="https://example.test") as edge:
        request = f"{method} {target} HTTP/1.1\r\nHost: {NAME.upper()}:80\r\n\r\n".encode()
        found, fields = await say(edge, request)
    assert (found, fields["location"]) == (status, f"https://{NAME}{target}")


async def test_the_port_of_the_edge_is_named(tmp_path: Path) -> None:
    """Where https is not on 443."""
    async with running(tmp_path) as edge:
        _, fields = await say(edge, f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        assert fields["location"] == f"https://{NAME}:{edge.address.port}/"


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: nobody.example.test\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: shop.other.test\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: %s\r\n\r\n" % NAME.encode(),
        b"GET /.well-known/asgi-tunnel/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
    ids=["unknown", "no certificate", "address", "no path", "health"],
)
async def test_nothing_else_is_served(tmp_path: Path, request_: bytes) -> None:
    """No redirect to a name that https would refuse, and no page of the edge."""
    async with running(tmp_path) as edge:
        status, fields = await say(edge, request_)
    assert status == 404
    assert "location" not in fields


async def test_no_tunnel_is_opened_in_the_clear(tmp_path: Path) -> None:
    """A token that is sent there by mistake reaches nobody who would take it."""
    request = (
        f"GET {TUNNEL_PATH} HTTP/1.1\r\nHost: {NAME}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    )
    async with running(tmp_path) as edge:
        status, _ = await say(edge, request.encode())
        assert status == 301
        assert not edge.directory.entries


@pytest.mark.parametrize(
    ("listen", "mode", "why"),
    [("0.0.0.0:80", "off", "sends visitors"), ("80", "internal", "HOST:PORT")],
)
def test_settings_that_make_no_sense(tmp_path: Path, listen: str, mode: str, why: str) -> None:
    """Each with a sentence."""
    table = {
        "domain": "example.test",
        "listen": "127.0.0.1:0",
        "http_listen": listen,
        "tls": {"mode": mode},
    }
    with pytest.raises(EdgeConfigError, match=why):
        EdgeConfig.from_table(table, tmp_path)
