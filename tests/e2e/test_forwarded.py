"""Two serving processes, and an app with one connection: some visitors come to the wrong one.

Bulk over both processes, with their memory, and each kind of exchange.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .harness import Edge, Process, running_app, running_edge
from .visitor import Visitor, blocks, figure, visiting

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
APPS = Path(__file__).parent

PEAK = 150 * MIB
"""Resident bytes that each process may reach while a GiB passes."""

SIZES = [
    pytest.param(64 * MIB, id="64MiB"),
    pytest.param(1024 * MIB, id="1GiB", marks=[pytest.mark.faults_long, pytest.mark.timeout(240)]),
]


class Stage:
    """An edge with two serving processes, and an app that has a session at one of them."""

    def __init__(self, edge: Edge, app: Process) -> None:
        self.edge = edge
        self.app = app

    def workers(self) -> list[dict[str, Any]]:
        """What ``status`` says of each process."""
        found = json.loads(self.edge.command("status", "--json"))["workers"]
        assert len(found) == 2
        return list(found)

    def forwarded(self) -> int:
        """How many exchanges have passed both processes."""
        return sum(int(one["forwarded"]) for one in self.workers())

    @contextmanager
    def far_visitor(self, **options: Any) -> Iterator[Visitor]:
        """A visitor whose connection was accepted by the process that has no session."""
        for _ in range(100):
            before = self.forwarded()
            with visiting(self.edge, **options) as visitor:
                visitor.ask("/small")
                visitor.read_body(visitor.read_head())
                if self.forwarded() > before:
                    yield visitor
                    return
        raise AssertionError("one process has accepted a hundred connections")

    def report(self, what: str, size: int, started: float) -> None:
        """Report the figures of a bulk transfer and check the peaks of memory."""
        rate = size / (time.monotonic() - started) / 1e6
        peaks = [peak_rss(int(one["pid"])) for one in self.workers()]
        shown = " and ".join(f"{peak / MIB:.0f}" for peak in peaks)
        figure(f"forwarded {what}: {rate:.0f} MB/s, peaks of {shown} MiB")
        assert max(peaks) < PEAK, f"peaks of {shown} MiB"


def peak_rss(pid: int) -> int:
    """The most resident bytes of a process so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no process {pid}")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Start them."""
    with running_edge(tmp_path, first="workers = 2") as edge:
        edge.running.wait_for("listening on ", count=2)
        token = edge.create_token("shop")
        env = {"ASGI_TUNNEL_CONNECTIONS": "1"}
        with running_app(tmp_path, token, "apps_streaming:app", app_dir=APPS, env=env) as app:
            yield Stage(edge, app)


@pytest.mark.parametrize("size", SIZES)
def test_download(stage: Stage, size: int) -> None:
    """A download of any size passes both processes whole, and memory stays flat."""
    digest = hashlib.sha256()
    with stage.far_visitor() as visitor:
        started = time.monotonic()
        visitor.ask(f"/download/bulk?length=1&size={size}")
        visitor.read_head()
        for piece in visitor.read_pieces(size):
            digest.update(piece)
        stage.report("down", size, started)
        visitor.ask("/seen/bulk")
        seen = json.loads(visitor.read_body(visitor.read_head()))
    assert digest.hexdigest() == seen["sha256"]


@pytest.mark.parametrize("size", SIZES)
def test_upload(stage: Stage, size: int) -> None:
    """An upload of any size passes both processes whole, and memory stays flat."""
    digest = hashlib.sha256()
    with stage.far_visitor() as visitor:
        started = time.monotonic()
        visitor.ask("/upload/bulk", ("Content-Length", str(size)), method="POST")
        for block in blocks(size):
            digest.update(block)
            visitor.sock.sendall(block)
        body = visitor.read_body(visitor.read_head())
        stage.report("up", size, started)
    assert json.loads(body) == {"sha256": digest.hexdigest(), "size": size}


def test_reader_that_stalls(stage: Stage) -> None:
    """``await send()`` holds the app while a visitor of the other process reads nothing."""
    size = 256 * MIB
    with stage.far_visitor(buffer=64 * 1024) as visitor, visiting(stage.edge) as other:
        visitor.ask(f"/download/slow?length=1&size={size}")
        count = -1
        while True:
            time.sleep(0.5)
            other.ask("/seen/slow")
            last, count = count, json.loads(other.read_body(other.read_head())).get("accepted", 0)
            if count and count == last:
                break
        figure(f"forwarded, slow reader: {count / MIB:.1f} MiB accepted")
        assert count < 24 * MIB
        stage.report("slow", size, time.monotonic() - 1)
        visitor.read_head()
        assert sum(len(piece) for piece in visitor.read_pieces(size)) == size
