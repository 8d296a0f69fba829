"""What somebody else has written never becomes a part of a page: it is shown as it stands."""

from __future__ import annotations

import asyncio
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from edge.tests.dashboard.house import SHOP, hello, house

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel_edge.maintenance import MaintenanceRecord
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.acting import acting
from asgi_tunnel_edge.storage.audit import AuditStore

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "</textarea><iframe src=javascript:alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "<a hx-get=/audit hx-trigger=load>",
    "\u2028event: part\u2028data: <b>injected</b>",
    "&lt;b&gt;",
)

_OURS = ("/static/vendor/htmx.min.js", "/static/vendor/htmx-sse.min.js", "/static/dashboard.js")


class _Elements(HTMLParser):
    """Which elements, handlers and addresses a page has."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what none of the templates has."""
        values = dict(attrs)
        source = (values.get("src") or "").partition("?")[0]
        if tag in ("iframe", "object", "embed", "base", "svg", "b"):
            self.wrong.append(tag)
        if tag == "script" and source not in (*_OURS, "/static/vendor/uPlot.iife.min.js"):
            self.wrong.append(f"script {values}")
        if tag == "img" and not source.startswith(("/static/", "/tunnels/")):
            self.wrong.append(f"img {values}")
        for name, value in attrs:
            if name.startswith("on") or name == "style" or (name == "hx-get"):
                self.wrong.append(f"{tag} {name}")
            if (value or "").strip().lower().startswith("javascript:") and name != "value":
                self.wrong.append(f"{tag} {name}={value}")


def check(text: str, where: str) -> None:
    """See that nothing has become markup, and nothing was evaluated."""
    found = _Elements()
    found.feed(text)
    assert found.wrong == [], where
    assert "49{%" not in text, where


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_each_field_is_text(tmp_path: Path, payload: str) -> None:
    """In queries, the software's name, owners, hostnames, notes, the audit log and log lines."""
    async with house(tmp_path, None) as one:
        name = payload[:60]
        with acting(f"user:{payload}"):
            AuditStore(one.path).note(f"test{name}"[:64], payload, f"detail={payload}")
        store = Store(one.path)
        store.begin_maintenance(
            [MaintenanceRecord(hostname=SHOP, since=int(time.time()), message=payload)]
        )
        await one.follow()
        settings = TunnelConfig(token=one.live.token, text=one.live.token.format(), grace=2.0)
        connector = Connector(settings, Origin(hello))
        connector.start()
        await connector.wait_connected()
        for entry in one.edge.directory.entries:  # what another program may say in its HELLO
            entry.agent, entry.address = payload, payload
        quoted = payload.encode().replace(b" ", b"+")
        await one.live.get("/" + "".join(f"%{byte:02x}" for byte in quoted))
        await raw(one.edge.address.port, payload)
        anna = await one.somebody("anna")
        shown = ""
        for path in ("/", "/tunnels", "/tunnels/shop", "/hosts", "/certificates", "/logs"):
            text = (await anna.get(path)).text
            check(text, path)
            shown += text
        for path in ("/tunnels", "/hosts", "/logs", "/audit"):
            response = await anna.client.get(
                path, params={"q": payload, "span": payload}, headers=anna._with({})
            )
            assert response.status_code == 200
            check(response.text, f"{path}?q=")
        for path in ("/audit", f"/?done={quoted.decode('latin-1')}", f"/tunnels/{name}"):
            text = (await anna.get(path)).text
            check(text, path)
        part = await stream(anna, "/live/tunnels/shop")
        check(part, "/live")
        for line in part.split("\n"):
            assert line in ("", "event: part", "retry: 3000") or line.startswith(("data: ", ": "))
        assert "<b>" not in part
        await connector.stop()


async def raw(port: int, payload: str) -> None:
    """Ask with the payload as it stands in the target, which the log repeats."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    target = payload.encode().replace(b" ", b"")
    writer.write(b"GET /" + target + b" HTTP/1.1\r\nHost: " + SHOP.encode() + b"\r\n\r\n")
    async with asyncio.timeout(10):
        await reader.read(1000)
    writer.close()


async def stream(person: Any, path: str) -> str:
    """Return the first part of a stream."""
    async with (
        asyncio.timeout(15),
        person.client.stream("GET", path, headers=person._with({})) as response,
    ):
        text = ""
        async for piece in response.aiter_text():
            text += piece
            if "event: part" in text and text.endswith("\n\n"):
                break
        return text


async def test_only_words_of_pages_are_said(tmp_path: Path) -> None:
    """A link cannot make the dashboard say that something was done, or anything else."""
    async with house(tmp_path) as one:
        anna = await one.somebody("anna")
        text = (await anna.get("/?done=Your+edge+was+broken+into.+Call+555")).text
        assert "555" not in text
        assert "Its sessions have ended" in (await anna.get("/?done=tunnel-kick")).text
