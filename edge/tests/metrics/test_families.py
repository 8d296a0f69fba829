"""The table of metrics beside what names them: the page, the dashboard, the rules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from asgi_tunnel_edge.metrics.families import FAMILIES, PREFIX, Values, add, merge

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "edge/deploy/monitoring"
PROMETHEUS_ADDS = {"instance", "job", "le"}


def names_of(text: str) -> set[str]:
    """The metrics that a text names."""
    found = set(re.findall(rf"\b(?:{PREFIX}|process_)[a-z_]+", text))
    return {re.sub("_(bucket|count|sum)$", "", name) for name in found}


def test_the_page_has_each_metric() -> None:
    """With its kind and its labels, in the same order."""
    text = (ROOT / "docs/reference/metrics.md").read_text()
    rows = re.findall(r"^\| `((?:asgi|process)_\w+)` \| (\w+) \|([^|]*)\| ", text, re.MULTILINE)
    assert [(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows] == [
        (one.name, one.kind, one.labels) for one in FAMILIES.values()
    ]


@pytest.mark.parametrize("name", ["alerts.yml", "alerts.test.yml", "grafana.json"])
def test_files_name_metrics_that_exist(name: str) -> None:
    """And labels that these have."""
    text = (MONITORING / name).read_text().replace("\\", "")
    assert names_of(text) <= set(FAMILIES)
    for series, selector in re.findall(r"\b([a-z_]+)\{([^{}]*)\}", text):
        metric = re.sub("_(bucket|count|sum)$", "", series)
        if metric in FAMILIES:
            labels = set(re.findall(r"(\w+) ?=", selector))
            assert labels <= {*FAMILIES[metric].labels, *PROMETHEUS_ADDS}, (metric, selector)


def test_the_dashboard() -> None:
    """It is JSON that Grafana imports: a panel for each kind of number, none twice in a place."""
    board = json.loads((MONITORING / "grafana.json").read_text())
    panels = board["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    places = [(one["gridPos"]["x"], one["gridPos"]["y"]) for one in panels]
    assert len(set(places)) == len(places)
    shown = names_of(json.dumps(board))
    assert set(FAMILIES) - shown == set()


def of(requests: int, buffered: int, ready: int, lag: list[float]) -> Values:
    """The numbers of one process."""
    values: Values = {}
    add(values, "requests_total", requests, "a.test", "200")
    add(values, "buffered_bytes", buffered)
    add(values, "ready", ready)
    add(values, "build_info", 1, "1.0", "3.11")
    add(values, "event_loop_lag_seconds", lag)
    return values


def test_several_processes_are_one() -> None:
    """Counters, sizes and buckets add up; who is not ready decides; also after a way as JSON."""
    one, other = of(3, 100, 1, [1, 0, 0.5]), of(4, 50, 0, [2, 1, 1.5])
    add(other, "requests_total", 1, "b.test", "200")
    together = merge([one, other])
    assert together == {
        f"{PREFIX}requests_total": {("a.test", "200"): 7, ("b.test", "200"): 1},
        f"{PREFIX}buffered_bytes": {(): 150},
        f"{PREFIX}ready": {(): 0},
        f"{PREFIX}build_info": {("1.0", "3.11"): 1},
        f"{PREFIX}event_loop_lag_seconds": {(): [3, 1, 2.0]},
    }
    assert merge([_sent(one), _sent(other)]) == together


def _sent(values: Values) -> Values:
    listed = {name: [[*key, value] for key, value in of.items()] for name, of in values.items()}
    received: dict[str, Any] = json.loads(json.dumps(listed))
    return {
        name: {tuple(key): value for *key, value in samples} for name, samples in received.items()
    }
