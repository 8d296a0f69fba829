"""One address, or one token, shuts nobody else out."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.e2e.harness import BIN, wait_until

from .attacker import upgrade
from .beside import GOOD, World, attack, watch, world

# Up to a dozen processes are started, on machines that may have other things to do.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

only_long = pytest.mark.skipif(
    "ATTACK_LONG" not in os.environ, reason="the short form has one attack of each kind"
)

LONG = 10.0 if os.environ.get("ATTACK_LONG") else 3.0
"""Seconds of each attack."""


def test_silent_connections_do_not_close_the_tls_port(tmp_path: Path) -> None:
    """256 connections without a byte, replaced as they are closed, from one address."""
    with world(tmp_path, tls="internal") as one, attack(one, "silent", "127.0.0.66"):
        watch(one, LONG).check()


@only_long
def test_silent_connections_of_many_addresses(tmp_path: Path) -> None:
    """The same from eight addresses, which want eight times the handshakes that there may be."""
    sources = [f"127.0.0.{number}" for number in range(60, 68)]
    with world(tmp_path, tls="internal") as one:
        calm = watch(one, LONG / 2)
        with attack(one, "silent", *sources):
            watch(one, LONG).check(calm=calm)


def test_a_token_does_not_fill_the_greeting_places(tmp_path: Path) -> None:
    """256 connections of one token that never say HELLO."""
    with world(tmp_path, tls="internal") as one, attack(one, "greetings", "127.0.0.66"):
        watch(one, LONG).check()


@only_long
def test_a_token_does_not_fill_the_tunnels(tmp_path: Path) -> None:
    """Sessions that are opened and left, up to what the edge may have."""
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
    """Errors as fast as they are refused; after a hundred the address has to wait."""
    with world(tmp_path, tls=tls) as one, attack(one, name, "127.0.0.66") as (process,):
        watch(one, LONG).check()
        if name == "malformed":
            process.wait_for("'429'")
            assert "'400'" in process.output
    assert one.edge.running.output.count("127.0.0.66") < 100 + 20 * LONG + 100


def test_probes_that_others_make_a_visitor_send_ban_nobody(tmp_path: Path) -> None:
    """An image on a page, a link in a chat and an opened folder, from the visitor's address."""
    with world(tmp_path, tls="off") as one, attack(one, "probes", GOOD) as (process,):
        watch(one, LONG).check()
        process.wait_for("'404'")
        assert "'403'" not in process.output, process.output
        assert json.loads(one.edge.command("ban", "list", "--json")) == []


def _is_served(one: World) -> bool:
    with contextlib.suppress(OSError):
        return one.get() == 200
    return False


@only_long
def test_output_that_nobody_reads_stops_nobody(tmp_path: Path) -> None:
    """3,000 wrong tokens, each a line or not, while the edge's output is a full pipe."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(writing, bytes(4096)):
                pass
        os.set_blocking(writing, True)
        with world(tmp_path, tls="off") as one:
            one.edge.stop()
            run = [str(BIN / "asgi-tunnel-edge"), "run", "--data", str(one.edge.folder)]
            stuck = subprocess.Popen(run, stdout=writing, stderr=writing)
            try:
                wait_until(lambda: _is_served(one), timeout=60.0, what="the app is back")
                for number in range(3000):
                    # Each address may be wrong a hundred times: after that it is not looked at.
                    source = f"127.0.3.{number // 50}"
                    with one.socket(source) as sock:
                        sock.sendall(upgrade(f"at1.wrong.{number}"))
                        assert sock.recv(12) in (b"HTTP/1.1 401", b"HTTP/1.1 429")
                watch(one, 3.0).check()
            finally:
                stuck.terminate()
                assert stuck.wait(30) == 0
    finally:
        os.close(reading)
        os.close(writing)
