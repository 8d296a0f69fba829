"""Visitors who send, ask for or hold too much are refused or cut; a good one is served."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.harness import allowed

from .conftest import World
from .good import good_visitor
from .wire import Wire, frame, name_of, request, split_answers

CHUNKED = b"Transfer-Encoding: chunked"
PACE = 0.1
"""Seconds between two bytes of a slow visitor."""


@pytest.mark.parametrize(
    ("name", "make", "status"),
    [
        ("T20 1 TiB announced",
         lambda: request(b"POST", b"/case", b"Content-Length: 1099511627776"), 413),
        ("T20 one byte too many announced",
         lambda: request(b"POST", b"/case", b"Content-Length: 1000001"), 413),
        ("T20 a chunk of 1 TiB",
         lambda: request(b"POST", b"/case", CHUNKED, body=b"10000000000\r\n"), 413),
        ("T20 chunks that are too many",
         lambda: request(b"POST", b"/case", CHUNKED, body=b"2710\r\n" + b"x" * 10_000 + b"\r\n")
         + (b"2710\r\n" + b"x" * 10_000 + b"\r\n") * 100, 413),
        ("T17 a head of 64 MiB",
         lambda: b"GET / HTTP/1.1\r\nX: " + b"v" * (64 << 20), 431),
        ("T17 a request line of 1 MiB", lambda: b"GET /" + b"a" * (1 << 20), 414),
        ("T17 100,000 header lines",
         lambda: b"GET / HTTP/1.1\r\n" + b"X: v\r\n" * 100_000, 431),
    ], ids=name_of,
)  # fmt: skip
def test_oversized_request_is_refused(
    hasty: World, name: str, make: Callable[[], bytes], status: int
) -> None:
    """What is too large is refused when that is known, and costs the edge no memory."""
    data = make()
    before = hasty.edge.running.peak_rss()
    with good_visitor(hasty), hasty.wire() as wire:
        time.sleep(0.05)  # the good visitor has begun
        sender = threading.Thread(target=wire.send, args=(data,))
        sender.start()
        try:
            received = wire.rest()
        finally:
            wire.sock.close()
            sender.join()
    # A visitor that goes on sending may lose the answer to a reset: then there is none.
    assert {one.status for one in split_answers(received)} <= {status}
    if len(data) < 200_000:
        assert received
    assert hasty.edge.running.peak_rss() - before < 16 << 20


def test_largest_allowed_body_arrives(hasty: World) -> None:
    """T20: ``max_body`` bytes are taken, in both framings."""
    body = b"x" * 1_000_000
    with hasty.wire() as wire:
        wire.send(request(b"POST", b"/case", b"Content-Length: 1000000", body=body))
        assert wire.answer().body == b"/case 1000000"
        chunk = b"f4240\r\n" + body + b"\r\n0\r\n\r\n"
        wire.send(request(b"POST", b"/case", CHUNKED, body=chunk))
        assert wire.answer().body == b"/case 1000000"


def _upgraded(world: World, target: bytes, *, receive_buffer: int = 0) -> Wire:
    wire = world.wire(receive_buffer=receive_buffer)
    wire.upgrade(target)
    return wire


def test_websocket_message_above_the_limit(hasty: World) -> None:
    """T24: ``max_websocket_message`` holds for one frame and for fragments, from the header on."""
    for data in (
        frame(2, size=100_001, width=8),
        frame(2, b"x" * 60_000, fin=False) + frame(0, size=40_001),
    ):
        with _upgraded(hasty, b"/sink") as wire:
            wire.send(data)
            assert wire.close_code() == 1009
    with _upgraded(hasty, b"/sink") as wire:
        wire.send(frame(2, b"x" * 100_000))
        assert hasty.wait_event("message", "/sink")["size"] == 100_000


def test_silent_websocket_is_pinged_then_closed(hasty: World) -> None:
    """T24: after one interval a ping, after another a close; a pong would have been enough."""
    with _upgraded(hasty, b"/sink") as wire:
        start = time.monotonic()
        assert wire.frame()[0] == 9
        assert wire.close_code() == 1011
        assert 1.5 < time.monotonic() - start < allowed(4.0, start)
    with _upgraded(hasty, b"/sink") as wire:
        for _ in range(2):
            assert wire.frame()[0] == 9
            wire.send(frame(10))


def test_websocket_that_reads_nothing_is_cut(hasty: World) -> None:
    """T19, T24: an app that floods waits; the visitor that takes nothing is cut."""
    before = hasty.edge.running.rss()
    with good_visitor(hasty), _upgraded(hasty, b"/flood", receive_buffer=4096) as wire:
        wire.send(frame(2, b"x"))
        time.sleep(2.0)  # without reading
        assert hasty.edge.running.rss() - before < 24 << 20
        assert wire.close_code() == 1006


def test_ping_flood_of_one_who_does_not_read(hasty: World) -> None:
    """T24: pongs that nobody takes are not kept."""
    before = hasty.edge.running.peak_rss()
    with good_visitor(hasty), _upgraded(hasty, b"/sink", receive_buffer=4096) as wire:
        wire.sock.settimeout(1.0)
        data = frame(9, b"p" * 125) * 500
        start = time.monotonic()
        try:
            while time.monotonic() - start < 3.0:
                wire.sock.sendall(data)
        except OSError:
            pass
    assert hasty.edge.running.peak_rss() - before < 16 << 20


def test_app_that_is_away_is_not_waited_for(hasty: World) -> None:
    """A registered name without a tunnel: 503 with Retry-After after ``hold_timeout``."""
    hasty.edge.create_token("away")
    deadline = time.monotonic() + 5.0
    while True:
        with hasty.wire() as wire:
            start = time.monotonic()
            wire.send(request(b"GET", b"/", host=b"away.example.test"))
            answer = wire.answer()
        if answer.status == 503:
            break
        assert time.monotonic() < deadline
    assert answer.field(b"retry-after") is not None
    assert 0.1 < time.monotonic() - start < allowed(2.0, start)


def test_too_many_connections_of_one_address(world: World) -> None:
    """T60: above ``max_connections_per_address`` a connection is answered 503 and closed."""
    wires: list[Wire] = []
    try:
        wires += [Wire(world.port, source="127.0.3.1") for _ in range(1200)]
        with Wire(world.port, source="127.0.3.1") as one:
            assert b" 503 " in one.rest()
        with Wire(world.port, source="127.0.3.2") as other:
            other.send(request())
            assert other.answer().status == 200
    finally:
        for wire in wires:
            wire.sock.close()
    with Wire(world.port, source="127.0.3.1") as again:
        again.send(request())
        assert again.answer().status in (200, 503)


@pytest.mark.hostile_long
@pytest.mark.parametrize("kind", ["head", "body", "read"])
def test_five_hundred_slow_visitors(hasty: World, kind: str) -> None:
    """T18, T19: beside 500 attackers good visitors wait less than a second; memory is bounded.

    A visitor that reads nothing costs what it has not taken: the write buffer and a first window.
    """
    allowed = 64 << 20
    before = hasty.edge.running.peak_rss()
    first = {
        "head": b"GET / HTTP/1.1\r\nX: ",
        "body": request(b"POST", b"/case", b"Content-Length: 900000"),
        "read": request(b"GET", b"/stream/9000000"),
    }[kind]
    stop = time.monotonic() + 8.0
    with good_visitor(hasty) as good:
        wires: list[Wire] = []
        while time.monotonic() < stop:
            while len(wires) < 500:
                wire = Wire(hasty.port, receive_buffer=4096, source="127.0.4.1")
                wire.sock.setblocking(False)
                wire.send(first)
                wires.append(wire)
            alive = []
            for wire in wires:
                try:
                    if kind != "read":
                        wire.sock.send(b"x")
                    alive.append(wire)
                except (ConnectionError, BlockingIOError):
                    wire.sock.close()
            wires = alive
            time.sleep(PACE)
        for wire in wires:
            wire.sock.close()
    assert len(good.seconds) > 50
    assert hasty.edge.running.peak_rss() - before < allowed


@pytest.mark.hostile_long
def test_no_more_descriptors(hasty: World) -> None:
    """T60: out of file descriptors, the edge neither spins nor dies, and serves again after."""
    import resource

    pid = hasty.edge.running.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    with hasty.wire() as warm:
        warm.send(request())
        warm.answer()
    socks: list[socket.socket] = []
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (60, limits[1]))
        for number in range(200):
            one = socket.socket()
            one.bind((f"127.0.5.{number % 100 + 1}", 0))
            one.settimeout(0.5)
            try:
                one.connect(("127.0.0.1", hasty.port))
            except OSError:
                pass
            socks.append(one)
        ticks = _cpu_ticks(pid)
        time.sleep(1.0)
        assert _cpu_ticks(pid) - ticks < 50  # of 100 a second
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        for one in socks:
            one.close()
    hasty.check_neighbour()


def _cpu_ticks(pid: int) -> int:
    columns = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return int(columns[11]) + int(columns[12])
