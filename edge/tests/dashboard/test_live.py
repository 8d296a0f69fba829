"""What is sent as it happens: one look for all, and nobody who does not read holds it up."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from edge.tests.dashboard.house import SHOP, hello, house

from asgi_tunnel_edge.dashboard.live import MAX_FEEDS, BusyError, Live, Moment, event
from asgi_tunnel_edge.leaving import STOP_GRACE


def moment(at: float) -> Moment:
    """One without content."""
    return Moment(at=at, seconds=0.0, traffic={})


class Looks:
    """Counts looks; each is later than the one before."""

    def __init__(self) -> None:
        self.count = 0
        self.looked = asyncio.Event()
        self.is_over = False

    async def __call__(self, _last: Moment | None) -> Moment | None:
        """Look."""
        self.count += 1
        self.looked.set()
        return None if self.is_over else moment(self.count)


async def test_one_look_is_for_all_who_watch() -> None:
    """Each gets the newest moment, also who comes later."""
    looks = Looks()
    live = Live(looks, every=60)
    first, second = live.open(), live.open()
    one = await first.next()
    assert one is not None
    assert await second.next() is one
    third = live.open()
    assert await third.next() is one
    assert looks.count == 1
    for feed in (first, second, third):
        feed.close()
        feed.close()
    assert live.watching == 0


async def test_nobody_is_looked_for_when_nobody_watches() -> None:
    """The last one who leaves ends it, and the next one begins anew."""
    looks = Looks()
    live = Live(looks, every=0.001)
    feed = live.open()
    await feed.next()
    feed.close()
    count = looks.count
    await asyncio.sleep(0.05)
    assert looks.count == count
    assert await live.open().next() is not None
    await live.stop()


async def test_who_does_not_read_has_one_moment_waiting() -> None:
    """Memory does not grow, and who reads gets each one."""
    looks = Looks()
    live = Live(looks, every=0.001)
    slow, quick = live.open(), live.open()
    last = None
    for _ in range(50):
        last = await quick.next()
    assert last is not None
    newest = await slow.next()
    assert newest is not None
    assert newest.at >= last.at
    await live.stop()
    assert await slow.next() is None
    assert await slow.next() is None


async def test_all_streams_end_when_the_edge_stops() -> None:
    """Pages ask the next process then."""
    looks = Looks()
    live = Live(looks, every=0.001)
    feed = live.open()
    await feed.next()
    looks.is_over = True
    async with asyncio.timeout(10):
        while await feed.next() is not None:
            pass
    assert live.watching == 0


async def test_a_look_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the next one may succeed."""
    looks = Looks()

    async def look(last: Moment | None) -> Moment | None:
        found = await looks(last)
        if looks.count == 2:
            message = "defect"
            raise RuntimeError(message)
        return found

    live = Live(look, every=0.001)
    feed = live.open()
    seen = [await feed.next() for _ in range(4)]
    assert all(one is not None for one in seen)
    assert "defect" in caplog.text
    await live.stop()


async def test_more_than_may_watch_are_refused() -> None:
    """With a sentence; a place that gets free is taken."""
    live = Live(Looks(), every=60)
    feeds = [live.open() for _ in range(MAX_FEEDS)]
    with pytest.raises(BusyError, match="watch this edge already"):
        live.open()
    feeds[0].close()
    live.open()
    await live.stop()


def test_lines_of_a_part_are_lines_of_data() -> None:
    """Whatever ends a line: nothing in a part can begin an event of its own."""
    text = event("a\nb\rc\r\n\r\nevent: x\u2028id: 1").decode()
    assert text == (
        "event: part\ndata: a\ndata: b\ndata: c\ndata: \ndata: event: x\ndata: id: 1\n\n"
    )


async def test_a_viewer_that_does_not_read_stalls_nobody(tmp_path: Path) -> None:
    """Others get each part, and visitors their pages."""
    async with house(tmp_path) as one:
        anna = await one.somebody("anna")
        deaf = socket.create_connection(("127.0.0.1", one.edge.address.port))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = f"GET /live/overview HTTP/1.1\r\nHost: {anna.host}\r\n"
        deaf.sendall(f"{head}Cookie: __Host-asgi-tunnel={anna.cookie}\r\n\r\n".encode())
        async with (
            asyncio.timeout(30),
            anna.client.stream("GET", "/live/overview", headers=anna._with({})) as response,
        ):
            parts = 0
            async for text in response.aiter_text():
                await one.live.get("/", host=SHOP)
                parts += text.count("event: part")
                if parts >= 3:
                    break
        deaf.close()
        assert (await one.live.get("/", host=SHOP)).status == 200


async def test_an_edge_that_stops_waits_for_no_viewer(tmp_path: Path) -> None:
    """Streams end with the next look, long before the grace of what is in progress."""
    loop = asyncio.get_running_loop()
    async with house(tmp_path) as one:
        anna = await one.somebody("anna")
        async with anna.client.stream("GET", "/live/overview", headers=anna._with({})) as response:
            parts = response.aiter_text()
            await anext(parts)
            begin = loop.time()
            one.edge.context.is_stopping = True
            async with asyncio.timeout(STOP_GRACE):
                async for _ in parts:
                    pass
            assert loop.time() - begin < STOP_GRACE / 2
        one.edge.context.is_stopping = False


async def test_a_tunnel_that_opens_is_shown_at_once(tmp_path: Path) -> None:
    """The stream says it, without a page that is loaded anew."""
    async with house(tmp_path, None) as one:
        anna = await one.somebody("anna")
        async with (
            asyncio.timeout(30),
            anna.client.stream("GET", "/live/tunnels", headers=anna._with({})) as response,
        ):
            text = ""
            is_connected = False
            async for piece in response.aiter_text():
                text += piece
                if "offline" in text and not is_connected:
                    is_connected = True
                    await one.live.connect(hello)
                if "online" in text:
                    break
        assert text.index("offline") < text.index("online")
