"""Server-sent events to many visitors at a time; each event says when it was sent."""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import cast

import httptools

from benchmarks.drivers.gate import main, new_parser, percentile, report, wait_for_go

_DATA = b"data:"


class Visitor(asyncio.Protocol):
    """Reads one stream of events to its end."""

    def __init__(self, request: bytes, delays: list[float]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.events = 0
        self._request = request
        self._delays = delays  # seconds, of all visitors
        self._rest = b""  # an event that is not complete yet
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None

    def ask(self) -> None:
        """Send the request."""
        assert self._transport is not None
        self._transport.write(self._request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for :meth:`ask`."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; too early when the answer was not complete."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("closed within the events"))

    # -- httptools ---------------------------------------------------------------------------

    def on_headers_complete(self) -> None:
        """Look at the status."""
        status = self._parser.get_status_code()
        if status != 200 and not self.done.done():
            self.done.set_exception(ConnectionError(f"status {status}"))

    def on_body(self, data: bytes) -> None:
        """Take the events that are complete."""
        now = time.monotonic()
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            start = event.find(_DATA)
            if start < 0:
                continue
            self.events += 1
            sent = _seconds(event[start + len(_DATA) :].split(b"\n", 1)[0])
            if sent:
                self._delays.append(now - sent)

    def on_message_complete(self) -> None:
        """All events are here."""
        if not self.done.done():
            self.done.set_result(None)
        if self._transport is not None:
            self._transport.close()


def _seconds(text: bytes) -> float:
    """Return the clock's time at the start of an event, or 0.0 when it carries none."""
    try:
        return float(text.split()[0])
    except (ValueError, IndexError):
        return 0.0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = new_parser()
    parser.add_argument("--visitors", type=int, default=200)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--timeout", type=float, default=60.0)
    return parser.parse_args(arguments)


async def load(arguments: list[str]) -> None:
    """Connect everybody, ask at one time, and read to the end."""
    options = _parse(arguments)
    loop = asyncio.get_running_loop()
    delays: list[float] = []
    request = f"GET /events?count={options.events} HTTP/1.1\r\nHost: {options.name}\r\n\r\n"
    visitors = []
    for _ in range(options.visitors):
        _, visitor = await loop.create_connection(
            lambda: Visitor(request.encode(), delays), options.host, options.port
        )
        visitors.append(visitor)
    await wait_for_go()
    start, cpu = time.perf_counter(), time.process_time()
    for visitor in visitors:
        visitor.ask()
    ended, waiting = await asyncio.wait([one.done for one in visitors], timeout=options.timeout)
    failures = [error for one in ended if (error := one.exception()) is not None]
    failures += [TimeoutError(f"no end in {options.timeout:g} s") for _ in waiting]
    figures = {
        "events": sum(visitor.events for visitor in visitors),
        "seconds": time.perf_counter() - start,
        "delay_p50_ms": percentile(delays, 0.5) * 1e3,
        "delay_p99_ms": percentile(delays, 0.99) * 1e3,
        "errors": len(failures),
        "why": f"{failures[0]}" if failures else "",
        "driver_cpu": time.process_time() - cpu,
    }
    await report(figures)


if __name__ == "__main__":
    main(load)
