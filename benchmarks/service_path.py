"""Times one small exchange with a local service: the CPU of this process, socket included.

    python -m benchmarks.service_path [--count 5000] [--in-flight 16] [--apart] [--profile]

From the opened stream to the end of the response, on the app's side: the driver and the client.
Beside it stand the same by an ASGI call, which other requests are, and what a connection costs at
least: a protocol that writes the same bytes each time and looks at nothing it reads.  All ask in
turn, several times; the least of each is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import itertools
import math
import pstats
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import process_time
from typing import Any

import uvloop

import asgi_tunnel.services.proxy.http
from asgi_tunnel import Services
from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.protocol.events import StreamOpened
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import Arrival, RequestHead, ResponseHead
from benchmarks.model import HOSTNAME
from benchmarks.process import running

FIELDS = [
    (b"host", HOSTNAME.encode()),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"cookie", b"session=0123456789abcdef; theme=dark"),
]
HEAD = RequestHead(
    b"GET",
    b"/",
    Arrival(b"https", b"1.1", b"192.0.2.7", 40_000, HOSTNAME.encode(), 443),
    b"0123456789abcdef",
    HOSTNAME.encode(),
    FIELDS,
)
REQUEST = b"GET / HTTP/1.1\r\n%b\r\n\r\n" % b"\r\n".join(b"%b: %b" % one for one in FIELDS)
ROUNDS = 5

Ask = Callable[[], Awaitable[None]]


class Bare(asyncio.Protocol):
    """Writes a request, and wakes who waits for the end of the response."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Look at the end only."""
        if data.endswith(b"hello"):
            self._waiter.set_result(None)

    async def ask(self) -> None:
        """One exchange."""
        self._waiter = self._loop.create_future()
        self._transport.write(REQUEST)  # type: ignore[attr-defined]
        await self._waiter


class Link:
    """A session that carries streams to nobody, and wakes who waits for the end of each."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.waiters: dict[int, asyncio.Future[None]] = {}

    def send_head(self, stream_id: int, head: ResponseHead) -> bool:
        """Look at the status only."""
        if head.status != 200:
            raise SystemExit(f"the status was {head.status}")
        return True

    def send_data(self, stream_id: int, data: Buffer, *, end: bool = False, **_: bool) -> bool:
        """Look at the end only."""
        if end:
            self.waiters.pop(stream_id).set_result(None)
        return True

    def release(self, stream_id: int) -> None:
        """Nothing is kept."""

    def reset_stream(self, stream_id: int, code: int, reason: str = "") -> None:
        """Stop."""
        raise SystemExit(f"the stream was reset: {reason}")


def _through(app: Any) -> Ask:
    """Return what asks an app once, as a tunnel does."""
    origin = Origin(app)
    link = Link()
    numbers = itertools.count(1)

    async def ask() -> None:
        stream_id = next(numbers)
        waiter = link.waiters[stream_id] = link.loop.create_future()
        opened = StreamOpened(stream_id, StreamKind.HTTP, HEAD, b"", end=True)
        origin.serve(link, opened)  # type: ignore[arg-type]
        await waiter

    return ask


def _called(app: Services) -> Any:
    """Return the same app, which is called for each request."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return call


async def _load(asks: list[Ask], count: int) -> float:
    """Return the CPU seconds of one exchange."""

    async def one(ask: Ask) -> None:
        for _ in range(count // len(asks)):
            await ask()

    before = process_time()
    await asyncio.gather(*(one(ask) for ask in asks))
    return (process_time() - before) / (count // len(asks) * len(asks))


async def measure(port: int, options: argparse.Namespace) -> None:
    """Ask both ways in turn, and print."""
    loop = asyncio.get_running_loop()
    bare: list[Ask] = []
    for _ in range(options.in_flight):
        _, protocol = await loop.create_connection(Bare, "127.0.0.1", port)
        bare.append(protocol.ask)
    app = Services({"*": f"http://127.0.0.1:{port}"})
    called = [_through(_called(app))] * options.in_flight
    ours = [_through(app)] * options.in_flight
    await _load(called, options.in_flight)  # opens the connections
    if options.profile:
        with cProfile.Profile() as profile:
            await _load(ours, options.count)
        pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(30)
        return
    ways = {"the connection alone": bare, "a call of services": called, "services": ours}
    found = dict.fromkeys(ways, math.inf)
    for _ in range(ROUNDS):
        for name, asks in ways.items():
            found[name] = min(found[name], await _load(asks, options.count))
    compiled = (asgi_tunnel.services.proxy.http.__file__ or "").endswith(".so")
    sys.stdout.write("compiled\n" if compiled else "plain Python\n")
    least = found["the connection alone"]
    for name, seconds in found.items():
        more = f", {(seconds - least) * 1e6:.2f} more" if seconds != least else ""
        sys.stdout.write(f"{name:22} {seconds * 1e6:6.2f} us{more}\n")


def main() -> None:
    """Measure beside a service of our own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="exchanges of one round")
    parser.add_argument("--in-flight", type=int, default=16, help="exchanges at the same time")
    parser.add_argument("--apart", action="store_true", help="head and body in two writes")
    parser.add_argument("--profile", action="store_true", help="where the time goes, instead")
    options = parser.parse_args()
    command = [sys.executable, "-m", "benchmarks.drivers.service"]
    with tempfile.TemporaryDirectory() as folder:
        apart = ["--apart"] if options.apart else []
        with running("service", [*command, *apart], Path(folder)) as service:
            service.wait_for("port ")
            port = int(service.output.split()[1])
            uvloop.run(measure(port, options))


if __name__ == "__main__":
    main()
