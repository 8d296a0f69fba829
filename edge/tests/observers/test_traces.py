"""Traces: each part of an exchange's time, kept for who looks, and bounded."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from edge.tests.live import SHOP, live_edge

from asgi_tunnel_edge.certificates.internal import create_internal_certificate
from asgi_tunnel_edge.observers.traces import KEPT, PER_SECOND, Trace, TraceRing


def trace(request_id: str = "r1", **values: Any) -> Trace:
    """One, a millisecond for each part."""
    given = {
        "began": 1.0,
        "hostname": SHOP,
        "token_id": "tok_1",
        "method": "GET",
        "path": "/",
        "peer": "203.0.113.9",
        "status": 200,
        "sent": 5,
        "outcome": "",
        "tls": None,
        "edge": 0.001,
        "hold": 0.001,
        "tunnel": 0.001,
        "app": 0.001,
        "response": 0.001,
        "body": 0.0,
    }
    return Trace(request_id, **{**given, **values})


def test_the_newest_are_kept() -> None:
    """The oldest gives way; what is asked for is filtered, newest first."""
    ring = TraceRing(size=3)
    for number in range(5):
        ring.add(trace(f"r{number}", token_id=f"tok_{number % 2}", hostname=f"{number % 2}.test"))
    assert [one.request_id for one in ring.newest(9)] == ["r4", "r3", "r2"]
    assert [one.request_id for one in ring.newest(1)] == ["r4"]
    assert [one.request_id for one in ring.newest(9, token_ids=frozenset({"tok_1"}))] == ["r3"]
    assert [one.request_id for one in ring.newest(9, hostname="0.test")] == ["r4", "r2"]
    assert ring.newest(9, token_ids=frozenset()) == []
    assert (ring.find("r1"), ring.count) == (None, 5)
    found = ring.find("r2")
    assert found is not None
    assert found.to_json()["seconds"] == pytest.approx(0.005)


def test_what_is_kept_is_bounded() -> None:
    """In number, and each in size."""
    ring = TraceRing()
    for number in range(KEPT + 5):
        ring.add(trace(str(number), path="/" * 9999))
    kept = ring.newest(2 * KEPT)
    assert len(kept) == KEPT
    assert {len(one.path) for one in kept} == {1024}
    for port in range(2000):
        ring.connected(("192.0.2.1", port), 0.01)
    assert ring.handshake(("192.0.2.1", 0)) is None
    assert ring.handshake(("192.0.2.1", 1999)) == 0.01
    assert ring.handshake(("192.0.2.1", 1999)) is None


def test_a_full_edge_measures_some() -> None:
    """The first ones of each second."""
    now = 7.0
    ring = TraceRing(clock=lambda: now)
    assert sum(ring.wants() for _ in range(5000)) == PER_SECOND
    now = 8.5
    assert ring.wants()
    assert ring.began == 8.5


async def slow_app(scope: Any, receive: Any, send: Any) -> None:
    """Take 30 ms for the head, and 30 ms more for the body."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    await asyncio.sleep(0.03)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"a" * 10, "more_body": True})
    await asyncio.sleep(0.03)
    await send({"type": "http.response.body", "body": b"b" * 10})


async def test_the_parts_of_a_real_exchange(tmp_path: Path) -> None:
    """Each is where the time was spent; the query is not kept, and the visitor is told nothing."""
    async with live_edge(tmp_path, slow_app) as live:
        ring = live.edge.context.traces = TraceRing()
        answer = await live.get("/slow?token=hidden")
        assert answer.values("server-timing") == []
        [one] = ring.newest(9)
        assert (one.path, one.status, one.sent, one.method) == ("/slow", 200, 20, "GET")
        assert (one.hostname, one.token_id) == (SHOP, live.token.id)
        assert one.app is not None
        assert one.app > 0.02
        assert one.response > 0.02
        assert min(one.edge, one.hold, one.tunnel) >= 0
        assert one.tls is None


async def test_an_exchange_that_no_app_takes(tmp_path: Path) -> None:
    """It was held, and nothing else."""
    async with live_edge(tmp_path, limits={"hold_timeout": 0.1}) as live:
        ring = live.edge.context.traces = TraceRing()
        await live.get("/")
        [one] = ring.newest(9)
        assert one.status == 503
        assert (one.app, one.tunnel, one.response) == (None, 0, 0)


async def test_a_handshake_belongs_to_the_first_request(tmp_path: Path) -> None:
    """The second one on the connection had none."""
    tls = {"mode": "files"}
    create_internal_certificate("example.test", tmp_path / "tls")
    async with live_edge(tmp_path, tls=tls, limits={"hold_timeout": 0.1}) as live:
        edge = live.edge
        ring = edge.context.traces = TraceRing()
        assert edge.ports.acceptor is not None
        edge.ports.acceptor.on_connected = ring.connected
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", edge.address.port, ssl=context, server_hostname=SHOP
        )
        for _ in range(2):
            writer.write(f"GET / HTTP/1.1\r\nHost: {SHOP}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(size)
        second, first = ring.newest(2)
        assert first.tls is not None
        assert first.tls > 0
        assert second.tls is None
        writer.close()
        await writer.wait_closed()
