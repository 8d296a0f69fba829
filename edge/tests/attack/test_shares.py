"""One address, or one token, shuts nobody else out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .beside import attack, watch, world

pytestmark = pytest.mark.e2e

only_long = pytest.mark.skipif(
    "ATTACK_LONG" not in os.environ, reason="the short form has one attack of each kind"
)

LONG = 10.0 if os.environ.get("ATTACK_LONG") else 3.0
"""Seconds of each attack."""


def test_silent_connections_do_not_close_the_tls_port(tmp_path: Path) -> None:
    """S1: 256 connections without a byte, replaced as they are closed, from one address."""
    with world(tmp_path, tls="internal") as one, attack(one, "silent", "127.0.0.66"):
        watch(one, LONG).check()


@only_long
def test_silent_connections_of_many_addresses(tmp_path: Path) -> None:
    """S1 from eight addresses, which together want eight times the handshakes that there may be."""
    sources = [f"127.0.0.{number}" for number in range(60, 68)]
    with world(tmp_path, tls="internal") as one, attack(one, "silent", *sources):
        watch(one, LONG).check()


def test_a_token_does_not_fill_the_greeting_places(tmp_path: Path) -> None:
    """S3: 256 connections of one token that never say HELLO."""
    with world(tmp_path, tls="internal") as one, attack(one, "greetings", "127.0.0.66"):
        watch(one, LONG).check()


@only_long
def test_a_token_does_not_fill_the_tunnels(tmp_path: Path) -> None:
    """S4: sessions that are opened and left, up to what the edge may have."""
    limits = "max_tunnels = 50\nmax_tunnels_per_token = 40"
    secure = world(tmp_path, tls="internal", limits=limits)
    with secure as one, attack(one, "sessions", "127.0.0.66"):
        watch(one, LONG).check()


@pytest.mark.parametrize(
    ("name", "tls"),
    [
        ("malformed", "off"),
        pytest.param("handshakes", "internal", marks=only_long),
        pytest.param("tokens", "internal", marks=only_long),
    ],
)
def test_errors_slow_their_own_address_down(tmp_path: Path, name: str, tls: str) -> None:
    """S8: errors as fast as they are refused; after a hundred the address has to wait."""
    with world(tmp_path, tls=tls) as one, attack(one, name, "127.0.0.66") as (process,):
        watch(one, LONG).check()
        output = process.output
    if name == "malformed":
        assert "'429'" in output, output
        assert output.splitlines()[-1].count("'400'") == 1
    assert one.edge.running.output.count("127.0.0.66") < 100 + 20 * LONG + 100
