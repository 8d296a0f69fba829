"""uvicorn without anything in front of it, and as what stands behind every peer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from benchmarks.model import Running, System
from benchmarks.process import Process, free_port, running
from benchmarks.systems import certificate

FASTEST = ("--http", "httptools", "--loop", "uvloop", "--ws", "websockets", "--no-access-log")
FLAGS = (*FASTEST, "--log-level", "error")


@contextmanager
def serving(
    folder: Path,
    app: str = "benchmarks.app:app",
    env: Mapping[str, str] | None = None,
    *,
    is_tls: bool = False,
) -> Iterator[tuple[Process, int]]:
    """Run uvicorn on a port of loopback; it answers there when the block starts."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), *FLAGS]
    root: Path | None = None
    if is_tls:
        root, files = certificate.shared()
        command += ["--ssl-certfile", str(files.certificate), "--ssl-keyfile", str(files.key)]
    with running("uvicorn", command, folder, env=env) as process:
        process.wait_for_app(port, root=root)
        yield process, port


@contextmanager
def _start(folder: Path) -> Iterator[Running]:
    with serving(folder) as (process, port):
        yield Running(SYSTEM.name, "127.0.0.1", port, {"uvicorn": process.pid})


@contextmanager
def _start_tls(folder: Path) -> Iterator[Running]:
    with serving(folder, is_tls=True) as (process, port):
        root = certificate.shared().root
        yield Running(TLS.name, "127.0.0.1", port, {"uvicorn": process.pid}, root)


def describe() -> str:
    """Return versions and flags."""
    names = ("uvicorn", "httptools", "uvloop", "websockets")
    return f"{', '.join(f'{name} {version(name)}' for name in names)}; {' '.join(FLAGS)}"


SYSTEM = System("uvicorn direct", _start, describe, is_direct=True)
TLS = System(
    "uvicorn, TLS",
    _start_tls,
    lambda: f"as uvicorn direct, with --ssl-certfile and --ssl-keyfile: {certificate.KIND}",
    is_direct=True,
    is_tls=True,
)
