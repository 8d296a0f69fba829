"""White-box: the visitor's protocol behind the header is a recorder here."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import pytest

from asgi_tunnel_edge.identity.proxies import Proxies
from asgi_tunnel_edge.identity.proxy_protocol import End
from asgi_tunnel_edge.listeners import proxy_header as module
from asgi_tunnel_edge.listeners.proxy_header import ProxyHeaderFactory
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


class FakeFront:
    """Records what it is given."""

    def __init__(self, preamble: Any) -> None:
        self.preamble = preamble
        self.transport: object = None
        self.data = b""

    def connection_made(self, transport: object) -> None:
        """Its connection."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """What came behind the header."""
        self.data += data


@pytest.fixture
def factory() -> ProxyHeaderFactory:
    """A factory that trusts 10.0.0.0/8."""
    config = ProxiesConfig(trusted=("10.0.0.0/8",), protocol=True)
    return ProxyHeaderFactory(
        lambda preamble: cast(asyncio.Protocol, FakeFront(preamble)),
        Proxies(config, is_https=False),
    )


def connect(factory: ProxyHeaderFactory, address: str = "10.0.0.1") -> tuple[Any, FakeTransport]:
    """A new connection: its protocol and its transport."""
    transport = FakeTransport(address)
    reader = factory()
    reader.connection_made(transport)
    return reader, transport


async def test_what_comes_behind_the_header_is_the_visitors(factory: ProxyHeaderFactory) -> None:
    """The header is taken off, wherever it is cut; every byte after it is passed on."""
    for cut in range(1, len(LINE) + 3):
        reader, transport = connect(factory)
        data = LINE + b"GET"
        reader.data_received(data[:cut])
        visitor = transport.protocol
        if visitor is None:
            assert len(factory.waiting) == 1
            reader.data_received(data[cut:])
            visitor = transport.protocol
        else:
            visitor.data_received(data[cut:])
        assert isinstance(visitor, FakeFront)
        assert visitor.preamble.source == End("203.0.113.5", 5000)
        assert (visitor.transport, visitor.data) == (transport, b"GET")
        assert not factory.waiting


async def test_others_are_visitors_at_once(factory: ProxyHeaderFactory) -> None:
    """A connection from elsewhere has no header taken off (T15)."""
    _, transport = connect(factory, "192.0.2.1")
    assert isinstance(transport.protocol, FakeFront)
    assert transport.protocol.preamble is None
    assert not factory.waiting


async def test_a_silent_proxy_is_ended(
    factory: ProxyHeaderFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The header has its time; half of it does not wind that up."""
    monkeypatch.setattr(module, "PREAMBLE_TIMEOUT", 0.01)
    reader, transport = connect(factory)
    reader.data_received(LINE[:5])
    with caplog.at_level(logging.WARNING, "asgi_tunnel_edge.listeners"):
        await asyncio.wait_for(transport.aborted.wait(), 5)
    assert "its PROXY header did not come" in caplog.text
    assert not factory.waiting
    reader.data_received(LINE[5:])
    assert transport.protocol is None


async def test_garbage_is_ended_and_told_now_and_then(
    factory: ProxyHeaderFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """No answer; one line in the log for many of them, with the proxy's address."""
    with caplog.at_level(logging.WARNING, "asgi_tunnel_edge.listeners"):
        for _ in range(5):
            reader, transport = connect(factory)
            reader.data_received(b"GET / HTTP/1.1\r\n")
            assert transport.is_aborted
            reader.connection_lost(None)
    assert len(caplog.records) == 1
    assert "10.0.0.1" in caplog.text
    assert not factory.waiting


async def test_a_look_whether_somebody_listens_is_no_fault(
    factory: ProxyHeaderFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """A balancer's check connects and goes: nothing is logged, nothing stays."""
    with caplog.at_level(logging.WARNING, "asgi_tunnel_edge.listeners"):
        reader, _ = connect(factory)
        reader.connection_lost(None)
    assert not caplog.records
    assert not factory.waiting


async def test_those_that_wait_are_bounded(
    factory: ProxyHeaderFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One too many is ended; the others still get their turn, until the edge stops."""
    monkeypatch.setattr(module, "MAX_PREAMBLES", 2)
    (first, kept), (_, silent), (_, over) = (connect(factory) for _ in range(3))
    assert over.is_aborted
    first.data_received(LINE)
    assert kept.protocol is not None
    factory.stop()
    assert silent.is_aborted
    assert not kept.is_aborted
    assert not factory.waiting
