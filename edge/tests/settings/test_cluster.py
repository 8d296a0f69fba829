"""How many processes and edges there are, and where they meet: what is taken and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.settings.config import EdgeConfig

MINIMAL = 'domain = "example.org"\nlisten = "127.0.0.1:8080"\n'
STORE = 'store = "postgresql://edge@db.example.org/edge"\n'
NODE = 'node = "a"\npeer_listen = "10.0.0.1:9443"\n'


def load(content: str) -> EdgeConfig:
    """Check an edge.toml with this content."""
    return EdgeConfig.from_text(MINIMAL + content, Path("/nowhere"))


def test_one_process() -> None:
    """Without any of it there is one process, a file and no other edge."""
    config = load("")
    assert (config.workers, config.store, config.bus, config.is_cluster) == (1, None, None, False)


@pytest.mark.parametrize("bus", ["postgresql://edge@db/edge", "nats://10.0.0.5:4222,10.0.0.6:4222"])
def test_a_cluster(bus: str) -> None:
    """Edges share a store and a bus, and each has a name and an address for the others."""
    config = load(f'{STORE}bus = "{bus}"\n{NODE}workers = 0\nedge_address = "203.0.113.5:443"\n')
    assert config.is_cluster
    assert config.workers == 0


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("workers = 65\n", "workers"),
        ("workers = -1\n", "workers"),
        ('store = "mysql://a/b"\n', "a URL postgresql://"),
        ('store = "postgresql://db.example.org"\n', "names no database"),
        ('bus = "redis://a"\n', "nats://"),
        ('bus = "nats://a"\n' + NODE, "`store` is not"),
        (STORE + 'bus = "nats://u:p@a"\n' + NODE, "bus: has a password in it"),
        (STORE + 'bus = "nats://a,,b"\n' + NODE, "bus: names no server"),
        (STORE + 'bus = "postgresql://u:p@a/b"\n' + NODE, "bus: has a password in it"),
        (STORE + 'bus = "nats://a"\n', "node: is not set"),
        (STORE + 'bus = "nats://a"\nnode = "a"\n', "peer_listen: is not set"),
        ('peer_listen = "10.0.0.1:9443"\n', "no bus to find others by"),
        ('node = "A"\n', "a name of 1 to 32 letters"),
        ('edge_address = "203.0.113.5"\n', "edge_address"),
    ],
)
def test_refused(content: str, why: str) -> None:
    """What lacks something that it needs is refused, with what to do."""
    with pytest.raises(EdgeConfigError, match=why):
        load(content)
