"""A running edge's parts, without sockets: tokens, sessions, and who asks for them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from asgi_tunnel.protocol.connection import Connection, Role
from asgi_tunnel.protocol.events import SessionTerminated
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import Arrival, RequestHead
from asgi_tunnel.protocol.limits import Settings, Timing
from asgi_tunnel.session import Session
from asgi_tunnel_edge.directory import LocalDirectory
from asgi_tunnel_edge.questions import LiveEdge
from asgi_tunnel_edge.route import SessionEntry
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

_numbers = itertools.count()


class _Wire:
    """A transport that takes everything."""

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


class _Ignore:
    """A handler that hears and does nothing."""

    def __getattr__(self, name: str) -> object:
        return lambda *values: None


class World:
    """An edge that has tokens and sessions, and nothing else.

    Args:
        tokens: By name, their hostnames.

    Attributes:
        ended: How sessions have ended.
    """

    def __init__(self, tokens: dict[str, Iterable[str]]) -> None:
        self.records = {
            name: TokenRecord(
                id=f"tok_{name}",
                name=name,
                secret_sha256="",
                hostnames=tuple(hostnames),
                created_at=0,
            )
            for name, hostnames in tokens.items()
        }
        self.directory = LocalDirectory(Snapshot.of(1, self.records.values()))
        self.ended: list[SessionTerminated] = []
        nothing = cast(Any, None)
        self.edge = LiveEdge(
            config=EdgeConfig(data_dir=Path("/none"), domain="a.test", listen="127.0.0.1:0"),
            context=cast(
                Any, SimpleNamespace(now=asyncio.get_running_loop().time, is_stopping=False)
            ),
            directory=self.directory,
            table=nothing,
            counts=nothing,
            access_log=nothing,
            addresses=(),
        )

    def join(self, token: str, *, slot: int = 0, instance: str = "a", agent: str = "") -> Session:
        """A session of an app, with a connection."""
        settings = Settings()
        now = asyncio.get_running_loop().time()
        connection = Connection(Role.EDGE, local=settings, peer=settings, timing=Timing(), now=now)
        session = Session(connection, session_id=f"secret-{next(_numbers)}")
        session.on_end = self._on_end
        session.attach(_Wire())
        entry = SessionEntry(
            session, self.records[token], instance=instance, slot=slot, agent=agent
        )
        self.directory.add(entry)
        return session

    def _on_end(self, session: Session, event: SessionTerminated) -> None:
        self.ended.append(event)
        self.directory.remove(session)


def open_stream(session: Session) -> int:
    """Put one request in flight."""
    arrival = Arrival(b"http", b"1.1", b"192.0.2.1", 1, b"192.0.2.2", 80)
    head = RequestHead(b"GET", b"/", arrival, b"r", b"shop.test", [])
    return session.open_stream(StreamKind.HTTP, head, cast(Any, _Ignore()), end=True)
