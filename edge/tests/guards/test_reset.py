"""A visitor that resets its connection at once: nobody can say any more who it was."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from edge.tests.live import SHOP, Live, live_edge

from asgi_tunnel_edge.ban import BanRecord
from asgi_tunnel_edge.listeners.plain import IN_A_ROW
from asgi_tunnel_edge.tokens import Snapshot

REQUEST = f"GET /blind HTTP/1.1\r\nHost: {SHOP}\r\n\r\n".encode()


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both loops: uvloop asks for the address when somebody wants it, asyncio when it accepts."""
    return "asyncio", {"use_uvloop": request.param}


class App:
    """Notes who has asked for what."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str]] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Serve one call."""
        if scope["type"] != "http":
            return
        self.got.append((scope["path"], scope["client"][0]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})


def ask_and_reset(live: Live, times: int) -> None:
    """Do it before the edge has its turn."""
    for _ in range(times):
        sock = socket.create_connection(("127.0.0.1", live.edge.address.port))
        sock.sendall(REQUEST)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


async def test_the_app_gets_nothing_from_nobody(tmp_path: Path) -> None:
    """Neither of those that the loop's server accepts, nor of a crowd."""
    app = App()
    async with live_edge(tmp_path, app) as live:
        ask_and_reset(live, 3 * IN_A_ROW)
        assert (await live.get("/seen")).status == 200
        assert {client for _, client in app.got} == {"127.0.0.1"}
        assert live.edge.directory.shares.of(live.token.id).visitors == 0


async def test_who_is_denied_gets_nothing_through(tmp_path: Path) -> None:
    """The list holds for a request whose sender does not wait for the response."""
    app = App()
    async with live_edge(tmp_path, app, guards={"deny": ["127.0.0.0/8"]}) as live:
        ask_and_reset(live, 3 * IN_A_ROW)
        assert (await live.get("/seen")).status == 403
        assert app.got == []


async def test_who_is_banned_gets_nothing_through(tmp_path: Path) -> None:
    """As little as who is denied."""
    app = App()
    async with live_edge(tmp_path, app) as live:
        ban = BanRecord(address="127.0.0.0/8", created_at=1, expires_at=None)
        live.edge.guards.apply(Snapshot.of(2, [], bans=[ban]))
        ask_and_reset(live, 3 * IN_A_ROW)
        assert (await live.get("/seen")).status == 403
        assert app.got == []


async def test_who_is_over_the_rate_gets_nothing_through(tmp_path: Path) -> None:
    """Nobody in particular has no rate of its own beside that of the visitor."""
    app = App()
    guards = {"rate": 0.01, "burst": 1, "exempt": []}
    async with live_edge(tmp_path, app, guards=guards) as live:
        assert [(await live.get("/")).status for _ in range(2)] == [200, 429]
        ask_and_reset(live, 3 * IN_A_ROW)
        assert (await live.get("/seen")).status == 429
        assert app.got == [("/", "127.0.0.1")]


async def test_a_door_has_nobody_to_judge(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It says nothing about it in the log."""
    settings: dict[str, Any] = {
        "access": {"family": {"users": ["*"]}},
        "hostnames": {SHOP: {"access": "family"}},
    }
    async with live_edge(tmp_path, App(), **settings) as live:
        ask_and_reset(live, 3 * IN_A_ROW)
        assert (await live.get("/seen")).status == 401
        assert "Traceback" not in caplog.text
