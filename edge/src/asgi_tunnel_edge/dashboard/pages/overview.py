"""The first page: how the edge is, and what passes now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...observers.live_counts import NOBODY
from ..page import Page
from ..problems import problems_of
from ..roles import Role
from ..traffic import traffic_of
from ..tunnels import tunnels_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from ..live import Moment
    from ..serving import Hit, PageRoutes

__all__ = ["PAGE"]

SHOWN: int = 12
"""Hostnames in the table: those with the most requests; a page of their own has all."""

SOON: int = 5


def _routes(at: PageRoutes) -> Sequence[BaseRoute]:
    return [at.view("/", _show), at.live("/live/overview", _render)]


async def _show(hit: Hit) -> Response:
    return hit.render("overview.html", await _values(hit, await hit.context.moment()))


async def _render(hit: Hit, moment: Moment) -> str:
    return hit.fragment("overview_part.html", await _values(hit, moment))


async def _values(hit: Hit, moment: Moment) -> dict[str, object]:
    context, viewer = hit.context, hit.viewer
    tunnels = tunnels_of(context.tokens(viewer), moment.sessions)
    active = [one for one in tunnels if one.token.state(moment.at) == "active"]
    mine = {name for one in active for name in one.token.hostnames}

    def is_shown(name: str) -> bool:
        return name in mine if not viewer.is_operator else name != NOBODY

    traffic = traffic_of(moment, is_shown)
    values: dict[str, object] = {
        "moment": moment,
        "traffic": traffic,
        "hosts": traffic.hosts[:SHOWN],
        "tunnels": active,
        "online": sum(one.is_online for one in active),
        "in_flight": sum(one.in_flight for one in active),
        "problems": [],
        "certificates": [],
    }
    if viewer.is_operator:
        values["problems"] = problems_of(context)
        shown = {} if context.certificates is None else context.certificates.expiries()
        values["certificates"] = sorted(shown.items(), key=lambda one: one[1])[:SOON]
        values["in_flight"] = moment.traffic["in_flight"]
    return values


PAGE = Page(
    name="overview",
    title="Overview",
    path="/",
    order=0,
    role=Role.OWNER,
    routes=_routes,
)
