"""``tunnels``: the sessions of apps, some at a time: ten thousand would hold the event loop up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asgi_tunnel.protocol.heartbeat import UNKNOWN_ROUND_TRIP

from .matching import matching, names_in, public_id

if TYPE_CHECKING:
    from ..route import SessionEntry
    from .live import LiveEdge

__all__ = ["answer"]

PAGE: Final = 200
"""Sessions in one reply: 3 ms of the event loop."""

PAGE_SIZE: Final = 256 * 1024
"""Characters after which a reply has no further session; one of them has 8,000 at the most."""

_MAX_AGENT: Final = 64


async def answer(edge: LiveEdge, request: dict[str, Any]) -> dict[str, Any]:
    """Describe sessions, oldest first.

    Args:
        edge: The running one.
        request: ``names`` of tokens, their ids, or ids of sessions: those only, and their policy;
            without it all.
            ``after``: how many to leave out, as the reply before has said.

    Returns:
        ``sessions``, and ``more``: None, or the next ``after``. Sessions that come or go between
        two questions may be missing.
    """
    names, after = names_in(request), request.get("after", 0)
    entries = matching(edge.directory, names) if names else edge.directory.entries
    start = after if isinstance(after, int) and after > 0 else 0
    now, is_leaving = edge.context.now(), edge.context.is_stopping
    sessions: list[dict[str, Any]] = []
    size = 0
    for entry in entries[start : start + PAGE]:
        described = _described(entry, now) | {"state": _state(entry, is_leaving=is_leaving)}
        if names:
            described["policy"] = policy = _policy(entry)
            size += sum(200 + len(str(rule)) for rule in policy["rules"])
        sessions.append(described)
        size += 600 + sum(map(len, entry.hostnames))
        if size > PAGE_SIZE:
            break
    end = start + len(sessions)
    return {"sessions": sessions, "more": end if end < len(entries) else None}


def _described(entry: SessionEntry, now: float) -> dict[str, Any]:
    session = entry.session
    connection = session.connection
    round_trip = connection.round_trip
    return {
        "id": public_id(entry),
        "token": entry.token.name,
        "token_id": entry.token.id,
        "hostnames": list(entry.hostnames),
        "since": int(entry.since),
        "address": entry.address,
        "agent": _printable(entry.agent),
        "instance": _printable(entry.instance),
        "slot": entry.slot,
        "resumed": entry.resumed,
        "round_trip": None if round_trip == UNKNOWN_ROUND_TRIP else round_trip,
        "silent": round(max(now - connection.last_receive, 0.0), 3),
        "requests": connection.last_stream_id,
        "in_flight": session.in_flight,
        "bytes": session.moved,
        "buffered": session.buffered,
        "unacknowledged": connection.sequence.replay.size,
    }


def _policy(entry: SessionEntry) -> dict[str, Any]:
    """What its app wants refused: the rules as on the wire, and how many paths it names."""
    policy = entry.policy
    if policy is None:
        return {"rules": [], "routes": 0}
    return {"rules": [one.to_json() for one in policy.rules], "routes": len(policy.routes)}


def _state(entry: SessionEntry, *, is_leaving: bool) -> str:
    if not entry.session.is_attached:
        return "waiting"
    if entry.is_draining or is_leaving:
        return "draining"
    return "suspect" if entry.session.is_suspect else "attached"


def _printable(text: str) -> str:
    """What an app's side says of itself, without what could move a terminal's cursor (T38)."""
    return "".join(one if one.isascii() and one.isprintable() else "?" for one in text[:_MAX_AGENT])
