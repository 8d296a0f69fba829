"""WebSocket visitors that break RFC 6455 are closed with the code that says how."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field

import pytest

from .conftest import World
from .wire import HOST, Wire, frame, handshake, request

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
EURO = "\N{EURO SIGN}".encode()


@dataclass(frozen=True)
class Misuse:
    """What a visitor sends after the handshake, and the close code that answers it.

    Attributes:
        row: ``T22`` and so on.
        name: What is wrong.
        data: All that is sent.
        code: Of the edge's close frame.
        messages: What the app may receive before, as (is text, payload).
    """

    row: str
    name: str
    data: bytes
    code: int = 1002
    messages: list[tuple[bool, bytes]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.row} {self.name}"


def _close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


HELLO = frame(TEXT, b"hello")
MISUSES = [
    Misuse("T22", "an unmasked text", frame(TEXT, b"hello", masked=False)),
    Misuse("T22", "an unmasked empty text", frame(TEXT, masked=False)),
    Misuse("T22", "an unmasked ping", frame(PING, b"", masked=False)),
    Misuse("T22", "an unmasked close", frame(CLOSE, b"", masked=False)),
    Misuse(
        "T22",
        "a good message, then an unmasked one",
        HELLO + frame(TEXT, b"a", masked=False),
        messages=[(True, b"hello")],
    ),
    *(
        Misuse(
            "T22",
            f"reserved bits {bits:03b} on opcode {opcode}",
            frame(opcode, b"hi", reserved=bits),
        )
        for bits, opcode in ((4, TEXT), (2, TEXT), (1, BINARY), (7, TEXT), (4, PING), (4, CLOSE))
    ),
    Misuse(
        "T21",
        "a compressed message that was not negotiated",
        frame(TEXT, bytes.fromhex("f248cdc9c90700"), reserved=4),
    ),
    *(
        Misuse("T22", f"opcode {opcode}", frame(opcode, b"hi"))
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    ),
    Misuse("T22", "5 bytes in a 16-bit length", frame(TEXT, b"hello", width=2)),
    Misuse("T22", "5 bytes in a 64-bit length", frame(TEXT, b"hello", width=8)),
    Misuse("T22", "125 bytes in a 16-bit length", frame(BINARY, b"x" * 125, width=2)),
    Misuse("T22", "300 bytes in a 64-bit length", frame(BINARY, b"x" * 300, width=8)),
    Misuse("T22", "65,535 bytes in a 64-bit length", frame(BINARY, b"x" * 65_535, width=8)),
    Misuse("T22", "a 64-bit length with its first bit", frame(BINARY, size=1 << 63, width=8)),
    Misuse("T22", "all bits of a length", frame(TEXT, size=(1 << 64) - 1, width=8)),
    Misuse("T22", "a ping of 126 bytes", frame(PING, b"x" * 126)),
    Misuse("T22", "a pong of 126 bytes", frame(PONG, b"x" * 126)),
    Misuse("T22", "a ping with a 64-bit length", frame(PING, b"x", width=8)),
    Misuse("T22", "a fragmented ping", frame(PING, b"x", fin=False)),
    Misuse("T22", "a fragmented close", frame(CLOSE, b"", fin=False)),
    Misuse("T22", "a continuation of nothing", frame(CONTINUATION, b"x")),
    Misuse("T22", "an unfinished continuation of nothing", frame(CONTINUATION, b"x", fin=False)),
    Misuse(
        "T22",
        "a continuation after a whole message",
        HELLO + frame(CONTINUATION, b"x"),
        messages=[(True, b"hello")],
    ),
    Misuse("T22", "a text inside a text", frame(TEXT, b"a", fin=False) + frame(TEXT, b"b")),
    Misuse("T22", "a binary inside a text", frame(TEXT, b"a", fin=False) + frame(BINARY, b"b")),
    Misuse("T22", "a text inside an empty text", frame(TEXT, fin=False) + frame(TEXT, b"b")),
    Misuse("T22", "a close of one byte", frame(CLOSE, b"\x03")),
    Misuse("T22", "a close of 126 bytes", _close(1000, b"x" * 124)),
    *(
        Misuse("T23", f"close code {code}", _close(code))
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    ),
    Misuse("T23", "a close reason that is not UTF-8", _close(1000, b"\xff"), 1007),
    Misuse("T23", "a close reason cut in a character", _close(1000, EURO[:2]), 1007),
    *(
        Misuse("T23", f"text {data!r}", frame(TEXT, data), 1007)
        for data in (
            b"\xff",
            b"\xc0\xaf",
            b"\xe2\x82",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xf8\x88\x80\x80\x80",
            b"a\x80b",
            EURO + EURO[:1],
        )
    ),
    Misuse("T23", "bad UTF-8 in the first of two fragments", frame(TEXT, b"\xff", fin=False), 1007),
    Misuse(
        "T23",
        "bad UTF-8 in the second fragment",
        frame(TEXT, EURO[:1], fin=False) + frame(CONTINUATION, b"a", fin=False),
        1007,
    ),
    Misuse(
        "T23",
        "a character cut by the end of the message",
        frame(TEXT, EURO[:1], fin=False) + frame(CONTINUATION, EURO[1:2]),
        1007,
    ),
    Misuse(
        "T23",
        "a character cut by the end, then an empty fragment",
        frame(TEXT, EURO[:2], fin=False) + frame(CONTINUATION),
        1007,
    ),
    Misuse("T24", "17 MiB announced", frame(BINARY, size=17 << 20, width=8), 1009),
    Misuse("T24", "1 GiB announced", frame(BINARY, size=1 << 30, width=8), 1009),
    Misuse("T24", "2^62 bytes announced", frame(TEXT, size=1 << 62, width=8), 1009),
    Misuse(
        "T24",
        "one byte too many in the last fragment",
        frame(BINARY, b"x" * 65_536, fin=False) + frame(CONTINUATION, size=16 << 20, width=8),
        1009,
    ),
]


def test_misuse_table_is_large_and_without_doubles() -> None:
    """At least 60 ways, each with a name of its own."""
    assert len(MISUSES) >= 60
    assert len({str(case) for case in MISUSES}) == len(MISUSES)


def _opened(world: World, target: bytes = b"/sink") -> Wire:
    wire = world.wire()
    answer = wire.upgrade(target)
    assert answer.status == 101
    return wire


@pytest.mark.parametrize("case", MISUSES, ids=str)
def test_misuse_is_closed_with_its_code(world: World, case: Misuse) -> None:
    """The visitor gets the code and an end; the app gets the code and no message of it."""
    with _opened(world) as wire:
        wire.send(case.data)
        assert wire.close_code() == case.code
        wire.rest()
    closed = world.wait_event("closed", "/sink")
    assert closed["code"] == case.code
    world.check_neighbour()


@pytest.mark.parametrize("case", [one for one in MISUSES if len(one.data) < 200], ids=str)
def test_misuse_in_single_bytes(world: World, case: Misuse) -> None:
    """T57: the same when each byte comes alone; and no complete bad message reaches the app."""
    with _opened(world) as wire:
        for at in range(len(case.data)):
            wire.send(case.data[at : at + 1])
        assert wire.close_code() == case.code
    events = world.check_neighbour()
    got = [(e["text"], e["body"].encode("latin-1")) for e in events if e["event"] == "message"]
    assert got == case.messages


@pytest.mark.parametrize(
    ("name", "frames", "expected"),
    [
        ("empty text", frame(TEXT), (TEXT, b"")),
        ("empty binary", frame(BINARY), (BINARY, b"")),
        ("125 bytes", frame(BINARY, b"x" * 125), (BINARY, b"x" * 125)),
        ("126 bytes", frame(BINARY, b"x" * 126), (BINARY, b"x" * 126)),
        ("65,535 bytes", frame(BINARY, b"x" * 65_535), (BINARY, b"x" * 65_535)),
        ("65,536 bytes", frame(BINARY, b"x" * 65_536), (BINARY, b"x" * 65_536)),
        ("4 MiB", frame(BINARY, b"x" * (4 << 20)), (BINARY, b"x" * (4 << 20))),
        (
            "a character over three fragments",
            frame(TEXT, EURO[:1], fin=False)
            + frame(CONTINUATION, EURO[1:2], fin=False)
            + frame(CONTINUATION, EURO[2:]),
            (TEXT, EURO),
        ),
        (
            "empty fragments around a byte",
            frame(BINARY, fin=False)
            + frame(CONTINUATION, fin=False) * 5
            + frame(CONTINUATION, b"x", fin=False)
            + frame(CONTINUATION),
            (BINARY, b"x"),
        ),
        (
            "pongs nobody asked for",
            frame(PONG, b"x") * 5 + frame(TEXT, b"a"),
            (TEXT, b"a"),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_messages_that_are_right_come_back(
    world: World, name: str, frames: bytes, expected: tuple[int, bytes]
) -> None:
    """Odd and allowed: kind, boundaries and bytes are kept both ways."""
    with _opened(world, b"/echo") as wire:
        wire.send(frames)
        assert wire.message() == expected
        wire.send(_close(1000))
        assert wire.close_code() == 1000
    world.wait_event("closed", "/echo")


def test_ping_inside_a_fragmented_message(world: World) -> None:
    """T22: a ping is answered at once, with its payload, and does not end the message."""
    with _opened(world, b"/echo") as wire:
        wire.send(frame(TEXT, b"a", fin=False) + frame(PING, b"p" * 125))
        assert wire.frame() == (PONG, b"p" * 125, True)
        wire.send(frame(CONTINUATION, b"b"))
        assert wire.message() == (TEXT, b"ab")
        wire.send(_close(1000))
        assert wire.close_code() == 1000
    world.wait_event("closed", "/echo")


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4000, 4999])
def test_visitors_close_code_reaches_the_app(world: World, code: int) -> None:
    """T23: every code that may be sent is echoed, and told to the app."""
    with _opened(world) as wire:
        wire.send(_close(code, b"bye"))
        assert wire.close_code() == code
        assert not wire.is_cut()
    assert world.wait_event("closed", "/sink")["code"] == code


def test_close_without_a_code(world: World) -> None:
    """T23: it is echoed without one, and the app sees 1005."""
    with _opened(world) as wire:
        wire.send(frame(CLOSE))
        assert wire.close_code() == 1005
    assert world.wait_event("closed", "/sink")["code"] == 1005


def test_vanished_visitor_is_1006(world: World) -> None:
    """The app learns that a visitor left without a word."""
    _opened(world).sock.close()
    assert world.wait_event("closed", "/sink")["code"] == 1006


def test_nothing_is_read_after_a_close(world: World) -> None:
    """T22: frames behind a close frame never reach the app."""
    with _opened(world) as wire:
        wire.send(_close(1000) + HELLO)
        assert wire.close_code() == 1000
    events = world.check_neighbour()
    assert [event["event"] for event in events if event["event"] == "message"] == []


def test_frames_that_come_with_the_handshake(world: World) -> None:
    """T26: what a hasty visitor sends before the 101 is not lost and not out of order."""
    with world.wire() as wire:
        wire.send(handshake(b"/echo") + frame(TEXT, b"one") + frame(TEXT, b"two")[:3])
        assert b"101" in wire.line_block()
        assert wire.message() == (TEXT, b"one")
        wire.send(_close(1000)[:0])
    world.check_neighbour()


def test_cut_frame_over_the_handshake(world: World) -> None:
    """T26: a frame may even be cut between what came before the 101 and what came after."""
    data = frame(BINARY, b"x" * 100_000)
    with world.wire() as wire:
        wire.send(handshake(b"/echo") + data[:50_000])
        assert b"101" in wire.line_block()
        wire.send(data[50_000:])
        assert wire.message() == (BINARY, b"x" * 100_000)
    world.check_neighbour()


def test_app_speaks_right_after_accept(world: World) -> None:
    """T26: a message sent with the acceptance arrives behind the 101."""
    for _ in range(20):
        with _opened(world, b"/greet") as wire:
            assert wire.message() == (TEXT, b"hello")
    world.check_neighbour()


def test_handshake_is_answered_exactly(world: World) -> None:
    """T25: the accept key is right, nothing is negotiated, Origin and cookies reach the app."""
    key = base64.b64encode(b"0123456789abcdef")
    extra = (
        b"Origin: https://evil.test",
        b"Cookie: a=b",
        b"Sec-WebSocket-Extensions: permessage-deflate",
        b"Sec-WebSocket-Protocol: chat",
    )
    with world.wire() as wire:
        wire.send(handshake(b"/sink?q=1", *extra, key=key))
        head = wire.line_block().split(b"\r\n")
        guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key + guid, usedforsecurity=False).digest())
        assert b"sec-websocket-accept: " + accept in head
        assert not [line for line in head if line.lower().startswith(b"sec-websocket-ext")]
        assert not [line for line in head if line.lower().startswith(b"sec-websocket-prot")]
        wire.send(_close(1000))
        wire.rest()
    run = world.wait_event("run", "/sink?q=1")
    assert run["type"] == "websocket"
    assert ["origin", "https://evil.test"] in run["headers"]
    assert ["cookie", "a=b"] in run["headers"]


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("Connection without upgrade", b"keep-alive", 200),
        ("Connection: close", b"close", 200),
        ("a list", b"keep-alive, Upgrade", 101),
        ("capitals", b"UPGRADE", 101),
    ],
)
def test_connection_field_decides(world: World, name: str, data: bytes, status: int) -> None:
    """T25: without ``upgrade`` among its options, a request is an ordinary one."""
    key = base64.b64encode(b"0123456789abcdef")
    fields = (
        b"Upgrade: WebSocket",
        b"Connection: " + data,
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: " + key,
    )
    with world.wire() as wire:
        wire.send(request(b"GET", b"/sink", *fields))
        assert wire.line_block().startswith(b"HTTP/1.1 %d" % status)
    world.check_neighbour()


def test_handshake_in_http_1_0_is_an_ordinary_request(world: World) -> None:
    """T11: an Upgrade means nothing in HTTP/1.0."""
    with world.wire() as wire:
        wire.send(handshake(b"/case").replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        assert wire.answer().status == 200
    world.check_neighbour()


def test_refused_version_names_the_right_one(world: World) -> None:
    """T25: 426 says which version is spoken."""
    with world.wire() as wire:
        wire.send(handshake(b"/sink").replace(b"Version: 13", b"Version: 8"))
        answer = wire.answer()
        assert answer.status == 426
        assert answer.field(b"sec-websocket-version") == b"13"
    assert world.check_neighbour() == []


def test_app_that_refuses(world: World) -> None:
    """An app's refusal is a 403 with an end; frames behind the handshake are dropped."""
    with world.wire() as wire:
        wire.send(handshake(b"/deny") + HELLO)
        assert wire.answer().status == 403
        assert wire.rest() == b""
    events = world.check_neighbour()
    assert [event["event"] for event in events] == ["run"]


