"""What HTTPS costs: where TLS ends at the public machine, and where the app speaks it."""

from __future__ import annotations

from functools import partial

from benchmarks.drivers.launch import DriverError, driver
from benchmarks.model import Figure, Running, Scale, Workload
from benchmarks.systems import caddy, frp, nginx, ours, ssh, uvicorn
from benchmarks.workloads import bulk, http
from benchmarks.workloads.cost import Meter

AT_THE_EDGE = frozenset(one.name for one in (uvicorn.TLS, ours.TLS, nginx.TLS, caddy.TLS))
END_TO_END = frozenset(
    one.name for one in (uvicorn.TLS, ours.END_TO_END, ssh.TLS, *frp.TLS_SYSTEMS)
)

HANDSHAKE_FIGURES = {
    "rate": Figure("handshakes/s", "1/s", more_is_better=True),
    "p50_ms": Figure("handshake, p50", "ms"),
    "p99_ms": Figure("handshake, p99", "ms"),
    "cpu_us": Figure("CPU per connection", "us"),
    "errors": Figure("errors", ""),
}


def _handshakes(running: Running, scale: Scale) -> dict[str, float]:
    """Let visitors come anew for each request.

    Raises:
        DriverError: No handshake was done.
    """
    options: list[object] = ["--host", running.host, "--port", running.port]
    options += ["--name", running.hostname, "--root", running.root, "--seconds", scale.seconds]
    with driver("handshakes", *options) as visitors:
        meter = Meter(running)
        result = visitors.run()
        done = result["handshakes"]
        if not done:
            raise DriverError(result["why"])
        cpu = meter.figures("cpu_us", scale=1e6 / done)
    return {
        "rate": done / result["seconds"],
        "p50_ms": result["p50_ms"],
        "p99_ms": result["p99_ms"],
        "errors": result["errors"],
        **cpu,
    }


def _rows(
    prefix: str, where: str, systems: frozenset[str], connections: tuple[int, ...]
) -> tuple[Workload, ...]:
    return (
        *(
            Workload(
                name=f"{prefix}-get-{count}",
                title=f"GET of 5 bytes over HTTPS, {where}, {count} "
                f"connection{'s' if count > 1 else ''}",
                figures=http.FIGURES,
                run=partial(http.load, path="/", connections=count),
                systems=systems,
                missing=http.missing,
                is_quick=count == 32,
            )
            for count in connections
        ),
        Workload(
            name=f"{prefix}-page-40",
            title=f"Page of 40 assets of 2 KiB over 6 new connections and HTTPS, {where}",
            figures=http.PAGE_FIGURES,
            run=http.pages,
            systems=systems,
            is_quick=False,
        ),
        Workload(
            name=f"{prefix}-handshakes",
            title=f"A TLS 1.3 handshake and a GET on each connection, {where}, 4 visitors",
            figures=HANDSHAKE_FIGURES,
            run=_handshakes,
            systems=systems,
            is_quick=systems is AT_THE_EDGE,
        ),
        *(
            Workload(
                name=f"{prefix}-bulk-{way}",
                title=f"1 GiB {way} over HTTPS, {where}",
                figures=bulk.FIGURES,
                run=partial(bulk.transfer, is_upload=way == "up"),
                systems=systems,
                is_quick=False,
            )
            for way in ("down", "up")
        ),
    )


WORKLOADS = (
    *_rows("tls", "TLS ends at the public machine", AT_THE_EDGE, (1, 32, 256)),
    *_rows("e2e", "the app speaks TLS", END_TO_END, (1, 32)),
)
