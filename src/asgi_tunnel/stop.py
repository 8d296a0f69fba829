"""Turns signals into an end of the app's process: with grace, then at once.

Called by :mod:`.runner`.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from . import parent

_log = logging.getLogger("asgi_tunnel.runner")

STARTUP_TIMEOUT: Final = 5.0
"""Seconds from a signal to the end of a process whose app has not started: there is no request to
finish, and a startup that blocks the event loop cannot be cancelled."""

SLOW: Final = 5.0
"""Seconds after which the log says what is waited for."""

SAME: Final = 0.1
"""Seconds in which the same signal again is still the first one: ``timeout`` and some supervisors
send it to the process and, at once, to its group. Nobody presses Ctrl-C twice that quickly."""

SIGNALS: Final = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
)


class Interrupted(BaseException):
    """A signal came while the app was imported: there is no event loop yet that could end."""


class Stop:
    """Turns the first signal into an end with grace; each one after it ends the step it meets.

    Args:
        may_force: Whether a startup that blocks the event loop is ended with the whole process.

    Attributes:
        reason: The first signal's name; empty when the stop has another reason.
        is_starting: Whether the app has not started yet: then a signal ends its startup.
        code: The exit code, once nothing is left but to wait for the app's own tasks and threads; a
            signal a moment later ends the process.
    """

    def __init__(self, *, may_force: bool = False) -> None:
        self._may_force = may_force
        self._soft = asyncio.Event()
        self._hard = asyncio.Event()  # a further signal that has not ended anything yet
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_over = threading.Event()
        self._last = (0, 0.0)  # the signal, and when it came
        self.reason = ""
        self.is_starting = True
        self.code: int | None = None
        self._served_at = 0.0

    @property
    def is_requested(self) -> bool:
        """Whether the end has begun."""
        return self._soft.is_set()

    def attach(self) -> None:
        """Use the running event loop from now on."""
        self._loop = asyncio.get_running_loop()

    def request(self) -> None:
        """End with grace; a further call ends what is guarded now."""
        if self._soft.is_set():
            if parent.is_gone():
                return  # its end is told twice, by the pipe and by the kernel
            self._hard.set()
        self._soft.set()

    def served(self, code: int) -> None:
        """Nothing is served any more, and the app was shut down; see :attr:`code`."""
        self.code, self._served_at = code, time.monotonic()

    async def wait(self) -> None:
        """Return when the end has been asked for.  Cancelling it loses nothing."""
        await self._soft.wait()

    async def guard(
        self, work: Coroutine[Any, Any, None], what: str, *, at_once: bool = False
    ) -> bool:
        """Do ``work``; False when a signal cancelled it.

        Args:
            work: Is cancelled by a further signal, or with this method.
            what: Its name, for the log when it takes long.
            at_once: The first signal is enough.
        """
        task = asyncio.ensure_future(work)
        forced = asyncio.ensure_future((self._soft if at_once else self._hard).wait())
        hint = "a signal ends" if at_once else "a further signal ends"
        slow = asyncio.get_running_loop().call_later(
            SLOW, _log.info, "still waiting for %s; %s this wait", what, hint
        )
        try:
            await asyncio.wait({task, forced}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            slow.cancel()
            forced.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if not task.cancelled():
            task.result()
            return True
        if not at_once:
            _log.warning("a further signal: not waiting any longer for %s", what)
            self._hard.clear()
        return False

    @contextmanager
    def installed(self, *, ends_process: bool = False) -> Iterator[None]:
        """Handle the signals meanwhile; only the main thread can.

        SIGHUP stays ignored where it was: that is what ``nohup`` asks for.

        Args:
            ends_process: The process ends afterwards too: threads of the app's startup may not
                keep it.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        old = {
            one: signal.signal(one, self._handle)
            for one in SIGNALS
            if one in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(one) != signal.SIG_IGN
        }
        try:
            yield
        finally:
            if not ends_process:
                self._is_over.set()
            for one, handler in old.items():
                signal.signal(one, handler)

    def _handle(self, number: int, _frame: object) -> None:
        (before, when), now = self._last, time.monotonic()
        self._last = (number, now)
        if number == before and now - when < SAME:
            return
        if self.code is not None and self._may_force and now - self._served_at > SAME:
            _log.error("the app has tasks or threads that do not end; ended by force")
            _leave(self.code)
        if self.is_starting and not self.reason:
            # Here and now: the event loop may be blocked by the app's startup.
            self.reason = signal.Signals(number).name
            _log.info("%s: stopping, before the app has started", self.reason)
            if self._may_force:
                threading.Thread(target=self._end_by_force, daemon=True).start()
        self.reason = self.reason or signal.Signals(number).name
        if self._loop is None:
            raise Interrupted
        with suppress(RuntimeError):  # it is closed: the end is there
            self._loop.call_soon_threadsafe(self.request)

    def _end_by_force(self) -> None:
        if not self._is_over.wait(STARTUP_TIMEOUT):
            _log.error("the app's startup did not end in %g s; ended by force", STARTUP_TIMEOUT)
            os._exit(0)


def end_with(code: int) -> None:
    """Let no further signal change the exit code of a process that has nothing left to do.

    One ends the wait for threads of the app. Python takes handlers away before a process has
    ended, so from there on all are ignored.
    """
    handled = [one for one in SIGNALS if signal.getsignal(one) != signal.SIG_IGN]

    def on_signal(_number: int, _frame: object) -> None:
        main = threading.main_thread()
        if any(not one.daemon and one is not main for one in threading.enumerate()):
            _leave(code)

    def ignore() -> None:
        for one in handled:
            signal.signal(one, signal.SIG_IGN)

    for one in handled:
        signal.signal(one, on_signal)
    atexit.register(ignore)


def _leave(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)
