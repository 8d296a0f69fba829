"""Everything at once, with a random fault every few seconds: no wrong answer, nothing grows."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.harness import Process, wait_until
from websockets.exceptions import ConnectionClosed

from .conftest import Row
from .proxy import Way
from .visitors import Place, download, echo_some, events, expected_digest, upload
from .world import World, descriptors, world

pytestmark = pytest.mark.e2e

SECONDS = float(os.environ.get("SECONDS", "120"))
"""Of the long form: `SECONDS=1800 make faults ARGS="-k mixed"` is the half hour."""

PIECES = 48  # 3 MiB: long enough to be met by a fault
MIB = 1024 * 1024
LONG = [pytest.mark.faults_long, pytest.mark.timeout(SECONDS + 120)]


@pytest.fixture
def one(tmp_path: Path) -> Iterator[World]:
    """An edge and a line to it; longer than any cut, the sessions of killed apps stay 12 s."""
    with world(tmp_path, limits="resume_window = 12.0") as one:
        yield one


class Mixed:
    """Visitors of every kind, each checking what it gets.

    A response is wrong when it is complete and not what the app sent; an honest failure is not.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.right: Counter[str] = Counter()
        self.honest: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._is_over = threading.Event()
        self._digest = expected_digest(PIECES)
        numbers = list(range(100))
        kinds: dict[str, tuple[Callable[[], object], object]] = {
            "get": (lambda: place.get("/hello"), (200, b"hello")),
            "download": (lambda: download(place, PIECES), self._digest),
            "upload": (lambda: upload(place, PIECES), self._digest),
            "events": (lambda: events(place, 100, 0.01), numbers),
            "echo": (lambda: echo_some(place, 100), 100),
        }
        self._threads = [
            threading.Thread(target=self._run, args=(kind, *work), daemon=True)
            for kind, work in kinds.items()
            for _ in range(3 if kind == "get" else 1)
        ]
        for one in self._threads:
            one.start()

    def stop(self) -> None:
        """Finish what is in progress."""
        self._is_over.set()
        for one in self._threads:
            one.join(90)
        assert not any(one.is_alive() for one in self._threads), "a visitor hangs"

    def _run(self, kind: str, work: Callable[[], object], expected: object) -> None:
        while not self._is_over.is_set():
            try:
                found = work()
            except ConnectionClosed as error:
                if error.rcvd is None:
                    self.wrong.append(f"{kind}: a bare 1006, {error}")
                else:
                    self.honest[f"{kind} {error.rcvd.code}"] += 1
                continue
            except Exception as error:  # noqa: BLE001 - not complete: honest, and counted
                self.honest[f"{kind} {type(error).__name__}"] += 1
                time.sleep(0.05)
                continue
            if found == expected:
                self.right[kind] += 1
            elif kind == "get" and isinstance(found, tuple) and found[0] in (502, 503):
                self.honest[f"get {found[0]}"] += 1
            elif kind == "events" and found == list(range(len(found))):  # type: ignore[arg-type]
                self.honest["events ended"] += 1  # the app was stopped: a clean end, no gap
            else:
                self.wrong.append(f"{kind}: {str(found)[:200]}")
            self._is_over.wait(0.02)


def faults(one: World, apps: list[Process], dice: random.Random) -> list[Callable[[], None]]:
    """The faults to choose from."""

    def black_hole() -> None:
        one.proxy.black_hole()
        time.sleep(dice.uniform(0.5, 3))
        one.proxy.restore()

    def half_open() -> None:
        one.proxy.drop(dice.choice(list(Way)))
        time.sleep(dice.uniform(0.1, 1))
        one.proxy.restore()

    def refuse() -> None:
        one.proxy.refuse()
        one.proxy.cut()
        time.sleep(dice.uniform(0.1, 2))
        one.proxy.accept_again()

    def slow() -> None:
        one.proxy.delay = 0.05
        time.sleep(1)
        one.proxy.delay = 0.0

    def freeze() -> None:
        app = dice.choice(apps)
        app.popen.send_signal(signal.SIGSTOP)
        time.sleep(dice.uniform(0.2, 1.5))
        app.popen.send_signal(signal.SIGCONT)

    def kill() -> None:
        apps.pop(0).kill()
        apps.append(one.app())

    def stop() -> None:
        assert apps.pop(0).stop() == 0
        apps.append(one.app())

    return [one.proxy.cut, black_hole, half_open, refuse, slow, freeze, kill, stop]


@pytest.mark.parametrize(
    ("seconds", "every"),
    [
        pytest.param(16.0, 2.0, id="short", marks=pytest.mark.faults_long),
        pytest.param(SECONDS, 5.0, id="long", marks=LONG),
    ],
)
def test_mixed_load(one: World, seconds: float, every: float, row: Row) -> None:
    """Random faults under mixed load: no wrong answer; memory, files and tasks do not grow."""
    apps = [one.app(), one.app()]
    edge = one.edge.running
    one.proxy.rate = 8 * MIB
    dice = random.Random(int(seconds))
    choices = faults(one, apps, dice)
    mixed = Mixed(one.place)
    time.sleep(2)  # the warm-up is part of the load
    before = descriptors(edge.pid)
    app_before = max(descriptors(app.pid) for app in apps)
    warm = app_warm = 0
    counted: Counter[str] = Counter()
    began = time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        fault = dice.choice(choices)
        counted[fault.__name__] += 1
        fault()
        if not warm and now > began + seconds / 4:
            warm, app_warm = edge.rss(), max(app.rss() for app in apps)
        time.sleep(max(now + every - time.monotonic(), 0))
    mixed.stop()
    grown = edge.rss() - warm
    app_grown = max(app.rss() for app in apps) - app_warm
    assert not mixed.wrong, mixed.wrong
    assert "Traceback" not in edge.output, edge.output[-3000:]
    for app in apps:
        assert "Traceback" not in app.output, app.output[-3000:]
    # Two apps with two connections each, and no visitor any more.
    wait_until(
        lambda: descriptors(edge.pid) <= before,
        timeout=45,
        what=f"{descriptors(edge.pid)} descriptors of the edge, {before} before",
    )
    wait_until(
        lambda: max(descriptors(app.pid) for app in apps) <= app_before,
        timeout=45,
        what=f"descriptors of the apps, {app_before} before",
    )
    state = one.place.json("/state")
    assert state["tasks"] <= 8, state
    assert grown < 24 * MIB
    assert app_grown < 24 * MIB
    row(
        f"mixed load, {seconds:g} s, {sum(counted.values())} faults",
        right=sum(mixed.right.values()),
        wrong=0,
        honest_failures=dict(mixed.honest) or 0,
        memory_of_the_edge_grown=f"{grown / MIB:.1f} MiB",
        memory_of_the_apps_grown=f"{app_grown / MIB:.1f} MiB",
        app_tasks=state["tasks"],
    )
