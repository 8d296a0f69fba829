"""What visitors send: only RequestError and WebSocketError come out, and any cut is the same.

The first byte chooses the reader, the second one how the rest is cut.
"""

import shlex
import sys

import atheris

with atheris.instrument_imports(
    include=["asgi_tunnel_edge.http1", "asgi_tunnel_edge.exchange", "asgi_tunnel_edge.hostname"]
):
    from asgi_tunnel_edge.errors import RequestError, WebSocketError
    from asgi_tunnel_edge.exchange.websocket_frames import (
        CLOSE,
        Control,
        FrameReader,
        read_close,
    )
    from asgi_tunnel_edge.http1.body import ChunkedBody
    from asgi_tunnel_edge.http1.head import check_request_line, read_head
    from asgi_tunnel_edge.settings.config import Limits

LIMITS = Limits(max_request_line=512)
MAX_MESSAGE = 2048


def pieces(data: bytes, step: int) -> list[bytes]:
    """The data, cut."""
    return [data[at : at + step] for at in range(0, len(data), step)]


def head(data: bytes) -> None:
    """What is read has one host, one framing and nothing that could end a line."""
    whole = data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    try:
        request = read_head(whole, len(whole), LIMITS)
    except RequestError:
        return
    check_request_line(whole, LIMITS)
    names = [name for name, _ in request.fields]
    assert names.count(b"host") == 1
    assert names.count(b"content-length") <= 1
    assert b"transfer-encoding" not in names
    assert not any(name.startswith((b"x-forwarded", b"x_forwarded")) for name in names)
    assert request.target[:1] == b"/" or request.target == b"*"
    for pair in request.fields:
        assert not {0, 10, 13} & set(b"".join(pair))


def chunks(data: bytes, step: int) -> tuple[bytes, int, bytes, bool]:
    """Body, status of the refusal, what is behind it, and whether it is complete."""
    body, found, rest = ChunkedBody(MAX_MESSAGE), list[bytes](), b""
    try:
        for piece in pieces(data, step):
            if body.is_complete:
                rest += piece
            else:
                rest += piece[body.feed(piece, 0, found) :]
    except RequestError as error:
        return b"", error.status, b"", False
    return b"".join(found), 0, rest, body.is_complete


def messages(data: bytes, step: int) -> tuple[bytes, list[Control], int]:
    """Bytes of all messages with their ends, control frames, and the code that ended it."""
    reader, found, controls = FrameReader(MAX_MESSAGE), b"", list[Control]()
    try:
        for piece in pieces(data, step):
            for item in reader.feed(piece):
                if isinstance(item, Control):
                    controls.append(item)
                    if item.opcode == CLOSE:
                        read_close(item.payload)
                        return found, controls, 1000
                elif item.is_text or item.data:
                    found += item.data + (b"|" if item.is_last else b"")
    except WebSocketError as error:
        return b"", controls, error.code
    return found, controls, 0


def run(data: bytes) -> None:
    """One input."""
    if len(data) < 3:
        return
    which, step, rest = data[0] % 3, data[1] + 1, data[2:]
    if which == 0:
        head(rest)
    elif which == 1:
        assert chunks(rest, step) == chunks(rest, len(rest))
    else:
        assert messages(rest, step) == messages(rest, len(rest))


# The first word is how a merge starts itself again, in a shell.
atheris.Setup([shlex.join([sys.executable, sys.argv[0]]), *sys.argv[1:]], run)
atheris.Fuzz()
