"""WebSocket echo: one message in flight on each socket."""

from __future__ import annotations

from functools import partial

from benchmarks.drivers.launch import DriverError, driver
from benchmarks.model import HOSTNAME, Figure, Running, Scale, Workload
from benchmarks.workloads.cost import Meter

_SIZES = {"32b": (32, "32 B"), "16k": (16 * 1024, "16 KiB")}
_SOCKETS = (1, 100)

_FEW_SOCKETS = {"localtunnel": 10}
"""How many visitors' sockets some systems can hold at one time: more wait until one is closed."""

FIGURES = {
    "rate": Figure("messages/s", "1/s", more_is_better=True),
    "p50_us": Figure("echo, p50", "us"),
    "p99_us": Figure("echo, p99", "us"),
    "cpu_us": Figure("CPU per message", "us"),
}


def _echo(running: Running, scale: Scale, *, size: int, sockets: int) -> dict[str, float]:
    """Echo for a while on some sockets; measures nothing where a system cannot hold so many.

    Raises:
        DriverError: A message did not come back whole, or a socket was closed.
    """
    if sockets > _FEW_SOCKETS.get(running.name, sockets):
        return {}
    options = ["--host", running.host, "--port", running.port, "--name", HOSTNAME]
    options += ["--size", size, "--sockets", sockets, "--seconds", scale.seconds]
    with driver("websocket", *options) as echo:
        meter = Meter(running)
        result = echo.run()
        messages = result["messages"]
        if result["errors"] or not messages:
            raise DriverError(f"{running.name}: {result['why'] or 'no echo came back'}")
        cpu = meter.figures("cpu_us", scale=1e6 / messages)
    return {
        "rate": messages / result["seconds"],
        "p50_us": result["p50_us"],
        "p99_us": result["p99_us"],
        **cpu,
    }


WORKLOADS = tuple(
    Workload(
        name=f"websocket-{key}-{sockets}",
        title=f"WebSocket echo of {text}, {sockets} socket{'s' if sockets > 1 else ''}",
        figures=FIGURES,
        run=partial(_echo, size=size, sockets=sockets),
    )
    for key, (size, text) in _SIZES.items()
    for sockets in _SOCKETS
)
