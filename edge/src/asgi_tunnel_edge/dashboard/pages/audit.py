"""The audit log: who has changed what, and when; here and on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...storage.audit import PAGE as ROWS
from ..page import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from ..serving import Hit, PageRoutes

__all__ = ["PAGE"]


def _routes(at: PageRoutes) -> Sequence[BaseRoute]:
    return [at.view("/audit", _show)]


async def _show(hit: Hit) -> Response:
    before, wanted = hit.query.get("before", ""), hit.query.get("q", "").strip()
    is_number = before.isascii() and before.isdigit() and len(before) < 16
    place = int(before) if is_number else None
    rows = await hit.context.audit.newest(before=place, query=wanted)
    older = rows[-1].id if len(rows) == ROWS else None
    values = {"rows": rows, "wanted": wanted, "older": older, "is_first": place is None}
    return hit.render("audit.html", values)


PAGE = Page(
    name="audit", title="Audit log", path="/audit", section="Edge", order=90, routes=_routes
)
