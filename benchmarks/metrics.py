"""What metrics cost: a request with them and without, the counting alone, and a scrape.

    python -m benchmarks.metrics [--rounds 15] [--count 20000]

The small exchange of :mod:`.hot_path` with metrics off and on, in turn; printed are the best round
of each and their difference. Then one call of the observer, and the time of a scrape with as many
hostnames as are counted apart: in all, and the longest turn of the event loop that it takes.

The last three are CPU time of this thread, which other programs on the machine change less.
"""

from __future__ import annotations

import asyncio
from time import thread_time

from asgi_tunnel_edge.metrics.exposition import render
from asgi_tunnel_edge.metrics.families import Values, add
from asgi_tunnel_edge.observers.access_log import Entry
from asgi_tunnel_edge.observers.request_counter import MAX_HOSTNAMES, RequestCounter

from .hot_path import Extras, measure
from .in_turn import print_lines
from .model import HOSTNAME

NUMBER = 1000  # calls in one round of the observer alone


def _counting(*hostnames: str) -> RequestCounter:
    counter = RequestCounter({})
    counter.follow(hostnames)
    return counter


def count_alone() -> float:
    """Return the seconds of one call of the observer."""
    counter = _counting(HOSTNAME)
    entry = Entry(b"r1", b"192.0.2.7", b"GET", HOSTNAME, b"/", 200, 5, 0.002, "")
    best = 1.0
    for _ in range(500):
        begin = thread_time()
        for _ in range(NUMBER):
            counter.closed(entry)
        best = min(best, thread_time() - begin)
    return best / NUMBER


async def scrape() -> tuple[float, float, int]:
    """Return the seconds of one in all, those of its longest turn, and its bytes."""
    values: Values = {}
    for number in range(MAX_HOSTNAMES):
        name = f"app-number-{number}.example.org"
        for code in ("200", "304", "404", "502", "503"):
            add(values, "requests_total", 12_345 + number, name, code)
        add(values, "request_duration_seconds", [float(number)] * 15, name)
        add(values, "response_body_bytes_total", 123_456_789, name)
        add(values, "end_to_end_connections_total", 0, name)
        add(values, "hostname_tunnels", 2, name)
    longest = 0.0
    last = thread_time()
    is_over = False

    async def watch() -> None:
        nonlocal longest, last
        while not is_over:
            now = thread_time()
            longest, last = max(longest, now - last), now
            await asyncio.sleep(0)

    watcher = asyncio.ensure_future(watch())
    await asyncio.sleep(0)
    best, text = 1.0, b""
    for _ in range(20):
        begin = thread_time()
        text, _ = await render(values)
        best = min(best, thread_time() - begin)
    is_over = True
    await watcher
    return best, longest, len(text)


async def run(rounds: int, count: int) -> list[str]:
    """Return the lines to print."""
    off, on = [], []
    for _ in range(rounds):
        off.append(sum(await measure(count, 32)))
        on.append(sum(await measure(count, 32, Extras(counter=_counting(HOSTNAME)))))
    best, longest, size = await scrape()
    return [
        f"an exchange, metrics off {min(off) * 1e6:7.2f} us",
        f"an exchange, metrics on  {min(on) * 1e6:7.2f} us",
        f"the difference           {(min(on) - min(off)) * 1e6:7.2f} us",
        f"counting alone           {count_alone() * 1e6:7.2f} us",
        f"a scrape, {MAX_HOSTNAMES} hostnames  {best * 1e3:7.2f} ms, {size:,} bytes",
        f"its longest turn         {longest * 1e3:7.2f} ms",
    ]


if __name__ == "__main__":
    print_lines(run, __doc__, rounds=15, count=20_000)
