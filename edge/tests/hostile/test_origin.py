"""T39: whatever an app or its connector sends, a visitor gets one clean answer or a visible cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from asgi_tunnel.protocol.codes import GoawayCode, ResetCode
from asgi_tunnel.protocol.frames import FrameType, encode_frame
from asgi_tunnel.protocol.handshake import Welcome

from .conftest import World
from .dialer import Dialer, data_frame, head_frame, known_token
from .wire import Wire, handshake, name_of, request, split_answers

LENGTH = (b"content-length", b"5")
BAD = b"bad.example.test"
CUT = 0
"""Stands for a connection that is reset."""


@pytest.mark.parametrize(
    ("how", "statuses"),
    [
        ("crash-before", {500}),
        ("no-answer", {500}),
        ("crlf", {500}),
        ("lf", {500}),
        ("nul", {500}),
        ("name", {500}),
        ("two-lengths", {500}),
        ("headers", {500, 502}),
        ("status", {500}),
        ("short", {CUT, 502}),
        ("long", {CUT, 502}),
        ("long-in-pieces", {CUT, 502}),
        ("crash-after", {CUT, 502}),
        ("204-body", {204}),
        ("304-body", {304}),
        ("transfer-encoding", {200}),
    ],
)
def test_app_that_breaks_a_rule(world: World, how: str, statuses: set[int]) -> None:
    """One answer that looks like what it is; the next request of the neighbour is served."""
    with world.wire() as wire:
        wire.send(request(b"GET", f"/wrong/{how}".encode(), b"Connection: close"))
        if wire.is_cut():
            assert CUT in statuses
            assert wire.buffer.count(b"HTTP/1.1") <= 1
            assert not wire.buffer.endswith(b"0\r\n\r\n")
        else:
            answers = split_answers(wire.buffer)
            assert [answer.status in statuses for answer in answers] == [True], answers
            assert answers[0].field(b"set-cookie") is None
    world.check_neighbour()


@dataclass(frozen=True)
class Reply:
    """What a connector says to a request, and what its visitor may see.

    Attributes:
        name: What is wrong.
        frames: Makes them for a stream.
        expected: Statuses; ``CUT`` for a reset.
        goaway: The session's end, where it is the answer.
        body: Of an answer that is right.
        method: Of the request.
    """

    name: str
    frames: Callable[[int], bytes]
    expected: frozenset[int]
    goaway: int | None = None
    body: bytes = b""
    method: bytes = b"POST"

    def __str__(self) -> str:
        return self.name


def _reply(
    name: str,
    frames: Callable[[int], bytes],
    *expected: int,
    goaway: int | None = None,
    body: bytes = b"",
    method: bytes = b"POST",
) -> Reply:
    return Reply(name, frames, frozenset(expected or (502,)), goaway, body, method)


def _field(name: str, *fields: tuple[bytes, bytes], goaway: int | None = None) -> Reply:
    return _reply(name, lambda one: head_frame(one, 200, *fields, body=b"hello"), goaway=goaway)


def _twice(one: int) -> bytes:
    return head_frame(one, 200, LENGTH, end=False) + head_frame(one, 200, LENGTH)


REPLIES = [
    _field("CR in a value", (b"x-a", b"1\rSet-Cookie: a=b")),
    _field("NUL in a value", (b"x-a", b"1\x00")),
    _field("ESC in a value", (b"x-a", b"\x1b[2J")),
    _field("DEL in a value", (b"x-a", b"\x7f")),
    _field("LF in a value", (b"x-a", b"1\nset-cookie: a=b"), goaway=GoawayCode.FRAME_ERROR),
    _field("an upper-case name", (b"X-A", b"1")),
    _field("an empty name", (b"", b"1")),
    _field("a space in a name", (b"x a", b"1")),
    _field("a colon in a name", (b"x-a: b", b"1")),
    _field("8 bits in a name", (b"x-\xe9", b"1")),
    _field("CRLF in a name", (b"x-a\r", b"1")),
    _field("two lengths", LENGTH, (b"content-length", b"6")),
    _field("two equal lengths", LENGTH, LENGTH),
    *(
        _field(f"length {value!r}", (b"content-length", value))
        for value in (b"", b"+5", b"-5", b"5,5", b"0x5", b"5 ", b"1" * 19, b"\xb2")
    ),
    _field("1,025 fields", *[(b"x-a", b"1")] * 1025, goaway=GoawayCode.FRAME_ERROR),
    _field("97 KiB of fields", (b"x-a", b"1" * 99_000), goaway=GoawayCode.FRAME_ERROR),
    _reply("204 with a length", lambda one: head_frame(one, 204, LENGTH)),
    _reply("status 99", lambda one: head_frame(one, 99), goaway=GoawayCode.FRAME_ERROR),
    _reply("status 600", lambda one: head_frame(one, 600), goaway=GoawayCode.FRAME_ERROR),
    _reply("status 101", lambda one: head_frame(one, 101)),
    _reply(
        "a short head",
        lambda one: encode_frame(FrameType.HEAD, b"\0", stream_id=one),
        goaway=GoawayCode.FRAME_ERROR,
    ),
    _reply(
        "data before the head",
        lambda one: data_frame(one, b"hello"),
        goaway=GoawayCode.STREAM_STATE,
    ),
    _reply(
        "trailers before the head",
        lambda one: encode_frame(FrameType.TRAILERS, stream_id=one),
        goaway=GoawayCode.STREAM_STATE,
    ),
    _reply(
        "a close before the head",
        lambda one: encode_frame(FrameType.CLOSE, b"\x03\xe8", stream_id=one),
        goaway=GoawayCode.STREAM_STATE,
    ),
    _reply(
        "an interim head with a body",
        lambda one: head_frame(one, 103, body=b"x", end=False),
        goaway=GoawayCode.FRAME_ERROR,
    ),
    _reply(
        "reset before the head", lambda one: encode_frame(FrameType.RESET, b"\0\2", stream_id=one)
    ),
    _reply("two heads", _twice, CUT, goaway=GoawayCode.STREAM_STATE),
    _reply("a short body", lambda one: head_frame(one, 200, LENGTH, body=b"hell"), CUT),
    _reply(
        "a long body",
        lambda one: head_frame(one, 200, LENGTH, body=b"hello HTTP/1.1 200"),
        CUT,
        502,
    ),
    _reply(
        "a long body in pieces",
        lambda one: (
            head_frame(one, 200, LENGTH, body=b"hel", end=False)
            + data_frame(one, b"lo HTTP/1.1 200 OK\r\n\r\n", flags=1)
        ),
        CUT,
    ),
    _reply(
        "reset after the head",
        lambda one: (
            head_frame(one, 200, body=b"x", end=False)
            + encode_frame(FrameType.RESET, b"\0\2GET", stream_id=one)
        ),
        CUT,
    ),
    _reply(
        "a close in the body",
        lambda one: (
            head_frame(one, 200, body=b"x", end=False)
            + encode_frame(FrameType.CLOSE, b"\x03\xe8", stream_id=one)
        ),
        CUT,
    ),
    _reply(
        "the session ends in the body",
        lambda one: (
            head_frame(one, 200, body=b"x", end=False) + encode_frame(FrameType.GOAWAY, b"\0" * 10)
        ),
        CUT,
    ),
    _reply(
        "data after the end",
        lambda one: head_frame(one, 200, LENGTH, body=b"hello") + data_frame(one, b"more"),
        200,
        body=b"hello",
    ),
    _reply("a body on 204", lambda one: head_frame(one, 204, body=b"HTTP/1.1 200 OK"), 204),
    _reply("a body on 304", lambda one: head_frame(one, 304, LENGTH, body=b"HTTP/1.1 200 OK"), 304),
    _reply(
        "a body on HEAD",
        lambda one: head_frame(one, 200, LENGTH, body=b"hello"),
        200,
        method=b"HEAD",
    ),
    _reply(
        "transfer-encoding",
        lambda one: head_frame(
            one,
            200,
            (b"transfer-encoding", b"chunked"),
            LENGTH,
            (b"connection", b"x"),
            body=b"hello",
        ),
        200,
        body=b"hello",
    ),
    _reply(
        "framing in an interim head",
        lambda one: (
            head_frame(
                one,
                103,
                (b"content-length", b"9"),
                (b"link", b"a"),
                (b"transfer-encoding", b"chunked"),
                end=False,
            )
            + head_frame(one, 200, LENGTH, body=b"hello")
        ),
        200,
        body=b"hello",
    ),
    _reply(
        "1,000 interim heads",
        lambda one: (
            head_frame(one, 103, (b"link", b"a"), end=False) * 1000
            + head_frame(one, 200, LENGTH, body=b"hello")
        ),
        200,
        body=b"hello",
    ),
    _reply(
        "bad trailers nobody asked for",
        lambda one: (
            head_frame(one, 200, body=b"hello", end=False)
            + encode_frame(FrameType.TRAILERS, b"x-a\n1\r0\r", stream_id=one)
        ),
        200,
        body=b"hello",
    ),
    _reply(
        "1,000 fields",
        lambda one: head_frame(one, 200, *[(b"x-a", b"1")] * 1000, LENGTH, body=b"hello"),
        200,
        body=b"hello",
    ),
]


@pytest.fixture(scope="module")
def bad_token(shared_world: World) -> str:
    """A token for a hostname of its own on the shared edge."""
    return known_token(shared_world.edge, "bad")


@pytest.fixture
def dialer(world: World, bad_token: str) -> Iterator[Dialer]:
    """A session that serves ``bad.example.test``; it replaces the one of the test before."""
    with Dialer(world.port, bad_token) as one:
        assert isinstance(one.hello(), Welcome)
        yield one


@pytest.mark.parametrize("case", REPLIES, ids=str)
def test_connector_that_breaks_a_rule(world: World, dialer: Dialer, case: Reply) -> None:
    """The visitor sees one answer or a cut, never two answers; the session ends where it must."""
    with world.wire() as wire:
        data = request(case.method, b"/", b"Content-Length: 0", b"Connection: close", host=BAD)
        wire.send(data)
        stream_id, _ = dialer.opened()
        dialer.send(case.frames(stream_id))
        is_cut = wire.is_cut()
        received = wire.buffer
        if is_cut:
            assert CUT in case.expected, received
            assert received.count(b"HTTP/1.1 ") <= 1
            assert not received.endswith(b"0\r\n\r\n")
        else:
            interim, _, last = received.rpartition(b"HTTP/1.1 1")
            if interim or received.startswith(b"HTTP/1.1 1"):
                assert b"content-length: 9" not in received
                received = b"HTTP/1.1 1" + last
                received = received.partition(b"\r\n\r\n")[2]
            answers = split_answers(received, case.method)
            assert [answer.status for answer in answers] == [
                one for one in case.expected if one != CUT
            ]
            if answers[0].status < 300:
                assert answers[0].body == case.body
    if case.goaway is not None:
        assert dialer.goaway() == case.goaway
    world.check_neighbour()


def test_connection_stays_after_a_body_that_was_dropped(world: World, dialer: Dialer) -> None:
    """A body on 204 is dropped, so the next answer on the connection is the next request's."""
    with world.wire() as wire:
        for _ in range(3):
            wire.send(request(b"GET", b"/", host=BAD))
            stream_id, _ = dialer.opened()
            dialer.send(head_frame(stream_id, 204, body=b"HTTP/1.1 200 OK\r\n\r\n"))
            assert wire.answer().status == 204
            assert wire.buffer == b""


