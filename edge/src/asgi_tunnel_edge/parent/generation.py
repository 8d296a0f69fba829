"""What serves after one start, reload or upgrade: worker 0, and as many others as it asks for.

Worker 0 starts first: it reads the settings, brings the store up to date and opens the sockets.
Once it serves, the others start with its settings and sockets, all at the same time. The generation
serves when all of them do. From then on one that ends is replaced, while the others serve on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from .lines import log
from .worker import State, Worker, ending

if TYPE_CHECKING:
    from ..channel import Message
    from .loop import Loop, Timer
    from .worker import Reply

__all__ = ["Generation", "Starter"]

RESTART_DELAY: Final = 1.0
"""Seconds before a serving process that crashes again and again is replaced; doubled each time. The
first time it is replaced at once."""

MAX_RESTART_DELAY: Final = 30.0
"""Seconds at the most: one that dies at each start must not fill the log, nor the machine."""

STABLE_AFTER: Final = 10.0
"""Seconds that it has to live for its death to count as the first one."""


class Starter(Protocol):
    """What a generation asks of the parent."""

    loop: Loop

    def start(self, generation: Generation, place: int) -> Worker:
        """Start a process for one of its places.

        Raises:
            OSError: The system has no room for it.
        """


class Generation:
    """See the module.

    Args:
        starter: The parent.
        number: Which one, from 1.
        is_trial: Another one serves meanwhile; what the new processes print says why they end.

    Attributes:
        config: The text of the settings that it served with once, so that it can again; None: those
            of the file.
        count: Of its workers; 0 until the first one says it.
        workers: Those that start or serve, by their place.
        has_served: All of them have served at the same time.
    """

    def __init__(self, starter: Starter, number: int, *, is_trial: bool = False) -> None:
        self.number = number
        self.is_trial = is_trial
        self.config: str | None = None
        self.count = 0
        self.workers: dict[int, Worker] = {}
        self.has_served = False
        self._starter = starter
        self._deaths: dict[int, int] = {}  # of a place, since it was last stable
        self._restarts: dict[int, Timer] = {}

    @classmethod
    def resumed(cls, starter: Starter, values: Message) -> Generation:
        """Go on with one of another version of the parent; its workers follow (:meth:`take`)."""
        one = cls(starter, int(values["number"]))
        one.config, one.count, one.has_served = values["config"], int(values["count"]), True
        return one

    @property
    def values(self) -> Message:
        """What another version of the parent goes on with."""
        return {"number": self.number, "config": self.config, "count": self.count}

    def take(self, worker: Worker) -> None:
        """Have a worker that runs already."""
        self.workers[worker.place] = worker

    def begin(self) -> None:
        """Start worker 0.

        Raises:
            OSError: The system has no room for a process.
        """
        self.workers[0] = self._starter.start(self, 0)

    def on_ready(self, worker: Worker) -> bool:
        """A worker serves; return whether it is the one with which the generation does."""
        if not self.count:
            self.count = max(int(worker.ready.get("workers", 1)), 1)
            self.config = worker.ready.get("config")
            self.fill()
        if self.has_served or not self.is_steady:
            return False
        self.has_served = True
        return True

    def lost(self, worker: Worker) -> None:
        """A worker has ended."""
        if self.has(worker):
            del self.workers[worker.place]

    def replace(self, worker: Worker, code: int) -> None:
        """Start another one in the place of a worker that has ended, now or in a while."""
        place = worker.place
        is_first = time.monotonic() - worker.started > STABLE_AFTER
        deaths = self._deaths[place] = 1 if is_first else self._deaths.get(place, 0) + 1
        delay = 0.0
        if deaths > 1:
            delay = min(RESTART_DELAY * 2 ** min(deaths - 2, 10), MAX_RESTART_DELAY)
        when = f"in {delay:g} s" if delay else "now"
        what = f"{worker.pid}, worker {place}," if self.count > 1 else str(worker.pid)
        log("ERROR", f"the serving process {what} {ending(code)}; another starts {when}")
        self._start_later(place, delay)

    def fill(self) -> None:
        """Start workers in all places that have none, and for which none is due."""
        for place in range(self.count):
            if place not in self.workers and place not in self._restarts:
                self._start(place)

    def stop_replacing(self) -> None:
        """Start no further process; may be called twice."""
        for timer in self._restarts.values():
            timer.cancel()
        self._restarts.clear()

    def has(self, worker: Worker) -> bool:
        """Whether a worker is one of those that start or serve."""
        return self.workers.get(worker.place) is worker

    @property
    def is_steady(self) -> bool:
        """Whether all of its workers serve."""
        serving = sum(one.state is State.SERVING for one in self.workers.values())
        return 0 < self.count == serving

    @property
    def first(self) -> Worker | None:
        """The serving worker with the lowest place; None while there is none."""
        serving = [one for one in self.workers.values() if one.state is State.SERVING]
        return min(serving, key=lambda one: one.place, default=None)

    @property
    def version(self) -> str:
        """Of the software that serves; empty before it does."""
        return "" if self.first is None else str(self.first.ready.get("version", ""))

    @property
    def pid(self) -> int:
        """The process id of the first worker; 0 while there is none."""
        return 0 if self.first is None else self.first.pid

    @property
    def drain_timeout(self) -> float:
        """Seconds that it leaves to the generation before it."""
        return 0.0 if self.first is None else float(self.first.ready.get("drain_timeout", 0.0))

    @property
    def sockets(self) -> set[str]:
        """The names of the sockets that its workers use."""
        ready = [one.ready.get("sockets", ()) for one in self.workers.values()]
        return {name for names in ready for name in names}

    def ask_first(self, request: Message, reply: Reply, timeout: float) -> None:
        """Ask one worker what any of them can say; None where none serves."""
        if self.first is None:
            reply(None)
        else:
            self.first.ask(request, reply, timeout)

    def ask_all(
        self, request: Message, then: Callable[[list[Message]], None], timeout: float
    ) -> None:
        """Ask all that serve or leave; ``then`` gets the replies of those that have replied."""
        states = (State.SERVING, State.LEAVING)
        workers = [one for one in self.workers.values() if one.state in states]
        found: list[Message] = []
        left = len(workers)

        def on_reply(said: Message | None) -> None:
            nonlocal left
            left -= 1
            if said is not None:
                found.append(said)
            if not left:
                then(found)

        if not workers:
            then([])
        for worker in workers:
            worker.ask(request, on_reply, timeout)

    def _start_later(self, place: int, delay: float) -> None:
        self._restarts[place] = self._starter.loop.call_later(delay, lambda: self._start(place))

    def _start(self, place: int) -> None:
        self._restarts.pop(place, None)
        try:
            self.workers[place] = self._starter.start(self, place)
        except OSError as error:
            log("ERROR", f"no process can be started ({error.strerror}); next try in 1 s")
            self._start_later(place, RESTART_DELAY)
