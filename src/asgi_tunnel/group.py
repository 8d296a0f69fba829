"""Which processes belong together: workers of one server, and those that replace each other.

HELLO carries it, so that an edge can tell the workers of one app from a second copy of the app
that was started somewhere else with the same token (docs/protocol.md section 6).
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import platform
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

VARIABLE: Final = "ASGI_TUNNEL_GROUP"
"""Set by :mod:`.supervisor` for its children, who have no other sign in common."""

_FORKING: Final = ("gunicorn.arbiter",)
"""Modules of servers whose workers are forked: their parent is what they have in common."""


def process_group(environ: Mapping[str, str] | None = None) -> str:
    """Return 16 hexadecimal digits, the same in each worker of one server of this machine.

    A process that nobody started as a worker is a group of its own.

    Args:
        environ: The environment; the process's own by default.
    """
    env = os.environ if environ is None else environ
    given = env.get(VARIABLE)
    if given:
        return given[:16]
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        owner = parent.pid
    elif any(name in sys.modules for name in _FORKING):
        owner = os.getppid()
    else:
        owner = os.getpid()
    # A hash, for what a machine is called is nobody's business.
    parts = (platform.node(), str(uuid.getnode()), _boot(), str(owner))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _boot() -> str:
    """What differs between two starts of a machine and between its containers; may be empty."""
    found = ""
    try:
        found += Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
        found += str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # another system, or a locked one
        return found
    return found
