"""Small GETs of one visitor, alone and beside the bulk transfer of another one."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.drivers.launch import DriverError, driver
from benchmarks.model import HOSTNAME, Figure, Running, Scale, Workload
from benchmarks.workloads.bulk import command, zeros

RATE = 200
"""Requests a second: enough for a p99, too few to load anything."""

_ENDLESS = 1 << 40
"""Bytes of the transfer: it is cut when the small GETs are done."""

_SETTLE = 0.5
"""Seconds in which the transfer comes to its full rate; figures begin after them."""

FIGURES = {
    f"{key}_{share}_us": Figure(f"{title}, {share}", "us")
    for key, title in (
        ("alone", "alone"),
        ("down", "beside a download"),
        ("up", "beside an upload"),
    )
    for share in ("p50", "p99")
}


@contextmanager
def _transfer(running: Running, way: str) -> Iterator[None]:
    """Move bytes as fast as they go for as long as the block runs.

    Raises:
        DriverError: The transfer ended by itself.
    """
    with zeros(_ENDLESS) as source:
        if way == "up":
            line = command(running, "/up", source)
        else:
            line = command(running, f"/down?bytes={_ENDLESS}")
        with subprocess.Popen(line, stdout=subprocess.DEVNULL) as curl:
            try:
                time.sleep(_SETTLE)
                yield
                if curl.poll() is not None:
                    raise DriverError(f"the transfer {way} ended with {curl.returncode}")
            finally:
                curl.kill()


def _ask(running: Running, seconds: float, way: str) -> dict[str, float]:
    options = ["--host", running.host, "--port", running.port, "--name", HOSTNAME]
    with driver("pace", *options, "--rate", RATE, "--seconds", seconds) as visitor:
        if way == "alone":
            result = visitor.run()
        else:
            with _transfer(running, way):
                result = visitor.run()
    return {f"{way}_{share}_us": result[f"{share}_us"] for share in ("p50", "p99")}


def _beside(running: Running, scale: Scale) -> dict[str, float]:
    """Ask in three parts: alone, beside a download, beside an upload.

    Raises:
        DriverError: An answer was wrong, or the transfer ended.
    """
    figures: dict[str, float] = {}
    for way in ("alone", "down", "up"):
        figures |= _ask(running, scale.seconds, way)
    return figures


WORKLOADS = (
    Workload(
        name="beside",
        title=f"Small GETs ({RATE} a second, one connection) beside one bulk transfer",
        figures=FIGURES,
        run=_beside,
    ),
)
