from __future__ import annotations

import pytest

from asgi_tunnel.protocol.connection import Connection, Role
from asgi_tunnel.protocol.events import DataReceived, HeadReceived
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.output import LARGE, join_small

from .pair import OK, REQUEST, WIDE, connection

FILE = bytes(range(256)) * 256
"""As large as most files of a page, 64 KiB."""


def app_with_stream() -> tuple[Connection, Connection, int]:
    """Return an edge, an app that has got a request, and the stream's id."""
    edge = connection(Role.EDGE, local=WIDE, peer=WIDE)
    app = connection(Role.CONNECTOR, local=WIDE, peer=WIDE)
    stream_id = edge.open_stream(StreamKind.HTTP, REQUEST, now=0.0, end=True)
    app.receive_data(edge.data_to_send(), 0.0)
    app.events()
    return edge, app, stream_id


def test_a_large_body_is_not_copied_on_its_way_out() -> None:
    """The bytes of the app themselves are what the transport gets; heads around them are joined."""
    _, app, stream_id = app_with_stream()
    app.send_head(stream_id, OK)
    app.send_data(stream_id, FILE, end=True)
    pieces = app.pieces_to_send()
    assert pieces[-1] is FILE
    assert len(b"".join(pieces[:-1])) < 100


def test_it_is_sent_again_as_it_was() -> None:
    """A transport that is lost in the middle of it costs nothing: the next one has all of it."""
    edge, app, stream_id = app_with_stream()
    app.send_head(stream_id, OK)
    app.send_data(stream_id, FILE, end=True)
    sent = app.data_to_send()
    edge.receive_data(sent[: len(sent) // 2], 0.0)
    assert edge.events() == []
    for one in (edge, app):
        one.transport_lost(1.0)
    received = edge.received_frames, app.received_frames
    assert app.resume(received[0], 1.0)
    assert edge.resume(received[1], 1.0)
    for _ in range(3):
        edge.receive_data(app.data_to_send(), 1.0)
        app.receive_data(edge.data_to_send(), 1.0)
    bodies = [
        event.data for event in edge.events() if isinstance(event, HeadReceived | DataReceived)
    ]
    assert b"".join(bodies) == FILE


def test_what_is_small_is_joined() -> None:
    """One more piece of a write costs more than a short copy."""
    large = bytes(LARGE)
    parts: list[Buffer] = [b"a", b"b", large, b"c", large, large, b"d"]
    assert join_small(parts) == [b"ab", large, b"c", large, large, b"d"]
    assert join_small([b"a", bytes(LARGE - 1)]) == [b"a" + bytes(LARGE - 1)]


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_view_does_not_keep_what_it_does_not_show(kind: type[bytes | bytearray]) -> None:
    """Kept for the peer, it would keep the whole read that it was cut from."""
    read = kind(8 * LARGE)
    short, long = memoryview(read)[:LARGE], memoryview(read)[LARGE:]
    pieces = join_small([short, long])
    assert type(pieces[0]) is bytes
    assert pieces[1] is long
    assert pieces == [short, long]
