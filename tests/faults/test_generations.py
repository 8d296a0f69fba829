"""Reloads, upgrades, changed certificates and SIGKILL of the serving process, under load.

Nobody is refused, and no request fails that had not begun; what had begun is finished by the old
process, or ends honestly where that was killed. ``make faults ARGS="-k generations"``.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.harness import running_edge, spawn, wait_until

import asgi_tunnel_edge
from asgi_tunnel_edge.endpoints.health import HEALTH_PATH
from asgi_tunnel_edge.parent.generation import STABLE_AFTER

from .conftest import Row
from .visitors import Load, Place, download, echo_some, events, expected_digest, load
from .world import ROOT, World, world

pytestmark = pytest.mark.e2e

LONG = pytest.mark.faults_long
FORMS = [2, pytest.param(20, marks=[LONG, pytest.mark.timeout(600)])]
"""Rounds of the short form and of the long one."""

TUNNELS = 50
DRAIN = 8
"""Seconds for what is in progress; all that the visitors below do is over within."""


class Visitors:
    """Everything that visitors do, again and again, each on a connection of its own.

    Attributes:
        done: How often each was as it should be.
        failed: When it had begun, when it ended, and how, of what was not.
    """

    def __init__(self, place: Place) -> None:
        self.done: Counter[str] = Counter()
        self.failed: list[tuple[float, float, str]] = []
        self._place = place
        self._is_over = threading.Event()
        digest = expected_digest(24)
        self._threads = [
            self._spawn("new connections", lambda: place.get("/hello") == (200, b"hello"), 0.02),
            self._spawn("posts", lambda: place.post("/count?id=x")[0] == 200, 0.05),
            self._spawn("downloads", lambda: download(place, 24) == digest, 0.1),
            self._spawn("event streams", lambda: events(place, 20, 0.05) == list(range(20)), 0.1),
            self._spawn("WebSockets", lambda: echo_some(place, 100) == 100, 0.1),
        ]

    def stop(self) -> None:
        """Finish what is in progress."""
        self._is_over.set()
        for one in self._threads:
            one.join(60)

    def _spawn(self, name: str, work: Callable[[], bool], pause: float) -> threading.Thread:
        def run() -> None:
            while not self._is_over.wait(pause):
                began = time.monotonic()
                try:
                    what = "" if work() else "wrong"
                except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
                    what = repr(error)
                if what:
                    self.failed.append((began, time.monotonic(), f"{name}: {what}"))
                else:
                    self.done[name] += 1

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the edge's distribution, which edges of this test run."""
    source = Path(asgi_tunnel_edge.__file__).parent
    shutil.copytree(source, tmp_path / "code" / source.name)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"))
    return tmp_path / "code" / source.name


@pytest.fixture
def one(tmp_path: Path) -> Iterator[World]:
    """An edge with 50 tunnels."""
    with world(tmp_path, limits=f"drain_timeout = {DRAIN}") as one:
        path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        env = {"ASGI_TUNNEL_TOKEN": one.token.token, "PYTHONPATH": path}
        command = [sys.executable, "-m", "tests.faults.crowd", str(TUNNELS)]
        crowd = spawn(command, one.folder, env=env, cwd=ROOT)
        try:
            wait_until(lambda: tunnels(one) == TUNNELS, timeout=60, what="the tunnels are open")
            yield one
        finally:
            crowd.kill()


def tunnels(one: World) -> int:
    """How many are open at the process that serves."""
    status = json.loads(one.edge.command("status", "--json"))
    return sum(each.get("tunnels", 0) for each in status["workers"] if each["state"] == "serving")


def uptime(one: World) -> float:
    """Seconds since the serving process was started."""
    status = json.loads(one.edge.command("status", "--json"))
    return max(float(each["uptime"]) for each in status["workers"])


def alone(one: World) -> bool:
    """Whether the old process has ended."""
    return len(json.loads(one.edge.command("status", "--json"))["workers"]) == 1


def wait_for(kept: Load, goal: int) -> None:
    """Return when so many requests were answered."""
    wait_until(lambda: kept.total >= goal, timeout=60, what="the load goes on")


def rounds_of(
    one: World, count: int, change: Callable[[int], None]
) -> tuple[Load, Visitors, list[float]]:
    """Do something so often under load; return who was there, and how long each one took."""
    visitors = Visitors(one.place)
    took = []
    with load(one.place, rate=60, threads=4) as kept:
        for number in range(count):
            goal = kept.total + 30
            wait_for(kept, goal)
            began = time.monotonic()
            change(number)
            took.append(time.monotonic() - began)
            wait_until(lambda: tunnels(one) == TUNNELS, timeout=60, what="the tunnels are back")
        wait_until(lambda: alone(one), timeout=60, what="the old processes have ended")
    visitors.stop()
    return kept, visitors, took


def report(row: Row, what: str, found: tuple[Load, Visitors, list[float]]) -> None:
    """Add a row of the table."""
    kept, visitors, took = found
    row(
        what,
        kept=kept.total,
        kept_failed=kept.failed,
        sent_again=kept.reconnects,
        others=sum(visitors.done.values()),
        others_failed=len(visitors.failed),
        slowest=f"{kept.slowest:.2f} s",
        each=f"{max(took):.2f} s at most",
    )


