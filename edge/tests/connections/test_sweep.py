"""The edge's timer finds who keeps more than its share, and nobody else pays."""

from __future__ import annotations

import asyncio
import itertools
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from asgi_tunnel.protocol.connection import Connection, Role
from asgi_tunnel.protocol.limits import Settings, Timing
from asgi_tunnel.session import Session
from asgi_tunnel_edge.connections.sweep import Sweep
from asgi_tunnel_edge.connections.table import ConnectionTable
from asgi_tunnel_edge.context import EdgeContext
from asgi_tunnel_edge.directory import LocalDirectory
from asgi_tunnel_edge.observers.access_log import AccessLog
from asgi_tunnel_edge.quotas import TokenQuotas
from asgi_tunnel_edge.route import SessionEntry
from asgi_tunnel_edge.settings.config import Limits
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

if TYPE_CHECKING:
    import pytest

MIB = 1024 * 1024
_numbers = itertools.count()


def token(name: str) -> TokenRecord:
    """A token with one hostname."""
    return TokenRecord(
        id=f"tok_{name}", name=name, secret_sha256="", hostnames=(f"{name}.test",), created_at=0
    )


class World:
    """A directory, and a sweep that looks when it is told to."""

    def __init__(self, tmp_path: Path, *, budget: int) -> None:
        self.one, self.other = token("one"), token("other")
        self.directory = LocalDirectory(Snapshot.of(1, [self.one, self.other]))
        self.context = EdgeContext(limits=Limits(max_buffered_bytes=budget))
        self.table = table = ConnectionTable(max_connections=10, max_per_address=10)
        log = AccessLog(form="text", path=tmp_path / "access.log")
        self.sweep = Sweep(self.context, table, self.directory, log)

    def session(self, record: TokenRecord, held: int) -> Session:
        """A session whose connector has not acknowledged so many bytes."""
        now = asyncio.get_running_loop().time()
        settings = Settings()
        connection = Connection(Role.EDGE, local=settings, peer=settings, timing=Timing(), now=now)
        connection.sequence.replay.append(bytes(held), 1)
        session = Session(connection, session_id=f"s{next(_numbers)}")
        session.on_end = lambda ended, event: self.directory.remove(ended)
        self.directory.add(
            SessionEntry(session, record, instance=session.session_id, slot=0, wanted=frozenset())
        )
        return session

    def look(self) -> None:
        """What the timer does."""
        self.sweep.look_at_memory(asyncio.get_running_loop().time())


async def test_a_token_above_its_share_loses_its_largest_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Many sessions that acknowledge nothing; the budget as a whole is never reached."""
    world = World(tmp_path, budget=100 * MIB)
    small = [world.session(world.one, 3 * MIB) for _ in range(5)]
    large = world.session(world.one, 12 * MIB)
    other = world.session(world.other, 20 * MIB)
    with caplog.at_level(logging.WARNING, "asgi_tunnel_edge.connections"):
        world.look()
    assert large.is_over
    assert not any(session.is_over for session in [*small, other])
    assert not world.context.is_overloaded
    assert "the token one" in caplog.text


async def test_the_share_of_one_token_may_differ(tmp_path: Path) -> None:
    """A quota of its own takes the place of the quarter, as the store has it now."""
    world = World(tmp_path, budget=100 * MIB)
    session = world.session(world.one, 20 * MIB)
    other = world.session(world.other, 20 * MIB)
    world.look()
    assert len(world.directory) == 2
    lowered = replace(world.one, quotas=TokenQuotas(max_memory=10 * MIB))
    world.directory.apply(Snapshot.of(2, [lowered, world.other]))
    world.look()
    assert session.is_over
    assert not other.is_over


async def test_a_full_edge_ends_the_largest_holder(tmp_path: Path) -> None:
    """Between the limit and the ceiling nobody was ended once, and everybody refused."""
    world = World(tmp_path, budget=10 * MIB)
    many = [world.session(token(f"t{number}"), 2 * MIB) for number in range(5)]
    largest = world.session(world.one, 2 * MIB + 1)
    world.look()
    assert world.context.is_overloaded
    world.sweep.look_at_memory(asyncio.get_running_loop().time() + 2.1)
    assert largest.is_over
    assert sum(session.is_over for session in many) == 1
    world.look()
    assert not world.context.is_overloaded


class Broken:
    """A connection that a defect has made unusable."""

    def __init__(self) -> None:
        self.has_ended = False

    def check(self, now: float) -> None:
        """Fail."""
        raise AssertionError("a state that must not be")

    def end(self) -> None:
        """Note it."""
        self.has_ended = True


async def test_a_defect_ends_one_connection_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next look comes, whatever failed in this one."""
    world = World(tmp_path, budget=MIB)
    broken = Broken()
    monkeypatch.setattr(world.table, "connections", {broken})
    monkeypatch.setattr(world.sweep, "look_at_memory", lambda now: 1 / 0)
    world.sweep._look()
    assert broken.has_ended
    assert [record.getMessage() for record in caplog.records] == [
        "a connection is ended by a defect",
        "a look at the connections failed; the next one follows",
    ]
    timer = world.sweep._timer
    assert timer is not None
    assert not timer.cancelled()
    world.sweep.stop()
