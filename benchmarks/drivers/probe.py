"""Small GETs, one after another on a few connections: alone, or beside one bulk transfer."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
import time

from benchmarks.drivers.gate import main, new_parser, percentile, read_answer, report, wait_for_go

_PIECE = 64 * 1024
_ENDLESS = 1 << 34
"""Bytes of a bulk transfer: it is cut when the time is over."""

RESULT_TIMEOUT = 60.0
"""Seconds for one small answer; beyond that something is broken, not slow."""


class Bulk:
    """A transfer that does not end by itself; counts what it has moved."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.bytes = 0
        self._options = options

    async def run(self) -> None:
        """Move bytes until it is cancelled; the connection goes with it."""
        reader, writer = await connect(self._options)
        try:
            if self._options.beside == "down":
                writer.write(_request(self._options, f"GET /down?bytes={_ENDLESS}"))
                while data := await reader.read(_PIECE):
                    self.bytes += len(data)
            else:
                length = f"Content-Length: {_ENDLESS}\r\n"
                writer.write(_request(self._options, "POST /up", length))
                piece = bytes(_PIECE)
                while True:
                    writer.write(piece)
                    await writer.drain()
                    self.bytes += len(piece)
        finally:
            writer.transport.abort()
        raise ConnectionResetError("the bulk transfer ended")


async def connect(
    options: argparse.Namespace,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open one connection, with TLS that believes any certificate where it is asked for."""
    context: ssl.SSLContext | None = None
    if options.tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    name = options.name if options.tls else None
    return await asyncio.open_connection(
        options.host, options.port, ssl=context, server_hostname=name
    )


def _request(options: argparse.Namespace, start: str, fields: str = "") -> bytes:
    return f"{start} HTTP/1.1\r\nHost: {options.name}\r\n{fields}\r\n".encode()


async def probe(options: argparse.Namespace, times: list[float], errors: list[str]) -> None:
    """Ask again and again on one connection; the first answer is not counted."""
    request = _request(options, "GET /")
    reader, writer = await connect(options)
    try:
        for turn in range(1 << 30):
            start = time.perf_counter()
            writer.write(request)
            async with asyncio.timeout(RESULT_TIMEOUT):
                await read_answer(reader)
            if turn:
                times.append(time.perf_counter() - start)
    except (OSError, EOFError, ValueError) as error:
        errors.append(f"{error.__class__.__name__}: {error}")
    finally:
        writer.transport.abort()


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = new_parser()
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--visitors", type=int, default=4, help="connections with small GETs")
    parser.add_argument("--settle", type=float, default=3.0, help="seconds before it counts")
    parser.add_argument("--beside", choices=("nothing", "down", "up"), default="nothing")
    return parser.parse_args(arguments)


async def load(arguments: list[str]) -> None:
    """Probe for a while beside what was asked for."""
    options = _parse(arguments)
    await wait_for_go()
    times: list[float] = []
    errors: list[str] = []
    bulk = Bulk(options)
    tasks = []
    if options.beside != "nothing":
        tasks.append(asyncio.create_task(bulk.run()))
        await asyncio.sleep(options.settle)
    moved, start = bulk.bytes, time.perf_counter()
    tasks += [asyncio.create_task(probe(options, times, errors)) for _ in range(options.visitors)]
    await asyncio.wait(tasks, timeout=options.seconds, return_when=asyncio.FIRST_COMPLETED)
    moved, seconds = bulk.bytes - moved, time.perf_counter() - start
    # uvloop reports bytes that arrive for a TLS connection after its abort as a fatal error.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            try:
                await task
            except OSError as error:
                errors.append(f"{error}")
    figures = {
        "requests": len(times),
        "seconds": seconds,
        "p50_ms": percentile(times, 0.5) * 1e3,
        "p99_ms": percentile(times, 0.99) * 1e3,
        "max_ms": max(times, default=0.0) * 1e3,
        "bulk_mbit": moved * 8 / seconds / 1e6,
        "errors": len(errors),
        "why": errors[0] if errors else "",
    }
    await report(figures)


if __name__ == "__main__":
    main(load)
