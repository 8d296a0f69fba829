"""Operations on the apps that are connected.

They ask the process that serves the request. After a reload, an older one may still finish what it
has: `asgi-tunnel-edge tunnel list` asks all.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from asgi_tunnel_edge.operations.tunnels import TunnelView, session_fields, tunnels_of

from .operation import Call, Operation
from .paging import Page, PageQuery, page_of

__all__ = ["TUNNELS", "sessions_of"]

MAX_PAGES: Final = 50
"""Replies of 200 sessions each that one request asks for: as many tunnels as an edge has."""


class SessionView(Struct, frozen=True, kw_only=True):
    """One connection of an app."""

    id: str
    token: str
    token_id: str
    hostnames: list[str]
    since: str
    address: str
    agent: str  #: what the app's side calls itself
    instance: str  #: which of its processes
    slot: int
    resumed: int
    round_trip: float | None  #: seconds
    silent: float  #: seconds since something came
    requests: int
    in_flight: int
    bytes: int
    buffered: int
    unacknowledged: int
    state: str  #: ``attached``, ``waiting``, ``draining`` or ``suspect``


class TunnelDetail(Struct, frozen=True, kw_only=True):
    """The connections of one tunnel."""

    sessions: list[SessionView]


class Ended(Struct, frozen=True, kw_only=True):
    """What became of connections."""

    sessions: int
    in_flight: int  #: requests and WebSockets that were on them
    drained: int | None = None  #: of a drain: those that did not drain before


async def sessions_of(call: Call) -> list[dict[str, Any]]:
    """Return all connections of apps, oldest first. Cancelling it loses nothing."""
    found: list[dict[str, Any]] = []
    after: int | None = 0
    for _ in range(MAX_PAGES):
        reply = await call.context.ask("tunnels", after=after)
        found += reply["sessions"]
        after = reply["more"]
        if after is None:
            break
    return found


async def list_tunnels(call: Call) -> Page[TunnelView]:
    """Return a tunnel for each token that an app is connected with."""
    mine = call.scope.sessions(await sessions_of(call))
    return page_of(tunnels_of(mine), call.query)


async def show_tunnel(call: Call) -> TunnelDetail:
    """Return the connections of a tunnel."""
    mine = call.scope.sessions(await sessions_of(call), call.path["tunnel"])
    names = SessionView.__struct_fields__
    views = [
        SessionView(**{name: fields[name] for name in names})
        for fields in map(session_fields, mine)
    ]
    return TunnelDetail(sessions=views)


async def kick_tunnel(call: Call) -> Ended:
    """End the connections of a tunnel."""
    return await _act(call, "kick")


async def drain_tunnel(call: Call) -> Ended:
    """Let the connections of a tunnel take nothing new."""
    return await _act(call, "drain")


async def _act(call: Call, command: str) -> Ended:
    import asyncio

    mine = call.scope.sessions(await sessions_of(call), call.path["tunnel"])
    subject = mine[0]["token_id"]
    await asyncio.to_thread(call.note, f"tunnel.{command}", subject, f"name={mine[0]['token']}")
    reply = await call.context.ask(command, names=[one["id"] for one in mine])
    names = Ended.__struct_fields__
    return Ended(**{name: reply[name] for name in names if name in reply})


TUNNELS: Final = (
    Operation(
        id="listTunnels",
        method="GET",
        path="/tunnels",
        run=list_tunnels,
        summary="Tokens that an app is connected with",
        role="owner",
        query=PageQuery,
        result=Page[TunnelView],
        commands=("tunnel list",),
    ),
    Operation(
        id="showTunnel",
        method="GET",
        path="/tunnels/{tunnel}",
        run=show_tunnel,
        summary="The connections of a token (name or id), or the one of an id",
        role="owner",
        result=TunnelDetail,
        commands=("tunnel show",),
    ),
    Operation(
        id="kickTunnel",
        method="POST",
        path="/tunnels/{tunnel}/kick",
        run=kick_tunnel,
        summary="End connections now; the app may dial again",
        role="owner",
        result=Ended,
        commands=("tunnel kick",),
    ),
    Operation(
        id="drainTunnel",
        method="POST",
        path="/tunnels/{tunnel}/drain",
        run=drain_tunnel,
        summary="Let connections finish what they have; the app opens fresh ones",
        role="owner",
        result=Ended,
        commands=("tunnel drain",),
    ),
)
