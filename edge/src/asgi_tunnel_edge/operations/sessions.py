"""Sessions of people: who is logged in where, and signing them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from asgi_tunnel_edge.errors import AccountError
from asgi_tunnel_edge.storage.access import AccessStore

from .texts import utc_second

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asgi_tunnel_edge.accounts import SessionRecord
    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = ["SessionView", "end_all_sessions", "end_sessions", "list_sessions", "session_view"]


class SessionView(Struct, frozen=True, kw_only=True):
    """What a program is told of a login."""

    id: str
    subject: str
    name: str
    hostname: str
    method: str
    created_at: str | None
    expires_at: str | None
    address: str
    agent: str  #: as the browser sent it


def list_sessions(config: EdgeConfig) -> list[SessionRecord]:
    """Return the sessions that hold, oldest first."""
    return AccessStore(config.database).sessions()


def end_sessions(config: EdgeConfig, ids: Sequence[str]) -> list[SessionRecord]:
    """End sessions by their ids; return those that held.

    Raises:
        AccountError: None of them did.
    """
    ended = AccessStore(config.database).end_sessions(ids)
    if not ended:
        fix = "list them with `asgi-tunnel-edge session list`"
        raise AccountError(ids[0], "is no session that holds", fix, is_missing=True)
    return ended


def end_all_sessions(config: EdgeConfig) -> list[SessionRecord]:
    """Sign everybody out; return what held."""
    store = AccessStore(config.database)
    ended = store.sessions()
    store.end_all_sessions()
    return ended


def session_view(record: SessionRecord) -> SessionView:
    """Return what a program is told of a login."""
    return SessionView(
        id=record.id,
        subject=record.subject,
        name=record.name,
        hostname=record.hostname,
        method=record.method,
        created_at=utc_second(record.created_at),
        expires_at=utc_second(record.expires_at),
        address=record.address,
        agent=record.agent,
    )
