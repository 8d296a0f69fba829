"""What charts show of some hostnames over a span that the query names: columns of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..history.book import SPANS, Span
from ..history.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ..history import History

__all__ = ["columns_of", "span_of"]


def span_of(query: Mapping[str, str]) -> Span:
    """Return the span that a query names; the shortest where it names none."""
    wanted = query.get("span")
    return next((one for one in SPANS if one.name == wanted), SPANS[0])


async def columns_of(
    history: History, span: Span, hostnames: Collection[str] | None, now: float
) -> dict[str, list[float | None]]:
    """Return columns of equal length, a place for each step, as charts read them.

    ``at`` (seconds since 1970), ``requests`` and ``errors`` a second, ``p50`` and ``p95`` (seconds;
    None: nothing was asked for), ``sent`` (bytes a second). Cancelling it loses nothing.

    Args:
        history: Has the numbers.
        span: How far back, and in which steps.
        hostnames: Registered names; None: all.
        now: Seconds since 1970.
    """
    found = {point.start: point.tally for point in await history.points(span, hostnames)}
    last = int(now) - int(now) % span.step
    first = last - span.seconds + span.step
    columns: dict[str, list[float | None]] = {
        name: [] for name in ("at", "requests", "errors", "p50", "p95", "sent")
    }
    for start in range(first, last + 1, span.step):
        tally = found.get(start, Tally())
        # The step that runs is not over yet: its rates are of the time that has passed.
        seconds = max(min(span.step, now - start), 1.0)
        columns["at"].append(start)
        columns["requests"].append(tally.requests / seconds)
        columns["errors"].append(tally.errors / seconds)
        columns["p50"].append(tally.percentile(0.5))
        columns["p95"].append(tally.percentile(0.95))
        columns["sent"].append(tally.sent / seconds)
    return columns
