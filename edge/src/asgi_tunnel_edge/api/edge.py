"""Operations on the edge as a whole: who asks, what it does now, what was, and who changed what."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from asgi_tunnel_edge._version import __version__
from asgi_tunnel_edge.history.book import SPANS
from asgi_tunnel_edge.operations.texts import utc_time
from asgi_tunnel_edge.storage.audit import PAGE

from .operation import Call, Operation

__all__ = ["EDGE"]

Span = Literal["hour", "day", "week", "months"]


class Me(Struct, frozen=True, kw_only=True):
    """Who asks."""

    subject: str
    role: Literal["operator", "owner"]
    tokens: list[str]  #: ids of those that are theirs to see
    csrf: str  #: what a page sends as ``x-csrf-token`` with each change; empty for a program


class Status(Struct, frozen=True, kw_only=True):
    """What the process that serves this request does now."""

    version: str
    domain: str
    tunnels: int
    connections: int
    exchanges: int
    is_draining: bool
    is_overloaded: bool


class HostTraffic(Struct, frozen=True, kw_only=True):
    """What one hostname had since somebody began to look; it only grows."""

    name: str
    requests: int
    statuses: list[int]  #: 1xx to 5xx
    sent: int  #: bytes
    durations: list[int]  #: by steps of half as much again, from 1 ms


class Traffic(Struct, frozen=True, kw_only=True):
    """What passes now: two responses give a rate."""

    hostnames: list[HostTraffic]
    tunnels: int | None  #: connected ones; null for an owner
    connections: int | None  #: of visitors; null for an owner
    in_flight: int | None  #: null for an owner


class HistoryQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which numbers are wanted."""

    span: Annotated[Span, Meta(description="how far back")] = "day"
    hostname: Annotated[str | None, Meta(description="only of this one")] = None


class HistoryPoint(Struct, frozen=True, kw_only=True):
    """What was counted in one step of time."""

    start: str
    requests: int
    statuses: list[int]  #: 1xx to 5xx
    sent: int  #: bytes
    durations: list[int]  #: by steps of half as much again, from 1 ms


class History(Struct, frozen=True, kw_only=True):
    """Numbers over time, the oldest first; a step in which nothing came is left out."""

    span: Span
    step: int  #: seconds of one point
    points: list[HistoryPoint]


class AuditQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which changes are wanted."""

    before: Annotated[int, Meta(ge=1, le=2**53)] | None = None  #: only those below this id
    query: Annotated[str, Meta(max_length=100, description="only those with this text")] = ""
    limit: Annotated[int, Meta(ge=1, le=PAGE)] = PAGE


class Change(Struct, frozen=True, kw_only=True):
    """One change."""

    id: int
    at: str
    by: str  #: empty: the command line
    action: str
    subject: str
    detail: str


class Changes(Struct, frozen=True, kw_only=True):
    """Some changes, the newest first."""

    items: list[Change]
    next: int | None  #: the ``before`` of the next piece; None: there is none


def show_me(call: Call) -> Me:
    """Say who asks."""
    scope = call.scope
    ids = [one.id for one in scope.tokens() if not one.revoked]
    role: Literal["operator", "owner"] = "operator" if scope.is_operator else "owner"
    return Me(subject=scope.subject, role=role, tokens=ids, csrf=call.csrf)


async def show_status(call: Call) -> Status:
    """Say what the edge does now."""
    reply = await call.context.ask("status")
    names = ("tunnels", "connections", "exchanges", "is_draining", "is_overloaded")
    counts: dict[str, Any] = {name: reply[name] for name in names}
    return Status(version=__version__, domain=call.config.domain, **counts)


async def show_traffic(call: Call) -> Traffic:
    """Say what passes now; an owner sees their own hostnames."""
    reply = await call.context.ask("traffic")
    scope = call.scope
    names = HostTraffic.__struct_fields__
    hostnames = [
        HostTraffic(**{name: one[name] for name in names})
        for one in reply["hostnames"]
        if scope.sees_hostname(one["name"])
    ]
    whole = reply if scope.is_operator else dict.fromkeys(reply)
    return Traffic(
        hostnames=hostnames,
        tunnels=whole["tunnels"],
        connections=whole["connections"],
        in_flight=whole["in_flight"],
    )


async def show_history(call: Call) -> History:
    """Return numbers over time; an owner gets those of their own hostnames."""
    query: HistoryQuery = call.query
    span = next(one for one in SPANS if one.name == query.span)
    names = call.scope.hostnames()
    if query.hostname is not None:
        names = frozenset({call.scope.hostname(query.hostname)})
    found = await call.context.history.points(span, names)
    points = [
        HistoryPoint(
            start=utc_time(one.start),
            requests=one.tally.requests,
            statuses=one.tally.statuses,
            sent=one.tally.sent,
            durations=one.tally.durations,
        )
        for one in found
    ]
    return History(span=query.span, step=span.step, points=points)


def list_changes(call: Call) -> Changes:
    """Return what was changed, and by whom, the newest first."""
    query: AuditQuery = call.query
    rows = call.context.audit(query.before, query.query, query.limit)
    items = [
        Change(
            id=one.id,
            at=utc_time(one.at),
            by=one.by,
            action=one.action,
            subject=one.subject,
            detail=one.detail,
        )
        for one in rows
    ]
    return Changes(items=items, next=rows[-1].id if len(rows) == query.limit else None)


EDGE: Final = (
    Operation(
        id="showMe",
        method="GET",
        path="/me",
        run=show_me,
        summary="Who asks, and what is theirs",
        role="owner",
        result=Me,
    ),
    Operation(
        id="showStatus",
        method="GET",
        path="/status",
        run=show_status,
        summary="What the edge does now",
        role="operator",
        result=Status,
        commands=("status",),
    ),
    Operation(
        id="showTraffic",
        method="GET",
        path="/traffic",
        run=show_traffic,
        summary="What passes now, by hostname",
        role="owner",
        result=Traffic,
        commands=("top",),
    ),
    Operation(
        id="showHistory",
        method="GET",
        path="/history",
        run=show_history,
        summary="Numbers over time",
        role="owner",
        query=HistoryQuery,
        result=History,
    ),
    Operation(
        id="listChanges",
        method="GET",
        path="/audit",
        run=list_changes,
        summary="Who changed what, the newest first",
        role="operator",
        query=AuditQuery,
        result=Changes,
    ),
)
