"""T19, T20: what all visitors and tunnels together make the edge keep has a bound of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.e2e.harness import allowed, wait_until

from asgi_tunnel.protocol.codes import GoawayCode
from asgi_tunnel.protocol.limits import MAX_STREAM_WINDOW, Settings

from .conftest import World, running_world
from .dialer import Dialer, known_token
from .wire import Wire, handshake, request

BUDGET = 8 << 20
"""Bytes; some 40 visitors who do not read fill it."""

MANY = 1200
"""Connections that one address may have here."""

LIMITS = f"max_buffered_bytes = {BUDGET}\nmax_connections_per_address = {MANY}\n"
REFUSED = "new requests are refused: "
TAKEN = "new requests are taken again: "


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An edge with little memory to give."""
    with running_world(tmp_path_factory.mktemp("memory"), limits=LIMITS) as one:
        yield one


def _status(world: World, data: bytes) -> tuple[int, bytes | None]:
    """What a newcomer is told: the status, and when to come again."""
    with world.wire() as wire:
        wire.send(data)
        answer = wire.answer()
        return answer.status, answer.field(b"retry-after")


def _is_relieved(world: World) -> bool:
    """Whether new work is taken; the crowd's bytes may tip it once more while its sockets close."""
    output = world.edge.running.output
    return output.count(TAKEN) == output.count(REFUSED)


@contextmanager
def crowd(world: World) -> Iterator[list[Wire]]:
    """Visitors who read nothing, one after the other until the edge takes no more."""
    wires: list[Wire] = []
    taken = world.edge.running.output.count(TAKEN)
    try:
        deadline = time.monotonic() + 20.0
        while _status(world, request())[0] != 503:
            assert time.monotonic() < deadline, "the edge takes everything"
            wire = world.wire(receive_buffer=4096)
            wire.send(request(b"GET", b"/bytes/300000"))
            wires.append(wire)
            time.sleep(0.05)  # so that one look sees less than the ceiling allows
        yield wires
    finally:
        for wire in wires:
            wire.sock.close()
    wait_until(lambda: world.edge.running.output.count(TAKEN) > taken, what="there is relief")


def test_new_work_is_shed_and_what_runs_goes_on(small: World) -> None:
    """Above the budget a newcomer gets 503 at once; an exchange and a WebSocket go on."""
    with small.wire() as upload, small.wire() as chat, small.wire() as idle:
        upload.send(request(b"POST", b"/case/kept", b"Content-Length: 10", body=b"12345"))
        chat.upgrade(b"/echo")
        idle.send(request())
        assert idle.answer().status == 200
        small.wait_event("run", "/case/kept")
        with crowd(small) as wires:
            assert len(wires) > 20
            start = time.monotonic()
            assert _status(small, request()) == (503, b"5")
            assert _status(small, handshake(b"/echo")) == (503, b"5")
            assert _status(small, b"GET / HTTP/1.1\r\nX-Half: ") == (503, b"5")
            idle.send(request())
            assert idle.answer().status == 503
            assert time.monotonic() - start < allowed(1.0, start)
            upload.send(b"67890")
            assert upload.answer().body == b"/case/kept 10"
            chat.send(b"\x81\x82\x00\x00\x00\x00hi")
            assert chat.message() == (1, b"hi")
        assert _status(small, request()) == (200, None)
        assert _status(small, handshake(b"/echo"))[0] == 101


def test_new_tunnels_are_shed_and_lost_ones_may_resume(small: World) -> None:
    """Another tunnel gets 503; the connector of one whose connection was lost is let in."""
    known, new = known_token(small.edge, "blog"), known_token(small.edge, "news")
    with Dialer(small.port, known) as blog:
        blog.hello()
        with crowd(small):
            with Dialer(small.port, new) as other:
                assert (other.answer.status, other.answer.field(b"retry-after")) == (503, b"5")
            blog.wire.sock.close()
            wait_until(lambda: "has lost its connection" in small.edge.running.output, what="loss")
            with Dialer(small.port, known) as back:
                assert back.answer.status == 101
    with Dialer(small.port, new) as again:
        assert again.answer.status == 101


def test_flood_faster_than_the_looks_is_cut_back(small: World) -> None:
    """T19: far above the budget those who read least are ended, and others have room at once.

    What was taken in before the first look goes on growing, for as long as a slow reader may be
    slow, unless somebody ends it.
    """
    small.check_neighbour()
    wires = []
    try:
        for _ in range(MANY - 200):
            wire = small.wire(receive_buffer=4096)
            wire.send(request(b"GET", b"/bytes/300000"))
            wires.append(wire)
        wait_until(
            lambda: "visitors who do not read are ended" in small.edge.running.output,
            what="visitors are ended",
        )
        wait_until(lambda: _status(small, request())[0] == 200, what="newcomers are served")
    finally:
        for wire in wires:
            wire.sock.close()
    wait_until(lambda: _is_relieved(small), what="there is relief")
    small.check_neighbour()


def test_tunnel_that_acknowledges_nothing_is_ended(small: World) -> None:
    """What one tunnel makes the edge keep ends with its session; other tunnels stay."""
    token = known_token(small.edge, "hoard")
    size = 4 << 20
    upload = request(
        b"POST", b"/", b"Content-Length: %d" % size, host=b"hoard.example.test", body=b"x" * size
    )
    with Dialer(small.port, token) as hoard:
        hoard.hello(settings=Settings(stream_window=MAX_STREAM_WINDOW, session_window=64 << 20))
        wires = [small.wire() for _ in range(4)]
        senders = [threading.Thread(target=wire.send, args=(upload,)) for wire in wires]
        try:
            for sender in senders:
                sender.start()
            assert hoard.goaway() == GoawayCode.OVERLOAD
        finally:
            for wire in wires:
                wire.sock.close()
            for sender in senders:
                sender.join()
    wait_until(lambda: _status(small, request())[0] == 200, what="newcomers are served")
    small.check_neighbour()
    assert "tunnel shop/" not in "".join(
        line for line in small.edge.running.output.splitlines() if " has ended: " in line
    )
