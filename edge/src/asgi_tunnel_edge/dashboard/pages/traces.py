"""Where the time of the newest exchanges went: a list, and each as a waterfall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..page import Page
from ..problem import PageError
from ..roles import Role
from ..waterfall import waterfall_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from ..live import Moment
    from ..serving import Hit, PageRoutes

__all__ = ["PAGE"]

SHOWN: Final = 100
"""Exchanges in the list."""


def _routes(at: PageRoutes) -> Sequence[BaseRoute]:
    return [
        at.view("/traces", _list),
        at.live("/live/traces", _render),
        at.view("/traces/{id}", _show),
    ]


async def _list(hit: Hit) -> Response:
    return hit.render("traces.html", _values(hit))


async def _render(hit: Hit, _moment: Moment) -> str:
    return hit.fragment("traces_part.html", _values(hit))


def _values(hit: Hit) -> dict[str, object]:
    viewer = hit.viewer
    traces = hit.context.traces.newest(
        SHOWN, token_ids=None if viewer.is_operator else viewer.tokens
    )
    return {"traces": [(one, waterfall_of(one)) for one in traces]}


async def _show(hit: Hit) -> Response:
    trace = hit.context.traces.find(hit.path["id"])
    if trace is None or not hit.viewer.may_see(trace.token_id):
        text = "Its times are not kept any more, or never were: under load only some are."
        raise PageError(404, "There is no such request", text)
    values = {"trace": trace, "bars": waterfall_of(trace)}
    return hit.render("trace.html", values)


PAGE = Page(
    name="traces",
    title="Timings",
    path="/traces",
    section="Traffic",
    order=31,
    role=Role.OWNER,
    routes=_routes,
)
