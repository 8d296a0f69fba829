"""The tunnel's connection is lost, and what was in flight goes on byte for byte."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from functools import partial

import pytest
from tests.e2e.harness import wait_until

from .app import PIECE
from .conftest import Row
from .proxy import Way
from .visitors import Traffic
from .world import World, borrowed, world

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
LONG = pytest.mark.faults_long


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An edge and a line to it."""
    with world(tmp_path_factory.mktemp("world")) as shared:
        yield shared


@pytest.fixture
def one(shared: World) -> Iterator[World]:
    """The same, with no app yet."""
    with borrowed(shared) as one:
        yield one


def traffic(one: World, mib: int) -> Traffic:
    """Start transfers of so many MiB each way, with ten events for each of them."""
    seconds = mib / 20
    found = Traffic(one.place, mib * MIB // PIECE, count=mib * 10, every=seconds / (mib * 10))
    found.start()
    return found


@pytest.mark.parametrize("mib", [12, pytest.param(100, marks=[LONG, pytest.mark.timeout(180)])])
def test_reset(one: World, mib: int, row: Row) -> None:
    """RST on every connection, five times: all transfers finish, nothing is lost or doubled."""
    app = one.app()
    one.proxy.rate = 20 * MIB
    running = traffic(one, mib)
    for turn in range(1, 6):
        running.wait_moved(turn * mib * MIB // 4)
        one.proxy.cut()
    running.finish()
    resumed = app.output.count("connected again and resumed")
    assert resumed >= 5
    row(f"RST x5, {mib} MiB each way, SSE, echo", resumed=resumed, wrong=0, echoes=running.echoes)


@pytest.mark.parametrize(
    ("cuts", "mib"), [(10, 10), pytest.param(100, 100, marks=[LONG, pytest.mark.timeout(300)])]
)
def test_random_cuts(one: World, cuts: int, mib: int, row: Row) -> None:
    """Connections cut at random moments during one transfer: it is whole."""
    app = one.app()
    one.proxy.rate = 8 * MIB
    dice = random.Random(cuts)
    running = traffic(one, mib)
    done = 0
    while done < cuts and running.is_running:
        time.sleep(dice.uniform(0.01, 0.1))
        before = one.proxy.connections
        one.proxy.cut(None if dice.random() < 0.5 else dice.randrange(2))
        done += 1
        wait_until(partial(one.proxy.has_accepted, before + 1), what="a new connection")
    running.finish(250)
    assert done == cuts
    resumed = app.output.count("and resumed")
    row(f"{cuts} random cuts, {mib} MiB each way, SSE, echo", resumed=resumed, wrong=0)


@pytest.mark.parametrize(
    ("hole", "mib"), [pytest.param(15.0, 100, marks=[LONG, pytest.mark.timeout(180)])]
)
def test_black_hole(one: World, hole: float, mib: int, row: Row) -> None:
    """Nothing passes for 15 s: noticed on both sides within 10 s, back within 1 s, all whole."""
    app = one.app()
    one.proxy.rate = 20 * MIB
    running = traffic(one, mib)
    running.wait_moved(mib * MIB // 2)
    edge = one.edge.running
    lost = app.output.count("was lost")
    lost_at_edge = edge.output.count("has lost its connection")
    began = time.monotonic()
    one.proxy.black_hole()
    app.wait_for("was lost", count=lost + 2, timeout=12)
    edge.wait_for("has lost its connection", count=lost_at_edge + 2, timeout=12)
    noticed = time.monotonic() - began
    assert noticed < 10
    time.sleep(max(hole - (time.monotonic() - began), 0))
    moved = running.moved
    one.proxy.restore()
    back = time.monotonic()
    wait_until(lambda: running.moved > moved + 4 * PIECE, timeout=5)
    again = time.monotonic() - back
    status, _ = one.place.get("/hello")
    served = time.monotonic() - back
    assert status == 200
    assert served < 1.0
    running.finish()
    row(
        f"black hole {hole:g} s, {mib} MiB each way, SSE, echo",
        noticed_by_both=f"{noticed:.1f} s",
        transfers_again=f"{again:.2f} s",
        serving=f"{served:.2f} s",
        wrong=0,
    )


@pytest.mark.parametrize("way", [pytest.param(way, marks=LONG) for way in Way])
def test_half_open(one: World, way: Way, row: Row) -> None:
    """One direction is lost silently: noticed within 10 s, then resumed whole."""
    app = one.app()
    one.proxy.rate = 20 * MIB
    running = traffic(one, 12)
    running.wait_moved(6 * MIB)
    began = time.monotonic()
    one.proxy.drop(way)
    app.wait_for("was lost", timeout=12)
    noticed = time.monotonic() - began
    assert noticed < 10
    one.proxy.restore()
    running.finish()
    row(f"{way.name} direction lost", noticed=f"{noticed:.1f} s", wrong=0)
