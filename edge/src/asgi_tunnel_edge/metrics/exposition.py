"""Writes values as Prometheus reads them: its text format, or OpenMetrics; and as JSON.

The formats are prometheus-client's. A scrape is some thousand lines, so it is written in pieces,
and the event loop has its turns between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from itertools import accumulate
from typing import Any, Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from .families import FAMILIES, Family, Value, Values

__all__ = ["FRESH", "Exposition", "as_json", "render"]

FRESH: Final = 0.25
"""Seconds for which a text is given again: nobody makes the edge write more than four a second, and
what is measured four times a second is not older by it."""

PIECE: Final = 10
"""Samples that are written in one turn of the event loop: of histograms 150 lines, some
milliseconds."""

_OPENMETRICS: Final = "application/openmetrics-text"
_END: Final = b"# EOF\n"


class Exposition:
    """Writes the numbers of one edge, for whoever asks.

    Args:
        read: Gives the values.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        read: Callable[[], Coroutine[Any, Any, Values]],
        now: Callable[[], float] | None = None,
    ) -> None:
        self.read = read
        self._now = now or asyncio.get_running_loop().time
        self._lock = asyncio.Lock()
        self._texts: dict[bool, tuple[float, bytes, str]] = {}  # by whether it is OpenMetrics

    async def text(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics and the content type; cancelling it loses nothing.

        Args:
            accept: The Accept field of who asks.
        """
        is_open = _OPENMETRICS in accept
        async with self._lock:
            found = self._texts.get(is_open)
            if found is None or self._now() - found[0] >= FRESH:
                text, content_type = await render(await self.read(), is_open=is_open)
                found = self._texts[is_open] = (self._now(), text, content_type)
        return found[1], found[2]


async def render(values: Values, *, is_open: bool = False) -> tuple[bytes, str]:
    """Return values as text, and its content type; cancelling it loses nothing.

    Args:
        values: What is known; a metric without any is left out.
        is_open: As OpenMetrics 1.0.
    """
    # The field of whoever asks is not handed on: what stands in it would be repeated.
    encode, content_type = choose_encoder(f"{_OPENMETRICS}; version=1.0.0" if is_open else "")
    parts = []
    for family in FAMILIES.values():
        samples = list(values.get(family.name, {}).items())
        for start in range(0, len(samples), PIECE):
            metric = _metric(family, dict(samples[start : start + PIECE]))
            text = encode(_One(metric)).removesuffix(_END)
            # HELP and TYPE stand once, above all samples.
            parts.append(text.split(b"\n", 2)[2] if start else text)
            await asyncio.sleep(0)
    if is_open:
        parts.append(_END)
    return b"".join(parts), content_type


class _One(Collector):
    """One metric, as what prometheus-client collects from."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        """Return it."""
        return (self._metric,)


def _metric(family: Family, samples: dict[tuple[str, ...], Value]) -> Metric:
    name, text, labels = family.name, f"{family.help}.", family.labels
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(name, text, labels=labels)
        for key, value in samples.items():
            assert isinstance(value, list)
            histogram.add_metric(key, _buckets(family, value), value[-1])
        return histogram
    make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = make(name, text, labels=labels)
    for key, value in samples.items():
        assert not isinstance(value, list)
        metric.add_metric(key, value)
    return metric


def _buckets(family: Family, value: list[float]) -> list[tuple[str, float]]:
    bounds = [*map(floatToGoString, family.bounds), "+Inf"]
    return list(zip(bounds, accumulate(value[:-1]), strict=True))


def as_json(values: Values) -> list[dict[str, Any]]:
    """Return values for a program: each metric with its samples."""
    return [
        {
            "name": family.name,
            "type": family.kind,
            "help": f"{family.help}.",
            "samples": [
                {"labels": dict(zip(family.labels, key, strict=True)), **_sample(family, value)}
                for key, value in values[family.name].items()
            ],
        }
        for family in FAMILIES.values()
        if family.name in values
    ]


def _sample(family: Family, value: Value) -> dict[str, object]:
    if isinstance(value, list):
        buckets = _buckets(family, value)
        return {"buckets": dict(buckets), "count": buckets[-1][1], "sum": value[-1]}
    return {"value": value}
