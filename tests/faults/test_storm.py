"""A crowd of apps comes back to an edge that was killed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.harness import Process, allowed, spawn

from .conftest import Row
from .world import ROOT, World, world

pytestmark = [pytest.mark.e2e, pytest.mark.faults_long, pytest.mark.timeout(120)]

COUNT = 1000


@pytest.fixture
def one(tmp_path: Path) -> Iterator[World]:
    """An edge."""
    with world(tmp_path) as one:
        yield one


@pytest.fixture
def crowd(one: World) -> Iterator[Process]:
    """A process with many tunnels."""
    env = {"ASGI_TUNNEL_TOKEN": one.token.token, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.faults.crowd", str(COUNT)]
    process = spawn(command, one.folder, env=env, cwd=ROOT)
    yield process
    process.kill()


def test_crowd_comes_back(one: World, crowd: Process, row: Row) -> None:
    """1,000 tunnels are open again 5 s after the edge listens."""
    one.edge.running.wait_for("is open from", count=COUNT, timeout=60)
    one.edge.running.kill()
    time.sleep(2)
    one.edge.start()
    began = time.monotonic()
    one.edge.running.wait_for("is open from", count=COUNT, timeout=60)
    took = time.monotonic() - began
    row(f"{COUNT} tunnels after a SIGKILL of the edge", back_after=f"{took:.1f} s")
    assert took <= allowed(5, began)
