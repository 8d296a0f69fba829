"""White-box: the visitor's protocol behind the header is a recorder here."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import pytest

from asgi_tunnel_edge.context import Ingress
from asgi_tunnel_edge.identity.proxies import Proxies
from asgi_tunnel_edge.identity.proxy_protocol import End
from asgi_tunnel_edge.listeners import proxy_header as module
from asgi_tunnel_edge.listeners.proxy_header import Gate
from asgi_tunnel_edge.settings.config import ProxiesConfig

LINE = b"PROXY TCP4 203.0.113.5 198.51.100.7 5000 443\r\n"


class FakeTransport(asyncio.Transport):
    """Knows its peer, and whether it was ended."""

    def __init__(self, address: str) -> None:
        super().__init__(extra={"peername": (address, 40000)})
        self.aborted = asyncio.Event()
        self.protocol: Any = None

    @property
    def is_aborted(self) -> bool:
        """It was ended without a word."""
        return self.aborted.is_set()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Another protocol has it."""
        self.protocol = protocol

    def abort(self) -> None:
        """End it without a word."""
        self.aborted.set()


class FakeVisitor:
    """Records what it is given."""

    def __init__(self, _ingress: object, *, is_secure: bool, preamble: Any) -> None:
        assert not is_secure
        self.preamble = preamble
        self.transport: object = None
        self.data = b""

    def as_protocol(self) -> Any:
        """Itself."""
        return self

    def connection_made(self, transport: object) -> None:
        """Its connection."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """What came behind the header."""
        self.data += data


class FakeIngress:
    """A clock."""

    time = 0.0

    def now(self) -> float:
        """Seconds."""
        return self.time


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """A gate that trusts 10.0.0.0/8."""
    monkeypatch.setattr(module, "Visitor", FakeVisitor)
    config = ProxiesConfig(trusted=("10.0.0.0/8",), protocol=True)
    return Gate(cast(Ingress, FakeIngress()), Proxies(config, is_https=False))


def connect(gate: Gate, address: str = "10.0.0.1") -> tuple[Any, FakeTransport]:
    """A new connection: its protocol and its transport."""
    transport = FakeTransport(address)
    reader = gate()
    reader.connection_made(transport)
    return reader, transport


async def test_what_comes_behind_the_header_is_the_visitors(gate: Gate) -> None:
    """The header is taken off, wherever it is cut; every byte after it is passed on."""
    for cut in range(1, len(LINE) + 3):
        reader, transport = connect(gate)
        data = LINE + b"GET"
        reader.data_received(data[:cut])
        visitor = transport.protocol
        if visitor is None:
            assert len(gate.waiting) == 1
            reader.data_received(data[cut:])
            visitor = transport.protocol
        else:
            visitor.data_received(data[cut:])
        assert isinstance(visitor, FakeVisitor)
        assert visitor.preamble.source == End("203.0.113.5", 5000)
        assert (visitor.transport, visitor.data) == (transport, b"GET")
        assert not gate.waiting


async def test_others_are_visitors_at_once(gate: Gate) -> None:
    """A connection from elsewhere has no header taken off (T15)."""
    _, transport = connect(gate, "192.0.2.1")
    assert isinstance(transport.protocol, FakeVisitor)
    assert transport.protocol.preamble is None
    assert not gate.waiting


async def test_a_silent_proxy_is_ended(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The header has its time; half of it does not wind that up."""
    monkeypatch.setattr(module, "PREAMBLE_TIMEOUT", 0.01)
    reader, transport = connect(gate)
    reader.data_received(LINE[:5])
    with caplog.at_level(logging.WARNING, "asgi_tunnel_edge.ingress"):
        await asyncio.wait_for(transport.aborted.wait(), 5)
    assert "its PROXY header did not come" in caplog.text
    assert not gate.waiting
    reader.data_received(LINE[5:])
    assert transport.protocol is None


async def test_garbage_is_ended_and_told_now_and_then(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """No answer; one line in the log for many of them, with the proxy's address."""
    with caplog.at_level(logging.WARNING, "asgi_tunnel_edge.ingress"):
        for _ in range(5):
            reader, transport = connect(gate)
            reader.data_received(b"GET / HTTP/1.1\r\n")
            assert transport.is_aborted
            reader.connection_lost(None)
    assert len(caplog.records) == 1
    assert "10.0.0.1" in caplog.text
    assert not gate.waiting


async def test_a_look_whether_somebody_listens_is_no_fault(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """A balancer's check connects and goes: nothing is logged, nothing stays."""
    with caplog.at_level(logging.WARNING, "asgi_tunnel_edge.ingress"):
        reader, _ = connect(gate)
        reader.connection_lost(None)
    assert not caplog.records
    assert not gate.waiting


async def test_those_that_wait_are_bounded(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is ended; the others still get their turn, until the edge stops."""
    monkeypatch.setattr(module, "MAX_PREAMBLES", 2)
    (first, kept), (_, silent), (_, over) = (connect(gate) for _ in range(3))
    assert over.is_aborted
    first.data_received(LINE)
    assert kept.protocol is not None
    gate.stop()
    assert silent.is_aborted
    assert not kept.is_aborted
    assert not gate.waiting
