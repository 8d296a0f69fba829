"""CPU of a system's processes while something runs."""

from __future__ import annotations

from benchmarks.model import Running
from benchmarks.process import cpu_seconds


class Meter:
    """Counts from its making on.

    Args:
        running: The system.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self._before = self._now()

    def figures(self, key: str, *, scale: float) -> dict[str, float]:
        """Return the CPU since then: ``key`` in sum, ``key.ROLE`` for each process.

        Args:
            key: Of the figure.
            scale: What a CPU second is multiplied by, such as 1e6 / requests.
        """
        after = self._now()
        spent = {role: (after[role] - before) * scale for role, before in self._before.items()}
        return {key: sum(spent.values()), **{f"{key}.{role}": v for role, v in spent.items()}}

    def _now(self) -> dict[str, float]:
        return {role: cpu_seconds(pid) for role, pid in self._running.processes.items()}
