"""Connections are turned away by what their address has done before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from asgi_tunnel_edge.connections.limiter import ConnectionLimiter
from asgi_tunnel_edge.guards import Guards
from asgi_tunnel_edge.settings.config import EdgeConfig, GuardsConfig
from asgi_tunnel_edge.shares.ledger import Allowance

if TYPE_CHECKING:
    import pytest


class Clock:
    """Seconds that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


def limiter_of(
    tmp_path: Path, clock: Clock, *exempt: str, connections: int = 5, errors: int = 3
) -> ConnectionLimiter:
    """A limiter that takes one connection and one error a second."""
    config = EdgeConfig(
        data_dir=tmp_path,
        domain="example.test",
        listen="127.0.0.1:0",
        guards=GuardsConfig(exempt=exempt),
    )
    return ConnectionLimiter(
        Guards(config, clock),
        clock,
        connections=Allowance(1.0, connections),
        errors=Allowance(1.0, errors),
    )


def test_connections_have_a_rate(tmp_path: Path) -> None:
    """Above the burst 429 with the seconds to wait; another address is served."""
    clock = Clock()
    limiter = limiter_of(tmp_path, clock, errors=100)
    assert [limiter.admit("192.0.2.1") for _ in range(5)] == [None] * 5
    reply = limiter.admit("192.0.2.1")
    assert reply is not None
    assert (reply.status, reply.retry_after) == (429, 1)
    assert limiter.admit("192.0.2.2") is None
    clock.now += 1.01
    assert limiter.admit("192.0.2.1") is None


def test_errors_are_paid_by_the_next_connection(tmp_path: Path) -> None:
    """Who makes errors gets no connection until it has slowed down."""
    clock = Clock()
    limiter = limiter_of(tmp_path, clock)
    for _ in range(50):
        limiter.note_error("192.0.2.1")
    reply = limiter.admit("192.0.2.1")
    assert reply is not None
    assert "errors" in reply.why
    clock.now += 1.01
    assert limiter.admit("192.0.2.1") is None


def test_connections_of_one_moment_do_not_pass_before_the_first_error_counts(
    tmp_path: Path,
) -> None:
    """Close to the bound each connection counts as an error, until it has made none."""
    limiter = limiter_of(tmp_path, Clock(), connections=1000, errors=20)
    for _ in range(15):
        limiter.note_error("192.0.2.1")
    assert [limiter.admit("192.0.2.1") for _ in range(100)].count(None) <= 6


def test_an_exempt_network_is_not_limited(tmp_path: Path) -> None:
    """``guards.exempt`` holds here too: a proxy of the operator brings everybody's connections."""
    limiter = limiter_of(tmp_path, Clock(), "192.0.2.0/24")
    for _ in range(50):
        limiter.note_error("192.0.2.1")
        assert limiter.admit("192.0.2.1") is None


def test_a_trusted_proxy_is_not_looked_at(tmp_path: Path) -> None:
    """Its connections carry everybody's requests, and everybody's errors; also over TLS."""
    clock = Clock()
    config = EdgeConfig(data_dir=tmp_path, domain="example.test", listen="127.0.0.1:0")
    limiter = ConnectionLimiter(
        Guards(config, clock),
        clock,
        is_trusted=lambda address: address == "10.0.0.1",
        connections=Allowance(1.0, 2),
        errors=Allowance(1.0, 2),
    )
    for _ in range(50):
        limiter.note_error("10.0.0.1")
        assert limiter.admit("10.0.0.1") is None


def test_the_log_names_who_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Equal lines, which the log sums up."""
    limiter = limiter_of(tmp_path, Clock(), errors=100)
    for _ in range(100):
        limiter.admit("192.0.2.1")
    assert {record.getMessage() for record in caplog.records} == {
        "connections of 192.0.2.1 are refused: it opened too many connections"
    }
    assert limiter.denied == 95
