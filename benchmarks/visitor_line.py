"""Times what it costs to tell an app who a visitor is: from the head at the edge to the call.

    python -m benchmarks.visitor_line [--count 500] [--rounds 200]

One request is written as OPEN and read again, and the app is called: without a visitor, with one
who has come before, with one whose line is read for the first time, and with one whom the app asks
for by ``asgi_tunnel.visitor``.  All take turns in one process; printed is the CPU time of each, the
least of all rounds, and what it is beside the first one.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import sys
from collections.abc import Callable, Iterator
from time import process_time
from typing import Any

import uvloop

import asgi_tunnel.asgi.origin
from asgi_tunnel import visitor
from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.protocol.events import StreamOpened
from asgi_tunnel.protocol.frames import StreamKind
from asgi_tunnel.protocol.head import add_visitor, decode_request, encode_request
from asgi_tunnel_edge.access.identity import Identity

from .service_path import HEAD, Link

ANNA = Identity(
    subject="user:anna",
    name="Anna Example",
    email="anna@example.org",
    groups=("family", "operators"),
    method="passkey",
    since=1_790_000_000,
    policy="family",
)
Lines = Callable[[], bytes]


class SilentLink(Link):
    """Nobody waits for the end of an exchange here."""

    def send_data(self, stream_id: int, data: Any, *, end: bool = False, **_: bool) -> bool:
        """Nothing is kept."""
        return True


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    """Respond with as little as there is."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


async def asking_app(scope: Any, receive: Any, send: Any) -> None:
    """Ask for the visitor, then respond."""
    if visitor(scope) is None:
        raise SystemExit("the visitor is missing")
    await app(scope, receive, send)


def new_lines() -> Iterator[bytes]:
    """Lines of as many visitors, each about as long as the other one."""
    for number in itertools.count(1_790_000_000):
        yield ANNA._replace(since=number).encode()


async def time_calls(origin: Origin, link: Any, lines: Lines | None, count: int) -> float:
    """Return the CPU seconds of one request, its call included."""
    http = StreamKind.HTTP
    given = [b"" if lines is None else lines() for _ in range(count)]
    begin = process_time()
    for number, line in enumerate(given):
        head = add_visitor(HEAD, line) if line else HEAD
        _, found, _ = decode_request(encode_request(http, head))
        origin.serve(link, StreamOpened(number, http, found, b"", end=True))
        if not number % 32:
            await asyncio.sleep(0)  # as many as come in one turn of a busy loop
    while origin.in_flight:  # noqa: ASYNC110 - turns of the loop are part of what is measured
        await asyncio.sleep(0)
    return (process_time() - begin) / count


async def measure(count: int, rounds: int) -> dict[str, float]:
    """Return the least CPU seconds of a request, for each way."""
    link = SilentLink()
    plain, asking = Origin(app), Origin(asking_app)
    fresh, line = new_lines(), ANNA.encode()
    ways: dict[str, tuple[Origin, Lines | None]] = {
        "without a visitor": (plain, None),
        "with one": (plain, lambda: line),
        "with a new one": (plain, lambda: next(fresh)),
        "with one, asked for": (asking, lambda: line),
    }
    found = dict.fromkeys(ways, math.inf)
    for _ in range(rounds):
        for name, (origin, lines) in ways.items():
            found[name] = min(found[name], await time_calls(origin, link, lines, count))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="requests of one round")
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    found = uvloop.run(measure(options.count, options.rounds))
    compiled = "compiled" if (asgi_tunnel.asgi.origin.__file__ or "").endswith(".so") else "plain"
    sys.stdout.write(f"{compiled}, {len(ANNA.encode())} bytes for a visitor\n")
    least = found["without a visitor"]
    for name, seconds in found.items():
        more = f", {(seconds - least) * 1e6:.2f} more" if seconds != least else ""
        sys.stdout.write(f"{name:20} {seconds * 1e6:6.2f} us{more}\n")


if __name__ == "__main__":
    main()
