"""Server-sent events, the same stream to many visitors at a time."""

from __future__ import annotations

from benchmarks.drivers.launch import DriverError, driver
from benchmarks.model import HOSTNAME, Figure, Running, Scale, Workload
from benchmarks.workloads.cost import Meter

VISITORS = 200
EVENTS = 100

FIGURES = {
    "rate": Figure("events/s", "1/s", more_is_better=True),
    "seconds": Figure("until the last event", "s"),
    "delay_p50_ms": Figure("delay of an event, p50", "ms"),
    "delay_p99_ms": Figure("delay of an event, p99", "ms"),
    "cpu_us": Figure("CPU per event", "us"),
}


def _fan_out(running: Running, scale: Scale) -> dict[str, float]:
    """Let everybody ask at one time and read to the end.

    Raises:
        DriverError: An event is missing.
    """
    visitors = max(10, round(VISITORS * scale.share))
    options = ["--host", running.host, "--port", running.port, "--name", HOSTNAME]
    options += ["--visitors", visitors, "--events", EVENTS]
    with driver("events", *options) as everybody:
        meter = Meter(running)
        result = everybody.run()
        events = result["events"]
        if result["errors"] or events != visitors * EVENTS:
            why = result["why"] or f"{events} of {visitors * EVENTS} events came"
            raise DriverError(f"{running.name}: {why}")
        cpu = meter.figures("cpu_us", scale=1e6 / events)
    figures = {
        "rate": events / result["seconds"],
        "seconds": result["seconds"],
        **cpu,
    }
    if result["delay_p99_ms"]:
        figures["delay_p50_ms"] = result["delay_p50_ms"]
        figures["delay_p99_ms"] = result["delay_p99_ms"]
    return figures


WORKLOADS = (
    Workload(
        name="events",
        title=f"Server-sent events, {VISITORS} visitors x {EVENTS} events",
        figures=FIGURES,
        run=_fan_out,
    ),
)
