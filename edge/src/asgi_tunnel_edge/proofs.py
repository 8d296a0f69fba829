"""The proofs of names, shown by every process and every edge: a CA may come to any of them.

One process orders, and makes a proof visible at its own ports; this tells the others, which show it
too. Kind of the event: ``challenge`` (docs/reference/bus.md). Used by ``issuance``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from .errors import SolverError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .bus.bus import Event
    from .bus.events import Events
    from .certificates.acme import Solver

__all__ = ["CHALLENGE", "SharedProofs"]

_log = logging.getLogger("asgi_tunnel_edge.certificates")

CHALLENGE: Final = "challenge"

SETTLE: Final = 0.5
"""Seconds that an order waits after it has told the others, so that they show the proof when the CA
looks: an event takes milliseconds, a busy process some more."""

LIFETIME: Final = 3600.0
"""Seconds that a proof of another process is shown at most: twice the time that an order may take.
It ends earlier with the event that says so, which may be lost."""

MAX_WAITING: Final = 1000
"""Events that wait to be shown, as many as one solver shows proofs; more are left out."""


class SharedProofs:
    """See the module.

    Args:
        events: Of this process.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._solvers: dict[str, Solver] = {}
        self._waiting: asyncio.Queue[tuple[Solver, str, str, bool]] = asyncio.Queue(MAX_WAITING)
        self._timers: dict[tuple[str, str, str], asyncio.TimerHandle] = {}
        self._task: asyncio.Task[None] | None = None
        events.on(CHALLENGE, self._hear)

    def start(self, solvers: Iterable[Solver]) -> None:
        """Show what others tell of from now on.

        Args:
            solvers: One of each kind that shows proofs at the ports of this process.
        """
        self._solvers = {one.kind: one for one in solvers}
        self._task = asyncio.create_task(self._show(), name="shared-proofs")

    async def stop(self) -> None:
        """Show no more. May be called twice."""
        self._solvers = {}
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def told(self, solver: Solver) -> Solver:
        """Return a solver that shows proofs here and at all others."""
        return _ToldSolver(solver, self._events)

    def _hear(self, event: Event, _: str) -> None:
        name, value = str(event["name"]), str(event["value"])
        solver = self._solvers.get(str(event["proof"]))
        if solver is not None:
            self._put(solver, name, value, is_over=bool(event.get("over")))

    def _put(self, solver: Solver, name: str, value: str, *, is_over: bool) -> None:
        try:
            self._waiting.put_nowait((solver, name, value, is_over))
        except asyncio.QueueFull:
            _log.warning("a proof of %s that another process orders with is not shown", name)

    async def _show(self) -> None:
        # One after the other: what is over is taken away after it was shown.
        loop = asyncio.get_running_loop()
        while True:
            solver, name, value, is_over = await self._waiting.get()
            key = (solver.kind, name, value)
            timer = self._timers.pop(key, None)
            if timer is not None:
                timer.cancel()
            if is_over:
                await solver.clear(name, value)
                continue
            try:
                await solver.present(name, value)
            except SolverError as error:
                _log.warning("a proof that another process orders with is not shown: %s", error)
                continue
            self._timers[key] = loop.call_later(LIFETIME, self._end, *key)

    def _end(self, kind: str, name: str, value: str) -> None:
        del self._timers[kind, name, value]
        solver = self._solvers.get(kind)
        if solver is not None:
            self._put(solver, name, value, is_over=True)


class _ToldSolver:
    """See :meth:`SharedProofs.told`."""

    def __init__(self, solver: Solver, events: Events) -> None:
        self._solver = solver
        self._events = events
        self.kind = solver.kind

    async def present(self, name: str, value: str) -> None:
        """See :class:`.certificates.acme.Solver`."""
        await self._solver.present(name, value)
        bus = self._events.bus
        if bus is not None and bus.nodes:
            self._tell(name, value, is_over=False)
            await asyncio.sleep(SETTLE)

    async def clear(self, name: str, value: str) -> None:
        """See :class:`.certificates.acme.Solver`."""
        await self._solver.clear(name, value)
        self._tell(name, value, is_over=True)

    def _tell(self, name: str, value: str, *, is_over: bool) -> None:
        self._events.broadcast(
            {"kind": CHALLENGE, "proof": self.kind, "name": name, "value": value, "over": is_over}
        )
