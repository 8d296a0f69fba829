"""What visitors and apps have written down, counted."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Counts", "apps_back", "count"]

ALLOWED: Final = frozenset({"200"})


@dataclass
class Counts:
    """Of one fault.

    Attributes:
        requests: GETs and POSTs that visitors have finished.
        failed: Those that ended with anything but 200 at the last address; without the unknown.
        outcomes: Of the failed, how often.
        unknown: POSTs that were on their way when their edge ended (no response), or when the
            app's connection did (502): the visitor cannot know.
        twice: POSTs that an app executed more than once.
        lost: POSTs with 200 that no app executed.
        slowest: Seconds of the slowest GET that was served.
        p99: Seconds of 99 of 100 GETs.
        sse: Seconds without an event, for each event stream that was lost.
        ws: The same for WebSockets.
        apps: Seconds until all apps had all their connections again; None: not in time.
        notes: What else was seen.
    """

    requests: int = 0
    failed: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    unknown: int = 0
    twice: int = 0
    lost: int = 0
    slowest: float = 0.0
    p99: float = 0.0
    sse: list[float] = field(default_factory=list)
    ws: list[float] = field(default_factory=list)
    apps: float | None = None
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        return asdict(self)


def count(lines: Path, counted: Path, name: str) -> Counts:
    """Read both logs.

    Args:
        lines: Of the visitors.
        counted: Of the apps: an id for each executed POST.
        name: Which the ids of these visitors begin with.
    """
    counts = Counts()
    outcomes: Counter[str] = Counter()
    gets = list[float]()
    said_done = set[str]()
    for line in lines.read_text().splitlines():
        kind, _, seconds, outcome, _ = json.loads(line)
        if kind in ("sse", "ws"):
            if outcome == "back":
                (counts.sse if kind == "sse" else counts.ws).append(seconds)
            elif outcome != "first":
                counts.notes.append(f"{kind} {outcome}")
            continue
        if kind not in ("get", "post"):
            outcomes[f"{kind} {outcome}"] += 1
            continue
        counts.requests += 1
        result = outcome.split(" ")[0]
        if kind == "post" and result == "200":
            said_done.add(outcome.split(" ")[1])
        if result == "unknown" or (kind == "post" and result == "502"):
            counts.unknown += 1
        elif result not in ALLOWED:
            counts.failed += 1
            outcomes[f"{kind} {result}"] += 1
        elif kind == "get":
            gets.append(seconds)
    counts.outcomes = dict(outcomes)
    if gets:
        gets.sort()
        counts.slowest, counts.p99 = gets[-1], gets[int(len(gets) * 0.99)]
    executed = Counter(counted.read_text().split() if counted.exists() else ())
    own = {one: times for one, times in executed.items() if one.startswith(f"{name}-")}
    counts.twice = sum(times > 1 for times in own.values())
    counts.lost = len(said_done - own.keys())
    return counts


def apps_back(lines: Path, since: float, connections: int) -> float | None:
    """Return the seconds after which all apps had all their connections; None: they have not.

    Args:
        lines: Of the light apps.
        since: Monotonic, of the fault; a loss that is seen only later is counted from it, too.
        connections: Of all apps together.
    """
    back: float | None = None
    for line in lines.read_text().splitlines():
        at, _, found, _ = line.split()
        if float(at) < since:
            continue
        if int(found) < connections:
            back = None
        elif back is None:
            back = float(at) - since
    return back