def check_all(found: tuple[Load, Visitors, list[float]]) -> None:
    """Nothing has failed, and nobody had to send anything again."""
    kept, visitors, _ = found
    assert not visitors.failed, visitors.failed[:5]
    assert not kept.failures, kept.failures[:5]
    assert set(kept.statuses) == {200}
    assert kept.reconnects == 0
    kinds = ("new connections", "posts", "downloads", "event streams", "WebSockets")
    assert all(visitors.done[kind] for kind in kinds), visitors.done


@pytest.mark.parametrize("rounds", FORMS)
def test_reload(one: World, rounds: int, row: Row) -> None:
    """A setting changes, again and again."""
    file = one.edge.folder / "edge.toml"
    text = file.read_text()

    def change(number: int) -> None:
        limit = f"[limits]\nmax_tunnels = {1000 + number}\n"
        file.write_text(text.replace("[limits]\n", limit, 1))
        assert json.loads(one.edge.command("reload", "--json"))["changed"]

    found = rounds_of(one, rounds, change)
    report(row, f"reload, x{rounds}", found)
    check_all(found)


@pytest.mark.parametrize("rounds", FORMS)
def test_upgrade(code: Path, one: World, rounds: int, row: Row) -> None:
    """A higher version is installed, again and again; every other one cannot be used."""

    def change(number: int) -> None:
        file = code / "_version.py"
        if number % 2:
            file.write_text("raise RuntimeError('broken')\n")
            with pytest.raises(AssertionError, match="RuntimeError: broken"):
                one.edge.command("upgrade")
        else:
            file.write_text(f'__version__ = "9.0.{number}"\n')
            done = json.loads(one.edge.command("upgrade", "--json"))
            assert done["version"] == f"9.0.{number}"
            # It imports this file once more to become that version: nobody may break it before.
            one.edge.running.wait_for(f"the parent goes on as version 9.0.{number}")

    found = rounds_of(one, rounds, change)
    report(row, f"upgrade, every other one broken, x{rounds}", found)
    check_all(found)


@pytest.mark.parametrize("rounds", FORMS)
def test_serving_process_is_killed(one: World, rounds: int, row: Row) -> None:
    """What was in progress ends honestly; everybody else waits, and is served."""
    killed: list[float] = []
    back: list[float] = []

    def change(number: int) -> None:
        # One that dies again within 10 s is replaced later and later; see test_main.
        wait_until(lambda: rounds < 20 or uptime(one) > STABLE_AFTER, timeout=30, what="a rest")
        pid = one.edge.running.pid
        killed.append(time.monotonic())
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: one.edge.running.pid != pid, timeout=60, what="another one")
        wait_until(lambda: tunnels(one) == TUNNELS, timeout=60, what="the tunnels are back")
        back.append(time.monotonic() - killed[-1])

    kept, visitors, took = rounds_of(one, rounds, change)
    report(row, f"SIGKILL of the serving process, x{rounds}", (kept, visitors, took))
    row("  tunnels back", median=f"{sorted(back)[len(back) // 2]:.2f} s", most=f"{max(back):.2f} s")
    begun = [(at, at + seconds, str(status)) for at, seconds, status in kept.log if status != 200]
    for began, ended, what in [*begun, *visitors.failed]:
        assert any(began <= at <= ended for at in killed), what
        assert "refused" not in what
    assert len(begun) + len(visitors.failed) <= 9 * rounds  # one of each visitor, each time


def test_stop_right_after_a_reload(tmp_path: Path) -> None:
    """What is in progress at the old process gets the time that each exchange gets at a stop."""
    with world(tmp_path, limits=f"drain_timeout = {DRAIN}") as one:
        one.app()
        connection = one.place.connect()
        path = "/events?count=40&every=0.05"
        connection.request("GET", path, headers={"Host": one.place.hostname})
        answer = connection.getresponse()
        first = answer.readline()
        file = one.edge.folder / "edge.toml"
        limit = "[limits]\nmax_tunnels = 9\n"
        file.write_text(file.read_text().replace("[limits]\n", limit, 1))
        one.edge.command("reload")
        one.edge.stop()
        lines = [first, *answer.read().splitlines()]
        connection.close()
        assert sum(each.startswith(b"data: ") for each in lines) == 40


@LONG
def test_reload_between_handshakes(tmp_path: Path, row: Row) -> None:
    """Over TLS each new connection is served, by the old process or by the new one."""
    done: Counter[str] = Counter()
    failed: list[str] = []
    is_over = threading.Event()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def come(port: int) -> None:
        while not is_over.wait(0.01):
            try:
                connection = http.client.HTTPSConnection(
                    "127.0.0.1", port, timeout=30, context=context
                )
                connection.request("GET", HEALTH_PATH)
                done[str(connection.getresponse().status)] += 1
                connection.close()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
                failed.append(repr(error))

    with running_edge(tmp_path, tls="internal") as edge:
        threads = [threading.Thread(target=come, args=(edge.port,)) for _ in range(4)]
        for one in threads:
            one.start()
        file = edge.folder / "edge.toml"
        text = file.read_text()
        for number in range(3):
            limit = f"[limits]\nmax_tunnels = {1000 + number}\n"
            file.write_text(text.replace("[limits]\n", limit, 1))
            edge.command("reload")
        is_over.set()
        for one in threads:
            one.join()
    row("reload between TLS handshakes, x3", handshakes=done["200"], failed=len(failed))
    assert not failed, failed[:5]
    assert set(done) == {"200"}
