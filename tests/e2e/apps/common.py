"""What the apps of the framework tests share: gates that a test opens, and lines that it waits for.

Every app serves the same paths: /about, /echo, /stream/KEY, /background/KEY, /release/KEY and,
where its framework has WebSockets, /ws.
"""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

_GATES: dict[str, threading.Event] = {}

GATE_TIMEOUT = 10.0
"""Seconds a closed gate is waited for: longer than any test needs."""


def gate(key: str) -> threading.Event:
    """Return the gate of a test; threads and event loops share it."""
    return _GATES.setdefault(key, threading.Event())


async def wait_for_gate(key: str) -> None:
    """Wait without holding up the event loop."""
    await asyncio.to_thread(gate(key).wait, GATE_TIMEOUT)


async def startup() -> None:
    """Start the app: wait for the file that ``APP_START`` names."""
    await _phase("starting", "started", "APP_START")


async def shutdown() -> None:
    """End the app: wait for the file that ``APP_STOP`` names."""
    await _phase("stopping", "stopped", "APP_STOP")


async def _phase(begin: str, end: str, variable: str) -> None:
    say(begin)
    name = os.environ.get(variable)
    while name and not Path(name).exists():  # noqa: ASYNC110,ASYNC240 - made by another process
        await asyncio.sleep(0.01)
    say(end)


def say(what: str) -> None:
    """Write one line that a test waits for."""
    print(f"app: {what}", flush=True)  # noqa: T201 - the test reads it
