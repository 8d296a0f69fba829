"""The address of the metrics: what is served there, what is not, and where else it is not."""

from __future__ import annotations

import http.client
import json
import logging
import socket
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse
from tests.commands.worlds import world

from asgi_tunnel_edge.endpoints.health import READY_PATH
from asgi_tunnel_edge.metrics.families import FAMILIES
from asgi_tunnel_edge.metrics.listener import LIMITS, warn_if_public
from asgi_tunnel_edge.observers.request_counter import RequestCounter
from asgi_tunnel_edge.settings.config import MetricsConfig

from .conftest import SHOP, Served


def test_a_scrape(served: Served) -> None:
    """All metrics as text, or as OpenMetrics for who asks for it."""
    status, content_type, text = served.scrape()
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    names = {one.name + "_total" * (one.type == "counter") for one in parse(text)}
    assert names == set(FAMILIES)
    accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5"
    status, content_type, text = served.scrape(Accept=accept)
    assert (status, content_type.partition(";")[0]) == (200, "application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_the_other_pages(served: Served) -> None:
    """Health and readiness, with reasons; nothing else is there, and nothing is changed there."""
    assert served.scrape("/health")[::2] == (200, '{"status": "ok"}\n')
    assert served.scrape("/ready")[::2] == (200, '{"status": "ready", "reasons": []}\n')
    served.world.edge.context.is_overloaded = True
    try:
        # The edge's timer takes the switch back in a moment: there is memory.
        status, _, body = served.scrape("/ready")
        if status == 503:
            assert json.loads(body) == {"status": "not ready", "reasons": ["overloaded"]}
    finally:
        served.world.edge.context.is_overloaded = False
    assert served.scrape("/")[0] == 404
    assert served.scrape("/metrics/x")[0] == 404
    assert served.scrape("/metrics", "POST")[0] == 405
    assert served.scrape("/metrics", Host=SHOP)[0] == 200  # an address has no hostnames


def test_visitors_do_not_find_it(served: Served) -> None:
    """On the port of visitors these paths are an app's, or nobody's; readiness says no reasons."""
    for path in ("/metrics", "/health", "/ready"):
        assert served.visit("example.test", path) == 404
    before = served.number("requests_total", SHOP, "500")
    assert served.visit(SHOP, "/500") == 500
    assert served.number("requests_total", SHOP, "500") == before + 1
    assert served.visit("anything.example.org", READY_PATH) == 200


def test_scrapes_are_not_counted(served: Served) -> None:
    """Neither as requests nor in the access log."""
    before = served.number("requests_total", "other", "200")
    opened = served.number("visitor_connections_opened_total")
    served.scrape()
    assert served.number("requests_total", "other", "200") == before
    assert served.number("visitor_connections_opened_total") == opened
    log = served.world.edge.config.access_log_path
    assert log is not None
    assert "/metrics " not in log.read_text().replace("example.test GET /metrics", "")


def test_its_bounds(served: Served) -> None:
    """A large head, and more connections than there may be: who is idle gives way."""
    assert served.scrape(**{"X-Large": "x" * LIMITS.max_head_bytes})[0] == 431
    address = served.world.edge.metrics_address
    assert address is not None
    idle = [socket.create_connection(("127.0.0.1", address.port)) for _ in range(100)]
    try:
        assert served.scrape("/health")[0] == 200
    finally:
        for sock in idle:
            sock.close()


def test_a_stop(tmp_path: Path) -> None:
    """While an edge drains it can be scraped, and says so; then nobody listens."""
    metrics = MetricsConfig(listen="127.0.0.1:0")
    with world(tmp_path / "edge", tls=False, metrics=metrics) as one:
        address = one.edge.metrics_address
        assert address is not None
        connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=20)
        one.edge.context.is_stopping = True
        connection.request("GET", "/ready")
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["reasons"]) == (503, ["draining"])
        connection.request("GET", "/health")
        response = connection.getresponse()
        response.read()
        assert response.status == 200
        connection.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", address.port))


def test_off_by_default(tmp_path: Path) -> None:
    """Nothing listens, and requests are not counted."""
    with world(tmp_path / "edge", tls=False) as one:
        assert one.edge.metrics_address is None
        assert one.edge.instruments.counter is None
        observers = one.edge.context.observers
        assert not any(isinstance(observer, RequestCounter) for observer in observers)


@pytest.mark.parametrize(
    ("host", "is_said"),
    [
        ("127.0.0.1", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),
        ("10.0.0.7", True),
        ("edge.internal", True),
    ],
)
def test_who_may_read_it(host: str, is_said: bool, caplog: pytest.LogCaptureFixture) -> None:
    """An address that others reach is named in the log."""
    with caplog.at_level(logging.WARNING, "asgi_tunnel_edge.metrics"):
        warn_if_public(host)
    assert (host in caplog.text) is is_said
