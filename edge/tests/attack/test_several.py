"""What one address or one token takes from others, where they are served by several processes.

The attacks of ``test_shares`` and ``test_places``: on an edge with two workers, and on one of two
edges, whose visitors and tenants then come to both.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .beside import World, attack, watch, world

if TYPE_CHECKING:
    from edge.tests.postgres import PostgresServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

LONG = 10.0 if os.environ.get("ATTACK_LONG") else 3.0
"""Seconds of each attack."""

Several = Callable[..., AbstractContextManager[World]]


@pytest.fixture(params=["workers", "edges"])
def several(request: pytest.FixtureRequest, tmp_path: Path) -> Several:
    """Make a world of two workers, or of two edges."""
    if request.param == "workers":
        return partial(world, tmp_path, workers=2)
    if "ATTACK_LONG" not in os.environ:
        pytest.skip("only in the long form: each edge and PostgreSQL take seconds to start")
    postgres: PostgresServer = request.getfixturevalue("postgres")
    return partial(world, tmp_path, store=postgres.create())


def test_silent_connections_do_not_close_the_tls_port(several: Several) -> None:
    """256 connections without a byte, replaced as they are closed, from one address."""
    with several(tls="internal") as one, attack(one, "silent", "127.0.0.66"):
        watch(one, LONG).check()


def test_a_token_that_acknowledges_nothing_keeps_no_memory_from_others(several: Several) -> None:
    """17 sessions that take all they are sent and keep it unacknowledged; they are ended."""
    limits = "" if "ATTACK_LONG" in os.environ else f"max_buffered_bytes = {128 * 1024 * 1024}"
    with (
        several(tls="off", limits=limits) as one,
        attack(one, "unacknowledged", "127.0.0.66"),
    ):
        one.edge.running.wait_for("of the token bad", timeout=90)
        watch(one, LONG).check()
        assert "new requests are refused" not in one.edge.running.output


def test_a_token_does_not_fill_the_greeting_places(several: Several) -> None:
    """256 connections of one token that never say HELLO."""
    with several(tls="internal") as one, attack(one, "greetings", "127.0.0.66"):
        watch(one, LONG).check()


def test_a_token_does_not_fill_the_tunnels(several: Several) -> None:
    """Sessions that are opened and left, up to what the edge may have."""
    limits = "max_tunnels = 50\nmax_tunnels_per_token = 40"
    with several(tls="internal", limits=limits) as one, attack(one, "sessions", "127.0.0.66"):
        watch(one, LONG).check()
