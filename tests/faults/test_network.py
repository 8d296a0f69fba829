"""The network itself goes away: an app in a namespace of its own, an edge outside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.harness import BIN, Process, running_edge, spawn, wait_until

from .app import PIECE
from .conftest import Row
from .namespace import Home, home, why_not
from .proxy import at_address
from .visitors import Place, Traffic
from .world import APP, HOSTNAME, NAME, ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.faults_long, pytest.mark.timeout(150)]

MIB = 1024 * 1024
TRANSFER = 100 * MIB


@contextmanager
def app_at_home(folder: Path) -> Iterator[tuple[Home, Process, Place]]:
    """An edge on the link's outer end, the app inside."""
    why = why_not()
    if why:
        pytest.skip(why)
    with home() as place, running_edge(folder, host=place.edge_address) as edge:
        token = edge.create_token(NAME)
        env = {
            "ASGI_TUNNEL_TOKEN": at_address(token, f"{place.edge_address}:{edge.port}"),
            "ASGI_TUNNEL_PLAINTEXT_HOST": place.edge_address,
        }
        command = [*place.prefix(), str(BIN / "asgi-tunnel"), "run", APP, "--app-dir", str(ROOT)]
        app = spawn(command, folder, env=env)
        try:
            app.wait_for("is live")
            yield place, app, Place(edge.port, HOSTNAME, host=place.edge_address)
        finally:
            app.stop()


def ride_out(
    folder: Path, begin: Callable[[Home], None], end: Callable[[Home], None], seconds: float
) -> tuple[float, float, int]:
    """Run everything through an outage; return when it was noticed, when over, and resumptions."""
    with app_at_home(folder) as (place, app, visitors):
        running = Traffic(visitors, TRANSFER // PIECE, count=1000, every=0.01)
        running.start()
        running.wait_moved(TRANSFER // 4)
        lost = app.output.count("was lost")
        began = time.monotonic()
        begin(place)
        if seconds > 10:
            app.wait_for("was lost", count=lost + 1, timeout=12)
        noticed = time.monotonic() - began
        time.sleep(max(seconds - noticed, 0))
        end(place)
        back = time.monotonic()
        moved = running.moved
        wait_until(lambda: running.moved > moved + 4 * PIECE, timeout=15)
        assert visitors.get("/hello")[0] == 200
        served = time.monotonic() - back
        running.finish()
        return noticed, served, app.output.count("and resumed")


def test_dropped_packets(tmp_path: Path, row: Row) -> None:
    """Iptables DROP for 15 s: noticed within 10 s, serving within 1 s after, all whole."""
    noticed, served, resumed = ride_out(tmp_path, Home.drop, Home.pass_again, 15)
    assert noticed < 10
    row(
        "iptables DROP 15 s, 100 MiB each way, SSE, echo",
        noticed=f"{noticed:.1f} s",
        serving=f"{served:.2f} s",
        resumed=resumed,
        wrong=0,
    )
    assert served < 1.0


def test_link_down(tmp_path: Path, row: Row) -> None:
    """Link down for 15 s: noticed within 10 s, serving within 1 s after, all whole."""
    noticed, served, resumed = ride_out(tmp_path, Home.link_down, Home.link_up, 15)
    assert noticed < 10
    row(
        "link down 15 s, 100 MiB each way, SSE, echo",
        noticed=f"{noticed:.1f} s",
        serving=f"{served:.2f} s",
        resumed=resumed,
        wrong=0,
    )
    assert served < 1.0


def test_address_change(tmp_path: Path, row: Row) -> None:
    """The app's address changes under everything: noticed within 10 s, all whole."""
    _, served, resumed = ride_out(tmp_path, Home.change_address, lambda place: None, 0)
    assert resumed >= 1
    assert served < 10
    row(
        "address change, 100 MiB each way, SSE, echo",
        serving_after_the_change=f"{served:.2f} s",
        resumed=resumed,
        wrong=0,
    )
