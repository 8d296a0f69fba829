"""Replies of a running edge: what visitors and programs can tell by them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from asgi_tunnel_edge.endpoints.health import HEALTH_PATH
from asgi_tunnel_edge.maintenance import MaintenanceRecord
from asgi_tunnel_edge.settings.config import GuardsConfig
from asgi_tunnel_edge.settings.pages import PagesConfig

from .world import AWAY, HELLO, SHOP, world

REASON = "x-asgi-tunnel-reason"
WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
HTML = "Accept: text/html"


async def test_a_reply_of_the_edge_has_a_reason(tmp_path: Path) -> None:
    """And a response of the app has none, whatever the app says."""
    guards = GuardsConfig(origins=("https://a.test",), exempt=())
    pages = PagesConfig(name="Example Hosting")
    async with world(tmp_path, pages=pages, guards=guards) as one:
        for expected, words in {
            (200, None): (SHOP,),
            (503, None): (SHOP, "/503"),
            (200, "none"): (SHOP, "/close"),
            (503, "offline"): (AWAY, "/", HTML),
            (404, "unknown-hostname"): ("x.localhost", "/", HTML),
            (404, "probe"): (SHOP, "/.env"),
            (413, "body-too-large"): (SHOP, "/", "Content-Length: 2000"),
            (400, "bad-request"): (SHOP, "/", "Content-Length: x"),
            (414, "address-too-long"): (SHOP, "/" + "x" * 40_000),
            (431, "head-too-large"): (SHOP, "/", f"X: {'x' * 70_000}"),
            (417, "expectation-failed"): (SHOP, "/", "Expect: more"),
            (403, "origin-refused"): (SHOP, "/", *WEBSOCKET),
            (101, None): (SHOP, "/", *WEBSOCKET, "Origin: https://a.test"),
        }.items():
            status, headers, body = await one.ask(*words)
            reason = None if expected[1] == "none" else expected[1]
            assert (status, headers.get(REASON)) == (expected[0], reason), words
            assert ("content-security-policy" in headers) == (HTML in words)
            if HTML in words:
                assert "<span>Example Hosting</span>" in body
                assert headers["referrer-policy"] == "no-referrer"
                assert headers["cache-control"] == "no-store"
        status, headers, _ = await one.ask(method="TRACE")
        assert (status, headers[REASON]) == (405, "method-refused")
        _, headers, _ = await one.ask(AWAY)
        assert REASON in headers["access-control-expose-headers"]


async def test_nothing_of_the_request_is_repeated(tmp_path: Path) -> None:
    """Neither in a page nor in JSON nor as text; the head of HEAD is that of GET."""
    async with world(tmp_path, has_app=False) as one:
        for accept in ("text/html", "application/json", "*/*"):
            fields = (f"Accept: {accept}", "X-Secret: <secret>", "Cookie: secret=1")
            for host, status in ((AWAY, 503), ("secret.localhost", 404)):
                got, headers, body = await one.ask(host, "/<secret>?secret", *fields)
                assert got == status
                assert "secret" not in f"{headers}{body}"
                _, head, nothing = await one.ask(host, "/<secret>?secret", *fields, method="HEAD")
                assert nothing == ""
                for each in (head, headers):
                    each.pop("x-request-id", None)
                    each.pop("date")
                assert head == headers
        _, headers, body = await one.ask(AWAY, "/", "Accept: application/json")
        value = json.loads(body)
        assert (value["reason"], value["request_id"]) == ("offline", headers["x-request-id"])
        assert headers["retry-after"] == "5"
        _, _, page = await one.ask(AWAY, "/", HTML, "Content-Length: 0", method="POST")
        assert "What you sent did not arrive." in page
        assert "<script>" not in page


async def test_a_hostname_is_closed_and_opened_while_the_app_is_there(tmp_path: Path) -> None:
    """Within a second; what has begun goes on, health stays, and who does the work is let in."""
    async with world(tmp_path) as one:
        waiting = asyncio.create_task(one.ask(SHOP, "/wait"))
        await asyncio.wait_for(one.is_waiting.wait(), 15)
        record = MaintenanceRecord(hostname=SHOP, since=1, message="New disks.")
        one.store.begin_maintenance([record])
        await one.until(503)
        status, headers, body = await one.ask(SHOP, "/", HTML)
        assert (status, headers[REASON], headers["retry-after"]) == (503, "maintenance", "120")
        assert "New disks." in body
        assert (await one.ask(SHOP, "/", *WEBSOCKET))[0] == 503
        assert (await one.ask(SHOP, HEALTH_PATH))[0] == 200
        assert (await one.ask(AWAY))[1][REASON] == "offline"
        one.may_go_on.set()
        status, _, body = await waiting
        assert (status, body) == (200, HELLO)
        one.store.begin_maintenance(
            [MaintenanceRecord(hostname=SHOP, since=1, allow=("127.0.0.0/8",))]
        )
        await one.until(200)
        one.store.begin_maintenance([record])
        await one.until(503)
        one.store.end_maintenance([SHOP])
        await one.until(200)


@pytest.mark.parametrize("hides", [False, True])
async def test_an_offline_app_can_be_closed_too(tmp_path: Path, hides: bool) -> None:
    """At once; with ``hide_offline`` it stays as unknown as before."""
    guards = GuardsConfig(hide_offline=hides)
    async with world(tmp_path, guards=guards, has_app=False) as one:
        one.store.begin_maintenance([MaintenanceRecord(hostname=AWAY, since=1, message="x")])
        await one.apply_store()
        _, closed, _ = await one.ask(AWAY)
        assert closed[REASON] == ("offline" if hides else "maintenance")
        _, unknown, _ = await one.ask("x.localhost")
        if hides:
            for each in (closed, unknown):
                each.pop("x-request-id")
                each.pop("date")
            assert closed == unknown
