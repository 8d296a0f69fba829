"""T56: a visitor that leaves while the app reads nothing of it is noticed all the same."""

from __future__ import annotations

import contextlib
import socket
import struct

import pytest
from tests.e2e.harness import wait_until

from .conftest import World
from .wire import Wire, frame, request

HELD = 8_000_000
"""Bytes; more than all buffers on the way of a body that the app does not read."""

SOME = 200_000
"""Bytes; more than the edge takes of such a body, and so few that the visitor's end comes too."""

NO_LINGER = struct.pack("ii", 1, 0)

pytestmark = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="Linux tells the state")


def _fill(wire: Wire, data: bytes) -> None:
    wire.sock.settimeout(0.5)
    with contextlib.suppress(TimeoutError):  # the buffers are full
        wire.sock.sendall(data)


def _wait_left(world: World, asked: str) -> None:
    """The app looks away for six seconds: before that, only the socket can have told the edge."""
    wait_until(
        lambda: any(
            asked in line and line.endswith("visitor left")
            for line in world.edge.running.output.splitlines()
        ),
        timeout=4.0,
        what=f"the edge notes that the visitor of {asked} left",
    )


def test_reset_while_the_app_does_not_read(world: World) -> None:
    """The edge does not read what it cannot pass on, so only the socket's state says it."""
    with world.wire() as wire:
        length = b"Content-Length: %d" % HELD
        _fill(wire, request(b"POST", b"/sleep/6?reset", length, body=b"x" * HELD))
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    _wait_left(world, '"POST /sleep/6?reset" 499 ')


def test_end_while_the_app_does_not_read(world: World) -> None:
    """The same for a visitor that closes in peace, and whose end came behind its last byte."""
    with world.wire() as wire:
        length = b"Content-Length: %d" % HELD
        _fill(wire, request(b"POST", b"/sleep/6?end", length, body=b"x" * SOME))
    _wait_left(world, '"POST /sleep/6?end" 499 ')


def test_websocket_reset_while_the_app_does_not_read(world: World) -> None:
    """A WebSocket whose app takes no messages ends when its visitor has gone."""
    with world.wire() as wire:
        wire.upgrade(b"/idle")
        _fill(wire, frame(2, b"x" * 50_000) * (HELD // 50_000))
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    _wait_left(world, '"GET /idle" 101 ')


def test_slow_app_keeps_a_visitor_that_waits(world: World) -> None:
    """A visitor that is still there is not ended, however long it is not read."""
    with world.wire() as wire:
        length = b"Content-Length: %d" % SOME
        wire.send(request(b"POST", b"/late/3", length, body=b"x" * SOME))
        assert wire.answer().body == b"%d" % SOME
