"""A thousand pages that watch one inspector: bounded, and none of them holds anybody up."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

import pytest
from edge.tests.dashboard.house import ADMIN
from edge.tests.dashboard.test_inspector import inspected

from asgi_tunnel_edge.dashboard import watching

READERS = 900
SILENT = 100


def resident() -> int:
    """Bytes of this process in memory."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@pytest.mark.slow
async def test_a_thousand_pages(tmp_path: Path) -> None:
    """Each hears of a request in time; a tenth of them never reads, and nobody notices that."""
    limits = {"max_connections_per_address": 2000}
    async with inspected(tmp_path, limits=limits) as one:
        ben = await one.somebody("ben")
        port = one.edge.address.port
        head = (
            f"GET /inspector/{one.live.token.id}/live HTTP/1.1\r\nHost: {ADMIN}:{port}\r\n"
            f"Cookie: __Host-asgi-tunnel={ben.cookie}\r\n\r\n"
        ).encode()
        gc.collect()
        before = resident()
        pages = []
        for _ in range(READERS + SILENT):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
            writer.write(head)
            pages.append((reader, writer))
        assert one.edge._dashboard is not None
        watches = one.edge._dashboard.watches
        await until(watches, len(pages))
        refused = await ben.get(f"/inspector/{one.live.token.id}/live")
        assert refused.status_code == 503
        assert "1000 pages watch inspectors already" in refused.text
        for number in range(20):  # what is not read does not pile up
            await one.live.get(f"/early/{number}")
        began = time.monotonic()
        await one.live.get("/fresh")
        waits = time.monotonic() - began
        hearing = [heard(reader) for reader, _ in pages[:READERS]]
        async with asyncio.timeout(40):
            await asyncio.gather(*hearing)
        each = (resident() - before) / len(pages)
        assert waits < 2  # the app is served meanwhile
        assert each < 150_000, each  # both ends of each connection are in this process
        for _, writer in pages:
            writer.transport.abort()
        await until(watches, 0)


async def until(watches: watching.Watches, count: int) -> None:
    """Return when so many pages watch."""
    async with asyncio.timeout(40):
        while watches.watchers != count:  # noqa: ASYNC110 - they come over sockets
            await asyncio.sleep(0.02)


async def heard(reader: asyncio.StreamReader) -> None:
    """Return when a page was sent the newest request."""
    await reader.readuntil(b"/fresh")


async def test_a_change_is_rendered_once(tmp_path: Path) -> None:
    """For all pages with one address; and the process is followed once."""
    made = 0

    async def make() -> str:
        nonlocal made
        made += 1
        return "text"

    watch = watching.Watch(lambda: None)
    assert await asyncio.gather(*(watch.shared("q", make) for _ in range(9))) == ["text"] * 9
    assert made == 1
    assert await watch.shared("other", make) == "text"
    watch._version += 1
    await watch.shared("q", make)
    assert made == 3


async def test_it_ends_with_the_last_page_and_with_the_app(tmp_path: Path) -> None:
    """Nothing is followed for nobody."""
    async with inspected(tmp_path) as one:
        ben = await one.somebody("ben")
        address = f"/inspector/{one.live.token.id}/live"
        assert one.edge._dashboard is not None
        watches = one.edge._dashboard.watches
        async with ben.client.stream("GET", address, headers=ben._with({})) as stream:
            pieces = stream.aiter_text()
            await anext(pieces)
            assert watches.watchers == 1
            await one.live.disconnect()
            async with asyncio.timeout(10):
                async for _ in pieces:
                    pass
        await until(watches, 0)
