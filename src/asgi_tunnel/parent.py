"""Ends a child process with its supervisor, however the supervisor ended: SIGKILL included.

The supervisor holds the writing end of a pipe and each child the reading end, which reaches its
end of file when the supervisor is gone.  That works on every POSIX system.  Linux also sends
SIGTERM by itself, which ends a child that hangs in the import of the app and cannot read.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Final

VARIABLE: Final = "ASGI_TUNNEL_SUPERVISOR_PIPE"
"""Names the pipe to a child, which takes it out of its environment."""

END_TIMEOUT: Final = 15.0
"""Seconds, beside ``grace``, that a child without a supervisor has for its end: the app's shutdown
must not keep a process alive that nobody looks after."""

EXIT_OFFSET: Final = 80
"""Added to an exit code that a child means for its supervisor: the app may end its process with a
code of its own, and that is a death like any other."""

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


class _Parent:
    is_followed = False
    is_gone = False
    grace = 30.0  # seconds


_parent = _Parent()


def is_followed() -> bool:
    """Whether this process is the child of a supervisor, which says why it stops."""
    return _parent.is_followed


def is_gone() -> bool:
    """Whether this process had a supervisor that has ended."""
    return _parent.is_gone


def follow() -> None:
    """End this process with its supervisor, if it has one: by SIGTERM, then by force."""
    text = os.environ.pop(VARIABLE, "")
    if not text.isdecimal():
        return
    _parent.is_followed = True
    pipe = int(text)
    os.set_inheritable(pipe, False)
    _ask_kernel()
    threading.Thread(target=_watch, args=(pipe,), name="asgi-tunnel parent", daemon=True).start()


def exit_code(code: int) -> int:
    """Return the code that this process ends with: one that a supervisor can tell from an app's."""
    return EXIT_OFFSET + code if _parent.is_followed and code else code


def set_grace(seconds: float) -> None:
    """Say how long requests in progress may take at the end."""
    _parent.grace = seconds


def _watch(pipe: int) -> None:
    try:
        while os.read(pipe, 1):
            pass
    except OSError:
        return  # somebody closed it here; the kernel's signal is left
    _parent.is_gone = True
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_parent.grace + END_TIMEOUT)
    os.kill(os.getpid(), signal.SIGKILL)


def _ask_kernel() -> None:
    if sys.platform != "linux":
        return
    import ctypes

    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    except (OSError, AttributeError):  # a libc without it: the pipe is enough
        return
