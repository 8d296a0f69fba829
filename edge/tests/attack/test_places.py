"""What one token or one network keeps: memory, waiting places, connections, names."""

from __future__ import annotations

import ast
import os
import threading
from pathlib import Path

import pytest
from tests.e2e.harness import Process, running_app, wait_until

from .attacker import AWAY
from .beside import GOOD, attack, watch, world

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]  # seconds; two cores may be busy

LONG = 20.0 if os.environ.get("ATTACK_LONG") else 3.0
"""Seconds of each attack."""


def counts(process: Process) -> dict[str, int]:
    """What an attacker has done so far."""
    lines = process.output.splitlines()
    last = next((one for one in lines[::-1] if one[-1:] == "}"), "{}")
    found: dict[str, int] = ast.literal_eval(last)
    return found


def test_a_token_that_acknowledges_nothing_keeps_no_memory_from_others(tmp_path: Path) -> None:
    """17 sessions that take 290 MB and keep all of it unacknowledged; they are ended by name."""
    # Of the short form half of the default, so that a busy machine gets there in time.
    limits = "" if "ATTACK_LONG" in os.environ else f"max_buffered_bytes = {128 * 1024 * 1024}"
    with (
        world(tmp_path, tls="off", limits=limits) as one,
        attack(one, "unacknowledged", "127.0.0.66") as (it,),
    ):
        log = one.edge.running
        log.wait_for("of the token bad", timeout=60)
        watch(one, LONG).check()
        wait_until(lambda: counts(it).get("ended"), what="the attacker has noticed")
        assert "new requests are refused" not in log.output


def test_two_addresses_do_not_fill_the_waiting_places(tmp_path: Path) -> None:
    """1,200 requests wait for an app that is away, and another visitor waits until it comes."""
    # Above the app's start on a loaded machine: the visitor has to be there when it comes.
    limits = "hold_timeout = 40.0"
    with world(tmp_path, tls="off", limits=limits) as one:
        away = one.edge.create_token(AWAY)
        with attack(one, "waiting", "127.0.0.66", "127.0.0.67") as crowd:
            wait_until(lambda: all(counts(it).get("clean 503") for it in crowd), what="it is full")
            statuses: list[int] = []

            def visit() -> None:
                statuses.append(one.get(GOOD, away.hostnames[0], timeout=45))

            visitor = threading.Thread(target=visit)
            visitor.start()
            watch(one, LONG).check()
            assert not statuses, "it was not let in"
            assert not any(counts(it).get("else") for it in crowd)
            folder = Path(__file__).parent
            with running_app(tmp_path, away, "app:app", app_dir=folder, ready="is live"):
                visitor.join(20)
                assert statuses == [200]


def test_a_large_ipv6_network_does_not_take_the_connections(tmp_path: Path) -> None:
    """800 /64s of one /48 want 600 connections; a /48 has four times what one address has."""
    limits = "max_connections = 600\nmax_connections_per_address = 100"
    proxies = 'trusted = ["127.0.0.77/32"]\nprotocol = true'
    with world(tmp_path, tls="off", limits=limits, proxies=proxies) as one:
        one.edge.create_token(AWAY)
        with attack(one, "prefixes", "127.0.0.77") as (it,):
            wait_until(lambda: counts(it).get("503"), what="it has its share")
            watch(one, LONG).check()


@pytest.mark.parametrize("name", ["fields", "names"])
def test_what_is_claimed(tmp_path: Path, name: str) -> None:
    """Fields of a proxy do not reach the app, and no token gets another one's hostname."""
    with world(tmp_path, tls="internal") as one, attack(one, name, "127.0.0.66") as (it,):
        watch(one, LONG).check()
        right = "stripped" if name == "fields" else "refused"
        wait_until(lambda: counts(it).get(right, 0) > 10, what="it has tried often")
        found = counts(it)
    assert not found.get("leaked"), found
    assert not found.get("stolen"), found
