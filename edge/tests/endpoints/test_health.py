"""The health page as monitors and balancers ask for it, from a real edge."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from asgi_tunnel_edge.endpoints.health import HEALTH_PATH
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import EdgeConfig, TlsConfig
from asgi_tunnel_edge.storage import Store

pytestmark = pytest.mark.e2e


async def ask(port: int, request: str) -> tuple[int, dict[str, str], bytes]:
    """Send a request as it stands; return status, fields and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.replace("\n", "\r\n").encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    lines = head.split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    body = await reader.readexactly(int(fields.get("content-length", 0)))
    writer.close()
    return int(lines[0].split()[1]), fields, body


@pytest.fixture
async def edge(tmp_path: Path) -> Edge:
    """An edge that was just made."""
    config = EdgeConfig(
        data_dir=tmp_path, domain="example.test", listen="127.0.0.1:0", tls=TlsConfig(mode="off")
    )
    Store(config.database_path).migrate()
    return Edge(config)


@pytest.mark.parametrize(
    "start",
    [
        "GET {path} HTTP/1.1\nHost: anything.example.com\n\n",
        "GET {path}?probe=1 HTTP/1.1\nHost: 192.0.2.1\n\n",
        "GET {path} HTTP/1.0\n\n",
        "GET {path} HTTP/1.1\nHost: [2001:db8::1]:443\n\n",
    ],
    ids=["a name", "an address", "HTTP/1.0 without Host", "IPv6"],
)
async def test_health_on_any_host(edge: Edge, start: str) -> None:
    """Whatever the Host, the page says that the edge takes requests; then that it stops."""
    await edge.start()
    try:
        request = start.format(path=HEALTH_PATH)
        status, fields, body = await ask(edge.address.port, request)
        assert (status, json.loads(body)) == (200, {"status": "ok"})
        assert fields["cache-control"] == "no-store"
        edge.context.is_stopping = True
        status, fields, body = await ask(edge.address.port, request)
        assert (status, json.loads(body)) == (503, {"status": "stopping"})
    finally:
        await edge.stop()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    "rest",
    [
        "HTTP/1.1\nHost: anything.example.com\n\n",
        "HTTP/1.1\nHost: 192.0.2.1:8080\n\n",
        "HTTP/1.1\nHost: [2001:db8::1]\n\n",
        "HTTP/1.1\nHost: localhost\n\n",
        "HTTP/1.1\nHost:\n\n",
        "HTTP/1.0\n\n",
        "HTTP/1.0\nHost: 192.0.2.1\n\n",
    ],
)
async def test_health_by_any_method(edge: Edge, method: str, rest: str) -> None:
    """GET, HEAD and OPTIONS get 200 by HTTP/1.1 and HTTP/1.0, whatever stands in Host."""
    await edge.start()
    try:
        request = f"{method} {HEALTH_PATH} {rest}"
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.address.port)
        writer.write(request.replace("\n", "\r\n").encode())
        assert (await reader.readuntil(b"\r\n")).split()[1] == b"200"
        writer.close()
    finally:
        await edge.stop()


async def test_other_requests_without_a_host_are_refused(edge: Edge) -> None:
    """HTTP/1.0 without Host can be served by nobody else, and OPTIONS is health's, too."""
    await edge.start()
    try:
        port = edge.address.port
        assert (await ask(port, "GET / HTTP/1.0\n\n"))[0] == 400
        assert (await ask(port, f"OPTIONS {HEALTH_PATH} HTTP/1.0\n\n"))[0] == 200
        status, fields, _ = await ask(port, f"DELETE {HEALTH_PATH} HTTP/1.1\nHost: a.test\n\n")
        assert (status, fields["allow"]) == (405, "get, head, options")
    finally:
        await edge.stop()
