"""Requests and guards without sockets; time is a number that the test moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from asgi_tunnel_edge.guards import Guards
from asgi_tunnel_edge.guards.scanner import BAN_AFTER
from asgi_tunnel_edge.http1.head import read_head
from asgi_tunnel_edge.replies import Reply
from asgi_tunnel_edge.settings.config import EdgeConfig, Limits

VISITOR = "203.0.113.7"
FOLDERS = ("", "/api", "/app", "/backend", "/blog", "/cms", "/core", "/old", "/public", "/site")


@dataclass
class World:
    """All guards with some settings, and a clock."""

    guards: Guards
    clock: list[float] = field(repr=False)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock[0] += seconds

    def ask(
        self,
        target: str = "/",
        *fields: str,
        address: str = VISITOR,
        host: str = "shop.a.test",
        name: str | None = None,
        method: str = "GET",
    ) -> Reply | None:
        """What the guards say to a request; ``name`` is the route's, the host's by default."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields, "", ""]
        head = "\r\n".join(lines).encode()
        request = read_head(head, len(head), Limits())
        guards = self.guards
        rules = guards.rules(request.hostname)
        visitor = guards.visitor_address(address)
        return guards.check(visitor, request, rules, host if name is None else name)

    def scan(self, count: int = BAN_AFTER, *fields: str, **options: Any) -> list[int]:
        """The statuses of so many different probes, one after the other."""
        return [self.status(f"{folder}/.env", *fields, **options) for folder in FOLDERS[:count]]

    def status(self, *words: str, **options: Any) -> int:
        """The status of :meth:`ask`; 0 when the request is let through."""
        deny = self.ask(*words, **options)
        return 0 if deny is None else deny.status


def make_world(hostnames: dict[str, dict[str, object]] | None = None, **guards: object) -> World:
    """Guards with these settings."""
    table = {
        "domain": "a.test",
        "listen": "127.0.0.1:0",
        "guards": guards,
        "hostnames": hostnames or {},
    }
    clock = [1000.0]
    return World(Guards(EdgeConfig.from_table(table, Path()), lambda: clock[0]), clock)


@pytest.fixture
def world() -> World:
    """Guards as they are by default."""
    return make_world()
