from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio

from asgi_tunnel import slot as slot_module
from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.backoff import BASE, CAP, SHARE, STABLE_AFTER, Backoff
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel.protocol.handshake import HandshakeReader, Hello, Welcome, encode_handshake
from asgi_tunnel.token import Token
from asgi_tunnel.transport import Receiver, WebSocketTransport

if TYPE_CHECKING:
    import pytest

TOKEN = Token(edge="ws://127.0.0.1:1", id="tok_1", secret="secret").format()


def test_waits_grow_with_the_outage_and_are_bounded() -> None:
    """A wait is at most half a second at first, a quarter of a long outage, and never over 8 s."""
    for outage in (0.0, 1.0, 10.0, 1000.0):
        bound = min(CAP, max(BASE, SHARE * outage))
        waits = [Backoff(0.0).next(outage) for _ in range(200)]
        assert 0 <= min(waits) <= max(waits) <= bound
        assert max(waits) > bound / 2  # full jitter uses the whole of it


def test_a_stable_session_ends_the_outage() -> None:
    """After a session that lasted, waits are short again; after one that did not, they are not."""
    backoff = Backoff(0.0)
    backoff.connected(100.0)
    assert backoff.lost(101.0) == 1.0
    assert max(backoff.next(101.0) for _ in range(200)) > BASE
    backoff.connected(102.0)
    assert backoff.lost(103.0 + STABLE_AFTER) == 1.0 + STABLE_AFTER
    assert max(backoff.next(103.0 + STABLE_AFTER) for _ in range(200)) <= BASE


class CuttingEdge(WebSocketTransport):
    """Welcomes and resumes every session, and breaks as soon as it is read."""

    def __init__(self) -> None:
        super().__init__(is_masking=True)
        self._greeting: Receiver | None = None
        self._has_answered = False

    def start(self, receiver: Receiver) -> None:
        """Greet first, then break."""
        if self._greeting is None:
            self._greeting = receiver
        else:
            asyncio.get_running_loop().call_soon(receiver.transport_lost, self, None)

    def send(self, data: bytes) -> None:
        """Answer HELLO; what comes after it is of no interest."""
        if self._has_answered:
            return
        self._has_answered = True
        found = HandshakeReader().feed(data)
        assert found is not None
        assert self._greeting is not None
        hello, _ = found
        assert isinstance(hello, Hello)
        welcome = Welcome(session="session-1", resumed=bool(hello.session))
        self._greeting.data_received(encode_handshake(welcome))

    def abort(self) -> None:
        """Nothing is open."""


async def test_a_session_that_is_cut_at_once_is_no_busy_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When each resumed session breaks as soon as it is there, every dial is preceded by a wait."""
    waits: list[float] = []
    enough = asyncio.Event()
    sleep = anyio.sleep

    async def noted(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) >= 20:
            enough.set()
            await sleep(60)
        await sleep(0)

    async def dialled(*_arguments: object, **_settings: object) -> WebSocketTransport:
        return CuttingEdge()

    async def app(scope: object, receive: object, send: object) -> None:
        """Is never called."""

    async def awake(_self: Connector) -> None:
        """Leave the clock alone: it sleeps as well."""

    monkeypatch.setattr(Connector, "_watch_machine", awake)
    monkeypatch.setattr(slot_module, "dial", dialled)
    monkeypatch.setattr(anyio, "sleep", noted)
    config = TunnelConfig.from_env({"ASGI_TUNNEL_TOKEN": TOKEN}, connections=1)
    assert config is not None
    connector = Connector(config, Origin(app))
    connector.start()
    try:
        with anyio.fail_after(10):
            await enough.wait()
    finally:
        connector.abort()
    assert min(waits) > 0
