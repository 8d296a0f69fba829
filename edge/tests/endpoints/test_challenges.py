"""The proofs of http-01, on the port for plain HTTP of a real edge."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.acme import AcmeConfig
from asgi_tunnel_edge.settings.config import EdgeConfig, TlsConfig
from asgi_tunnel_edge.storage import Store

TOKEN = "t" * 22


async def say(edge: Edge, request: str) -> tuple[str, str]:
    """Head and body of a response."""
    assert edge.http_address is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.http_address.port)
    writer.write(f"{request}\r\nHost: anything.test\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return head, body


@pytest.fixture
def config(tmp_path: Path) -> EdgeConfig:
    """An edge whose CA is never there."""
    config = EdgeConfig(
        data_dir=tmp_path,
        domain="example.test",
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        tls=TlsConfig(mode="acme"),
        acme=AcmeConfig(directory="https://127.0.0.1:1/dir"),
    )
    (tmp_path / "tls").mkdir()
    Store(config.database_path).migrate()
    return config


async def test_proofs(config: EdgeConfig) -> None:
    """Whatever the host, 200 for a proof that is visible; all else is 404, and no redirect."""
    edge = Edge(config)
    await edge.start()
    try:
        assert edge._certificates is not None
        assert edge._certificates._issuance is not None
        tokens = edge._certificates._issuance._tokens
        value = f"{TOKEN}.{'a' * 43}"
        await tokens.present("shop.test", value)
        path = f"/.well-known/acme-challenge/{TOKEN}"
        head, body = await say(edge, f"GET {path} HTTP/1.1")
        assert (head.split()[1], body) == ("200", value)
        assert "application/octet-stream" in head
        head, body = await say(edge, f"HEAD {path} HTTP/1.1")
        assert (head.split()[1], body) == ("200", "")
        for request in (
            f"POST {path} HTTP/1.1\r\nContent-Length: 0",
            f"GET {path}x HTTP/1.1",
            "GET /.well-known/acme-challenge/ HTTP/1.1",
            "GET /.well-known/acme-challenge/../health HTTP/1.1",
        ):
            head, body = await say(edge, request)
            assert head.split()[1] == "404", request
        await tokens.clear("shop.test", value)
        head, _ = await say(edge, f"GET {path} HTTP/1.1")
        assert head.split()[1] == "404"
    finally:
        await edge.stop()