def test_tunnel_that_dies_before_the_answer(world: World, dialer: Dialer) -> None:
    """T51: a GOAWAY before the first byte is a 502 for a request that is not safe to repeat."""
    with world.wire() as wire:
        wire.send(request(b"POST", b"/", b"Content-Length: 0", host=BAD))
        dialer.opened()
        dialer.say(FrameType.GOAWAY, b"\0\0\xff\xff\xff\xff\xff\xff\xff\xff")
        assert wire.answer().status == 502


def _upgraded(world: World, dialer: Dialer) -> tuple[Wire, int]:
    wire = world.wire()
    wire.send(handshake(b"/").replace(b"shop.example.test", BAD))
    stream_id, _ = dialer.opened()
    return wire, stream_id


@pytest.mark.parametrize(
    ("name", "frames", "status"),
    [
        ("CR in a value", lambda one: head_frame(one, 101, (b"x-a", b"1\r"), end=False), 502),
        (
            "a subprotocol nobody offered",
            lambda one: head_frame(one, 101, (b"sec-websocket-protocol", b"x"), end=False),
            502,
        ),
        ("a body", lambda one: head_frame(one, 101, body=b"hello", end=False), 502),
        ("an end", lambda one: head_frame(one, 101, end=True), 502),
        (
            "a refusal with two lengths",
            lambda one: head_frame(one, 403, LENGTH, LENGTH, body=b"hello"),
            502,
        ),
        (
            "a refusal with a bad field",
            lambda one: head_frame(one, 403, (b"x-a", b"\r"), body=b"hello"),
            502,
        ),
        (
            "a refusal longer than announced",
            lambda one: head_frame(one, 403, LENGTH, body=b"hello HTTP/1.1 200 OK\r\n\r\n"),
            403,
        ),
        ("a 204 with a body", lambda one: head_frame(one, 204, body=b"hello"), 204),
        ("reset", lambda one: encode_frame(FrameType.RESET, b"\0\2", stream_id=one), 502),
        ("refused", lambda one: encode_frame(FrameType.RESET, b"\0\3", stream_id=one), 503),
        ("data before the head", lambda one: data_frame(one, b"x"), 503),
    ],
    ids=name_of,
)
def test_handshake_answered_wrongly(
    world: World, dialer: Dialer, name: str, frames: Callable[[int], bytes], status: int
) -> None:
    """A visitor who asks for a WebSocket gets one answer, and no byte behind it."""
    wire, stream_id = _upgraded(world, dialer)
    with wire:
        dialer.send(frames(stream_id))
        answers = split_answers(wire.rest())
        assert [answer.status for answer in answers] == [status]
        if status == 403:
            assert answers[0].body == b"hello"
    world.check_neighbour()


