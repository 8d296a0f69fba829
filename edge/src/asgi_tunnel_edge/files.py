"""Writing files that other processes read: whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["PRIVATE", "PRIVATE_DIRECTORY", "write_atomically"]

PRIVATE: Final = 0o600  #: only the edge's user reads and writes
PRIVATE_DIRECTORY: Final = 0o700


def write_atomically(path: Path, data: bytes, *, mode: int = PRIVATE) -> None:
    """Replace a file's content in one step, on disk before this returns.

    A reader sees the old content or the new, also after a power cut; the mode is set before
    the content is there.

    Raises:
        OSError: As the file system says; the old file is then untouched and no other is left.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
