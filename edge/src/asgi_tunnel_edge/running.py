"""Whether an edge runs in a folder: each holds a lock on it, which ends with its process.

Shared, because two may run beside each other while one takes the place of the other. Held by the
command ``run``, looked at by ``init``.
"""

from __future__ import annotations

import contextlib
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows, where it is never known
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["has_running_edge", "marked_as_running"]

_TRIES: Final = 5  # somebody looks at this very moment; more would hold up the edge's start
_PAUSE: Final = 0.01  # seconds between two


@contextmanager
def marked_as_running(folder: Path) -> Iterator[None]:
    """Hold the lock within the block; a file system without locks is no reason not to run."""
    with _opened(folder) as number:
        if number is not None:
            _lock(number)
        yield


def _lock(number: int) -> None:
    for _ in range(_TRIES):
        try:
            fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE)
        except OSError:
            return
        else:
            return


def has_running_edge(folder: Path) -> bool:
    """Whether an edge runs there now; False where that cannot be known."""
    with _opened(folder) as number:
        if number is None:
            return False
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


@contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    """The folder itself: a file in it would stay behind, or be replaced."""
    number = None
    if fcntl is not None:
        with contextlib.suppress(OSError):
            number = os.open(folder, os.O_RDONLY)
    try:
        yield number
    finally:
        if number is not None:
            os.close(number)
