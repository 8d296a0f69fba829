"""Which bus a serving process has, by its settings."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from asgi_tunnel_edge.bus import open_bus
from asgi_tunnel_edge.bus.edge import EdgeBus
from asgi_tunnel_edge.bus.nats import NatsBus
from asgi_tunnel_edge.bus.parent import ParentBus
from asgi_tunnel_edge.bus.postgresql import PostgresqlBus
from asgi_tunnel_edge.channel import Channel
from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.supervision import ParentLink

from .world import new_node

MINIMAL = 'domain = "example.org"\nlisten = "127.0.0.1:8080"\n'


def load(content: str) -> EdgeConfig:
    """Check an edge.toml with this content."""
    return EdgeConfig.from_text(MINIMAL + content, Path("/nowhere"))


def test_who_has_one() -> None:
    """One process has none; several workers have their parent's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for workers, has_bus in ((1, False), (2, True), (0, True)):
            link = ParentLink(Channel(ours), {"sockets": {}, "workers": workers})
            bus = open_bus(load("workers = 2\n"), new_node(), link)
            assert isinstance(bus, ParentBus) is has_bus
    assert open_bus(load(""), new_node(), None) is None
    assert open_bus(load("workers = 2\n"), new_node(), None) is None


CLUSTER = (
    'store = "postgresql://edge@db.example.org/edge"\nnode = "a"\npeer_listen = "127.0.0.1:9443"\n'
)


def test_a_cluster() -> None:
    """Each process of an edge of a cluster is on the service; several workers are on both."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = ParentLink(Channel(ours), {"sockets": {}, "workers": 2})
        bus = open_bus(load(f'{CLUSTER}bus = "nats://db"\n'), new_node(), link)
        assert isinstance(bus, EdgeBus)
    for url, kind in (("postgresql://edge@db/edge", PostgresqlBus), ("nats://db", NatsBus)):
        bus = open_bus(load(f'{CLUSTER}bus = "{url}"\n'), new_node(), None)
        assert isinstance(bus, kind)


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the driver is not installed, this is said with what to install."""
    monkeypatch.setitem(sys.modules, "nats", None)
    with pytest.raises(EdgeConfigError, match=r"pip install 'asgi-tunnel-edge\[nats\]'"):
        open_bus(load(f'{CLUSTER}bus = "nats://db"\n'), new_node(), None)
