"""The driver's end of :mod:`.launch`: ready, then the load on a word, then the figures."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

CONNECT_TIMEOUT = 30.0
"""Seconds for all connections of a load; 10,000 take some three."""


def new_parser() -> argparse.ArgumentParser:
    """Return a parser of what every driver is told: whom to ask, and by which name."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", required=True, help="for the Host field")
    return parser


async def read_answer(reader: asyncio.StreamReader) -> int:
    """Read one answer with a Content-Length, and return the bytes of its body.

    Raises:
        ValueError: It was not 200.
        EOFError: The connection ended in it.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise ValueError(head.split(b"\r\n", 1)[0].decode("latin-1"))
    size = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    await reader.readexactly(size)
    return size


async def wait_for_go() -> None:
    """Say that everything is connected, and return when the load shall begin."""
    if not await report({"ready": True}):
        raise SystemExit("the benchmark has ended before its driver began")


async def report(line: dict[str, Any]) -> str:
    """Print a line, and return what the benchmark says next; what is open stays open until then.

    Returns:
        A word, or an empty string when the benchmark wants no more.
    """
    print(json.dumps(line), flush=True)
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


def main(load: Callable[[list[str]], Coroutine[Any, Any, None]]) -> None:
    """Run a driver on the arguments of its command line.

    Raises the limit of open files as far as it may: some drivers hold 10,000 sockets.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        uvloop.run(load(sys.argv[1:]))
    except (OSError, EOFError) as error:
        # What a broken system shows its visitors; anything else is a defect here, with its trace.
        print(json.dumps({"failed": str(error) or error.__class__.__name__}), flush=True)
        raise SystemExit(1) from None


def percentile(values: list[float], share: float) -> float:
    """Return the value that ``share`` of ``values`` do not exceed; 0 when there are none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
