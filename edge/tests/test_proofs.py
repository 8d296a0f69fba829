"""Proofs of names at every process: those of one that orders are shown by the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from asgi_tunnel_edge import proofs
from asgi_tunnel_edge.bus.bus import Node
from asgi_tunnel_edge.bus.events import Events
from asgi_tunnel_edge.certificates.acme import HttpTokens, TlsAlpnCertificates
from asgi_tunnel_edge.certificates.acme.challenges import MAX_PROOFS
from asgi_tunnel_edge.proofs import SharedProofs

VALUE = f"{'t' * 22}.{'a' * 43}"


@dataclass
class Wire:
    """A bus of two: what one says, the other hears."""

    others: list[Events]
    nodes: list[Node] = field(default_factory=lambda: [Node(id="other")])

    def broadcast(self, event: dict[str, object]) -> None:
        """Hand it on."""
        for one in self.others:
            one.happened(event, "other")


class Process:
    """One that may order, and shows proofs."""

    def __init__(self) -> None:
        self.events = Events()
        self.shared = SharedProofs(self.events)
        self.tokens, self.certificates = HttpTokens(), TlsAlpnCertificates()


@pytest.fixture
async def two(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes, of which the first orders."""
    monkeypatch.setattr(proofs, "SETTLE", 0.0)
    first, second = Process(), Process()
    first.events.bus = Wire([second.events])  # type: ignore[assignment]
    second.events.bus = Wire([first.events])  # type: ignore[assignment]
    for one in (first, second):
        one.shared.start([one.tokens, one.certificates])
    yield first, second
    for one in (first, second):
        await one.shared.stop()
        await one.shared.stop()


async def shown(process: Process, token: str = "t" * 22) -> str | None:
    """What a CA gets from a process, once it has seen all events."""
    for _ in range(20):
        await asyncio.sleep(0)
    return process.tokens.lookup(token)


async def test_each_shows_what_one_orders_with(two: tuple[Process, Process]) -> None:
    """From the moment that the order may go on, to the moment that it ends."""
    first, second = two
    solver = first.shared.told(first.tokens)
    assert solver.kind == "http-01"
    await solver.present("shop.test", VALUE)
    assert await shown(first) == await shown(second) == VALUE
    await solver.clear("shop.test", VALUE)
    assert await shown(first) is None
    assert await shown(second) is None


async def test_by_tls(two: tuple[Process, Process]) -> None:
    """Each process makes the certificate that is the proof itself: no key leaves one."""
    first, second = two
    solver = first.shared.told(first.certificates)
    await solver.present("shop.test", VALUE)
    async with asyncio.timeout(10):
        while second.certificates.context("shop.test") is None:  # noqa: ASYNC110 - of a thread
            await asyncio.sleep(0.005)
    await solver.clear("shop.test", VALUE)
    async with asyncio.timeout(10):
        while second.certificates.context("shop.test") is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_an_end_that_is_lost(
    two: tuple[Process, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proof of a process that is gone is not shown for ever."""
    monkeypatch.setattr(proofs, "LIFETIME", 0.01)
    first, second = two
    await first.shared.told(first.tokens).present("shop.test", VALUE)
    assert await shown(second) == VALUE
    async with asyncio.timeout(10):
        while await shown(second) is not None:  # noqa: ASYNC110 - a timer's
            await asyncio.sleep(0.005)


async def test_what_cannot_be_shown(
    two: tuple[Process, Process], caplog: pytest.LogCaptureFixture
) -> None:
    """Too many, unknown kinds and broken events are left out; the next one is shown."""
    first, second = two
    for number in range(MAX_PROOFS):
        await second.tokens.present("x.test", f"{number}.x")
    await first.shared.told(first.tokens).present("shop.test", VALUE)
    assert await shown(second) is None
    assert "is not shown: 1000 proofs are shown at once" in caplog.text
    await second.tokens.clear("x.test", "1.x")
    second.events.happened({"kind": "challenge", "proof": "new-01", "name": "a", "value": "b"}, "x")
    second.events.happened({"kind": "challenge", "proof": "http-01"}, "x")
    await first.shared.told(first.tokens).present("shop.test", VALUE)
    assert await shown(second) == VALUE


async def test_without_others_nothing_waits() -> None:
    """An edge of one process orders as it always did."""
    one = Process()
    async with asyncio.timeout(proofs.SETTLE / 2):
        await one.shared.told(one.tokens).present("shop.test", VALUE)
