"""Keeps the memory of large reads, for a process that is ours: the edge, and an app's runner.

glibc gives memory back to the kernel after almost each read of a bulk transfer, and takes it
again, page for page, for the next.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

KEPT: Final = 8 * 1024 * 1024
"""Bytes of free memory that stay with the process: more than one turn of its loop needs."""

_LARGEST: Final = 1024 * 1024
"""Bytes from which a piece of memory is mapped, and given back, on its own; no read is as large."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def keep_memory() -> None:
    """Tell glibc; elsewhere, and where the environment says something else, do nothing."""
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, or another system
        return
    mallopt(_M_TRIM_THRESHOLD, KEPT)
    mallopt(_M_MMAP_THRESHOLD, _LARGEST)
