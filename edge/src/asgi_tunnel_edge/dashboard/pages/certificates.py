"""Certificates: what is shown for each name, when it ends, and what keeps a new one away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..page import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from ..serving import Hit, PageRoutes

__all__ = ["PAGE"]


def _routes(at: PageRoutes) -> Sequence[BaseRoute]:
    return [at.view("/certificates", _show)]


async def _show(hit: Hit) -> Response:
    shown = hit.context.certificates
    expiring = {} if shown is None else shown.expiring()  # by each certificate's own lifetime
    values = {
        "mode": hit.context.config.tls.mode,
        "expiries": [] if shown is None else sorted(shown.expiries().items(), key=lambda e: e[1]),
        "expiring": expiring,
        "late": {name for names in expiring for name in names.split(", ")},
        "failures": {} if shown is None else shown.failures,
        "pins": () if shown is None else shown.pins,
    }
    return hit.render("certificates.html", values)


PAGE = Page(
    name="certificates",
    title="Certificates",
    path="/certificates",
    section="Edge",
    order=60,
    routes=_routes,
)
