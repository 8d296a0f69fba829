"""``asgi-tunnel-edge alert test`` against a real webhook."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from asgi_tunnel_edge.settings.config import CONFIG_FILE

from .conftest import Run


@contextmanager
def hook(status: int) -> Iterator[tuple[str, list[Any]]]:
    """A webhook that responds so; its URL, and what it gets."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/key", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def settings(data: Path, lines: str) -> None:
    """Add ``[alerts]``."""
    file = data / CONFIG_FILE
    text = file.read_text().replace("[alerts]\n", f"[alerts]\n{lines}\n", 1)
    file.write_text(text)


def test_it_is_taken(data: Path, run: Run) -> None:
    """One alert of the kind test; what the webhook said is printed, and not its URL."""
    with hook(202) as (url, got):
        settings(data, f'url = "{url}"')
        done = run("alert", "test", "--data", data)
        (data / "secret").write_text("s3cret")
        settings(data, 'secret_file = "secret"')
        signed = run("alert", "test", "--data", data, "--json")
    assert done.code == 0
    expected = "the webhook at 127.0.0.1 took it (202); not signed: there is no secret\n"
    assert done.out == expected
    assert json.loads(signed.out) == {"host": "127.0.0.1", "status": 202, "signed": True}
    assert [one["event"] for one in got[0]["alerts"]] == ["test"]
    assert got[0]["edge"] == "a.test"


def test_it_is_refused(data: Path, run: Run) -> None:
    """Exit code 1, and one sentence."""
    with hook(404) as (url, _):
        settings(data, f'url = "{url}"')
        done = run("alert", "test", "--data", data)
        as_json = run("alert", "test", "--data", data, "--json")
    assert done.code == 1
    assert done.err == (
        "error: the webhook at 127.0.0.1 responded with 404; look at its URL, and at the secret\n"
    )
    assert json.loads(as_json.out)["error"]["code"] == "alert"


def test_there_is_none(data: Path, run: Run) -> None:
    """Exit code 2, and how to name one."""
    done = run("alert", "test", "--data", data)
    assert done.code == 2
    assert "edge.toml: alerts.url: is missing" in done.err
