"""How numbers and times are written on the pages: short, and the same everywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from ..history.file import OTHERS
from ..observers.live_counts import NOBODY

__all__ = ["FILTERS", "ago", "amount", "duration", "hostname", "iso", "moment", "number", "rate"]

_NOTHING: Final = "\u2013"
_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
_SPANS: Final = ((86400, "d"), (3600, "h"), (60, "min"))


def number(value: float | None) -> str:
    """Write a count: 1,234."""
    return _NOTHING if value is None else f"{value:,.0f}"


def amount(value: float | None) -> str:
    """Write a number of bytes: 12.3 MB; a thousand of one are one of the next."""
    if value is None:
        return _NOTHING
    for unit in _UNITS:
        if abs(value) < 1000 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def duration(seconds: float | None) -> str:
    """Write how long something took or lasts: 80 \u00b5s, 12 ms, 1.4 s, 3 h."""
    if seconds is None:
        return _NOTHING
    if 0 < seconds < 0.00095:
        return f"{seconds * 1e6:.0f} \u00b5s"
    if seconds < 0.0095:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    for size, unit in _SPANS:
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def ago(at: float | None) -> str:
    """Write how long ago a time is: 5 min ago; or how far ahead: in 3 d."""
    if at is None:
        return "never"
    seconds = time.time() - at
    if seconds < -1:
        return f"in {duration(-seconds)}"
    return "just now" if seconds < 10 else f"{duration(seconds)} ago"


def moment(at: float | None) -> str:
    """Write a time: 2026-11-30 14:05:09 UTC."""
    return _NOTHING if at is None else time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def hostname(name: str) -> str:
    """Write a registered hostname, or what stands for several (``history``)."""
    return {NOBODY: "names of no token", OTHERS: "other hostnames"}.get(name, name)


def iso(at: float) -> str:
    """Write a time for programs: 2026-11-30T14:05:09Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def rate(value: float | None) -> str:
    """Write something a second: 0.4, 12, 1,200."""
    if value is None:
        return _NOTHING
    return f"{value:.1f}" if 0 < value < 9.95 else f"{value:,.0f}"


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "ago": ago,
    "amount": amount,
    "duration": duration,
    "hostname": hostname,
    "iso": iso,
    "moment": moment,
    "number": number,
    "rate": rate,
}
"""For the templates, by the names that these use."""
