"""Times and commands as all outputs write them."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime

__all__ = ["shell_command", "utc_second", "utc_time"]


def utc_time(seconds: float) -> str:
    """A time, as all commands and logs write it: ``2026-11-23T07:01:00Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_second(seconds: float | None) -> str | None:
    """A time for a program; None stays None."""
    return None if seconds is None else utc_time(seconds)


def shell_command(*words: object) -> str:
    """A command of this program, ready to paste."""
    return shlex.join(["asgi-tunnel-edge", *map(str, words)])
