"""A node as a process: ``node_program.py URL EDGE HOSTNAME``; prints its id once it has joined."""

from __future__ import annotations

import asyncio
import secrets
import sys

from asgi_tunnel_edge.bus import Bus, Event, Node


class Deaf:
    """A listener that does nothing."""

    def nodes_changed(self) -> None:
        """See the interface."""

    def holders_changed(self, hostname: str) -> None:
        """See the interface."""

    def node_gone(self, node_id: str) -> None:
        """See the interface."""

    def happened(self, event: Event, node_id: str) -> None:
        """See the interface."""


def open_service(url: str, node: Node) -> Bus:
    """Return the bus of a URL."""
    if url.startswith("postgresql:"):
        from asgi_tunnel_edge.bus.postgresql import PostgresqlBus

        return PostgresqlBus(url, node)
    from asgi_tunnel_edge.bus.nats import NatsBus

    return NatsBus(url, node)


async def main(url: str, edge: str, hostname: str) -> None:
    """See the module."""
    node = Node(id=secrets.token_hex(8), edge=edge)
    bus = open_service(url, node)
    bus.hold(hostname)
    await bus.start(Deaf())
    sys.stdout.write(f"{node.id}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
