"""What goes on until somebody ends it: ``top`` and ``logs -f``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

__all__ = ["until_ended"]


@contextlib.contextmanager
def until_ended() -> Iterator[None]:
    """Take Ctrl-C, SIGTERM, and a pipe that nobody reads any more, for the end that was meant."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Python writes what is left at its end, and would complain.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        signal.signal(signal.SIGTERM, before)
