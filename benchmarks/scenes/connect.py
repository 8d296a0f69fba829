"""How long an app's start takes until a visitor is answered.

The edge's end runs already.  Everything on the app's host is started at one moment: one process
for asgi-tunnel, uvicorn and the other end for the peers.  A visitor asks again and again until the
app answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.model import Figure, Scale, Scene
from benchmarks.process import free_port, running, wait_for_answer
from benchmarks.scenes import edge as own
from benchmarks.scenes import peers
from benchmarks.scenes.ready import VARIABLE

ROUNDS = 10

_APP = "benchmarks.scenes.ready:app"
_ASK_AGAIN = 0.001
"""Seconds between two tries of the visitor, and what the figures can be wrong by."""


@dataclass(frozen=True)
class Waiting:
    """A system whose edge's end runs.

    Attributes:
        port: Where the visitor asks.
        commands: What is started on the app's host.
        env: Added to their environment.
    """

    port: int
    commands: list[peers.Command]
    env: dict[str, str]


Start = Callable[[Path], AbstractContextManager[Waiting]]


@contextmanager
def _asgi_tunnel(folder: Path) -> Iterator[Waiting]:
    data = own.init(folder)
    with own.edge(data):
        token = own.create_token(data)
        command: peers.Command = [own.BIN / "asgi-tunnel", "run", _APP, "--no-access-log"]
        yield Waiting(own.port(data), [command], {"ASGI_TUNNEL_TOKEN": token})


@contextmanager
def _peer(make: peers.Make, folder: Path) -> Iterator[Waiting]:
    ports = peers.Ports("127.0.0.1", control=free_port(), public=free_port(), app=free_port())
    peer = make(folder, ports)
    with running("edge", peer.edge, folder) as edge:
        edge.wait_for(peer.edge_ready)
        yield Waiting(ports.public, [peers.uvicorn(ports.app, _APP), peer.app], {})


def _start(waiting: Waiting, folder: Path) -> tuple[float, float]:
    """Start the app's side once.

    Returns:
        Seconds until a visitor was answered: since that start, and since the app was ready.
    """
    ready = folder / "ready"
    ready.unlink(missing_ok=True)
    env = {**waiting.env, VARIABLE: str(ready)}
    with ExitStack() as stack:
        start = time.monotonic()
        for command in waiting.commands:
            stack.enter_context(running(Path(command[0]).name, command, folder, env=env))
        wait_for_answer("127.0.0.1", waiting.port, pause=_ASK_AGAIN)
        answered = time.monotonic()
        return answered - start, answered - float(ready.read_text())


def run(folder: Path, scale: Scale) -> dict[str, dict[str, float]]:
    """Start each system a few times, in turn with the others."""
    systems: dict[str, Start] = {"asgi-tunnel": _asgi_tunnel}
    systems |= {name: partial(_peer, make) for name, make in peers.installed().items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in systems}
    with ExitStack() as stack:
        waiting = {}
        for number, (name, start) in enumerate(systems.items()):
            (folder / f"{number}").mkdir()
            waiting[name] = stack.enter_context(start(folder / f"{number}"))
        for _ in range(max(1, round(ROUNDS * scale.share))):
            for name, one in waiting.items():
                times[name].append(_start(one, folder))
    return {
        name: {
            "cold_ms": median(cold for cold, _ in both) * 1e3,
            "ready_ms": median(since for _, since in both) * 1e3,
        }
        for name, both in times.items()
    }


SCENE = Scene(
    name="connect",
    title="From the start of the app's side to the first answer",
    figures={
        "cold_ms": Figure("since the processes were started", "ms"),
        "ready_ms": Figure("since the app was ready", "ms"),
    },
    run=run,
)
