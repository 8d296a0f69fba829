"""Small and middle-sized requests: wrk with one thread, and pages as a browser opens them."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from shutil import which

from benchmarks.drivers.launch import ROOT, DriverError, driver
from benchmarks.model import Figure, Running, Scale, Workload
from benchmarks.process import wait_for_answer
from benchmarks.workloads.cost import Meter

_SCRIPT = ROOT / "benchmarks" / "drivers" / "load.lua"

_WARM_UP = 0.1
"""Fraction of the measured time that is driven before it and not counted."""

_GRACE = 60.0
"""Seconds after which a load that should be over has failed."""

FIGURES = {
    "rate": Figure("requests/s", "1/s", more_is_better=True),
    "p50_us": Figure("p50", "us"),
    "p99_us": Figure("p99", "us"),
    "cpu_us": Figure("CPU per request", "us"),
    "errors": Figure("errors", ""),
}

PAGE_FIGURES = {
    "rate": Figure("pages/s", "1/s", more_is_better=True),
    "p50_ms": Figure("p50", "ms"),
    "p99_ms": Figure("p99", "ms"),
    "cpu_us": Figure("CPU per page", "us"),
    "errors": Figure("errors", ""),
}


def missing() -> str:
    """Return why wrk cannot be used here, or an empty string."""
    return "" if which("wrk") else "wrk is not installed"


def _wrk(
    running: Running, path: str, *, connections: int, seconds: float, post: int
) -> dict[str, float]:
    # wrk takes whole seconds only: the shortest load is one.
    duration = f"{max(1, round(seconds))}s"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{duration}", "--timeout", "10s"]
    command += ["-H", f"Host: {running.hostname}", "-s", str(_SCRIPT), running.url + path]
    command += ["--", "POST" if post else "GET", str(post)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=seconds + _GRACE
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise DriverError(f"wrk ended with {done.returncode}: {done.stderr or done.stdout}")
    result: dict[str, float] = json.loads(lines[-1])
    return result


def load(
    running: Running, scale: Scale, *, path: str, connections: int, post: int = 0
) -> dict[str, float]:
    """Let some connections ask as fast as they are answered.

    Raises:
        DriverError: Nothing was answered.
    """
    drive = partial(_wrk, running, path, connections=connections, post=post)
    drive(seconds=scale.seconds * _WARM_UP)
    # wrk cuts its connections in the middle of answers, from which not everybody recovers at once.
    # It does not look at certificates, either: this does.
    wait_for_answer(running.host, running.port, root=running.root)
    meter = Meter(running)
    result = drive(seconds=scale.seconds)
    requests = result["requests"]
    if not requests:
        raise DriverError(f"none of {int(result['errors'])} requests was answered")
    return {
        "rate": requests / result["microseconds"] * 1e6,
        "p50_us": result["p50_us"],
        "p99_us": result["p99_us"],
        "errors": result["errors"],
        **meter.figures("cpu_us", scale=1e6 / requests),
    }


def pages(running: Running, scale: Scale, *how: str) -> dict[str, float]:
    """Open pages, one after another.

    Args:
        running: The system.
        scale: How long.
        how: Options of the driver.

    Raises:
        DriverError: No page came whole.
    """
    options = ["--host", running.host, "--port", running.port, "--name", running.hostname]
    if running.root is not None:
        options += ["--root", running.root]
    with driver("page", *options, "--seconds", scale.seconds, *how) as visitor:
        meter = Meter(running)
        result = visitor.run()
        cpu = meter.figures("cpu_us", scale=1e6 / result["pages"])
    if result["errors"] == result["pages"]:
        raise DriverError(result["why"])
    return {
        "rate": result["pages"] / result["seconds"],
        "p50_ms": result["p50_ms"],
        "p99_ms": result["p99_ms"],
        "errors": result["errors"],
        **cpu,
    }


WORKLOADS = (
    *(
        Workload(
            name=f"small-get-{connections}",
            title=f"GET of 5 bytes, {connections} connection{'s' if connections > 1 else ''}",
            figures=FIGURES,
            run=partial(load, path="/", connections=connections),
            missing=missing,
        )
        for connections in (1, 32, 256)
    ),
    *(
        Workload(
            name="get-64k" if connections == 32 else f"get-64k-{connections}",
            title=f"GET of 64 KiB, {connections} connection{'s' if connections > 1 else ''}",
            figures=FIGURES,
            run=partial(load, path="/64k", connections=connections),
            missing=missing,
            is_quick=connections == 32,
        )
        for connections in (1, 32)
    ),
    Workload(
        name="json-2k",
        title="GET of 2 KiB of JSON, 32 connections",
        figures=FIGURES,
        run=partial(load, path="/json", connections=32),
        missing=missing,
        is_quick=False,
    ),
    Workload(
        name="post-10k",
        title="POST of 10 KiB, 32 connections",
        figures=FIGURES,
        run=partial(load, path="/echo-size", connections=32, post=10 * 1024),
        missing=missing,
    ),
    Workload(
        name="page-40",
        title="Page of 40 assets of 2 KiB over 6 new connections",
        figures=PAGE_FIGURES,
        run=pages,
    ),
    Workload(
        name="page-40-kept",
        title="Page of 40 assets of 2 KiB over 6 connections that are kept",
        figures=PAGE_FIGURES,
        run=lambda running, scale: pages(running, scale, "--kept"),
        is_quick=False,
    ),
    Workload(
        name="page-mix",
        title="Page of 40 responses of 1 to 200 KiB, 1 MiB together, over 6 new connections",
        figures=PAGE_FIGURES,
        run=lambda running, scale: pages(running, scale, "--mix"),
        is_quick=False,
    ),
)
