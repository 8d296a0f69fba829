"""What becomes of requests that wait for an app, over real sockets."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from edge.tests.live import SHOP, Live, live_edge
from tests.e2e.harness import allowed
from websockets.asyncio.client import connect

POST = f"POST / HTTP/1.1\r\nHost: {SHOP}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Say hello."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})


async def statuses(live: Live, data: bytes) -> list[bytes]:
    """The statuses of all responses on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", live.edge.address.port)
    writer.write(data)
    async with asyncio.timeout(10):
        received = await reader.read()
    writer.close()
    await writer.wait_closed()
    return [one[:3] for one in received.split(b"HTTP/1.1 ")[1:]]


def visitors(live: Live) -> int:
    """How many visitors the app is counted to have."""
    return live.edge.directory.shares.of(live.token.id).visitors


@pytest.mark.parametrize("body", [b"zz\r\nabc\r\n", b"3\r\nabcd\r\n"])
async def test_a_body_that_is_found_malformed_at_the_end_of_the_wait(
    tmp_path: Path, body: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """One response and one line of the log; the edge's looks at its connections go on."""
    async with live_edge(tmp_path, limits={"hold_timeout": 0.3}) as live:
        assert await statuses(live, POST + body) == [b"400"]
        assert visitors(live) == 0
        # The next ones are found by the same timer.
        request = f"GET / HTTP/1.1\r\nHost: {SHOP}\r\nConnection: close\r\n\r\n".encode()
        assert await statuses(live, request) == [b"503"]
        live.edge._access_log.flush()
    lines = capfd.readouterr().out
    assert (lines.count('"POST /"'), lines.count('"GET /"')) == (1, 1)


async def test_a_head_that_is_too_large_for_the_tunnel(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is refused when the app comes; the next on its connection, and all others, are served."""
    fields = "".join(f"x-{number}: {'a' * 6000}\r\n" for number in range(20))
    large = f"GET / HTTP/1.1\r\nHost: {SHOP}\r\n{fields}\r\n".encode()
    small = f"GET / HTTP/1.1\r\nHost: {SHOP}\r\nConnection: close\r\n\r\n".encode()
    async with live_edge(tmp_path, limits={"max_head_bytes": 200_000}) as live:
        tasks = [asyncio.create_task(statuses(live, large + small)) for _ in range(12)]
        tasks.append(asyncio.create_task(statuses(live, small)))
        async with asyncio.timeout(10):
            while visitors(live) < len(tasks):  # noqa: ASYNC110 - the loop's turns are waited for
                await asyncio.sleep(0.01)
        await live.connect(hello)
        assert await asyncio.gather(*tasks) == [[b"431", b"200"]] * 12 + [[b"200"]]
        assert visitors(live) == 0
        assert live.edge.directory.entries
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_a_websocket_that_is_accepted_while_the_edge_stops(tmp_path: Path) -> None:
    """It is told to come again at once, as those that were open, and the edge ends."""
    asked, goes_on = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            asked.set()
            await goes_on.wait()
            await send({"type": "websocket.accept"})
            while (await receive())["type"] == "websocket.receive":
                pass

    manager = live_edge(tmp_path, app)
    live = await manager.__aenter__()  # it stops here, and not at the end of a block

    async def visit() -> int:
        port = live.edge.address.port
        async with connect(f"ws://{SHOP}/", host="127.0.0.1", port=port) as websocket:
            await websocket.wait_closed()
            return websocket.close_code or 0

    visitor = asyncio.create_task(visit())
    await asked.wait()
    tunnels: list[Any] = [one.session._transport for one in live.edge.directory.entries]
    stopping = asyncio.create_task(live.edge.stop())
    while not live.edge.context.is_stopping:  # noqa: ASYNC110 - the loop's turns are waited for
        await asyncio.sleep(0.01)
    goes_on.set()
    began = time.monotonic()
    assert await visitor == 1012
    await stopping
    assert time.monotonic() - began < allowed(3.0, began)  # and not the 10 s of its grace
    await live.disconnect()
    async with asyncio.timeout(10):
        while any(one is not None and not one.is_lost for one in tunnels):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
