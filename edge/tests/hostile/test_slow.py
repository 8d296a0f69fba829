"""Slow visitors are answered or cut in time, and a good one beside them is served."""

from __future__ import annotations

import time

import pytest
from tests.e2e.harness import allowed

from .conftest import World
from .good import good_visitor
from .wire import Wire, handshake, name_of, request, split_answers

CHUNKED = b"Transfer-Encoding: chunked"
PACE = 0.1
"""Seconds between two bytes of a slow visitor."""


def _drip(wire: Wire, data: bytes, *, seconds: float = 6.0, size: int = 1) -> float:
    """Send slowly until the edge has had enough; return the seconds that took."""
    start = time.monotonic()
    wire.sock.settimeout(PACE)
    for at in range(0, len(data), size):
        wire.send(data[at : at + size])
        try:
            piece = wire.sock.recv(65536)
            wire.buffer += piece
            if not piece or wire.buffer:
                break
        except TimeoutError:
            pass
        except ConnectionError:
            break
        assert time.monotonic() - start < seconds, "the edge has patience without end"
    took = time.monotonic() - start
    wire.sock.settimeout(4.0)
    return took


ENDLESS = b"x" * 1000
SLOW: list[tuple[str, bytes, bytes, set[int], float]] = [
    # name, at once, slowly, statuses (empty: a close without a word), seconds
    ("T18 no byte at all", b"", b"", set(), 2.0),
    ("T18 one byte", b"G", b"", {408}, 2.0),
    ("T18 a request line in bytes", b"", b"GET /" + ENDLESS, {408}, 2.0),
    ("T18 fields in bytes", b"GET / HTTP/1.1\r\n", b"X-A: b\r\n" * 200, {408}, 2.0),
    ("T18 a head without its end", request()[:-2], b"", {408}, 2.0),
    ("T18 empty lines for ever", b"", b"\r\n\r\n" * 100, {400, 408}, 2.0),
    ("T18 a body in bytes", request(b"POST", b"/case", b"Content-Length: 9999"), ENDLESS, {408}, 3),
    (
        "T18 a body that never comes",
        request(b"POST", b"/case", b"Content-Length: 9"),
        b"",
        {408},
        3,
    ),
    ("T18 chunks in bytes", request(b"POST", b"/case", CHUNKED), b"1\r\nx\r\n" * 200, {408}, 3),
    ("T18 an endless size line", request(b"POST", b"/case", CHUNKED), b"0" * 999, {408}, 3),
    (
        "T18 trailers in bytes",
        request(b"POST", b"/case", CHUNKED) + b"0\r\n",
        b"a: b\r\n" * 200,
        {408},
        3,
    ),
    (
        "T20 an expectation and no body",
        request(b"POST", b"/case", b"Expect: 100-continue", b"Content-Length: 9"),
        b"",
        {408},
        3,
    ),
    ("T18 half a WebSocket handshake", handshake()[:-2], b"", {408}, 2.0),
]


@pytest.mark.parametrize(("name", "head", "rest", "statuses", "seconds"), SLOW, ids=name_of)
def test_slow_visitor_is_ended(
    hasty: World, name: str, head: bytes, rest: bytes, statuses: set[int], seconds: float
) -> None:
    """There is a deadline for the whole, not a timer that each byte winds up again."""
    with good_visitor(hasty), hasty.wire() as wire:
        start = time.monotonic()
        wire.send(head)
        if rest:
            _drip(wire, rest, seconds=seconds + 3.0)
        data = wire.rest()
        assert time.monotonic() - start < allowed(seconds, start)
        while data.startswith(b"HTTP/1.1 1"):
            data = data.partition(b"\r\n\r\n")[2]
        found = {answer.status for answer in split_answers(data)}
        assert found == (found & statuses)
        assert bool(found) == bool(statuses)


def test_idle_connection_is_closed(hasty: World) -> None:
    """T18: between two requests a connection may be idle for ``keep_alive_timeout``, no longer."""
    with hasty.wire() as wire:
        wire.send(request())
        wire.answer()
        start = time.monotonic()
        assert wire.rest() == b""
        assert 0.7 < time.monotonic() - start < allowed(2.0, start)


def test_idle_connection_after_a_large_answer_is_closed(hasty: World) -> None:
    """T18: the same behind an answer that had to wait for its visitor."""
    with hasty.wire(receive_buffer=4096) as wire:
        wire.send(request(b"GET", b"/bytes/900000"))
        time.sleep(0.3)  # the edge has to run into the full socket
        assert len(wire.answer().body) == 900_000
        start = time.monotonic()
        assert wire.rest() == b""
        assert time.monotonic() - start < allowed(2.0, start)


def test_second_head_has_its_own_deadline(hasty: World) -> None:
    """T18: ``head_timeout`` holds for each request of a connection."""
    with hasty.wire() as wire:
        wire.send(request())
        wire.answer()
        start = time.monotonic()
        assert _drip(wire, b"GET /" + ENDLESS, seconds=6.0) < allowed(2.5, start)
        assert b" 408 " in wire.buffer + wire.rest()


@pytest.mark.parametrize("target", [b"/bytes/30000000", b"/stream/30000000"])
def test_slow_reader_is_cut(hasty: World, target: bytes) -> None:
    """T19: who reads nothing is cut; until then the app's ``send()`` waits."""
    before = hasty.edge.running.rss()
    with good_visitor(hasty), hasty.wire(receive_buffer=4096) as wire:
        wire.send(request(b"GET", target))
        time.sleep(2.0)  # without reading
        assert hasty.edge.running.rss() - before < 24 << 20
        assert wire.is_cut()
        assert len(wire.buffer) < 20_000_000


def test_trickling_reader_is_cut(hasty: World) -> None:
    """T19: reading a few bytes a second is not reading."""
    with hasty.wire(receive_buffer=2048) as wire:
        wire.send(request(b"GET", b"/stream/30000000"))
        stop = time.monotonic() + 2.0
        while time.monotonic() < stop:
            assert wire.sock.recv(20)  # from the kernel, even when the edge has cut
            time.sleep(PACE)
        assert wire.is_cut()
        assert len(wire.buffer) < 20_000_000


def test_reader_at_a_fair_pace_is_not_cut(hasty: World) -> None:
    """T19: 200 kB a second is far above ``min_body_rate``, whatever is buffered on the way."""
    with hasty.wire(receive_buffer=16_384) as wire:
        wire.send(request(b"GET", b"/stream/500000", b"Connection: close"))
        wire.line_block()
        got = 0
        for part in wire.chunks():
            got += len(part)
            time.sleep(len(part) / 200_000)
        assert got == 500_000


def test_pipeline_whose_answers_nobody_reads(hasty: World) -> None:
    """T19: requests without end, answers unread: the edge stops reading, and cuts."""
    before = hasty.edge.running.peak_rss()
    with good_visitor(hasty), hasty.wire(receive_buffer=4096) as wire:
        wire.sock.settimeout(0.5)
        data = request(b"GET", b"/bytes/50000") * 100
        start = time.monotonic()
        try:
            while time.monotonic() - start < 6.0:
                try:
                    wire.sock.sendall(data)
                except TimeoutError:
                    pass
            pytest.fail("the edge has patience without end")
        except ConnectionError:
            pass
    assert hasty.edge.running.peak_rss() - before < 24 << 20
