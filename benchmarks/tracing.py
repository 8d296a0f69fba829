"""What traces cost: an exchange with a span of OpenTelemetry, and with the field Server-Timing.

    python -m benchmarks.tracing [--rounds 10] [--count 4000]

The small exchange of :mod:`.hot_path`, in turn: with neither, with Server-Timing, with tracing on
for traces that are not recorded, and for all of them. The exporter throws its spans away, in the
library's own thread: what it costs to send them depends on the collector. Printed is the time of
one exchange, the best round of each, and what it has more than the first: for an idle machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import uvloop
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

import asgi_tunnel.session
from asgi_tunnel_edge.observers.tracing import ExchangeTracing, start_tracing
from asgi_tunnel_edge.settings.config import TracingConfig

from .hot_path import Extras, measure

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
    best = dict.fromkeys(kinds, 1.0)
    for _ in range(rounds):
        for name, extras in kinds.items():
            best[name] = min(best[name], sum(await measure(count, 32, extras)))
    return [
        f"{name:22} {seconds * 1e6:7.2f} us {(seconds - best['neither']) * 1e6:+7.2f} us"
        for name, seconds in best.items()
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="of each")
    parser.add_argument("--count", type=int, default=4000, help="exchanges in one")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        lines = runner.run(run(options.rounds, options.count))
    compiled = "compiled" if (asgi_tunnel.session.__file__ or "").endswith(".so") else "plain"
    sys.stdout.write("\n".join([*lines, f"({compiled})", ""]))


if __name__ == "__main__":
    main()
