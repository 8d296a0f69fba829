"""Operations on bans."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from asgi_tunnel_edge.operations import bans
from asgi_tunnel_edge.operations.bans import BanView, NewBan, ban_view
from asgi_tunnel_edge.operations.texts import utc_time

from .operation import Call, Operation
from .paging import Page, PageQuery, page_of

__all__ = ["BANS"]


class AddedBan(Struct, frozen=True, kw_only=True):
    """A ban that was made."""

    address: str
    warnings: list[str]  #: why it may shut out others than those who are meant


class LimitedView(Struct, frozen=True, kw_only=True):
    """Who was turned away lately."""

    address: str
    hostname: str
    reason: str  #: the guard, or the edge's sentence
    times: int
    first: str
    last: str


def list_bans(call: Call) -> Page[BanView]:
    """Return the bans that hold, oldest first; of an owner those from their own hostnames."""
    mine = call.scope.bans(bans.list_bans(call.config))
    return page_of([ban_view(one) for one in mine], call.query)


def add_ban(call: Call) -> AddedBan:
    """Ban an address or a network from all hostnames."""
    done = bans.add_ban(call.config, call.body, asked_from=call.address)
    return AddedBan(address=done.record.address, warnings=list(done.warnings))


def remove_ban(call: Call) -> None:
    """Take the bans of an address back; of an owner those from their own hostnames."""
    bans.remove_bans(call.config, [call.path["address"]], token_ids=call.scope.token_ids)


def list_limited(call: Call) -> Page[LimitedView]:
    """Return who was turned away; of an owner, from their own hostnames."""
    views = [
        LimitedView(
            address=one.address,
            hostname=one.hostname,
            reason=one.reason,
            times=one.times,
            first=utc_time(one.first),
            last=utc_time(one.last),
        )
        for one in call.context.limited.newest()
        if call.scope.sees_hostname(one.hostname)
    ]
    return page_of(views, call.query)


BANS: Final = (
    Operation(
        id="listBans",
        method="GET",
        path="/bans",
        run=list_bans,
        summary="Bans that hold now, by whom and why, oldest first",
        role="owner",
        query=PageQuery,
        result=Page[BanView],
        commands=("ban list",),
    ),
    Operation(
        id="addBan",
        method="POST",
        path="/bans",
        run=add_ban,
        summary="Ban an address or a network from all hostnames",
        role="operator",
        body=NewBan,
        result=AddedBan,
        status=201,
        commands=("ban add",),
    ),
    Operation(
        id="removeBan",
        method="DELETE",
        path="/bans/{address}",
        run=remove_ban,
        summary="Take the bans of an address or network back",
        role="owner",
        commands=("ban rm",),
    ),
    Operation(
        id="listLimited",
        method="GET",
        path="/limited",
        run=list_limited,
        summary="Visitors that were turned away lately, how often and why; the newest first",
        role="owner",
        query=PageQuery,
        result=Page[LimitedView],
    ),
)
