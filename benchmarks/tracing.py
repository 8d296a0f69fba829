"""What traces cost: an exchange with a span of OpenTelemetry, and with the field Server-Timing.

    python -m benchmarks.tracing [--rounds 10] [--count 4000]

The small exchange of :mod:`.hot_path`, in turn: with neither, with Server-Timing, with tracing on
for traces that are not recorded, and for all of them. The exporter throws its spans away, in the
library's own thread: what it costs to send them depends on the collector. Printed is the time of
one exchange, the best round of each, and what it has more than the first: for an idle machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from asgi_tunnel_edge.observers.tracing import ExchangeTracing, start_tracing
from asgi_tunnel_edge.settings.config import TracingConfig

from .hot_path import Extras
from .in_turn import compare, print_lines

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan


class _Nowhere(SpanExporter):
    """Takes all spans."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See the base class."""
        return SpanExportResult.SUCCESS


def _tracer(sample: float) -> ExchangeTracing:
    config = TracingConfig(enabled=True, sample=sample)
    return start_tracing(config, file="edge.toml", exporter=_Nowhere())


async def run(rounds: int, count: int) -> list[str]:
    """Return the lines to print."""
    kinds = {
        "neither": Extras(),
        "Server-Timing": Extras(server_timing=True),
        "traces, none recorded": Extras(tracer=_tracer(0.0)),
        "traces, all recorded": Extras(tracer=_tracer(1.0)),
    }
    return await compare(kinds, rounds, count)


if __name__ == "__main__":
    print_lines(run, __doc__)
