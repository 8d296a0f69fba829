"""Hostnames: whose each is, where its TLS ends, what it had, and whether it is closed.

Names of services, which apps announce below a wildcard or beside their own, stand with their token.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from ...history.book import SPANS
from ...history.tally import Tally
from ..numbers import columns_of, span_of
from ..page import Page
from ..roles import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from ...maintenance import MaintenanceRecord
    from ...tokens import TokenRecord
    from ..serving import Hit, PageRoutes

__all__ = ["PAGE"]

SHOWN: Final = 500
"""Hostnames in the table, by name; others are found by a part of theirs."""


class _Host(NamedTuple):
    """One hostname."""

    name: str
    token: TokenRecord
    is_online: bool
    is_end_to_end: bool
    policy: str | None  #: in front of it; None: it is open for everybody
    closed: MaintenanceRecord | None
    tally: Tally  #: of the span


def _routes(at: PageRoutes) -> Sequence[BaseRoute]:
    return [at.view("/hosts", _show), at.view("/hosts/numbers", _numbers)]


async def _show(hit: Hit) -> Response:
    context, span = hit.context, span_of(hit.query)
    wanted = hit.query.get("q", "").strip().lower()
    names = _names(hit)
    totals = await context.history.totals(span, names)
    closed = {one.hostname: one for one in context.snapshot.maintenance}
    directory, doors = context.edge().directory, context.config.own_hostnames
    elsewhere = await context.connected_elsewhere()
    hosts = []
    for token in context.tokens(hit.viewer):
        for name in token.hostnames:
            if wanted not in name:
                continue
            route = directory.find(name)
            own = doors.get(name)
            hosts.append(
                _Host(
                    name=name,
                    token=token,
                    is_online=token.id in elsewhere
                    or (route is not None and route.choose() is not None),
                    is_end_to_end=name in token.end_to_end,
                    policy=None if own is None else own.access,
                    closed=closed.get(name),
                    tally=totals.get(name, Tally()),
                )
            )
    values = {
        "hosts": sorted(hosts, key=lambda one: one.name)[:SHOWN],
        "more": max(len(hosts) - SHOWN, 0),
        "wanted": wanted,
        "urls": {one.name: context.visitor_url(one.name) for one in hosts},
        "span": span,
        "spans": SPANS,
        "totals": totals,
    }
    return hit.render("hosts.html", values)


async def _numbers(hit: Hit) -> Response:
    span = span_of(hit.query)
    columns = await columns_of(hit.context.history, span, _names(hit), time.time())
    return hit.context.site.data(columns)


def _names(hit: Hit) -> list[str] | None:
    """Return the names whose numbers somebody may see; None: all."""
    if hit.viewer.is_operator:
        return None
    return [name for token in hit.context.tokens(hit.viewer) for name in token.hostnames]


PAGE = Page(
    name="hosts",
    title="Hostnames",
    path="/hosts",
    section="Traffic",
    order=20,
    role=Role.OWNER,
    routes=_routes,
)
