"""A POST is executed once or not at all, whatever happens to the tunnel and to the app."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Row
from .visitors import Place
from .world import World, world

pytestmark = pytest.mark.e2e

LONG = [pytest.mark.faults_long, pytest.mark.timeout(400)]
VISITORS = 16


@pytest.fixture
def one(tmp_path: Path) -> Iterator[World]:
    """An edge that gives lost streams up soon, and a line to it."""
    with world(tmp_path, limits="resume_window = 2.0") as one:
        yield one


class Posts:
    """Visitors that send POSTs with names of their own, each once.

    Attributes:
        statuses: What each was answered; 0 for a connection that ended without a response.
    """

    def __init__(self, place: Place, count: int) -> None:
        self.place = place
        self.statuses: dict[str, int] = {}
        self.answers: dict[str, bytes] = {}
        self._left = iter(range(count))
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(VISITORS)]
        for one in self._threads:
            one.start()

    @property
    def is_running(self) -> bool:
        """Whether some are not answered."""
        return any(one.is_alive() for one in self._threads)

    def _run(self) -> None:
        while True:
            with self._lock:
                number = next(self._left, None)
            if number is None:
                return
            name = f"post-{number}"
            try:
                status, body = self.place.post(f"/count?id={name}&wait=0.02")
            except Exception:  # noqa: BLE001 - no response, which the test counts
                status, body = 0, b""
            self.statuses[name], self.answers[name] = status, body


@pytest.mark.parametrize(("count", "kills"), [(1000, 20), pytest.param(10_000, 200, marks=LONG)])
def test_cut_connections(one: World, count: int, kills: int, row: Row) -> None:
    """POSTs while connections are cut: none runs twice, lost ones get 502, unstarted ones 503."""
    one.app()
    posts = Posts(one.place, count)
    dice = random.Random(count)
    done = 0
    while posts.is_running:
        time.sleep(dice.uniform(0.005, 0.02))
        if done < kills and len(posts.statuses) >= done * count // kills:
            done += 1
            if done % 10:
                one.proxy.cut(dice.randrange(2))
            else:  # and for longer than the resume window: streams are lost for good
                one.proxy.refuse()
                one.proxy.cut()
                time.sleep(2.5)
                one.proxy.accept_again()
    assert done == kills
    counted = one.place.json("/counted")
    statuses = Counter(posts.statuses.values())
    assert max(counted.values()) == 1
    assert set(statuses) <= {200, 502, 503}, statuses
    for name, status in posts.statuses.items():
        assert status != 200 or posts.answers[name] == b"1"
        assert status != 503 or name not in counted
    row(
        f"{count} POSTs, {kills} connection kills",
        executed_twice=0,
        answered_200=statuses[200],
        answered_502=statuses[502],
        answered_503=statuses[503],
        executed_of_502=sum(
            name in counted for name, status in posts.statuses.items() if status == 502
        ),
    )
