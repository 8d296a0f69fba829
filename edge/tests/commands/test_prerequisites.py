"""What ``init`` finds missing around an edge, with a CA's directory on this machine."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from email.utils import format_datetime
from pathlib import Path

import pytest

from asgi_tunnel_edge.certificates.internal import create_internal_certificate
from asgi_tunnel_edge.commands import prerequisites
from asgi_tunnel_edge.running import marked_as_running
from asgi_tunnel_edge.settings.acme import AcmeConfig
from asgi_tunnel_edge.settings.config import EdgeConfig, TlsConfig
from asgi_tunnel_edge.settings.file import write_config


@contextlib.contextmanager
def ca(folder: Path, *, ahead: float = 0) -> Iterator[tuple[str, Path]]:
    """A directory over HTTPS whose clock may differ; yields its URL and root."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=ahead), True)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    made = create_internal_certificate("localhost", folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}/dir", made.certificate
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def config_of(folder: Path, url: str, root: Path | None, listen: str = "127.0.0.1:0") -> EdgeConfig:
    """An edge whose ports are free, without a zone."""
    return EdgeConfig(
        data_dir=folder,
        domain="example.test",
        listen=listen,
        http_listen="127.0.0.1:0",
        tls=TlsConfig(mode="acme"),
        acme=AcmeConfig(directory=url, root=None if root is None else str(root)),
    )


@pytest.fixture(autouse=True)
def _no_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object) -> list[object]:
        return []

    monkeypatch.setattr(prerequisites, "check_records", nothing)


def test_ready(tmp_path: Path) -> None:
    """All is there."""
    with ca(tmp_path) as (url, root):
        assert "Ports, clock and the CA are ready." in prerequisites.report(
            config_of(tmp_path, url, root)
        )


def test_a_port_is_taken(tmp_path: Path) -> None:
    """Which one, and what to do."""
    with ca(tmp_path) as (url, root), socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        found = prerequisites.report(config_of(tmp_path, url, root, address))
    assert f"{address} cannot be listened on now (Address already in use): free" in found
    assert "are ready" not in found


def test_the_ports_of_the_edge_itself(tmp_path: Path) -> None:
    """An edge that runs already is no stranger on its ports; one on another port still is."""
    with (
        ca(tmp_path) as (url, root),
        socket.create_server(("127.0.0.1", 0)) as own,
        socket.create_server(("127.0.0.1", 0)) as other,
        marked_as_running(tmp_path),
    ):
        mine, strange = (f"127.0.0.1:{one.getsockname()[1]}" for one in (own, other))
        config = config_of(tmp_path, url, root, mine)
        write_config(config)
        found = prerequisites.report(config)
        assert f"This edge is running, and has {mine}, 127.0.0.1:0 itself." in found
        assert "cannot be listened on" not in found
        assert "Ports, clock and the CA are ready." in found
        found = prerequisites.report(config_of(tmp_path, url, root, strange))
        assert f"{strange} cannot be listened on now" in found


@pytest.mark.parametrize(("ahead", "word"), [(-3600, "ahead of"), (3600, "behind")])
def test_a_wrong_clock(tmp_path: Path, ahead: float, word: str) -> None:
    """By how much, and how to set it."""
    with ca(tmp_path, ahead=ahead) as (url, root):
        found = prerequisites.report(config_of(tmp_path, url, root))
    assert f" s {word} the CA's: set it" in found


def test_an_unreachable_ca(tmp_path: Path) -> None:
    """Closed, or not trusted."""
    url = "https://127.0.0.1:1/dir"
    found = prerequisites.report(config_of(tmp_path, url, None))
    assert f"the CA at {url} cannot be reached (" in found
    with ca(tmp_path) as (other, _):
        found = prerequisites.report(config_of(tmp_path, other, None))
    assert "certificate verify failed" in found
