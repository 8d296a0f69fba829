"""``benchmarks.app``, which also writes down when its start was complete.

The file that ``BENCHMARK_READY`` names gets the seconds of the monotonic clock, the same one in
every process of a machine.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.app import Message, Receive, Send
from benchmarks.app import app as _app

VARIABLE = "BENCHMARK_READY"


def _note(now: float) -> None:
    Path(os.environ[VARIABLE]).write_text(f"{now}")


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Serve one scope."""
    if scope["type"] != "lifespan":
        await _app(scope, receive, send)
        return

    async def note(message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            _note(time.monotonic())
        await send(message)

    await _app(scope, receive, note)
