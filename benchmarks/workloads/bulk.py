"""One large body, down and up, with curl."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.drivers.launch import DriverError
from benchmarks.model import Figure, Running, Scale, Workload
from benchmarks.workloads.cost import Meter

GIB = 1 << 30

_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of ours is made in it

_TIMEOUT = 300.0
"""Seconds for one transfer; beyond that something is broken, not slow."""

FIGURES = {
    "mb_per_s": Figure("rate", "MB/s", more_is_better=True),
    "cpu_s": Figure("CPU per GiB", "s"),
}


def command(running: Running, path: str, upload: Path | None = None) -> list[str]:
    """Return a curl that discards what it gets and prints its figures as JSON.

    Args:
        running: The system.
        path: With its query.
        upload: A file to send.
    """
    line = ["curl", "--silent", "--show-error", "--fail", "--output", "/dev/null"]
    line += [
        "--header",
        f"Host: {running.hostname}",
        "--header",
        "Expect:",
        "--write-out",
        "%{json}",
    ]
    if running.root is not None:
        line += ["--http1.1", "--cacert", str(running.root)]
        line += ["--resolve", f"{running.hostname}:{running.port}:{running.host}"]
    if upload is not None:
        line += ["--request", "POST", "--upload-file", str(upload)]
    return [*line, running.url + path]


@contextmanager
def zeros(size: int) -> Iterator[Path]:
    """Make a file of zeros that takes no space.

    In memory where the system has a place for that: to read a hole of a disk's file through the
    page cache keeps a whole core busy (92 % of it for 1 GB/s, against 30), and the visitor's curl
    would be what is measured.
    """
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as name:
        path = Path(name) / "zeros"
        with path.open("wb") as file:
            file.truncate(size)
        yield path


def _curl(line: Sequence[str]) -> dict[str, float]:
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    if done.returncode:
        raise DriverError(f"curl ended with {done.returncode}: {done.stderr.strip()}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def transfer(running: Running, scale: Scale, *, is_upload: bool) -> dict[str, float]:
    """Move the body once.

    Raises:
        DriverError: It did not come whole.
    """
    size = int(GIB * scale.share)
    with zeros(size) as source:
        if is_upload:
            line = command(running, "/up", source)
        else:
            line = command(running, f"/down?bytes={size}")
        meter = Meter(running)
        result = _curl(line)
    moved = result["size_upload" if is_upload else "size_download"]
    if moved != size:
        raise DriverError(f"{moved:.0f} of {size} bytes were moved")
    return {
        "mb_per_s": size / result["time_total"] / 1e6,
        **meter.figures("cpu_s", scale=GIB / size),
    }


WORKLOADS = tuple(
    Workload(
        name=f"bulk-{way}",
        title=f"1 GiB {way}",
        figures=FIGURES,
        run=partial(transfer, is_upload=way == "up"),
    )
    for way in ("down", "up")
)
