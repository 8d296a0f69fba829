"""Visitors who open a page, one after another: six new connections, forty assets, each page timed.

What a browser does: a connection that is free takes the next asset.
"""

from __future__ import annotations

import argparse
import asyncio
import time

from benchmarks.drivers.gate import main, new_parser, percentile, read_answer, report, wait_for_go

CONNECTIONS = 6
ASSETS = 40
ASSET_BYTES = 2048

PAGE_TIMEOUT = 30.0
"""Seconds for one page; beyond that something is broken, not slow."""


class Page:
    """One page: its assets are taken by whichever connection is free."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._assets = iter(range(ASSETS))

    async def load(self) -> None:
        """Fetch everything.

        Raises:
            OSError: A connection failed.
            ValueError: An answer was not the asset.
            EOFError: A connection ended early.
        """
        async with asyncio.timeout(PAGE_TIMEOUT):
            await asyncio.gather(*(self._fetch() for _ in range(CONNECTIONS)))

    async def _fetch(self) -> None:
        reader, writer = await asyncio.open_connection(self._options.host, self._options.port)
        try:
            for asset in self._assets:
                request = f"GET /asset/{asset} HTTP/1.1\r\nHost: {self._options.name}\r\n\r\n"
                writer.write(request.encode())
                if await read_answer(reader) != ASSET_BYTES:
                    raise ValueError("an answer has another length than the asset")
        finally:
            writer.close()


async def load(arguments: list[str]) -> None:
    """Open pages until the time is over."""
    parser = new_parser()
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args(arguments)
    await wait_for_go()
    times: list[float] = []
    errors: list[str] = []
    start = now = time.perf_counter()
    while now - start < options.seconds:
        try:
            await Page(options).load()
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
