"""Small GETs at a steady pace on one connection: what one visitor feels.

The plan of the times is fixed before it begins.  A request whose turn comes while the answer to
the one before is still out counts from its planned time: a stall is felt by everybody who would
have asked in it, not once.

It comes before everything else on the processor where the system lets it: a visitor has a machine
of its own, and what it waits for a core of this one is nothing that a tunnel does.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from contextlib import suppress

from benchmarks.drivers.gate import main, new_parser, percentile, read_answer, report, wait_for_go

ANSWER_TIMEOUT = 30.0
"""Seconds for one answer; beyond that something is broken, not slow."""

_WARM_UP = 20  # requests that are not counted


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = new_parser()
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    return parser.parse_args(arguments)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request)
    async with asyncio.timeout(ANSWER_TIMEOUT):
        await read_answer(reader)


async def load(arguments: list[str]) -> None:
    """Ask for a while.

    Raises:
        OSError: The connection failed.
        ValueError: An answer was not 200.
    """
    options = _parse(arguments)
    with suppress(OSError):  # needs the right to it
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    request = f"GET / HTTP/1.1\r\nHost: {options.name}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection(options.host, options.port)
    for _ in range(_WARM_UP):
        await _ask(reader, writer, request)
    await wait_for_go()
    times = []
    begin = time.perf_counter()
    for turn in range(int(options.rate * options.seconds)):
        planned = begin + turn / options.rate
        ahead = planned - time.perf_counter()
        if ahead > 0:
            await asyncio.sleep(ahead)
            # The timer is up to a millisecond late, which is the driver's fault.
            planned = time.perf_counter()
        await _ask(reader, writer, request)
        times.append(time.perf_counter() - planned)
    writer.close()
    figures = {
        "requests": len(times),
        "p50_us": percentile(times, 0.5) * 1e6,
        "p99_us": percentile(times, 0.99) * 1e6,
        "max_us": max(times, default=0.0) * 1e6,
    }
    await report(figures)


if __name__ == "__main__":
    main(load)
