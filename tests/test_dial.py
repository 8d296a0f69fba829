"""What an edge cannot make an app's side do: go elsewhere, open a byte stream."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.dial import _resolve, dial
from asgi_tunnel.errors import TunnelError
from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.events import StreamOpened
from asgi_tunnel.protocol.frames import StreamKind
from asgi_tunnel.protocol.head import Arrival, RequestHead


@asynccontextmanager
async def server(reply: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A listener that sends one reply; its port, and the first bytes of who came."""
    came: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.read(65536))
        writer.write(reply)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1], came


@pytest.mark.parametrize("status", [b"301", b"302", b"307", b"308"])
async def test_redirects_are_not_followed(status: bytes) -> None:
    """An edge that sends a connector, and its token, to another server has refused it."""
    async with server(b"") as (other, came):
        reply = (
            b"HTTP/1.1 %s Elsewhere\r\nLocation: ws://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n"
            % (status, other)
        )
        async with server(reply) as (port, asked):
            with pytest.raises((TunnelError, OSError)):
                await dial(f"ws://127.0.0.1:{port}", "Bearer secret")
            assert len(asked) == 1
        assert came == []


async def test_a_dial_that_is_stopped_reports_nothing() -> None:
    """At whatever turn of the event loop: nobody waits for its connection any more."""
    loop, reported = asyncio.get_running_loop(), list[Any]()
    ours = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    async with server(b"") as (port, _):
        for turns in range(24):
            dialing = asyncio.ensure_future(dial(f"wss://127.0.0.1:{port}", "Bearer secret"))
            for _ in range(turns):
                await asyncio.sleep(0)
            dialing.cancel()
            with contextlib.suppress(OSError, TunnelError, asyncio.CancelledError):
                await dialing
            await asyncio.sleep(0)
            del dialing
            gc.collect()
    loop.set_exception_handler(ours)
    assert reported == []


async def test_a_stream_of_bytes_reaches_nothing() -> None:
    """The wire has a third kind of stream; an app's side refuses it and calls no app."""
    calls: list[Any] = []
    resets: list[tuple[int, ResetCode]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope)

    class Link:
        """Notes what is reset."""

        def reset_stream(self, stream_id: int, code: ResetCode, reason: str) -> None:
            resets.append((stream_id, code))

    link: Any = Link()
    arrival = Arrival(b"https", b"1.1", b"192.0.2.1", 1, b"192.0.2.2", 443)
    head = RequestHead(b"", b"", arrival, b"r", b"shop.test", [])
    Origin(app).serve(link, StreamOpened(1, StreamKind.BYTES, head, b"", False))
    await asyncio.sleep(0)
    assert resets == [(1, ResetCode.REFUSED)]
    assert calls == []


@pytest.mark.parametrize("command", [["run"], []])
def test_no_option_takes_a_token(command: list[str]) -> None:
    """Arguments can be read by every user of a machine."""
    done = subprocess.run(
        [sys.executable, "-m", "asgi_tunnel", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--token" not in done.stdout


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_name_is_looked_up_beside_the_apps_own_threads(host: str) -> None:
    """While all of them wait for something."""
    released = threading.Event()
    loop = asyncio.get_running_loop()
    executor = ThreadPoolExecutor(1)
    loop.set_default_executor(executor)
    count = int(anyio.to_thread.current_default_thread_limiter().total_tokens)
    busy = [asyncio.ensure_future(anyio.to_thread.run_sync(released.wait)) for _ in range(count)]
    busy.append(asyncio.ensure_future(asyncio.to_thread(released.wait)))
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            assert (socket.AF_INET, ("127.0.0.1", 80)) in await _resolve(host, 80)
    finally:
        released.set()
        await asyncio.gather(*busy)