@pytest.mark.parametrize(
    ("name", "frames", "code"),
    [
        *(
            (
                f"close {code}",
                lambda one, code=code: encode_frame(
                    FrameType.CLOSE, code.to_bytes(2, "big"), stream_id=one
                ),
                sent,
            )
            for code, sent in (
                (1000, 1000),
                (4999, 4999),
                (1005, 1005),
                (1006, 1011),
                (1015, 1011),
                (0, 1011),
                (999, 1011),
                (65535, 1011),
            )
        ),
        ("an end without a close", lambda one: data_frame(one, b"", flags=1), 1011),
        (
            "reset",
            lambda one: encode_frame(
                FrameType.RESET, ResetCode.INTERNAL_ERROR.to_bytes(2, "big"), stream_id=one
            ),
            1011,
        ),
        ("trailers", lambda one: encode_frame(FrameType.TRAILERS, stream_id=one), 1011),
        ("goaway", lambda one: encode_frame(FrameType.GOAWAY, b"\0" * 10), None),
        ("a second head", lambda one: head_frame(one, 101, end=False), 1014),
    ],
    ids=name_of,
)
def test_websocket_ended_wrongly(
    world: World, dialer: Dialer, name: str, frames: Callable[[int], bytes], code: int | None
) -> None:
    """A visitor's WebSocket ends with a code that may be sent, and that says what happened."""
    wire, stream_id = _upgraded(world, dialer)
    with wire:
        dialer.send(head_frame(stream_id, 101, end=False))
        assert b"101" in wire.line_block()
        dialer.send(frames(stream_id))
        assert wire.close_code() in ((code,) if code is not None else (1012, 1014))
    world.check_neighbour()


