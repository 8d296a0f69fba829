"""One reload or upgrade: from the question to the moment in which the new state serves, or not.

Nothing that works is given up before what takes its place serves. Steps: the serving process
checks the settings; where they ask for it, or for another version, a new generation is started on
the same sockets; when all of it serves, the old one accepts no more, its apps dial the new one, and
it finishes what it has (``server.Edge.retire``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from .lines import log
from .worker import ending, last_line

if TYPE_CHECKING:
    from ..channel import Message
    from .generation import Generation
    from .loop import Loop, Timer
    from .worker import Worker

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
    def current(self) -> Generation:
        """What serves."""

    def begin(self) -> Generation:
        """Start the next generation, beside the serving one.

        Raises:
            OSError: The system has no room for it.
        """

    def promote(self, generation: Generation) -> Generation:
        """Let one that serves take the serving one's place; return that one, which leaves."""

    def give_up(self, generation: Generation) -> None:
        """End one that does not take the serving one's place."""

    def refresh(self) -> None:
        """Open the log files again."""


class Change:
    """See the module.

    Args:
        generations: The parent.
        kind: "reload" or "upgrade".
        done: Called once with the reply; ``ok`` says whether the new state serves.

    Attributes:
        coming: The generation that is to take the serving one's place.
    """

    def __init__(
        self, generations: Generations, kind: str, done: Callable[[Message], None]
    ) -> None:
        self.kind = kind
        self.coming: Generation | None = None
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
        if not current.is_steady:
            self._finish(False, error="the edge is just being started again; try in a moment")
            return
        self._version_before = current.version
        if self.kind == "upgrade":
            self._begin()
        else:
            current.ask_first({"command": "check"}, self._on_checked, CHECK_TIMEOUT)

    def cancel(self) -> None:
        """The edge stops."""
        self._finish(False, rest="", error="the edge was stopped meanwhile")

    def on_ready(self) -> None:
        """The new generation serves, beside the old one."""
        coming = self.coming
        assert coming is not None
        self._stop_timer()
        self.coming = None
        old = self._generations.promote(coming)
        old.ask_all(
            {"command": "retire", "seconds": coming.drain_timeout},
            lambda replies: self._on_retired(coming, replies),
            CHECK_TIMEOUT,
        )

    def on_end(self, worker: Worker, code: int) -> None:
        """A new process ended before all of them served."""
        coming, self.coming = self.coming, None
        assert coming is not None
        coming.lost(worker)
        self._generations.give_up(coming)
        why = worker.failure or f"the new process {ending(code)} before it served"
        said = last_line(worker.tail)
        if not worker.failure and said:
            why += f"; the last it said: {said}"
        self._finish(False, error=why)

    def _on_checked(self, reply: Message | None) -> None:
        if self._done is None:
            return  # the edge stops
        if reply is None:
            self._finish(False, error="the serving process did not reply; see its log")
        elif not reply.get("ok"):
            self._finish(False, error=str(reply.get("error")))
        else:
            self._generations.refresh()
            self._changed = [str(one) for one in reply.get("changed", ())]
            if self._changed:
                self._begin()
            else:
                self._succeed(self._generations.current)

    def _begin(self) -> None:
        try:
            self.coming = self._generations.begin()
        except OSError as error:
            self._finish(False, error=f"no process can be started ({error.strerror})")
            return
        self._timer = self._generations.loop.call_later(START_TIMEOUT, self._on_late)

    def _on_late(self) -> None:
        coming, self.coming = self.coming, None
        if coming is not None:
            self._generations.give_up(coming)
            said = last_line(b"\n".join(one.tail for one in coming.workers.values()))
            why = f"the new process did not serve within {START_TIMEOUT:g} s"
            self._finish(False, error=f"{why}; the last it said: {said}" if said else why)

    def _on_retired(self, new: Generation, replies: list[Message]) -> None:
        """The old generation accepts no more; wait for its apps at the new one."""
        self._tunnels_before = sum(int(one.get("tunnels", 0)) for one in replies)
        self._look(new, time.monotonic() + TUNNELS_TIMEOUT)

    def _look(self, new: Generation, deadline: float) -> None:
        def on_status(replies: list[Message]) -> None:
            if self._done is None:
                return
            tunnels = sum(int(one.get("tunnels", 0)) for one in replies)
            is_late = time.monotonic() >= deadline or not new.is_steady
            if tunnels >= self._tunnels_before or is_late:
                self._succeed(new, tunnels)
            else:
                loop = self._generations.loop
                self._timer = loop.call_later(_LOOK, lambda: self._look(new, deadline))

        new.ask_all({"command": "status"}, on_status, 2.0)

    def _succeed(self, serving: Generation, tunnels: int | None = None) -> None:
        if not serving.is_steady:
            self._finish(False, error="the new process ended at once; it is started again")
            return
        more: Message = {"generation": serving.number, "pid": serving.pid}
        more["version"] = serving.version
        if self.kind == "upgrade":
            more["version_before"] = self._version_before
        else:
            more["changed"] = self._changed
        if tunnels is not None:
            more["tunnels"] = tunnels
            more["tunnels_before"] = self._tunnels_before
        self._finish(True, **more)

    def _finish(
        self, ok: bool, *, rest: str = "; what served before goes on", **more: object
    ) -> None:
        self._stop_timer()
        done, self._done = self._done, None
        if done is None:
            return
        seconds = round(time.monotonic() - self._began, 3)
        if not ok:
            log("ERROR", f"{self.kind}: {more['error']}{rest}")
        done({"ok": ok, "kind": self.kind, "at": time.time(), "seconds": seconds, **more})

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
