from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from asgi_tunnel_edge.address import (
    door_url,
    is_loopback,
    public_address,
    read_edge_address,
    remove_edge_address,
    write_edge_address,
)
from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.settings.config import EdgeConfig, ListenAddress, TlsConfig

if TYPE_CHECKING:
    from pathlib import Path


def make(
    tmp_path: Path,
    listen: str,
    mode: Literal["off", "internal", "files"],
    public_url: str | None = None,
) -> EdgeConfig:
    """The settings of an edge."""
    return EdgeConfig(
        data_dir=tmp_path,
        domain="a.test",
        listen=listen,
        tls=TlsConfig(mode=mode),
        public_url=public_url,
    )


@pytest.mark.parametrize(
    ("listen", "mode", "public_url", "edge_url", "visitor_url"),
    [
        ("0.0.0.0:443", "internal", None, "wss://a.test", "https://x.a.test"),
        ("0.0.0.0:8443", "files", None, "wss://a.test:8443", "https://x.a.test:8443"),
        ("0.0.0.0:80", "off", None, "ws://a.test", "http://x.a.test"),
        ("0.0.0.0:443", "off", None, "ws://a.test:443", "http://x.a.test:443"),
        ("127.0.0.1:8080", "off", None, "ws://127.0.0.1:8080", "http://x.a.test:8080"),
        ("[::1]:8080", "off", None, "ws://[::1]:8080", "http://x.a.test:8080"),
        ("localhost:80", "off", None, "ws://localhost", "http://x.a.test"),
        ("127.0.0.1:8443", "internal", None, "wss://127.0.0.1:8443", "https://x.a.test:8443"),
        ("127.0.0.1:8443", "files", None, "wss://a.test:8443", "https://x.a.test:8443"),
        ("127.0.0.1:8080", "off", "https://a.test", "wss://a.test", "https://x.a.test"),
        ("0.0.0.0:0", "internal", "https://b.test:99", "wss://b.test:99", "https://x.a.test:99"),
        ("127.0.0.1:1", "off", "http://[::1]:99", "ws://[::1]:99", "http://x.a.test:99"),
    ],
)
def test_urls(
    tmp_path: Path,
    listen: str,
    mode: Literal["off", "internal", "files"],
    public_url: str | None,
    edge_url: str,
    visitor_url: str,
) -> None:
    """public_url decides; else the domain and port; else, on loopback, the listener itself."""
    address = public_address(make(tmp_path, listen, mode, public_url))
    assert address.edge_url == edge_url
    assert address.visitor_url("x.a.test") == visitor_url


def test_port_of_a_running_edge(tmp_path: Path) -> None:
    """With port 0, the port is the running edge's; without one, the sentence says to start it."""
    config = make(tmp_path, "127.0.0.1:0", "off")
    with pytest.raises(EdgeConfigError, match="is not running; start it first with"):
        public_address(config)
    write_edge_address(config, ListenAddress("127.0.0.1", 4321))
    assert config.address_path.read_text() == "127.0.0.1:4321\n"
    assert public_address(config).edge_url == "ws://127.0.0.1:4321"
    remove_edge_address(config)
    remove_edge_address(config)
    assert read_edge_address(config) is None


@pytest.mark.parametrize("content", [b"", b"x", b"127.0.0.1:0\n", b"\xff"])
def test_broken_address_file(tmp_path: Path, content: bytes) -> None:
    """A file that says nothing useful is as good as none."""
    config = make(tmp_path, "127.0.0.1:0", "off")
    config.address_path.write_bytes(content)
    assert read_edge_address(config) is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("a", False)],
)
def test_is_loopback(host: str, expected: bool) -> None:
    """Only addresses of this machine are loopback."""
    assert is_loopback(host) is expected


def test_where_a_door_is(tmp_path: Path) -> None:
    """The dashboard of this machine has a port of its own; every other door that of visitors."""
    table = {
        "domain": "example.test",
        "listen": "127.0.0.1:8080",
        "tls": {"mode": "off"},
        "dashboard": {
            "hostname": "admin.example.test",
            "listen": "127.0.0.1:9181",
            "operators": ["anna"],
        },
    }
    config = EdgeConfig.from_table(table, tmp_path)
    assert door_url(config, "localhost") == "http://localhost:9181"
    assert door_url(config, "admin.example.test") == "http://admin.example.test:8080"
