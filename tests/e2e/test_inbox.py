"""Webhooks for an app that is away: real processes, a marked route of FastAPI, real signatures."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path

import pytest

from .apps_inbox import sign
from .harness import Edge, running_app, running_edge, wait_until

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
APP = "tests.e2e.apps_inbox:app"


def send(edge: Edge, body: bytes, signature: str, path: str = "/hooks/pay") -> int:
    """Send a webhook; return its status."""
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=20)
    fields = {"host": "shop.example.test", "stripe-signature": signature}
    connection.request("POST", path, body, fields)
    status = connection.getresponse().status
    connection.close()
    return status


def paid(edge: Edge) -> list[bytes]:
    """The bodies that the app has taken."""
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=20)
    connection.request("GET", "/paid", headers={"host": "shop.example.test"})
    found = json.loads(connection.getresponse().read())
    connection.close()
    return [bytes.fromhex(one["body"]) for one in found]


def test_signatures_verify_later(tmp_path: Path) -> None:
    """On the raw body and with the time at which the edge got it; a wrong one is set aside."""
    body = b'{"b": 1,  "a":\t"\xc3\xbc", "c": [\r\n]}'
    now = int(time.time())
    with running_edge(tmp_path) as edge:
        token = edge.create_token("shop")
        with running_app(tmp_path, token, APP, app_dir=ROOT):
            assert send(edge, body, sign(body, now)) == 200
            assert send(edge, body + b" ", sign(body, now)) == 400  # the app's own word
            assert send(edge, body, sign(body, now - 1000)) == 400
        assert send(edge, body, sign(body, now)) == 202
        assert send(edge, b"second", sign(b"second", now), "/hooks/other") == 202
        assert send(edge, b"forged", sign(b"?", now)) == 202
        rows = json.loads(edge.command("inbox", "list", "--json"))
        assert {(one["rule"], one["state"]) for one in rows} == {("POST /hooks/*", "waiting")}
        with running_app(tmp_path, token, APP, app_dir=ROOT):
            wait_until(
                lambda: (
                    [
                        (one["state"], one["outcome"])
                        for one in json.loads(edge.command("inbox", "list", "--json"))
                    ]
                    == [("failed", "the app's status was 400")]
                ),
                what="all were delivered",
            )
            assert paid(edge) == [body, b"second"]
        edge.running.wait_for("marks: POST /hooks/*")