def test_unknown_hostname_gets_404(world: World) -> None:
    """A handshake for a name nobody has is answered as a request is."""
    with world.wire() as wire:
        wire.send(handshake(b"/sink").replace(HOST, b"other.example.test"))
        assert wire.answer().status == 404
    assert world.check_neighbour() == []


def test_app_that_fails_closes_with_1011(world: World) -> None:
    """The visitor is told, with a code, that the app failed."""
    with _opened(world, b"/raise") as wire:
        assert wire.close_code() == 1011
    world.check_neighbour()


def test_twenty_thousand_fragments(world: World) -> None:
    """T24: a message in 20,000 fragments of two bytes arrives whole, in bounded time."""
    count = 20_000
    data = frame(BINARY, b"ab", fin=False)
    data += frame(CONTINUATION, b"ab", fin=False) * (count - 2) + frame(CONTINUATION, b"ab")
    with _opened(world) as wire:
        wire.send(data)
        assert world.wait_event("message", "/sink")["size"] == 2 * count
    world.check_neighbour()


def test_empty_fragments_without_end(world: World) -> None:
    """T24: fragments that carry nothing cost the app nothing."""
    before = world.app.rss()
    with _opened(world) as wire:
        wire.send(frame(BINARY, fin=False) + frame(CONTINUATION, fin=False) * 50_000)
        wire.send(frame(CONTINUATION, b"x"))
        assert world.wait_event("message", "/sink")["size"] == 1
    assert world.app.rss() - before < 16 << 20
    world.check_neighbour()


def test_ping_flood_of_a_visitor_that_reads(world: World) -> None:
    """T24: of a flood, some pings are answered; messages still pass."""
    with _opened(world, b"/echo") as wire:
        wire.send(frame(PING, b"p") * 20_000 + frame(TEXT, b"a"))
        opcode, payload, _ = wire.frame()
        pongs = 0
        while opcode == PONG:
            pongs += 1
            opcode, payload, _ = wire.frame()
        assert (opcode, payload) == (TEXT, b"a")
        assert 0 < pongs <= 20_000
    world.check_neighbour()
