"""Visitors over TLS who come anew for each request: a whole handshake, chain and name checked.

Nothing is resumed. Threads, for the TLS library lets others run while it computes.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import ssl
import time

from benchmarks.drivers.gate import main, new_parser, percentile, report, wait_for_go

TIMEOUT = 30.0
"""Seconds for one visit; beyond that something is broken, not slow."""


def visit(options: argparse.Namespace, trust: ssl.SSLContext, request: bytes) -> float:
    """Connect, ask once and read until the end; return the seconds until the handshake was done.

    Raises:
        OSError: A handshake failed.
        ValueError: The answer was not the app's.
    """
    began = time.perf_counter()
    with (
        socket.create_connection((options.host, options.port), timeout=TIMEOUT) as raw,
        trust.wrap_socket(raw, server_hostname=options.name) as connection,
    ):
        took = time.perf_counter() - began
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    if not answer.startswith(b"HTTP/1.1 200") or not answer.endswith(b"hello"):
        raise ValueError(answer.split(b"\r\n", 1)[0].decode("latin-1"))
    return took


def visits(options: argparse.Namespace, end: float) -> tuple[list[float], list[str]]:
    """Visit until the time is over; return how long each handshake took, and errors."""
    trust = ssl.create_default_context(cafile=options.root)
    trust.minimum_version = ssl.TLSVersion.TLSv1_3
    fields = f"Host: {options.name}\r\nConnection: close\r\n"
    request = f"GET / HTTP/1.1\r\n{fields}\r\n".encode()
    times: list[float] = []
    errors: list[str] = []
    while time.perf_counter() < end:
        try:
            times.append(visit(options, trust, request))
        except (OSError, ValueError) as error:
            errors.append(f"{error.__class__.__name__}: {error}")
    return times, errors


async def load(arguments: list[str]) -> None:
    """Visit with some threads at once."""
    parser = new_parser()
    parser.add_argument("--root", required=True, help="certificate of the CA that is trusted")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--visitors", type=int, default=4)
    options = parser.parse_args(arguments)
    await wait_for_go()
    start = time.perf_counter()
    jobs = [
        asyncio.to_thread(visits, options, start + options.seconds) for _ in range(options.visitors)
    ]
    found = await asyncio.gather(*jobs)
    times = [one for part, _ in found for one in part]
    errors = [one for _, part in found for one in part]
    figures = {
        "handshakes": len(times),
        "seconds": time.perf_counter() - start,
        "p50_ms": percentile(times, 0.5) * 1e3,
        "p99_ms": percentile(times, 0.99) * 1e3,
        "errors": len(errors),
        "why": errors[0] if errors else "",
    }
    await report(figures)


if __name__ == "__main__":
    main(load)