def test_refused_stream_is_tried_three_times(world: World, dialer: Dialer) -> None:
    """T55: a request without a body that no app has started is offered again, and then 503."""
    with world.wire() as wire:
        wire.send(request(b"POST", b"/", b"Content-Length: 0", host=BAD))
        for _ in range(3):
            stream_id, _ = dialer.opened()
            dialer.say(FrameType.RESET, b"\0\3", stream_id)
        answer = wire.answer()
        assert answer.status == 503
        assert answer.field(b"retry-after") is not None


def test_data_beyond_the_window(world: World, dialer: Dialer) -> None:
    """T43: what a visitor does not read is bounded; a connector that sends more is cut off."""
    with world.wire(receive_buffer=4096) as wire:
        wire.send(request(b"GET", b"/", host=BAD))
        stream_id, _ = dialer.opened()
        dialer.send(head_frame(stream_id, 200, end=False))
        for _ in range(200):
            dialer.send(data_frame(stream_id, b"x" * 60_000))
        assert dialer.goaway() == GoawayCode.FLOW_CONTROL
        assert wire.is_cut()
    world.check_neighbour()


def test_visitor_who_left_while_held_harms_nobody(world: World, bad_token: str) -> None:
    """A request whose session died is held for the next one; when its visitor goes, others come."""
    with Dialer(world.port, bad_token) as first, world.wire() as wire:
        first.hello()
        wire.send(request(b"GET", b"/held", host=BAD))
        stream_id, _ = first.opened()
        first.send(head_frame(stream_id, 200, (b"x", b"a\nb")))
        assert first.goaway() == GoawayCode.FRAME_ERROR
    with Dialer(world.port, bad_token) as second, world.wire() as wire:
        second.hello()
        wire.send(request(b"GET", b"/next", host=BAD))
        stream_id, head = second.opened()
        while head.target != b"/next":  # the edge may not have noticed yet that the other left
            stream_id, head = second.opened()
        second.send(head_frame(stream_id, 200, LENGTH, body=b"hello"))
        assert wire.answer().body == b"hello"
