"""Tunnels: what the sessions of an app are together, and what became of those that were ended.

The sessions come from a running edge: commands ask its control socket, and the dashboard, which
runs inside it, asks the same questions directly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from .texts import utc_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["TunnelView", "session_fields", "tunnels_of"]


class TunnelView(Struct, frozen=True, kw_only=True):
    """What the sessions of one token are together."""

    token: str
    token_id: str
    hostnames: tuple[str, ...]
    attached: int
    waiting: int  #: connections that are lost, and whose sessions wait for the app
    draining: int
    since: str
    addresses: tuple[str, ...]
    agents: tuple[str, ...]
    round_trip: float | None  #: seconds, the shortest
    in_flight: int
    requests: int
    bytes: int
    buffered: int


def tunnels_of(sessions: Iterable[dict[str, Any]]) -> list[TunnelView]:
    """Return a tunnel for each token that sessions are of, in their order.

    Args:
        sessions: As the question ``tunnels`` describes them.
    """
    by_token: dict[str, list[dict[str, Any]]] = {}
    for one in sessions:
        by_token.setdefault(one["token_id"], []).append(one)
    return [_tunnel(one) for one in by_token.values()]


def session_fields(session: dict[str, Any]) -> dict[str, Any]:
    """One session, for a program."""
    return {**session, "since": utc_time(session["since"])}


def _tunnel(sessions: Sequence[dict[str, Any]]) -> TunnelView:
    trips = [one["round_trip"] for one in sessions if one["round_trip"] is not None]
    waiting = sum(one["state"] == "waiting" for one in sessions)
    return TunnelView(
        token=sessions[0]["token"],
        token_id=sessions[0]["token_id"],
        hostnames=_merged(one["hostnames"] for one in sessions),
        attached=len(sessions) - waiting,
        waiting=waiting,
        draining=sum(one["state"] == "draining" for one in sessions),
        since=utc_time(min(one["since"] for one in sessions)),
        addresses=_merged([one["address"]] for one in sessions),
        agents=_merged([one["agent"]] for one in sessions),
        round_trip=min(trips, default=None),
        in_flight=sum(one["in_flight"] for one in sessions),
        requests=sum(one["requests"] for one in sessions),
        bytes=sum(one["bytes"] for one in sessions),
        buffered=sum(one["buffered"] for one in sessions),
    )


def _merged(lists: Iterable[Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for each in lists for one in each))
