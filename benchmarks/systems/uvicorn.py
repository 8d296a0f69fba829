"""uvicorn without anything in front of it, and as what stands behind every peer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from benchmarks.model import Running, System
from benchmarks.process import Process, free_port, running

FASTEST = ("--http", "httptools", "--loop", "uvloop", "--ws", "websockets", "--no-access-log")
FLAGS = (*FASTEST, "--log-level", "error")


@contextmanager
def serving(
    folder: Path,
    app: str = "benchmarks.app:app",
    env: Mapping[str, str] | None = None,
) -> Iterator[tuple[Process, int]]:
    """Run uvicorn on a port of loopback; it answers there when the block starts."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), *FLAGS]
    with running("uvicorn", command, folder, env=env) as process:
        process.wait_for_app(port)
        yield process, port


@contextmanager
def _start(folder: Path) -> Iterator[Running]:
    with serving(folder) as (process, port):
        yield Running(SYSTEM.name, "127.0.0.1", port, {"uvicorn": process.pid})


def describe() -> str:
    """Return versions and flags."""
    names = ("uvicorn", "httptools", "uvloop", "websockets")
    return f"{', '.join(f'{name} {version(name)}' for name in names)}; {' '.join(FLAGS)}"


SYSTEM = System("uvicorn direct", _start, describe, is_direct=True)
