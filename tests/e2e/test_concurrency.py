"""A thousand of each at one time through one tunnel: everybody gets their own answer."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from .apps_numbers import content
from .harness import Edge, allowed, running_app, running_edge
from .visitor import figure

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

COUNT = 1000
FILES = 4096  # descriptors: one for each visitor here, and some
SIZES = (16, 3_000, 60_000, 200, 150_000)
ONE_ADDRESS = "max_connections_per_address = 4000"


@contextmanager
def file_limit(soft: int) -> Iterator[None]:
    """Change the soft limit of open files, for this process and those it starts."""
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    if old[1] != resource.RLIM_INFINITY:
        soft = min(soft, old[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge that was started with few open files, and the app of numbers behind it."""
    folder = tmp_path_factory.mktemp("concurrency")
    with ExitStack() as stack:
        with file_limit(256):
            found = stack.enter_context(running_edge(folder, limits=ONE_ADDRESS))
        token = found.create_token("shop")
        here = Path(__file__).parent
        stack.enter_context(running_app(folder, token, "apps_numbers:app", app_dir=here))
        stack.enter_context(file_limit(FILES))
        yield found


def test_edge_raises_its_limit_of_open_files(edge: Edge) -> None:
    """An edge takes as many open files as the system lets it: its visitors need one each."""
    lines = Path(f"/proc/{edge.running.pid}/limits").read_text().splitlines()
    soft, hard = next(line for line in lines if line.startswith("Max open files")).split()[3:5]
    assert soft == hard


async def test_requests_at_one_time_get_their_own_answers(edge: Edge) -> None:
    """1,000 requests, small and large, are in progress at once; none gets another's bytes."""
    started = time.monotonic()
    await asyncio.gather(*(request(edge, number) for number in range(COUNT)))
    show("requests", started, edge)


async def request(edge: Edge, number: int) -> None:
    """Send a body that only this number has, and check the response."""
    size = SIZES[number % len(SIZES)]
    body = content(number, size)
    head = f"POST /{number}/{COUNT}/{size} HTTP/1.1\r\nHost: shop.example.test\r\n"
    head += f"Connection: close\r\nContent-Length: {size}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    try:
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        found = b""
        while count := int(await reader.readline(), 16):
            found += (await reader.readexactly(count + 2))[:-2]
    finally:
        writer.close()
    assert found == body + body, f"number {number} got another's answer"


async def test_websockets_at_one_time_get_their_own_messages(edge: Edge) -> None:
    """1,000 WebSockets are open at once; each gets the replies to its own messages, in order."""
    started = time.monotonic()
    await asyncio.gather(*(converse(edge, number) for number in range(COUNT)))
    show("WebSockets", started, edge)


async def converse(edge: Edge, number: int) -> None:
    """Open one WebSocket, wait for all the others, and exchange a few messages."""
    size = SIZES[number % len(SIZES)] // 4
    url = f"ws://shop.example.test/{number}/{COUNT}/{size}"
    async with connect(
        url,
        host="127.0.0.1",
        port=edge.port,
        proxy=None,
        compression=None,
        open_timeout=60,
        ping_interval=None,
    ) as socket:
        assert await socket.recv() == str(number)
        for turn in range(3):
            message = b"%d in turn %d" % (number, turn)
            await socket.send(message)
            assert await socket.recv() == message + content(number, size)


def show(what: str, started: float, edge: Edge) -> None:
    """Report the figures."""
    seconds = time.monotonic() - started
    peak = edge.running.peak_rss() / 2**20
    figure(f"{COUNT} {what} at one time: {seconds:.1f} s, peak of the edge {peak:.0f} MiB")


def test_next_request_finds_everything_as_before(edge: Edge) -> None:
    """After the crowd, a single request is answered at once."""
    started = time.monotonic()
    answer = httpx.post(
        edge.url("shop.example.test", f"/{COUNT}/1/5"),
        content=content(COUNT, 5),
        headers={"host": "shop.example.test"},
    )
    assert answer.content == content(COUNT, 5) * 2
    assert time.monotonic() - started < allowed(1.0, started)
