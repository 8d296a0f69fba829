"""A HAR that a browser has recorded is read, in Debian's Chromium."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from asgi_tunnel.inspector.har_reader import read_har
from asgi_tunnel.inspector.recorded import request_body, response_body, value_of

from .chromium import BROWSER, browser

pytestmark = BROWSER

PAGE: Final = """<!doctype html><title>shop</title>
<img alt="" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">
<script>
fetch("/orders?page=1&q=a%20b", {
  method: "POST",
  headers: {"Content-Type": "application/json"},
  body: JSON.stringify({name: "Gr\u00fc\u00dfe"}),
}).then(response => response.arrayBuffer()).then(() => { document.title = "done"; });
</script>
"""
REPLY: Final = bytes(range(256))


class Handler(BaseHTTPRequestHandler):
    """Serves the page, and bytes for an order."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Reply with the page."""
        self._reply(200, "text/html; charset=utf-8", PAGE.encode())

    def do_POST(self) -> None:
        """Fail with bytes."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._reply(500, "application/octet-stream", REPLY)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _reply(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def shop() -> Iterator[int]:
    """The shop; yields its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_a_har_of_a_browser(tmp_path: Path) -> None:
    """Requests, responses and bodies are those that passed; what no server saw is left out."""
    file = tmp_path / "shop.har"
    with shop() as port:
        async with browser(record_har_path=str(file)) as context:
            page = await context.new_page()
            await page.goto(f"http://127.0.0.1:{port}/")
            await page.wait_for_function("document.title == 'done'")
            await context.close()
    found = read_har(await asyncio.to_thread(file.read_bytes))
    (order,) = [one for one in found if one["method"] == "POST"]
    page_entry = found[0]
    assert (page_entry["path"], page_entry["status"]) == ("/", 200)
    assert response_body(page_entry).decode() == PAGE
    assert (order["path"], order["status"]) == ("/orders?page=1&q=a%20b", 500)
    assert request_body(order).decode() == '{"name":"Gr\u00fc\u00dfe"}'
    assert response_body(order) == REPLY
    assert value_of(order["request"]["fields"], "content-type") == "application/json"
    assert {one["host"] for one in found} == {"127.0.0.1"}
