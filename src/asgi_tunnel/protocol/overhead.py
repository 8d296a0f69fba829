"""How much of what costs work and carries nothing one peer may send.

Each unit that is read (a frame, a chunk) costs about the same, however little it carries.  What
carries something is held back by windows and read in turns; what carries nothing is counted here:
by the edge for each token's sessions and for each visitor's connection.
"""

from __future__ import annotations

from typing import Final

from .limits import EXPECTED_FRAMES, OVERHEAD_BURST, OVERHEAD_RATE
from .output import Output

__all__ = ["STREAM_ENDS", "Allowance", "OverheadCount"]

STREAM_ENDS: Final = 4
"""Frames, at the most, that a stream whose end crosses this side's brings too late: HEAD, interim
or final, one of TRAILERS and CLOSE, RESET."""


class Allowance:
    """So many units at once, and so many a second after that.

    The rate is GCRA (ITU-T I.371): one number is kept, the time at which all is paid for.

    Args:
        rate: Units a second.
        burst: Units at once.
    """

    __slots__ = ("_due", "_interval", "_tolerance")

    def __init__(self, rate: float, burst: int) -> None:
        self._interval = 1 / rate
        self._tolerance = burst / rate  # seconds
        self._due = 0.0

    def change(self, rate: float, burst: int) -> None:
        """Allow more or less from now on."""
        self._interval = 1 / rate
        self._tolerance = burst / rate

    def take(self, units: int, now: float) -> bool:
        """Count units; return whether they may be.

        Once they may not, nothing may until a whole burst's time is over.

        Args:
            units: At least 1.
            now: Monotonic seconds.
        """
        due = max(self._due, now) + units * self._interval
        if due - now <= self._tolerance:
            self._due = due
            return True
        self._due = now + 2 * self._tolerance
        return False

    def wait(self, now: float) -> float:
        """Return the seconds until units may come again; 0: now."""
        return max(0.0, self._due - now - self._tolerance)


class OverheadCount:
    """Frames without content or effect that one session has received (docs/protocol.md 4.7).

    Attributes:
        allowance: How many may come; sessions may share one.  None: any number.
    """

    __slots__ = ("_expected", "_opened", "allowance")

    def __init__(self) -> None:
        self.allowance: Allowance | None = None
        self._expected = 0  # late frames that may still come and cost nothing
        self._opened = 0  # id of the newest stream whose ends are among them

    def exceeded(self, output: Output, opened: int, now: float) -> str | None:
        """Take what ``output`` has counted; return what is wrong when it is too much.

        Args:
            output: Of the session.
            opened: The newest stream's id.
            now: Monotonic seconds.
        """
        overhead, output.overhead = output.overhead, 0
        if self.allowance is None:
            return None
        expected = self._expected + output.expected + (opened - self._opened) * STREAM_ENDS
        self._opened = opened
        output.expected = 0
        free = min(overhead, expected)
        self._expected = min(expected - free, EXPECTED_FRAMES)
        if free == overhead or self.allowance.take(overhead - free, now):
            return None
        return (
            f"more than {OVERHEAD_BURST} frames without content or effect came, faster than "
            f"{OVERHEAD_RATE} a second"
        )

    def wait(self, now: float) -> float:
        """Return the seconds until frames may come again."""
        return 0.0 if self.allowance is None else self.allowance.wait(now)
