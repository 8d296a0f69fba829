"""One reload or upgrade: from the question to the moment in which the new state serves, or not.

Nothing that works is given up before what takes its place serves. Steps: the serving process
checks the settings; where they ask for it, or for another version, a new generation is started on
the same sockets; when it serves, the old one accepts no more, its apps dial the new one, and it
finishes what it has (``server.Edge.retire``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from .lines import log
from .worker import State, Worker, ending, last_line

if TYPE_CHECKING:
    from ..channel import Message
    from .loop import Loop, Timer

__all__ = ["Change", "Generations"]

START_TIMEOUT: Final = 30.0
"""Seconds in which a new generation has to serve, or the old one stays: a start takes 0.6 to 1.5 s,
on a loaded machine with a large database ten times as long."""

CHECK_TIMEOUT: Final = 10.0
"""Seconds for the serving process to check the settings: it reads one file."""

TUNNELS_TIMEOUT: Final = 10.0
"""Seconds that a change waits for the apps to be back, before it says that some are not: visitors
wait for an app as long (``hold_timeout``)."""

_LOOK: Final = 0.05  # seconds between two looks how many are


class Generations(Protocol):
    """What a change asks of the parent, and does not do itself."""

    loop: Loop

    @property
    def current(self) -> Worker | None:
        """The serving process; None while there is none."""

    def begin(self) -> Worker:
        """Start a process of the next generation, beside the serving one.

        Raises:
            OSError: The system has no room for it.
        """

    def promote(self, worker: Worker) -> Worker | None:
        """Let a process that is ready take the serving one's place; return that one, which leaves.

        It is None where the old one had ended.
        """

    def give_up(self, worker: Worker) -> None:
        """End a process that does not take the serving one's place."""

    def refresh(self) -> None:
        """Open the log files again."""


class Change:
    """See the module.

    Args:
        generations: The parent.
        kind: "reload" or "upgrade".
        done: Called once with the reply; ``ok`` says whether the new state serves.

    Attributes:
        coming: The process that is to take the serving one's place.
    """

    def __init__(
        self, generations: Generations, kind: str, done: Callable[[Message], None]
    ) -> None:
        self.kind = kind
        self.coming: Worker | None = None
        self._generations = generations
        self._done: Callable[[Message], None] | None = done
        self._began = time.monotonic()
        self._changed: list[str] = []
        self._timer: Timer | None = None
        self._version_before = ""
        self._tunnels_before = 0

    def start(self) -> None:
        """Check the settings, or start the new version."""
        current = self._generations.current
        if current is None or current.state is not State.SERVING:
            self._finish(False, error="the edge is just being started again; try in a moment")
            return
        self._version_before = str(current.ready.get("version", ""))
        if self.kind == "upgrade":
            self._begin()
        else:
            current.ask({"command": "check"}, self._on_checked, CHECK_TIMEOUT)

    def cancel(self) -> None:
        """The edge stops."""
        self._finish(False, error="the edge was stopped meanwhile")

    def on_ready(self) -> None:
        """The new process serves, beside the old one."""
        worker = self.coming
        assert worker is not None
        self._stop_timer()
        self.coming = None
        old = self._generations.promote(worker)
        if old is None:
            self._succeed(worker)
        else:
            seconds = float(worker.ready.get("drain_timeout", 0.0))
            old.ask(
                {"command": "retire", "seconds": seconds},
                lambda reply: self._on_retired(worker, reply),
                CHECK_TIMEOUT,
            )

    def on_end(self, code: int) -> None:
        """The new process ended before it served."""
        worker, self.coming = self.coming, None
        assert worker is not None
        why = worker.failure or f"the new process {ending(code)} before it served"
        said = last_line(worker.tail)
        if not worker.failure and said:
            why += f"; the last it said: {said}"
        self._finish(False, error=why)

    def _on_checked(self, reply: Message | None) -> None:
        if reply is None:
            self._finish(False, error="the serving process did not reply; see its log")
        elif not reply.get("ok"):
            self._finish(False, error=str(reply.get("error")))
        else:
            self._generations.refresh()
            self._changed = [str(one) for one in reply.get("changed", ())]
            current = self._generations.current
            if self._changed or current is None:
                self._begin()
            else:
                self._succeed(current)

    def _begin(self) -> None:
        try:
            self.coming = self._generations.begin()
        except OSError as error:
            self._finish(False, error=f"no process can be started ({error.strerror})")
            return
        self._timer = self._generations.loop.call_later(START_TIMEOUT, self._on_late)

    def _on_late(self) -> None:
        worker, self.coming = self.coming, None
        if worker is not None:
            self._generations.give_up(worker)
            said = last_line(worker.tail)
            why = f"the new process did not serve within {START_TIMEOUT:g} s"
            self._finish(False, error=f"{why}; the last it said: {said}" if said else why)

    def _on_retired(self, worker: Worker, reply: Message | None) -> None:
        """The old process accepts no more; wait for its apps at the new one."""
        if reply is not None:
            self._tunnels_before = int(reply.get("tunnels", 0))
        self._look(worker, time.monotonic() + TUNNELS_TIMEOUT)

    def _look(self, worker: Worker, deadline: float) -> None:
        def on_status(reply: Message | None) -> None:
            tunnels = 0 if reply is None else int(reply.get("tunnels", 0))
            is_late = time.monotonic() >= deadline or worker.state is State.ENDED
            if tunnels >= self._tunnels_before or is_late:
                self._succeed(worker, tunnels)
            else:
                loop = self._generations.loop
                self._timer = loop.call_later(_LOOK, lambda: self._look(worker, deadline))

        worker.ask({"command": "status"}, on_status, 2.0)

    def _succeed(self, worker: Worker, tunnels: int | None = None) -> None:
        if worker.state is State.ENDED:
            self._finish(False, error="the new process ended at once; it is started again")
            return
        more: Message = {"generation": worker.generation, "pid": worker.pid}
        more["version"] = worker.ready.get("version", "")
        if self.kind == "upgrade":
            more["version_before"] = self._version_before
        else:
            more["changed"] = self._changed
        if tunnels is not None:
            more["tunnels"] = tunnels
            more["tunnels_before"] = self._tunnels_before
        self._finish(True, **more)

    def _finish(self, ok: bool, **more: object) -> None:
        self._stop_timer()
        done, self._done = self._done, None
        if done is None:
            return
        seconds = round(time.monotonic() - self._began, 3)
        if not ok:
            log("ERROR", f"{self.kind}: {more['error']}; what served before goes on")
        done({"ok": ok, "kind": self.kind, "at": time.time(), "seconds": seconds, **more})

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
