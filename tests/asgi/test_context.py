"""Calls of the app see what was set before its tunnel was started, whoever starts it."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest
from tests.asgi.fakes import FakeConnector
from tests.asgi.memory import body, start
from tests.asgi.test_middleware import TOKEN, Server, Tunnel

import asgi_tunnel
from asgi_tunnel.asgi.lifespan import IS_TUNNELLED

pytestmark = pytest.mark.usefixtures("connectors")

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class App:
    """Notes what it sees, and changes it.

    Attributes:
        seen: The kind of call, the variable, and whether the call came through the tunnel.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bool]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve."""
        self.seen.append((scope["type"], VARIABLE.get(), IS_TUNNELLED.get()))
        VARIABLE.set("changed")
        if scope["type"] == "lifespan":
            for _ in range(2):
                await send({"type": (await receive())["type"] + ".complete"})
        else:
            await send(start())
            await send(body(b"hello"))


async def test_under_a_server_calls_see_what_its_lifespan_began_with() -> None:
    """A72: what the process set before is seen; what the app's lifespan set is not, as locally."""
    app = App()
    wrapped = Tunnel(app, token=TOKEN, enabled=True)
    VARIABLE.set("server")
    server = await Server(wrapped).start()
    VARIABLE.set("later")
    for _ in range(2):
        await FakeConnector.made[0].get()
    await server.stop()
    assert app.seen == [
        ("lifespan", "server", False),
        ("http", "server", True),
        ("http", "server", True),
    ]


async def test_a_late_start_does_not_share_the_first_request() -> None:
    """A72: without a lifespan calls see what was set when the wrapper was made."""
    app = App()
    VARIABLE.set("import")
    wrapped = Tunnel(app, token=TOKEN, enabled=True)
    VARIABLE.set("the first visitor's")
    server = Server(wrapped)
    server.task.cancel()
    await asyncio.wait([server.task])
    await server.request()
    await FakeConnector.made[0].get()
    assert app.seen == [("http", "the first visitor's", False), ("http", "import", True)]


async def test_a_thread_sees_what_was_set_where_it_was_started() -> None:
    """A72: a tunnel in a thread has the context of ``start_in_thread()``."""
    app = App()
    VARIABLE.set("import")
    handle = asgi_tunnel.start_in_thread(app, token=TOKEN)
    assert handle is not None
    VARIABLE.set("later")
    try:
        await until_made()
        await FakeConnector.made[0].get()
    finally:
        handle.stop()
    assert app.seen == [("lifespan", "import", True), ("http", "import", True)]


async def until_made() -> None:
    """Wait for the connector of another thread."""
    async with asyncio.timeout(10):
        while not FakeConnector.made:  # noqa: ASYNC110 - made in another thread
            await asyncio.sleep(0.01)
