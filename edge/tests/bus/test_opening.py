"""Which bus a serving process has, by its settings."""

from __future__ import annotations

import socket
from pathlib import Path

from asgi_tunnel_edge.bus import open_bus
from asgi_tunnel_edge.bus.parent import ParentBus
from asgi_tunnel_edge.channel import Channel
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
