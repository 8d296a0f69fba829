"""A connector that does as it is told, right or wrong: raw frames over a plain socket."""

from __future__ import annotations

import struct
from itertools import cycle
from typing import Any

from tests.e2e.harness import Edge, wait_until

from asgi_tunnel.protocol.frames import Frame, FrameDecoder, FrameType, encode_frame
from asgi_tunnel.protocol.handshake import (
    SUBPROTOCOL,
    TUNNEL_PATH,
    HandshakeReader,
    Hello,
    Refuse,
    Welcome,
    encode_handshake,
)
from asgi_tunnel.protocol.head import RequestHead, decode_request

from .wire import Answer, Wire, frame, handshake

BINARY, CLOSE = 2, 8
_sources = cycle(range(1, 255))
_GOAWAY = struct.Struct(">HII")


class Dialer:
    """One connection to the tunnel endpoint.

    Args:
        port: Where the edge listens.
        token: What is shown; None for no Authorization field.
        source: An address of loopback to come from.
    """

    def __init__(self, port: int, token: str | None, *, source: str = "127.0.0.1") -> None:
        self.wire = Wire(port, source=source)
        fields = [] if token is None else [b"Authorization: Bearer " + token.encode("latin-1")]
        self.answer = self.handshake(*fields)
        self._decoder = FrameDecoder()
        self._frames: list[Frame] = []

    def handshake(self, *fields: bytes) -> Answer:
        """Do the WebSocket handshake and return what the edge says."""
        protocol = b"Sec-WebSocket-Protocol: " + SUBPROTOCOL.encode()
        self.wire.send(handshake(TUNNEL_PATH.encode(), protocol, *fields))
        return self.wire.answer()

    def __enter__(self) -> Dialer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.wire.sock.close()

    # -- what it says ------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send bytes of the tunnel in one message."""
        self.wire.send(frame(BINARY, data))

    def say(self, kind: int, payload: bytes = b"", stream_id: int = 0, flags: int = 0) -> None:
        """Send one frame."""
        self.send(encode_frame(kind, payload, stream_id=stream_id, flags=flags))

    def hello(self, **values: Any) -> Welcome | Refuse:
        """Greet, and return the edge's answer."""
        self.send(encode_handshake(Hello(**{"instance": "dialer", **values})))
        return self.greeting()

    # -- what it hears -----------------------------------------------------------------------

    def greeting(self) -> Welcome | Refuse:
        """Read WELCOME or REFUSE."""
        reader = HandshakeReader()
        while True:
            opcode, payload, _ = self.wire.frame()
            assert opcode == BINARY, payload
            found = reader.feed(payload)
            if found is not None:
                message, rest = found
                assert not isinstance(message, Hello)
                self._frames += self._decoder.feed(rest)
                return message

    def hear(self, *kinds: FrameType) -> Frame:
        """Return the next frame of one of these types; others are passed over."""
        while True:
            while self._frames:
                one = self._frames.pop(0)
                if one.type in kinds:
                    return one
            opcode, payload, _ = self.wire.frame()
            if opcode == CLOSE:
                raise ConnectionResetError("the edge said goodbye")
            self._frames += self._decoder.feed(payload)

    def opened(self) -> tuple[int, RequestHead]:
        """Wait for a stream."""
        one = self.hear(FrameType.OPEN)
        _, head, _ = decode_request(one.payload)
        return one.stream_id, head

    def goaway(self) -> int:
        """Wait for the end of the session and return its code."""
        code: int = _GOAWAY.unpack_from(self.hear(FrameType.GOAWAY).payload)[0]
        return code


def known_token(edge: Edge, name: str, *options: str) -> str:
    """Make a token and wait until the running edge knows it."""
    token = edge.create_token(name, *options).token

    def is_known() -> bool:
        # Each time from another address: wrong tokens from one are counted.
        with Dialer(edge.port, token, source=f"127.1.0.{next(_sources)}") as one:
            return one.answer.status == 101

    wait_until(is_known, what=f"the edge knows {name}")
    return token


def head_frame(
    stream_id: int,
    status: int = 200,
    *fields: tuple[bytes, bytes],
    body: bytes = b"",
    end: bool = True,
) -> bytes:
    """A HEAD frame with fields as given, however wrong."""
    block = b"\n".join(line for pair in fields for line in pair)
    payload = status.to_bytes(2, "big") + len(block).to_bytes(4, "big") + block + body
    return encode_frame(FrameType.HEAD, payload, stream_id=stream_id, flags=int(end))


def data_frame(stream_id: int, data: bytes, *, flags: int = 0) -> bytes:
    """A DATA frame."""
    return encode_frame(FrameType.DATA, data, stream_id=stream_id, flags=flags)
