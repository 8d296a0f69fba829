"""Apps and edges are killed, stopped, reloaded and frozen while visitors ask."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest
from tests.e2e.harness import Process, allowed, wait_until

from .conftest import Row
from .visitors import RETRY_WAIT, Load, load
from .world import World, borrowed, world

pytestmark = pytest.mark.e2e

LONG = pytest.mark.faults_long
FORMS = [1, pytest.param(5, marks=[LONG, pytest.mark.timeout(180)])]
"""Rounds of the short form and of the long one."""


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


def settle(running: Load, requests: int) -> None:
    """Return when so many more requests were answered."""
    goal = running.total + requests
    wait_until(lambda: running.total >= goal, timeout=30, what=f"{requests} more answers")


def figures(running: Load) -> dict[str, object]:
    """What a row says of a load."""
    return {
        "requests": running.total,
        "failed": running.failed,
        "slowest": f"{running.slowest:.2f} s",
    }


def check(running: Load, *apps: Process) -> None:
    """No request has failed."""
    outputs = "\n".join(one.output[-2000:] for one in apps)
    assert not running.failed, (running.statuses, running.failures[:5], outputs)


@pytest.mark.parametrize("rounds", FORMS)
def test_app_is_killed_in_a_pool(one: World, rounds: int, row: Row) -> None:
    """SIGKILL of one of two instances under load: no GET fails."""
    one.app(direct=True)
    with load(one.place, rate=200) as running:
        for _ in range(rounds):
            second = one.app(direct=True)
            settle(running, 200)
            second.kill()
            settle(running, 200)
    check(running)
    row(f"SIGKILL of an app in a pool, x{rounds}", **figures(running))


@pytest.mark.parametrize("rounds", FORMS)
def test_rolling_restart(one: World, rounds: int, row: Row) -> None:
    """Two instances are replaced in turn at 100 requests a second: none fails."""
    apps = [one.app(direct=True), one.app(direct=True)]
    with load(one.place, rate=100, path="/hello?wait=0.02") as running:
        for _ in range(rounds):
            for number in (0, 1):
                settle(running, 30)
                assert apps[number].stop() == 0
                apps[number] = one.app(direct=True)
        settle(running, 30)
    check(running, *apps)
    row(f"rolling restart of two instances, x{rounds}", **figures(running))


@pytest.mark.parametrize("rounds", FORMS)
def test_reload(one: World, rounds: int, row: Row) -> None:
    """A changed file replaces the app under load: no GET fails, an open event stream ends."""
    watched = one.folder / f"watched-{rounds}"
    watched.mkdir()
    app = one.app("--reload", "--reload-dir", str(watched), direct=True)
    took, began = 0.0, time.monotonic()
    with load(one.place, rate=100) as running:
        for number in range(rounds):
            settle(running, 30)
            connection = one.place.connect()
            path = "/events?count=100000&every=0.05"
            connection.request("GET", path, headers={"Host": one.place.hostname})
            events = connection.getresponse()
            assert events.readline() == b"id: 0\n"
            began = time.monotonic()
            (watched / f"file_{number}.py").write_text("changed = True\n")
            app.wait_for("is live", count=number + 2)
            took = time.monotonic() - began
            events.read()  # it has ended, cleanly
            connection.close()
            settle(running, 30)
    check(running, app)
    assert took < allowed(8, began)
    row(f"reload with an event stream open, x{rounds}", took=f"{took:.1f} s", **figures(running))


@pytest.mark.parametrize("rounds", FORMS)
def test_edge_restarts(one: World, rounds: int, row: Row) -> None:
    """SIGTERM and a new start of the edge under load: no GET fails, one connect retry allowed."""
    app = one.app()
    away = 0.0
    with load(one.place, rate=100) as running:
        for _ in range(rounds):
            settle(running, 50)
            began = time.monotonic()
            assert one.edge.running.stop() == 0
            one.edge.start()
            away = max(away, time.monotonic() - began)
            settle(running, 50)
    check(running, app)
    assert not running.refused_again or away > RETRY_WAIT
    row(f"edge restarted, x{rounds}", reconnects=running.reconnects, **figures(running))


@pytest.mark.parametrize("rounds", FORMS)
def test_edge_is_killed(one: World, rounds: int, row: Row) -> None:
    """SIGKILL of the edge: apps are back at most 2 s after it listens again."""
    app = one.app()
    slowest, started = 0.0, time.monotonic()
    for number in range(rounds):
        assert one.place.get("/hello")[0] == 200
        count = app.output.count("connected again")
        one.edge.running.kill()
        time.sleep(0.5 * number)  # a longer outage, a longer wait between tries
        one.edge.start()
        began = time.monotonic()
        app.wait_for("connected again", count=count + 1, timeout=10)
        slowest = max(slowest, time.monotonic() - began)
        assert one.place.get("/hello")[0] == 200
    assert slowest <= allowed(2.0, started)
    row(f"edge SIGKILLed, x{rounds}", back_after=f"{slowest:.2f} s")


@pytest.mark.parametrize("seconds", [pytest.param(60.0, marks=[LONG, pytest.mark.timeout(180)])])
def test_app_is_frozen(one: World, seconds: float, row: Row) -> None:
    """SIGSTOP: visitors get 503 within 10 s meanwhile, and 200 at most 5 s after SIGCONT."""
    app = one.app(direct=True)
    with load(one.place, rate=4, threads=16) as running:
        settle(running, 8)
        began = time.monotonic()
        app.popen.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        ended = time.monotonic()
        app.popen.send_signal(signal.SIGCONT)
        while one.place.get("/hello")[0] != 200:
            time.sleep(0.1)
        serving = time.monotonic() - ended
    frozen = [took for at, took, status in running.log if began + 0.1 < at < ended - 10]
    statuses = {status for at, _, status in running.log if began + 0.1 < at < ended - 10}
    assert statuses == {503}
    assert max(frozen) <= 10.1
    assert serving <= 5
    row(
        f"app frozen for {seconds:g} s",
        answers_503=len(frozen),
        slowest_503=f"{max(frozen):.2f} s",
        serving_after=f"{serving:.2f} s",
    )
