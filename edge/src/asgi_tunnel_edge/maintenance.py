"""Hostnames that an operator has closed for visitors, as the edge keeps them.

Who is let in meanwhile is decided in ``guards.maintenance``.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from msgspec import Struct

from .errors import EdgeConfigError, shown

__all__ = ["MAX_ALLOWED", "MAX_MESSAGE", "MaintenanceRecord", "check_message", "parse_until"]

MAX_MESSAGE: Final = 300
"""Characters of what visitors read: three lines of the page."""

MAX_ALLOWED: Final = 50
"""Addresses and networks that are let in meanwhile: those of who does the work."""

MAX_AHEAD: Final = 366 * 86400
"""Seconds that the end may be ahead: a year. What takes longer has no end that is known."""

_DURATION: Final = re.compile(r"([0-9]{1,5})([dhm])")
_SECONDS: Final = {"d": 86400, "h": 3600, "m": 60}


class MaintenanceRecord(Struct, frozen=True, kw_only=True):
    """One closed hostname. Times are whole seconds since 1970, UTC."""

    hostname: str  #: as a token has it: a normal name or a wildcard
    since: int
    message: str = ""  #: for visitors, in the place of the page's own words; empty: those
    until: int | None = None  #: when the end is expected; visitors hear of it, and nothing ends
    allow: tuple[str, ...] = ()  #: as ``network.normalise_network`` spells them


def check_message(text: str) -> str:
    """Return a message for visitors as it was given.

    Raises:
        EdgeConfigError: It has more than one line, or is too long.
    """
    if len(text) > MAX_MESSAGE or not text.isprintable():
        why = f"expected one line of at most {MAX_MESSAGE} characters, got {shown(text)}"
        raise EdgeConfigError("--message", why, "write one or two sentences")
    return text


def parse_until(text: str, *, now: float) -> int:
    """Return when the end is expected, in seconds since 1970.

    Args:
        text: ``90m``, ``2h`` or ``1d`` from now, or a time with its zone: ``2026-11-30T06:00Z``.
        now: Seconds since 1970.

    Raises:
        EdgeConfigError: It is something else, or not in the year that comes.
    """
    fix = "write for example 90m, 2h, 1d or 2026-11-30T06:00Z"
    match = _DURATION.fullmatch(text)
    if match is not None:
        until = int(now) + int(match[1]) * _SECONDS[match[2]]
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            why = f"expected a time, got {shown(text)}"
            raise EdgeConfigError("--until", why, fix) from None
        if at.tzinfo is None:
            why = f"{shown(text)} names no time zone"
            raise EdgeConfigError("--until", why, "add Z for UTC, or an offset as +01:00")
        until = int(at.timestamp())
    if not now < until <= now + MAX_AHEAD:
        why = f"{shown(text)} is not in the year that comes"
        raise EdgeConfigError("--until", why, fix)
    return until
