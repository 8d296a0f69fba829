"""The moment between the edge's answer to HELLO and the session that reads on."""

from __future__ import annotations

import pytest

from asgi_tunnel.connector import _greet
from asgi_tunnel.protocol.handshake import Hello, Welcome, encode_handshake
from asgi_tunnel.transport import Receiver, Transport, WebSocketTransport

pytestmark = pytest.mark.plain  # `Edge` is a subclass of a compiled class

WELCOME = Welcome(session="session-1")


class Edge(WebSocketTransport):
    """Answers HELLO at once, and goes on in the same turn of the loop."""

    def __init__(self, *messages: bytes, leaves: bool = False) -> None:
        super().__init__(is_masking=True)
        self._messages = messages
        self._leaves = leaves
        self._greeting: Receiver | None = None

    def start(self, receiver: Receiver) -> None:
        """Note who reads."""
        self._greeting = receiver

    def send(self, data: bytes) -> None:
        """Answer."""
        greeting = self._greeting
        assert greeting is not None
        for message in self._messages:
            greeting.data_received(message)
        if self._leaves:
            transport: Transport = self
            greeting.transport_lost(transport, None)


def hello() -> Hello:
    """What a connector says."""
    return Hello(instance="instance-1", slot=0)


async def test_frames_right_behind_welcome_are_kept() -> None:
    """Frames that come with WELCOME, in its message or in later ones, are the session's to read."""
    edge = Edge(encode_handshake(WELCOME) + b"one", b"two", memoryview(b"three").tobytes())
    welcome, rest = await _greet(edge, hello())
    assert welcome.session == "session-1"
    assert rest == b"onetwothree"


async def test_loss_right_behind_welcome_is_noticed() -> None:
    """A connection that breaks in the same moment is not taken for a good one."""
    with pytest.raises(ConnectionResetError, match="closed after the handshake"):
        await _greet(Edge(encode_handshake(WELCOME), leaves=True), hello())
