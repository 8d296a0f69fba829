"""The sessions of a running edge: what the ``tunnel`` commands have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgi_tunnel_edge.errors import TunnelNotFoundError

from .running import ask_each

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["act_on", "agents_of", "find_sessions", "round_trip_text"]


def find_sessions(data_dir: Path, names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the sessions of a running edge, each with the ``pid`` of the process that has it.

    Args:
        data_dir: The edge's folder.
        names: Names or ids of tokens, or ids of sessions; without one, all sessions.

    Raises:
        EdgeNotRunningError: None runs there, or it does not reply.
        TunnelNotFoundError: One of ``names`` means no session.
    """
    found: list[dict[str, Any]] = []
    for worker in ask_each(data_dir, "tunnels", names=list(names)):
        page: dict[str, Any] | None = worker
        while page is not None:
            found += ({**one, "pid": worker["pid"]} for one in page["sessions"])
            more = page["more"]
            page = None
            if more is not None:
                asked = {"names": list(names), "after": more}
                page = next(iter(ask_each(data_dir, "tunnels", pid=worker["pid"], **asked)), None)
    for name in names:
        if not any(name in (one["token"], one["token_id"], one["id"]) for one in found):
            raise TunnelNotFoundError(name)
    return found


def act_on(data_dir: Path, command: str, names: Sequence[str]) -> dict[str, int]:
    """Kick or drain what all of ``names`` mean, or nothing; return the sums of the replies.

    Raises:
        EdgeNotRunningError: None runs there, or it does not reply.
        TunnelNotFoundError: One of ``names`` means no session.
    """
    find_sessions(data_dir, names)
    sums: dict[str, int] = {}
    for worker in ask_each(data_dir, command, names=list(names)):
        for name in ("sessions", "drained", "in_flight"):
            if name in worker:
                sums[name] = sums.get(name, 0) + int(worker[name])
    return sums


def agents_of(sessions: Iterable[dict[str, Any]]) -> str:
    """The software of some sessions, for a person: ``0.1.0 python/3.12.3 linux``."""
    agents = dict.fromkeys(one["agent"].removeprefix("asgi-tunnel/") or "-" for one in sessions)
    return ", ".join(agents)


def round_trip_text(seconds: float | None) -> str:
    """A round trip, for a person."""
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"
