"""The dashboard as one ASGI app: its pages, its static files, and what errors look like."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route

from ..api.problem import problem, problem_of
from ..api.responses import respond
from ..errors import EdgeError
from .problem import PageError
from .roles import Role
from .serving import Guarded, PageRoutes
from .site import STATIC_PATH

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from .context import DashboardContext

__all__ = ["make_app"]

_log = logging.getLogger("asgi_tunnel_edge.dashboard")

_DATA: Final = "/api/"
"""Below it, errors are JSON."""


def make_app(context: DashboardContext, guarded: Guarded) -> Starlette:
    """Return the app.

    Args:
        context: Has the pages.
        guarded: Asks who somebody is.
    """
    site = context.site

    async def static(request: Request) -> Response:
        # Everybody whom the door has let in: the page that says "nothing is yours" looks so, too.
        response = site.file(request.path_params["name"], request.url.query)
        if response is None:
            raise HTTPException(404)
        return response

    def wrong(request: Request, status: int, title: str, text: str) -> Response:
        if request.url.path.startswith(_DATA):
            return respond(problem(status, title, text))
        try:
            viewer = guarded.viewer(request, Role.OWNER)
        except PageError:
            viewer = None
        navigation = [] if viewer is None else context.navigation(viewer)
        values = {
            "title": title,
            "text": text,
            "viewer": viewer,
            "navigation": navigation,
            "page": None,
            "csrf": "",
            "done": "",
            "problem": None,
            "domain": context.config.domain,
        }
        return site.page("problem.html", values, status=status)

    async def on_page_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, PageError)
        return wrong(request, error.status, error.title, error.text)

    async def on_edge_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, EdgeError)
        return wrong(request, problem_of(error).status, "This cannot be done", f"{error}.")

    async def on_http_error(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if status == 405:
            text = "The method is not served here."
            response = wrong(request, 405, "This cannot be asked so", text)
            if isinstance(error, HTTPException):
                response.headers.update(error.headers or {})  # Allow
            return response
        text = "The address is none of this dashboard's pages."
        return wrong(request, status, "There is no such page", text)

    async def on_error(request: Request, error: Exception) -> Response:
        _log.error("a page of the dashboard failed: %s", request.url.path, exc_info=error)
        text = "This page has a defect; the edge's own log says where. Everything else goes on."
        return wrong(request, 500, "Something went wrong", text)

    routes: list[BaseRoute] = [Route(f"{STATIC_PATH}{{name:path}}", static)]
    for page in context.pages:
        routes += page.routes(PageRoutes(context, guarded, page))
    app = Starlette(
        routes=routes,
        exception_handlers={
            PageError: on_page_error,
            EdgeError: on_edge_error,
            HTTPException: on_http_error,
            Exception: on_error,
        },
    )
    app.router.redirect_slashes = False  # an address is a page's, or none's
    return app
