"""Passwords that commands read: ``user create`` and ``user change``."""

from __future__ import annotations

import sys
from typing import Final

from asgi_tunnel_edge.errors import EdgeConfigError

__all__ = ["read_password"]

MAX_INPUT: Final = 4096
"""Bytes that are read of a password on stdin: its longest in UTF-8, and its line's end, fit."""


def read_password() -> str:
    """Read one line from stdin.

    Raises:
        EdgeConfigError: There is none.
    """
    line = sys.stdin.read(MAX_INPUT).partition("\n")[0].rstrip("\r")
    if not line:
        why, fix = "nothing came on stdin", "write one line with the password there"
        raise EdgeConfigError("--password-stdin", why, fix)
    return line
