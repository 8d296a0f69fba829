"""Visitors who open a page, one after another: six connections, forty assets, each page timed.

What a browser does: a connection that is free takes the next asset. New connections for each page,
or the same ones for all; over TLS where there is a CA to trust.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import time
from collections.abc import Iterator
from contextlib import closing

from benchmarks.drivers.gate import main, new_parser, percentile, read_answer, report, wait_for_go

CONNECTIONS = 6
ASSETS = 40
ASSET_BYTES = 2048

MIX = (
    *(30 * 1024,),  # the page itself
    *(2 * 1024 for _ in range(8)),  # what its scripts ask an API for
    *(6 * 1024, 14 * 1024, 22 * 1024, 90 * 1024, 120 * 1024),  # styles and scripts, compressed
    *(24 * 1024, 24 * 1024),  # fonts
    *(1024 for _ in range(10)),  # icons
    *(12 * 1024 for _ in range(8)),  # small images
    *(60 * 1024 for _ in range(4)),  # large ones
    *(110 * 1024, 200 * 1024),
)
"""Bytes of the forty responses of a page as a shop or a newspaper has it, some 1 MiB together."""

PAGE_TIMEOUT = 30.0
"""Seconds for one page; beyond that something is broken, not slow."""


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Visitor:
    """Opens pages; an asset is taken by whichever connection is free."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        root = options.root
        self._trust = None if root is None else ssl.create_default_context(cafile=root)
        self._sizes = MIX if options.mix else (ASSET_BYTES,) * ASSETS
        self._kept: list[Connection] = []

    async def open_page(self) -> None:
        """Fetch everything.

        Raises:
            OSError: A connection failed.
            ValueError: An answer was not the asset.
            EOFError: A connection ended early.
        """
        assets = iter(enumerate(self._sizes))
        async with asyncio.timeout(PAGE_TIMEOUT):
            if not self._options.kept:
                await asyncio.gather(*(self._fetch_anew(assets) for _ in range(CONNECTIONS)))
                return
            if not self._kept:
                self._kept = [await self._connect() for _ in range(CONNECTIONS)]
            await asyncio.gather(*(self._fetch(one, assets) for one in self._kept))

    async def _fetch_anew(self, assets: Iterator[tuple[int, int]]) -> None:
        connection = await self._connect()
        with closing(connection[1]):
            await self._fetch(connection, assets)

    async def _connect(self) -> Connection:
        options = self._options
        name = None if self._trust is None else options.name
        return await asyncio.open_connection(
            options.host, options.port, ssl=self._trust, server_hostname=name, limit=2**20
        )

    async def _fetch(self, connection: Connection, assets: Iterator[tuple[int, int]]) -> None:
        reader, writer = connection
        for number, size in assets:
            path = f"/bytes/{size}" if self._options.mix else f"/asset/{number}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._options.name}\r\n\r\n".encode())
            if await read_answer(reader) != size:
                raise ValueError("an answer has another length than the asset")


async def load(arguments: list[str]) -> None:
    """Open pages until the time is over."""
    parser = new_parser()
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--kept", action="store_true", help="the same connections for all pages")
    parser.add_argument("--mix", action="store_true", help="assets of many sizes")
    parser.add_argument("--root", help="certificate of the CA that is trusted; none: no TLS")
    options = parser.parse_args(arguments)
    await wait_for_go()
    visitor = Visitor(options)
    times: list[float] = []
    errors: list[str] = []
    start = now = time.perf_counter()
    while now - start < options.seconds:
        try:
            await visitor.open_page()
        except (OSError, ValueError, EOFError) as error:
            errors.append(f"{error.__class__.__name__}: {error}")
        before, now = now, time.perf_counter()
        times.append(now - before)
    figures = {
        "pages": len(times),
        "seconds": now - start,
        "p50_ms": percentile(times, 0.5) * 1e3,
        "p99_ms": percentile(times, 0.99) * 1e3,
        "errors": len(errors),
        "why": errors[0] if errors else "",
    }
    await report(figures)


if __name__ == "__main__":
    main(load)
