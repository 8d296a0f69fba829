from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel.protocol.codes import GoawayCode
from asgi_tunnel.protocol.connection import Connection, Role
from asgi_tunnel.protocol.limits import Settings, Timing
from asgi_tunnel.session import Session
from asgi_tunnel_edge.admission import supervisor as supervisor_module
from asgi_tunnel_edge.admission.supervisor import SessionSupervisor, printable
from asgi_tunnel_edge.directory import LocalDirectory
from asgi_tunnel_edge.route import SessionEntry
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asgi_tunnel.protocol.frames import Buffer

TOKEN = TokenRecord(id="a", name="a", secret_sha256="", hostnames=("a.test",), created_at=0)


class Wire:
    """A transport that drops what is sent."""

    is_writable = True
    buffered = 0
    room = 128 * 1024

    def send(self, data: bytes) -> None:
        """Drop it."""

    def send_large(self, pieces: Sequence[Buffer]) -> None:
        """Drop them."""

    def close(self) -> None:
        """Nothing to close."""

    def abort(self) -> None:
        """Nothing to abort."""


class Stalled:
    """A handler that counts how often it is checked, three times at the least."""

    def __init__(self) -> None:
        self.checks: list[tuple[float, float]] = []
        self.is_enough = asyncio.Event()

    def check_stalled(self, lost_for: float, hold: float) -> None:
        """Note it."""
        self.checks.append((lost_for, hold))
        if len(self.checks) == 3:
            self.is_enough.set()

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *values: None


def watched(directory: LocalDirectory) -> tuple[SessionSupervisor, Session]:
    """A session of token ``a``, and who follows it."""
    settings = Settings()
    now = asyncio.get_running_loop().time()
    connection = Connection(Role.EDGE, local=settings, peer=settings, timing=Timing(), now=now)
    session = Session(connection, session_id="id", name="a/i/0")
    supervisor = SessionSupervisor(directory, hold_timeout=10.0)
    supervisor.watch(session)
    session.attach(Wire())
    directory.add(SessionEntry(session, TOKEN, instance="i", slot=0))
    return supervisor, session


@pytest.mark.plain
async def test_exchanges_of_a_lost_session_are_checked_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is asked again and again, each time with a longer loss, and no more after that."""
    monkeypatch.setattr(supervisor_module, "STALL_CHECK", 0.01)
    supervisor, session = watched(LocalDirectory(Snapshot.of(1, [TOKEN])))
    handler = session.handlers[1] = Stalled()
    session.transport_lost(session._transport, None)  # type: ignore[arg-type]
    await asyncio.wait_for(handler.is_enough.wait(), 10)
    losses = [lost_for for lost_for, _ in handler.checks]
    assert losses == sorted(losses)
    assert {hold for _, hold in handler.checks} == {10.0 - 0.01}
    assert session.resume(Wire(), 0)
    count = len(handler.checks)
    supervisor._check_stalled(session)
    assert len(handler.checks) == count
    assert not supervisor._timers


async def test_the_end_takes_the_session_out_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing is left of it, not even a timer; the reason is one printable line."""
    directory = LocalDirectory(Snapshot.of(1, [TOKEN]))
    supervisor, session = watched(directory)
    session.transport_lost(session._transport, None)  # type: ignore[arg-type]
    caplog.clear()
    with caplog.at_level(logging.INFO, "asgi_tunnel_edge.admission"):
        session.terminate(GoawayCode.OVERLOAD, "so\nmuch")
    assert [one.getMessage() for one in caplog.records] == ["tunnel a/i/0 has ended: so\\nmuch"]
    assert not directory.entries
    assert not supervisor._timers


def test_printable() -> None:
    """T38: what an app says about itself cannot start a line of the log."""
    assert printable("shop-1") == "shop-1"
    assert printable("a\r\nb\x1b[2J\x9b\u202e") == "a\\r\\nb\\x1b[2J\\x9b\\u202e"
