"""A real edge and a real Prometheus: what an operator has on the first day."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.e2e.harness import Edge, Process, running_app, running_edge, spawn, wait_until

pytestmark = pytest.mark.e2e

DEPLOY = Path(__file__).parents[2] / "deploy/monitoring"
APP = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        status = 502 if scope["path"] == "/broken" else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})
"""


def promtool(tools: Path, *arguments: object, given: str | None = None) -> str:
    """Run it, and return what it said; it has to be content."""
    done = subprocess.run(
        [tools / "promtool", *map(str, arguments)],
        input=given,
        cwd=DEPLOY,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def test_the_rules(tools: Path) -> None:
    """They can be loaded, and each one fires when it should, and not when all is well."""
    said = promtool(tools, "check", "rules", "alerts.yml")
    names = set(re.findall(r"- alert: (\w+)", (DEPLOY / "alerts.yml").read_text()))
    assert f"{len(names)} rules found" in said
    promtool(tools, "check", "config", "prometheus.yml")
    promtool(tools, "test", "rules", "alerts.test.yml")
    tested = (DEPLOY / "alerts.test.yml").read_text()
    assert {name for name in names if name not in tested} == set()


@dataclass
class World:
    """An edge with an app, and a Prometheus that scrapes it each half second."""

    edge: Edge
    prometheus: Process
    url: str
    target: str

    def query(self, text: str) -> list[Any]:
        """The result of an instant query: ``[{"metric", "value"}]``."""
        url = f"{self.url}/api/v1/query?{urlencode({'query': text})}"
        with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - http
            answer = json.load(response)
        assert answer["status"] == "success"
        found: list[Any] = answer["data"]["result"]
        return found

    def number(self, text: str) -> float:
        """The one value of a query; -1 where there is none yet."""
        found = self.query(text)
        return float(found[0]["value"][1]) if found else -1.0

    def visit(self, path: str = "/") -> int:
        """Ask as a visitor."""
        connection = http.client.HTTPConnection("127.0.0.1", self.edge.port, timeout=20)
        try:
            connection.request("GET", path, headers={"Host": "shop.example.test"})
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()


@pytest.fixture(scope="module")
def world(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """See :class:`World`."""
    folder = tmp_path_factory.mktemp("monitoring")
    (folder / "web.py").write_text(APP)
    with running_edge(folder, metrics='listen = "127.0.0.1:0"') as edge:
        target = json.loads(edge.command("status", "--json"))["addresses"][-1]
        token = edge.create_token("shop")
        with (
            running_app(folder, token, "web:app"),
            running_prometheus(tools, folder, target) as (prometheus, url),
        ):
            yield World(edge, prometheus, url, target)


@contextmanager
def running_prometheus(tools: Path, folder: Path, target: str) -> Iterator[tuple[Process, str]]:
    """One with the files as an operator has them, but for the target, and in more of a hurry."""
    text = (DEPLOY / "prometheus.yml").read_text().replace("127.0.0.1:9180", target)
    text = text.replace("15s", "500ms").replace("alerts.yml", str(DEPLOY / "alerts.yml"))
    (folder / "prometheus.yml").write_text(text)
    process = spawn(
        [
            str(tools / "prometheus"),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            "--web.listen-address=127.0.0.1:0",
        ],
        folder,
        env={"GOMAXPROCS": "1"},
    )
    try:
        process.wait_for("Server is ready to receive web requests")
        address = process.find(r'msg="Listening on" address=(\S+)')
        yield process, f"http://{address}"
    finally:
        process.stop()


def test_check_metrics(tools: Path, world: World) -> None:
    """Nothing is wrong, says promtool, with names, units and help of the real output."""
    assert promtool(tools, "check", "metrics", given=world.edge.command("metrics")) == ""


def test_what_visitors_did(world: World) -> None:
    """A Prometheus knows it by its own queries, and the alerts' expressions can be asked."""
    assert [world.visit() for _ in range(7)] == [200] * 7
    assert [world.visit("/broken") for _ in range(2)] == [502] * 2
    asked = 'asgi_tunnel_edge_requests_total{hostname="shop.example.test", code="%s"}'
    wait_until(lambda: world.number(asked % 200) == 7, what="the visits are seen")
    assert world.number('up{job="asgi-tunnel-edge"}') == 1
    assert world.number(asked % 502) == 2
    assert world.number('asgi_tunnel_edge_hostname_tunnels{hostname="shop.example.test"}') >= 1
    count = 'asgi_tunnel_edge_request_duration_seconds_count{hostname="shop.example.test"}'
    assert world.number(count) == 9
    with urllib.request.urlopen(f"{world.url}/api/v1/rules", timeout=10) as response:  # noqa: S310
        (group,) = json.load(response)["data"]["groups"]
    wait_until(lambda: all(one["health"] == "ok" for one in _rules(world)), what="they are asked")
    assert not [one["name"] for one in group["rules"] if one.get("state") == "firing"]


def _rules(world: World) -> list[Any]:
    with urllib.request.urlopen(f"{world.url}/api/v1/rules", timeout=10) as response:  # noqa: S310
        (group,) = json.load(response)["data"]["groups"]
    rules: list[Any] = group["rules"]
    return rules


def test_the_dashboard_asks_what_prometheus_understands(world: World) -> None:
    """Each expression of each panel, with the variables as Grafana puts them in."""
    board = json.loads((DEPLOY / "grafana.json").read_text())
    for panel in board["panels"]:
        for one in panel.get("targets", []):
            expression = one["expr"].replace("$__rate_interval", "1m")
            expression = re.sub(r"\$(instance|hostname)", ".*", expression)
            world.query(expression)


def test_a_reload_is_a_reset(world: World) -> None:
    """Another process counts from nothing; what a Prometheus has is not lost by it."""
    wait_until(lambda: world.visit() == 200, what="the app is there")
    start = time.time()
    generation = world.number("asgi_tunnel_edge_generation")
    file = world.edge.folder / "edge.toml"
    file.write_text(file.read_text().replace("[limits]\n", "[limits]\nmax_tunnels = 99\n", 1))
    assert json.loads(world.edge.command("reload", "--json"))["ok"]
    wait_until(
        lambda: world.number("asgi_tunnel_edge_generation") == generation + 1,
        what="the next one is scraped",
    )
    assert world.visit() == 200
    resets = f"resets(asgi_tunnel_edge_tunnels_opened_total[{int(time.time() - start) + 5}s])"
    wait_until(lambda: world.number(resets) >= 0, what="the counters are seen again")
    assert world.number('up{job="asgi-tunnel-edge"}') == 1
