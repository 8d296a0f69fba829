from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.asgi.memory import Answer, Tunnelled, until

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel.inspection import begin_inspection
from asgi_tunnel.inspector.settings import Inspect
from asgi_tunnel.protocol.handshake import INSPECT
from asgi_tunnel.protocol.head import INSPECT as LINE
from asgi_tunnel.token import Token

if TYPE_CHECKING:
    import pytest

ANNA = b'{"by":"anna","may_write":false}'


def connector(folder: Path | None = None, **settings: Any) -> Connector:
    """One that is not started, with an app that says hello."""
    token = Token(edge="ws://127.0.0.1:9", id="tok_1", secret="s" * 43, pin=None)
    environ = {
        "ASGI_TUNNEL_TOKEN": token.format(),
        "ASGI_TUNNEL_STATUS": "off" if folder is None else str(folder),
    }
    config = TunnelConfig.required(environ=environ, **settings)
    return Connector(config, Origin(Answer()), name="main:app")


async def test_without_the_setting_there_is_nothing() -> None:
    """Nothing is recorded, nothing is offered to the edge, and no socket is there."""
    one = connector()
    assert one.origin.recorder is None
    assert one.origin.inspector is None
    assert INSPECT not in one.hello(0, None).capabilities


async def test_the_edge_is_told_that_it_may_ask() -> None:
    """HELLO names the capability; not with ``remote=False``, where the edge is refused."""
    assert INSPECT in connector(inspect="full").hello(0, None).capabilities
    hidden = connector(inspect=Inspect(remote=False))
    assert INSPECT not in hidden.hello(0, None).capabilities
    assert hidden.origin.recorder is not None
    assert hidden.origin.inspector is None


async def test_an_inspector_behind_a_tunnel() -> None:
    """What passes is recorded, and the edge reads it; the state names the process."""
    tunnel = Tunnelled(Answer())
    assert begin_inspection(Inspect(), tunnel.origin, "main:app", "asgi-tunnel/test") is not None
    await tunnel.get("/a")
    reply = await tunnel.ask("GET", "/state", (LINE, ANNA)).over()
    state = json.loads(reply.body)
    assert (state["app"], state["exchanges"]) == ("main:app", 1)
    assert state["agent"].startswith("asgi-tunnel/")


async def test_the_socket_is_there_while_the_connector_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In the folder of ``asgi-tunnel status``, under the process's name, and gone with it."""
    caplog.set_level(logging.INFO, "asgi_tunnel")
    one = connector(tmp_path, inspect="metadata")
    one.start()
    try:
        await until(lambda: sockets(tmp_path), "no socket")
        (path,) = sockets(tmp_path)
        await until(lambda: path.stat().st_mode & 0o077 == 0, "others may open it")
        reader, writer = await _connected(path)
        writer.write(b"GET /state HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b'"app":"main:app"' in await reader.read()
        writer.close()
        assert "at level metadata; operators of the edge may read it" in caplog.text
    finally:
        one.abort()
    assert not sockets(tmp_path)


def sockets(folder: Path) -> list[Path]:
    """The sockets of inspectors in a folder."""
    return list(folder.glob("*.inspect"))


async def _connected(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, once it listens."""
    for _ in range(500):
        try:
            return await asyncio.open_unix_connection(str(path))
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
    raise AssertionError("it does not listen")
