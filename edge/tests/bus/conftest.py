"""Every form of the bus, for the tests that all have to pass."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Final

import pytest
from edge.tests.nats_server import MISSING, NatsServers, find_program

from asgi_tunnel_edge.bus.nats import NatsBus
from asgi_tunnel_edge.bus.postgresql import PostgresqlBus

from .world import LocalWorld, ParentWorld, ServiceWorld, World

if TYPE_CHECKING:
    from edge.tests.postgres import PostgresServer

WORLDS: Final[dict[str, Callable[[pytest.FixtureRequest], World]]] = {
    "local": lambda _: LocalWorld(),
    "parent": lambda _: ParentWorld(),
    "nats": lambda request: _on_nats(request.getfixturevalue("nats_servers")),
    "postgresql": lambda request: _on_postgresql(request.getfixturevalue("postgres")),
}


@pytest.fixture(scope="session")
def _nats_servers() -> Iterator[NatsServers]:
    if find_program() is None:
        pytest.skip(MISSING)
    servers = NatsServers()
    yield servers
    servers.remove()


@pytest.fixture
def nats_servers(_nats_servers: NatsServers) -> NatsServers:
    """One server, running."""
    _nats_servers.start()
    return _nats_servers


def _on_nats(servers: NatsServers) -> World:
    url = f"{servers.url}/{secrets.token_hex(8)}"
    return ServiceWorld(lambda node: NatsBus(url, node))


def _on_postgresql(server: PostgresServer) -> World:
    url = server.create()
    return ServiceWorld(lambda node: PostgresqlBus(url, node))


@pytest.fixture(params=WORLDS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Nodes on one form of the bus."""
    made = WORLDS[request.param](request)
    yield made
    await made.close()
