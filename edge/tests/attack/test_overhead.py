"""What carries nothing costs nobody else their turn."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from asgi_tunnel import session

from .attacker import POST, WEBSOCKET
from .beside import Beside, World, attack, watch, world

pytestmark = pytest.mark.e2e

is_long = bool(os.environ.get("ATTACK_LONG"))
only_long = pytest.mark.skipif(not is_long, reason="the short form has one attack of each kind")

LONG = 10.0 if is_long else 4.0
"""Seconds of each attack."""


REAL = 5.0
"""How much longer others may take beside messages that carry something: they are not refused, and
the app, or the edge, has them to do as well."""

ROUNDS = 3
"""Tries at being served in time: what else this machine does is not the attack's doing."""


def _run(world: World, name: str, *, refusal: str = "", scale: float = 1.0) -> str:
    """Attack; check that others are served in time; return what the attacker has seen.

    Args:
        world: With the edge.
        name: Of the attack.
        refusal: What it has to see at last; a busy machine takes longer to read up to it.
        scale: Of the time in which others are served.
    """
    bound = scale * allowed(watch(world, 1.0))
    with attack(world, name, "127.0.0.66") as (process,):
        beside = watch(world, LONG)
        for _ in range(ROUNDS - 1):
            if beside.failed or beside.p99 <= bound:
                break
            beside = watch(world, LONG)
        print(  # noqa: T201 - figures of the long form
            f"{name}: {len(beside.seconds)} good requests, p99 {beside.p99 * 1000:.0f} ms "
            f"of at most {bound * 1000:.0f}"
        )
        beside.check(p99=bound)
        process.wait_for(refusal)
        return process.output.splitlines()[-1]


def allowed(quiet: Beside) -> float:
    """Seconds within which a good request is served.

    50 ms, where the edge is compiled, as users install it, and this machine serves within 10 ms
    what nobody attacks. Plain Python takes five times as long for each frame; and where a machine
    computes for others too, an attack's processes are some more that a good visitor waits for.
    """
    scale = 1 if session.__file__.endswith(".so") else 5
    return 0.05 * scale * max(1.0, quiet.p99 / 0.01)


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("chunks", "'400'"),
        ("empty", "'closed 1008'"),
        pytest.param("pongs", "'closed 1008'", marks=only_long),
        pytest.param("pings", "'closed 1008'", marks=only_long),
        pytest.param("fragments", "'closed 1008'", marks=only_long),
    ],
)
def test_a_visitor_that_sends_nothing_much(tmp_path: Path, name: str, refusal: str) -> None:
    """T67: 18 Mbit/s of what is smaller than its own framing."""
    with world(tmp_path, tls="off") as one:
        _run(one, name, refusal=refusal)


@only_long
def test_a_visitor_with_tiny_messages(tmp_path: Path) -> None:
    """T67: 18 Mbit/s of messages of one byte are relayed, in turns with what others send."""
    with world(tmp_path, tls="off") as one:
        seen = _run(one, "messages", scale=REAL)
    assert "closed" not in seen


@pytest.mark.parametrize(
    "name",
    [
        "frames-ping",
        "frames-trailers",
        *(
            pytest.param(f"frames-{kind}", marks=only_long)
            for kind in ("drain", "reset", "late", "window", "interim", "tiny")
        ),
    ],
)
def test_a_token_that_sends_nothing_much(tmp_path: Path, name: str) -> None:
    """T68: as many frames without content or effect as one process can send."""
    with world(tmp_path, tls="off") as one:
        _run(one, name, refusal="'GOAWAY OVERLOAD'")
        log = one.edge.running.output
    assert "tunnel bad/" in log
    assert "without content or effect" in log


@only_long
def test_a_token_with_tiny_pieces(tmp_path: Path) -> None:
    """T68: a response in pieces of one byte is relayed, in turns with what others send."""
    with world(tmp_path, tls="off") as one:
        seen = _run(one, "frames-data", scale=REAL)
    assert "GOAWAY" not in seen


def test_small_pieces_of_honest_visitors_pass(tmp_path: Path) -> None:
    """T67: 20,000 chunks, and 20,000 messages, of one byte; a slow sender is never counted out."""
    chunks = POST + b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n"
    messages = b"\x81\x81aaaa\x00" * 20_000
    with world(tmp_path, tls="off") as one:
        with socket.create_connection(("127.0.0.1", one.edge.port), 30) as sock:
            sock.sendall(chunks)
            assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        with socket.create_connection(("127.0.0.1", one.edge.port), 30) as sock:
            sock.sendall(WEBSOCKET + messages + b"\x88\x82aaaa\x62\x89")
            with sock.makefile("rb") as reading:
                while reading.readline().strip():
                    pass
                assert reading.read(4) == b"\x88\x02\x03\xe8"
