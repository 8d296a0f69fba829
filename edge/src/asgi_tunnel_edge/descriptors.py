"""File descriptors: each connection is one, and the system has a limit of them.

Called by ``server`` at the start and twice a second, and by ``listeners`` when none was left.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = [
    "RESERVE",
    "DescriptorWatch",
    "available_descriptors",
    "has_terminal",
    "raise_limit",
]

_log = logging.getLogger("asgi_tunnel_edge.descriptors")

RESERVE: Final = 32
"""Descriptors that are kept for what is no connection: the store, the log, those being refused."""

INTERVAL: Final = 60.0
"""Seconds between two lines of the log about the same shortage."""


def raise_limit() -> None:
    """Allow as many open files as the system lets us.

    The soft limit is 1024 almost everywhere, for the sake of programs that use ``select``.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        _log.warning("the limit of open files stays as it is: %s", error)


def has_terminal() -> bool:
    """Whether this process has a terminal, whose end ends it; a service has none."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def available_descriptors() -> int | None:
    """Return how many connections this process can have; None where there is no limit."""
    try:
        import resource
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    try:
        used = sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:
        used = RESERVE
    return max(soft - used - RESERVE, 2)


class DescriptorWatch:
    """Counts the times that no descriptor was left, and says so once a minute.

    Args:
        handle: A descriptor that is open as long as the watch is used.
        now: Monotonic seconds.
    """

    def __init__(self, handle: int, now: Callable[[], float] = time.monotonic) -> None:
        self._handle = handle
        self._now = now
        self._failures = 0
        self._said = -INTERVAL

    def look(self) -> None:
        """See whether there is one; an event loop that finds none says nothing itself."""
        try:
            os.close(os.dup(self._handle))
        except OSError as error:
            self.note(error)
        else:
            self._say("")

    def note(self, error: OSError) -> None:
        """Count one time."""
        self._failures += 1
        self._say(f" ({error.strerror})")

    def _say(self, why: str) -> None:
        if self._failures and self._now() - self._said >= INTERVAL:
            self._said = self._now()
            _log.error(
                "%d times no connection could be accepted%s: raise the limit of open files "
                "(LimitNOFILE= in the systemd unit, or ulimit -n)",
                self._failures,
                why,
            )
            self._failures = 0
