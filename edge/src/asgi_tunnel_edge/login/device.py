"""Names a browser and a time as people do: for lists of passkeys and sessions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

__all__ = ["Moment", "device_of"]

#: Parts of what browsers call themselves; the first one that is there decides, for most of them
#: name the others too.
_BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS: Final = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Macintosh", "Mac"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_STEPS: Final = ((60, 60, "minute"), (3600, 24, "hour"), (86400, 7, "day"))  # seconds, at most


def device_of(agent: str) -> str:
    """Return a short name for a browser, as ``Firefox on Linux``.

    Args:
        agent: What it calls itself.
    """
    browser = next((name for part, name in _BROWSERS if part in agent), "")
    system = next((name for part, name in _SYSTEMS if part in agent), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or agent.partition("/")[0][:40].strip() or "An unknown browser"


class Moment:
    """A moment as a page shows it.

    Args:
        at: Seconds since 1970.
        now: Likewise.

    Attributes:
        iso: For programs.
        text: For people, in words that hold in each time zone.
    """

    __slots__ = ("iso", "text")

    def __init__(self, at: int, now: float) -> None:
        when = datetime.fromtimestamp(at, UTC)
        self.iso = when.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.text = f"{when.day} {when:%B %Y}"
        age = int(now) - at
        if age < _STEPS[0][0]:
            self.text = "just now"
            return
        for seconds, most, unit in _STEPS:
            count = age // seconds
            if count < most:
                self.text = f"{count} {unit}{'' if count == 1 else 's'} ago"
                return
