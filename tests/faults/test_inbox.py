"""Webhooks while the app and the edge are killed: none is lost, and each route keeps its order.

``make faults ARGS="-k inbox"`` for the long form.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.e2e.harness import Edge, Process, running_app, running_edge, wait_until

from .conftest import Row
from .inbox_app import sign
from .world import HOSTNAME, NAME, ROOT

pytestmark = pytest.mark.e2e

LONG = [pytest.mark.faults_long, pytest.mark.timeout(600)]
ROUTES = 4
APP = "tests.faults.inbox_app:app"


class Sender:
    """Sends the webhooks of one route, each until it is acknowledged, and only then the next.

    Attributes:
        statuses: What it was told.
        failures: Connections that ended without a response.
    """

    def __init__(self, route: int, edge: Edge, senders: Senders) -> None:
        self.path = f"/hooks/{route}"
        self.statuses: Counter[int] = Counter()
        self.failures = 0
        self._port = edge.port
        self._senders = senders
        self._connection: http.client.HTTPConnection | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        for number in range(self._senders.each):
            self._senders.wait_turn()
            if number % 100 >= 50:
                time.sleep(0.02)  # the route is empty by then, and the request is passed on
            while not self._send(number):
                time.sleep(0.05)
            self._senders.count()
        self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _send(self, number: int) -> bool:
        """Send one; return whether it was acknowledged."""
        body = json.dumps({"number": number, "text": "\u20ac " * (number % 50)}).encode()
        fields = {
            "host": HOSTNAME,
            "webhook-id": f"{self.path}-{number}",
            # What is sent again has to be the same: a time that the number says.
            "stripe-signature": sign(body, 1_700_000_000 + number),
            "content-type": "application/json",
        }
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            self._connection.request("POST", self.path, body, fields)
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self.failures += 1
            self._close()
            return False
        self.statuses[response.status] += 1
        return 200 <= response.status < 300


class Senders:
    """Those of all routes; they go on as the faults do, so that these are among all of it.

    Attributes:
        each: Webhooks of one route.
        done: Acknowledged so far, of all.
        step: How many are between two faults.
    """

    def __init__(self, edge: Edge, count: int, faults: int) -> None:
        self.each = count // ROUTES
        self.done = 0
        self.step = self.each * ROUTES / (faults + 1)
        self._allowed = self.step
        self._lock = threading.Condition()
        self.all = [Sender(route, edge, self) for route in range(ROUTES)]

    def wait_turn(self) -> None:
        """Return when one more may be sent."""
        with self._lock:
            self._lock.wait_for(lambda: self.done < self._allowed)

    def count(self) -> None:
        """One more was acknowledged."""
        with self._lock:
            self.done += 1

    def wait_for(self, goal: float) -> None:
        """Return when so many are acknowledged."""
        wait_until(lambda: self.done >= goal, timeout=60, what="the senders go on")

    def let_on(self) -> None:
        """A fault is over."""
        with self._lock:
            self._allowed += self.step
            self._lock.notify_all()

    def finish(self) -> None:
        """Return when all is acknowledged."""
        with self._lock:
            self._allowed = float("inf")
            self._lock.notify_all()
        for one in self.all:
            one.thread.join(120)
            assert not one.thread.is_alive(), self.done


def notes(file: Path) -> list[dict[str, object]]:
    """What the app has noted; the last line may be cut by its end."""
    lines = file.read_text().split("\n") if file.exists() else []
    return [json.loads(one) for one in lines if one.endswith("}")]


def kill(edge: Edge) -> None:
    """End both processes of an edge without a word, and start it again."""
    serving = edge.running.pid
    edge.running.popen.kill()
    os.kill(serving, signal.SIGKILL)
    edge.running.popen.wait()
    edge.start()


def reload(edge: Edge, number: int) -> None:
    """Let another process serve in the place of an edge's."""
    file = edge.folder / "edge.toml"
    text = re.sub("max_tunnels = .*\n", "", file.read_text())
    file.write_text(text.replace("[limits]\n", f"[limits]\nmax_tunnels = {1000 + number}\n", 1))
    assert json.loads(edge.command("reload", "--json"))["changed"]


@pytest.mark.parametrize(
    ("count", "app_kills", "edge_kills", "reloads"),
    [
        pytest.param(200, 2, 1, 1, marks=pytest.mark.timeout(180)),
        pytest.param(10_000, 50, 10, 10, marks=LONG),
    ],
)
def test_nothing_is_lost(
    tmp_path: Path, count: int, app_kills: int, edge_kills: int, reloads: int, row: Row
) -> None:
    """Each webhook that was acknowledged reaches the app, in order, and doubles have one id."""
    dice = random.Random(count)
    file = tmp_path / "notes"
    rules = [word for route in range(ROUTES) for word in ("--inbox", f"POST /hooks/{route}")]
    with running_edge(tmp_path) as edge, ExitStack() as stack:
        token = edge.create_token(NAME)

        def start_app() -> Process:
            env = {"NOTES": str(file)}
            return stack.enter_context(
                running_app(tmp_path, token, APP, *rules, app_dir=ROOT, env=env)
            )

        app = start_app()
        faults = ["app"] * app_kills + ["edge"] * edge_kills + ["reload"] * reloads
        dice.shuffle(faults)
        senders = Senders(edge, count, len(faults))
        for number, fault in enumerate(faults):
            goal = (number + dice.uniform(0, 0.6)) * senders.step
            senders.wait_for(goal)
            if fault == "edge":
                kill(edge)
            elif fault == "reload":
                reload(edge, number)
            else:
                app.kill()
                if dice.random() < 0.3:  # and it is away for some time
                    senders.wait_for(goal + senders.step / 3)
                app = start_app()
            senders.let_on()
        senders.finish()
        numbers = {(one.path, number) for one in senders.all for number in range(senders.each)}
        wait_until(
            lambda: {(one["path"], one["number"]) for one in notes(file)} >= numbers,
            timeout=60,
            what="all have reached the app",
        )
        wait_until(
            lambda: json.loads(edge.command("inbox", "list", "--json")) == [],
            what="nothing is left in the inbox",
        )
    found = notes(file)
    assert all(one["is_good"] for one in found)
    ids: dict[tuple[object, object], object] = {}
    order: dict[object, list[object]] = {}
    for one in found:
        key = (one["path"], one["number"])
        if key not in ids:
            order.setdefault(one["path"], []).append(one["number"])
        assert ids.setdefault(key, one["id"]) == one["id"]
    assert len(set(ids.values())) == len(ids) == count
    for numbers_of_route in order.values():
        assert numbers_of_route == list(range(senders.each))
    statuses: Counter[int] = Counter()
    for sender in senders.all:
        statuses.update(sender.statuses)
    assert set(statuses) <= {200, 202, 503}, statuses
    row(
        f"{count} webhooks, app killed x{app_kills}, edge killed x{edge_kills}, "
        f"reloaded x{reloads}",
        lost=0,
        out_of_order=0,
        doubles=len(found) - count,
        passed_on=statuses[200],
        stored=statuses[202],
        refused=statuses[503],
        sent_again=sum(one.failures for one in senders.all),
    )
