"""An edge, a line that breaks, and apps behind it: real processes, each in its own folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.e2e.harness import Edge, Process, Token, running_app, running_edge

from .proxy import FaultProxy, fault_proxy, through
from .visitors import Place

ROOT = Path(__file__).parents[2]
APP = "tests.faults.app:app"
NAME = "shop"
HOSTNAME = f"{NAME}.example.test"


@dataclass
class World:
    """One edge, one proxy, one token."""

    folder: Path
    edge: Edge
    proxy: FaultProxy
    token: Token
    stack: ExitStack

    @property
    def place(self) -> Place:
        """Where visitors find the app."""
        return Place(self.edge.port, HOSTNAME)

    def app(
        self, *options: str, direct: bool = False, env: dict[str, str] | None = None
    ) -> Process:
        """Start an instance of the app, through the proxy or directly."""
        text = self.token.token if direct else through(self.proxy, self.token)
        return self.stack.enter_context(
            running_app(self.folder, text, APP, *options, app_dir=ROOT, env=env)
        )


@contextmanager
def world(folder: Path, *, limits: str = "") -> Iterator[World]:
    """Everything but the app."""
    with ExitStack() as stack:
        edge = stack.enter_context(running_edge(folder, limits=limits))
        proxy = stack.enter_context(fault_proxy(edge.port))
        yield World(folder, edge, proxy, edge.create_token(NAME), stack)


@contextmanager
def borrowed(shared: World) -> Iterator[World]:
    """A world that others use as well: apps end with the block, and the line is whole again."""
    with ExitStack() as stack:
        yield replace(shared, stack=stack)
    shared.proxy.rate = shared.proxy.delay = 0.0
    shared.proxy.restore()


def descriptors(pid: int) -> int:
    """Return how many files and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
