"""A process that serves an edge which knows others: their addresses are its arguments.

What the bus does in a cluster; here nothing but what WELCOME names is looked at.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop

from asgi_tunnel_edge.bus import Node
from asgi_tunnel_edge.observers.log_handler import logging_to_stderr
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import EdgeConfig


def main(folder: str, *others: str) -> int:
    """Serve until a signal."""
    edge = Edge(EdgeConfig.load(Path(folder)))
    nodes = tuple(Node(id=one, public=one) for one in others)
    edge.nodes = lambda: nodes
    with logging_to_stderr():
        return uvloop.run(edge.run())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
