"""What all peers share: an end for the visitors, an end beside the app, and uvicorn behind."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from shutil import which

from benchmarks.model import Running
from benchmarks.process import ROOT, free_port, running
from benchmarks.systems import certificate
from benchmarks.systems.uvicorn import serving

PEERS = ROOT / "build" / "peers"
"""Where ``benchmarks/setup.sh`` installs what Debian does not have."""

_PATH = os.pathsep.join([str(PEERS / "bin"), os.environ.get("PATH", os.defpath), "/usr/sbin"])

_VERSION_TIMEOUT = 10.0  # seconds
_NUMBER = re.compile(r"\d+\.\d+\.\d+|\d+\.\d+p\d")


@dataclass(frozen=True)
class Ports:
    """Ports of loopback that are free.

    Attributes:
        app: Where uvicorn listens.
        control: Where the peer's public end waits for its other end.
        public: Where it waits for visitors.
    """

    app: int
    control: int
    public: int


@dataclass(frozen=True)
class End:
    """One process of a peer.

    Attributes:
        role: Its name in the tables.
        command: Program and arguments.
        env: Added to the environment.
        port: Where it listens for the other end, which is started then.
    """

    role: str
    command: Sequence[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)
    port: int = 0


Ends = Callable[[Path, Ports], tuple[End, ...]]
"""Writes a peer's configuration into a folder; its ends in the order of their start."""


def start_of(
    name: str, ends: Ends, *, is_tls: bool = False
) -> Callable[[Path], AbstractContextManager[Running]]:
    """Return a peer's :attr:`benchmarks.model.System.start`.

    Args:
        name: Of the system.
        ends: Its processes.
        is_tls: The app behind it speaks TLS, and the peer passes that on.
    """
    return partial(_start, name, ends, is_tls=is_tls)


@contextmanager
def _start(name: str, ends: Ends, folder: Path, *, is_tls: bool) -> Iterator[Running]:
    root = certificate.shared().root if is_tls else None
    with ExitStack() as stack:
        app, app_port = stack.enter_context(serving(folder, is_tls=is_tls))
        ports = Ports(app_port, free_port(), free_port())
        processes = {}
        *first, last = ends(folder, ports)
        for end in first:
            process = stack.enter_context(running(end.role, end.command, folder, env=end.env))
            process.wait_for_port(end.port)
            processes[end.role] = process.pid
        process = stack.enter_context(running(last.role, last.command, folder, env=last.env))
        process.wait_for_app(ports.public, root=root)
        processes[last.role] = process.pid
        yield Running(name, "127.0.0.1", ports.public, {**processes, "uvicorn": app.pid}, root)


def find(program: str) -> str:
    """Return where a program is, or an empty string."""
    return which(program, path=_PATH) or ""


def missing_of(*programs: str) -> Callable[[], str]:
    """Return a :attr:`benchmarks.model.System.missing` that looks for programs."""

    def missing() -> str:
        absent = [program for program in programs if not find(program)]
        return f"not installed: {', '.join(absent)}" if absent else ""

    return missing


def version_of(*command: str) -> str:
    """Return the line in which a program prints its version."""
    path = find(command[0])
    done = subprocess.run(
        [path, *command[1:]],
        capture_output=True,
        text=True,
        check=False,
        timeout=_VERSION_TIMEOUT,
    )
    lines = (done.stdout + done.stderr).splitlines()
    return next(
        (" ".join(line.split()) for line in lines if _NUMBER.search(line)), "version unknown"
    )
