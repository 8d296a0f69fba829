"""Every form of the bus, for the tests that all have to pass."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

import pytest

from asgi_tunnel_edge.bus.postgresql import PostgresqlBus

from .world import LocalWorld, ParentWorld, ServiceWorld, World

if TYPE_CHECKING:
    from edge.tests.postgres import PostgresServer

WORLDS: Final[dict[str, Callable[[pytest.FixtureRequest], World]]] = {
    "local": lambda _: LocalWorld(),
    "parent": lambda _: ParentWorld(),
    "postgresql": lambda request: _on_postgresql(request.getfixturevalue("postgres")),
}


def _on_postgresql(server: PostgresServer) -> World:
    url = server.create()
    return ServiceWorld(lambda node: PostgresqlBus(url, node))


@pytest.fixture(params=WORLDS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Nodes on one form of the bus."""
    made = WORLDS[request.param](request)
    yield made
    await made.close()
