"""An edge that counts, an app behind it, and visitors: once for all tests of a process."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.commands.worlds import World, world

from asgi_tunnel.token import Token
from asgi_tunnel_edge.metrics.families import PREFIX, Values
from asgi_tunnel_edge.settings.config import Limits, MetricsConfig

SHOP, AWAY, PREVIEW = "shop.example.test", "away.example.test", "*.preview.example.test"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Ten bytes, with the status that the path asks for."""
    status = int(scope["path"][1:] or 200)
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"ten bytes\n"})


@dataclass
class Served:
    """See the module."""

    world: World
    token: Token

    def values(self) -> Values:
        """All numbers now."""
        exposition = self.world.edge.instruments.exposition
        assert exposition is not None
        return self.world.do(exposition.read())

    def number(self, name: str, *labels: str) -> float:
        """One of them; 0 where there is none."""
        value = self.values().get(PREFIX + name, {}).get(labels, 0)
        return sum(value[:-1]) if isinstance(value, list) else value

    def visit(
        self, hostname: str, path: str = "/", method: str = "GET", *, address: str = "127.0.0.1"
    ) -> int:
        """Ask as a visitor, over TLS; return the status once the edge has written it down."""
        port = self.world.edge.address.port
        trust = ssl.create_default_context(cafile=self.world.edge.config.certificate_path)
        trust.check_hostname = False
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=20, context=trust, source_address=(address, 0)
        )
        try:
            connection.request(method, path, headers={"Host": hostname})
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    def scrape(
        self, path: str = "/metrics", method: str = "GET", **fields: str
    ) -> tuple[int, str, str]:
        """Ask at the metrics' address; return status, content type and body."""
        address = self.world.edge.metrics_address
        assert address is not None
        connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=20)
        try:
            connection.request(method, path, headers=fields)
            response = connection.getresponse()
            body = response.read().decode()
            return response.status, response.getheader("content-type") or "", body
        finally:
            connection.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With TLS, an app for two of its three hostnames, and a short patience with the third."""
    folder = tmp_path_factory.mktemp("metrics") / "edge"
    metrics = MetricsConfig(listen="127.0.0.1:0")
    with world(folder, tls=True, metrics=metrics, limits=Limits(hold_timeout=0.1)) as one:
        token = one.token("shop", SHOP, PREVIEW)
        one.token("away", AWAY)
        with one.connected(token, app):
            yield Served(one, token)
