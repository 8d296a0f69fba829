"""A transport made of a stream, with a list of calls in the place of a session."""

from __future__ import annotations

import asyncio
from typing import Any

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.events import StreamOpened
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import Arrival, Fields, RequestHead, ResponseHead
from asgi_tunnel_edge.home.stream import StreamTransport

ARRIVAL = Arrival(b"https", b"1.1", b"192.0.2.7", 50_000, b"192.0.2.1", 443)


class Link:
    """A session that keeps what it is asked.

    Attributes:
        has_room: What sending returns.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.has_room = True
        self.consumed = 0

    def send_head(self, stream_id: int, head: ResponseHead) -> bool:
        """Keep the status."""
        self.calls.append(("head", head.status))
        return True

    def send_data(self, stream_id: int, data: Buffer, *, end: bool = False, **_: bool) -> bool:
        """Keep the bytes, or the end."""
        self.calls.append(("end",) if end else ("data", bytes(data)))
        return self.has_room

    def send_trailers(self, stream_id: int, fields: Fields) -> None:
        """Never."""
        raise AssertionError

    def send_close(self, stream_id: int, code: int, reason: str = "") -> None:
        """Never."""
        raise AssertionError

    def reset_stream(self, stream_id: int, code: ResetCode, reason: str = "") -> None:
        """Keep the code."""
        self.calls.append(("reset", code))

    def consume(self, stream_id: int, flow_controlled_size: int) -> None:
        """Add it up."""
        self.consumed += flow_controlled_size

    def release(self, stream_id: int) -> None:
        """Note it."""
        self.calls.append(("release",))


class Protocol(asyncio.Protocol):
    """Keeps what it hears.

    Attributes:
        keeps_open: What it says to the end of the visitor's direction.
    """

    def __init__(self, *, keeps_open: bool = False) -> None:
        self.heard: list[Any] = []
        self.keeps_open = keeps_open

    def data_received(self, data: bytes) -> None:
        """Keep them."""
        self.heard.append(data)

    def eof_received(self) -> bool:
        """Note it."""
        self.heard.append("eof")
        return self.keeps_open

    def pause_writing(self) -> None:
        """Note it."""
        self.heard.append("pause")

    def resume_writing(self) -> None:
        """Note it."""
        self.heard.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        """Note it."""
        self.heard.append(type(exc))


class Stage:
    """A stream that is accepted."""

    def __init__(self, *, keeps_open: bool = False) -> None:
        self.link = Link()
        head = RequestHead(b"", b"", ARRIVAL, b"r1", b"home.example.test", [])
        event = StreamOpened(1, StreamKind.BYTES, head, b"", False)
        self.transport = StreamTransport(self.link, event)
        self.protocol = Protocol(keeps_open=keeps_open)
        self.transport.start(self.protocol)
        assert self.link.calls == [("head", 200)]
        self.link.calls.clear()

    def receive(self, data: bytes, *, end: bool = False) -> None:
        """Bytes of the visitor, which cost 8 more than they are."""
        self.transport.on_data(data, len(data) + 8, end, False, False)


async def turn() -> None:
    """Let what is scheduled happen."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_who_it_is() -> None:
    """The visitor and the edge, whatever is sent."""
    transport = Stage().transport
    assert transport.get_extra_info("peername") == ("192.0.2.7", 50_000)
    assert transport.get_extra_info("sockname") == ("192.0.2.1", 443)
    assert transport.get_extra_info("socket", "none") == "none"


async def test_what_is_not_read_keeps_its_window() -> None:
    """So that a visitor who sends on is stopped by it; in order once it is read."""
    stage = Stage()
    stage.transport.pause_reading()
    stage.receive(b"one")
    stage.receive(b"two", end=True)
    assert (stage.protocol.heard, stage.link.consumed) == ([], 0)
    stage.transport.resume_reading()
    await turn()
    assert stage.protocol.heard[:3] == [b"one", b"two", "eof"]
    assert stage.link.consumed == 6 + 16


async def test_the_end_is_heard_once() -> None:
    """Also when it comes between a resumed reading and its next turn."""
    stage = Stage(keeps_open=True)
    stage.transport.pause_reading()
    stage.receive(b"one")
    stage.transport.resume_reading()
    stage.receive(b"", end=True)
    await turn()
    assert stage.protocol.heard == [b"one", "eof"]


async def test_writing_waits_for_the_session() -> None:
    """One pause, however much is written, and one resume."""
    stage = Stage()
    stage.link.has_room = False
    stage.transport.write(b"a" * 100)
    stage.transport.writelines([b"b" * 50, b"c" * 50])
    assert stage.protocol.heard == ["pause"]
    assert stage.transport.get_write_buffer_size() == 200
    stage.transport.on_writable()
    assert stage.protocol.heard == ["pause", "resume"]
    assert stage.transport.get_write_buffer_size() == 0


async def test_half_closed() -> None:
    """Each direction ends alone; with both the stream is forgotten."""
    stage = Stage(keeps_open=True)
    stage.receive(b"", end=True)
    stage.transport.write(b"later")
    stage.transport.write_eof()
    stage.transport.write(b"too late")
    assert stage.link.calls == [("data", b"later"), ("end",), ("release",)]


async def test_close_drops_what_comes() -> None:
    """And gives its window back, what waited included: others of the session need it."""
    stage = Stage()
    stage.transport.pause_reading()
    stage.receive(b"one")
    stage.transport.close()
    stage.transport.close()
    stage.receive(b"two")
    await turn()
    stage.receive(b"three", end=True)
    assert stage.link.consumed == 11 + 24
    assert stage.protocol.heard == [type(None)]
    assert stage.link.calls == [("end",), ("release",)]


async def test_abort_resets() -> None:
    """The visitor is cut; nothing is sent after it."""
    stage = Stage()
    stage.transport.abort()
    stage.transport.write(b"late")
    stage.transport.abort()
    await turn()
    assert stage.link.calls == [("reset", ResetCode.CANCELLED)]
    assert stage.protocol.heard == [type(None)]


async def test_a_reset_is_a_lost_connection() -> None:
    """With an error; what is written afterwards is dropped."""
    stage = Stage()
    stage.transport.on_reset(ResetCode.CANCELLED, "")
    stage.transport.write(b"late")
    stage.transport.close()
    await turn()
    assert stage.protocol.heard == [ConnectionResetError]
    assert stage.link.calls == []


async def test_frames_that_are_not_for_bytes_break_it() -> None:
    """The stream is reset."""
    for break_it in ("trailers", "close"):
        stage = Stage()
        if break_it == "trailers":
            stage.transport.on_trailers([])
        else:
            stage.transport.on_close(1000, "")
        assert stage.link.calls == [("reset", ResetCode.PROTOCOL_ERROR)]
        assert stage.protocol.heard == [ConnectionResetError]
