"""Times one small exchange with a local service: the CPU of this process, socket included.

    python -m benchmarks.service_path [--count 5000] [--in-flight 16] [--apart] [--profile]

Beside it stands what a connection costs at least: a protocol that writes the same bytes each time
and looks at nothing it reads.  Both ask in turn, several times; the least of each is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
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
SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "https",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "root_path": "",
    "headers": FIELDS,
    "client": ("192.0.2.7", 40_000),
    "server": (HOSTNAME, 443),
    "extensions": {},
}
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


def _through(app: Services) -> Ask:
    """Return what asks the app once, as a tunnel does."""

    async def ask() -> None:
        found = b""
        messages = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await asyncio.Event().wait()  # the visitor stays
            raise AssertionError

        async def send(message: Any) -> None:
            nonlocal found
            found = message.get("body", b"")

        await app(SCOPE, receive, send)
        if found != b"hello":
            raise SystemExit(f"the response was {found!r}")

    return ask


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
    ours = [_through(app)] * options.in_flight
    if options.profile:
        with cProfile.Profile() as profile:
            await _load(ours, options.count)
        pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(30)
        return
    ways = {"the connection alone": bare, "services": ours}
    found = dict.fromkeys(ways, math.inf)
    for _ in range(ROUNDS):
        for name, asks in ways.items():
            found[name] = min(found[name], await _load(asks, options.count))
    compiled = (asgi_tunnel.services.proxy.http.__file__ or "").endswith(".so")
    for name, seconds in found.items():
        sys.stdout.write(f"{name:22} {seconds * 1e6:6.2f} us\n")
    first, second = found.values()
    form = "compiled" if compiled else "plain"
    sys.stdout.write(f"{'the client part':22} {(second - first) * 1e6:6.2f} us ({form})\n")


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
