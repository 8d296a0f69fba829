"""Waits for descriptors, times and signals: all that the parent needs of an event loop.

asyncio would cost it 40 ms of its start and 6 MiB.
"""

from __future__ import annotations

import heapq
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Final

__all__ = ["Loop", "Timer"]

READABLE: Final = select.POLLIN
WRITABLE: Final = select.POLLOUT


class Timer:
    """Calls something once, unless it is cancelled before."""

    __slots__ = ("callback", "due")

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback: Callable[[], None] | None = callback

    def __lt__(self, other: Timer) -> bool:
        return self.due < other.due

    def cancel(self) -> None:
        """Do not call it; may be called twice."""
        self.callback = None


class Loop:
    """One thread's descriptors, timers and signals."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._watched: dict[int, Callable[[], None]] = {}
        self._timers: list[Timer] = []
        self._signals: dict[int, Callable[[], None]] = {}
        self._waking, waking = os.pipe()
        for one in (self._waking, waking):
            os.set_blocking(one, False)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
        self.watch(self._waking, self._on_signals)

    def watch(self, handle: int, callback: Callable[[], None], *, writing: bool = False) -> None:
        """Call ``callback`` each time that a descriptor can be read, or written if asked for."""
        self._watched[handle] = callback
        self._poll.register(handle, READABLE | (WRITABLE if writing else 0))

    def forget(self, handle: int) -> None:
        """Watch a descriptor no longer; before it is closed. May be called twice."""
        if self._watched.pop(handle, None) is not None:
            self._poll.unregister(handle)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` once, after ``seconds``."""
        timer = Timer(time.monotonic() + seconds, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def on_signal(self, number: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` for each time, or each few times, that a signal has come."""
        self._signals[number] = callback
        signal.signal(number, _noted)

    @property
    def has_signals(self) -> bool:
        """Whether a signal has come whose callback the next turn calls."""
        return bool(select.select([self._waking], [], [], 0)[0])

    def turn(self) -> None:
        """Wait until something happens, and call who waits for it."""
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
        wait = None
        if self._timers:
            wait = max(self._timers[0].due - time.monotonic(), 0.0) * 1000 + 1
        for handle, _ in self._poll.poll(wait):
            callback = self._watched.get(handle)
            if callback is not None:  # forgotten by another one of this turn
                callback()
        now = time.monotonic()
        while self._timers and self._timers[0].due <= now:
            due = heapq.heappop(self._timers).callback
            if due is not None:
                due()

    def _on_signals(self) -> None:
        try:
            numbers = os.read(self._waking, 1024)
        except (BlockingIOError, InterruptedError):
            return
        for number in numbers:
            callback = self._signals.get(number)
            if callback is not None:
                callback()


def _noted(_number: int, _frame: object) -> None:
    """Python's own handler; the loop reads which one it was."""
