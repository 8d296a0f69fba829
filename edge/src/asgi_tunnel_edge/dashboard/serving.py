"""What all routes of the dashboard have in common: who asks, whether they may, and what is noted.

A handler is only called for somebody who may open its page; a form's only for a change that this
dashboard's own pages, or a program with a service token, have asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from asgi_tunnel.identity import visitor

from ..hostname import host_from_header
from .audit import acting
from .csrf import FIELD, HEADER, is_from_page, is_same_origin
from .live import BusyError, Feed, Moment, event
from .problem import PageError
from .roles import Role, Viewer

if TYPE_CHECKING:
    from starlette.requests import Request

    from .context import DashboardContext
    from .csrf import CsrfGuard
    from .page import Page
    from .roles import Roles

__all__ = ["Guarded", "Hit", "PageRoutes", "form_of"]

MAX_FIELDS: Final = 50
"""Fields of a form; the largest, a token's with its quotas, has some twenty."""

HEARTBEAT: Final = 15.0
"""Seconds after which a stream without news says that it is there: the edge cuts what is silent for
``body_grace``, and proxies after a minute."""


class Hit:
    """One request to a page, by somebody who may open it.

    Args:
        request: Of Starlette.
        viewer: Who asks.
        context: Of the dashboard.
        page: Which one it is.
        form: The fields of a form; none for other requests.
    """

    def __init__(
        self,
        request: Request,
        viewer: Viewer,
        context: DashboardContext,
        page: Page,
        form: Mapping[str, str] | None = None,
    ) -> None:
        self.request = request
        self.viewer = viewer
        self.context = context
        self.page = page
        self.form = form or {}

    @property
    def path(self) -> Mapping[str, str]:
        """The parameters of the path."""
        return self.request.path_params

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the query."""
        return self.request.query_params

    @property
    def hostname(self) -> str:
        """Under which name the dashboard was asked."""
        return hostname_of(self.request)

    def csrf(self) -> str:
        """Return what a form of this login has to send along."""
        return self.context.csrf.token(self.viewer.visitor, self.hostname)

    def render(
        self, template: str, values: Mapping[str, object] | None = None, *, status: int = 200
    ) -> Response:
        """Return a page: its template gets the values, and what the layout needs."""
        return self.context.site.page(template, self._values(values), status=status)

    def fragment(self, template: str, values: Mapping[str, object] | None = None) -> str:
        """Return a part of a page as text, for a stream."""
        return self.context.site.text(template, self._values(values))

    def redirect(self, path: str, *, done: str = "") -> Response:
        """Lead to another page after a change.

        Args:
            path: Of the page.
            done: Which of the words of :attr:`.page.Page.done` it says there; empty: none.
        """
        return self.context.site.redirect(path, done=done)

    def _values(self, values: Mapping[str, object] | None) -> dict[str, object]:
        return {
            "viewer": self.viewer,
            "page": self.page,
            "navigation": self.context.navigation(self.viewer),
            "csrf": self.csrf(),
            "domain": self.context.config.domain,
            "done": self.context.done(self.query.get("done", "")),
            "problem": None,
            **(values or {}),
        }


Handler = Callable[[Hit], Awaitable[Response]]
Render = Callable[[Hit, Moment], Awaitable[str]]
Follow = Callable[[Hit], AsyncGenerator[bytes, None]]


class Guarded:
    """Asks who somebody is before a page hears of it.

    Args:
        roles: Say what they may.
        csrf: Says whether a form is this dashboard's own.
    """

    def __init__(self, roles: Roles, csrf: CsrfGuard) -> None:
        self._roles = roles
        self._csrf = csrf

    def viewer(self, request: Request, role: Role) -> Viewer:
        """Return who asks.

        Raises:
            PageError: They may not open the page.
        """
        found = visitor(request)
        viewer = None if found is None else self._roles.of(found)
        if viewer is None:
            text = (
                "You are logged in, but you are no operator of this edge, and no token belongs to "
                "you. An operator can change that."
            )
            raise PageError(403, "Nothing here is yours", text)
        if viewer.role < role:
            text = "This page is for the operators of this edge."
            raise PageError(403, "This is for operators", text)
        return viewer

    async def form(self, request: Request, viewer: Viewer) -> dict[str, str]:
        """Return the fields of a form of this dashboard's own.

        Raises:
            PageError: Another site may have sent it.
        """
        fields = await form_of(request)
        self.check_own(request, viewer, fields)
        return fields

    def check_own(self, request: Request, viewer: Viewer, fields: Mapping[str, str]) -> None:
        """See that a page of this dashboard's own, or a program, has asked for a change.

        Args:
            request: Which may have the token among its header fields.
            viewer: Whose login it is.
            fields: Of the form, which may have the token, too.

        Raises:
            PageError: Another site may have sent it.
        """
        if viewer.is_program and not is_from_page(request.headers):
            return  # no browser sends its secret by itself, unless somebody has typed it there
        text = "Another site may have sent this. Open the page again and repeat it there."
        problem = PageError(403, "This did not come from here", text)
        if not is_same_origin(request.headers, request.url.scheme):
            raise problem
        given = request.headers.get(HEADER) or fields.get(FIELD, "")
        if not self._csrf.holds(given, viewer.visitor, hostname_of(request)):
            raise problem


class PageRoutes:
    """Makes the routes of one page.

    Args:
        context: Of the dashboard.
        guarded: Asks who somebody is.
        page: Whose routes they are.
    """

    def __init__(self, context: DashboardContext, guarded: Guarded, page: Page) -> None:
        self.context = context
        self.guarded = guarded
        self._page = page

    def view(self, path: str, handler: Handler, *, role: Role | None = None) -> Route:
        """Return a route that shows something, and changes nothing."""
        needed = self._page.role if role is None else role

        async def serve(request: Request) -> Response:
            viewer = self.guarded.viewer(request, needed)
            return await handler(Hit(request, viewer, self.context, self._page))

        return Route(path, serve, methods=["GET"])

    def form(self, path: str, handler: Handler, *, role: Role | None = None) -> Route:
        """Return a route that changes something, in the name of who asks."""
        needed = self._page.role if role is None else role

        async def serve(request: Request) -> Response:
            viewer = self.guarded.viewer(request, needed)
            fields = await self.guarded.form(request, viewer)
            with acting(viewer.subject):
                return await handler(Hit(request, viewer, self.context, self._page, fields))

        return Route(path, serve, methods=["POST"])

    def stream(self, path: str, follow: Follow, *, role: Role | None = None) -> Route:
        """Return a route whose page says itself what it sends, as events (SSE).

        Args:
            path: Of the stream.
            follow: Yields events, something at once and at least each ``HEARTBEAT``; closed when
                the one who watches has gone. What it raises before is a page.
            role: See :class:`Page`.
        """
        needed = self._page.role if role is None else role

        async def serve(request: Request) -> Response:
            viewer = self.guarded.viewer(request, needed)
            hit = Hit(request, viewer, self.context, self._page)
            pieces = follow(hit)
            first = await anext(pieces)

            async def events() -> AsyncIterator[bytes]:
                async with aclosing(pieces):
                    yield b"retry: 3000\n\n" + first
                    with suppress(PageError):  # they may not see it any more
                        async for piece in pieces:
                            hit.viewer = self.guarded.viewer(request, needed)
                            yield piece

            return StreamingResponse(
                events(), media_type="text/event-stream", headers=self.context.site.fields
            )

        return Route(path, serve, methods=["GET"])

    def live(self, path: str, render: Render, *, role: Role | None = None) -> Route:
        """Return a route that sends a part of a page again and again, as events (SSE).

        Args:
            path: Of the stream.
            render: Returns the part as HTML; it is sent where it has changed.
            role: See :class:`Page`.
        """
        needed = self._page.role if role is None else role

        async def serve(request: Request) -> Response:
            viewer = self.guarded.viewer(request, needed)
            hit = Hit(request, viewer, self.context, self._page)
            try:
                feed = self.context.live.open()
            except BusyError as error:
                raise PageError(503, "Too many are watching", str(error)) from error

            async def events() -> AsyncIterator[bytes]:
                last = ""
                try:
                    yield b"retry: 3000\n\n"
                    while True:
                        moment = await _next(feed, HEARTBEAT)
                        if moment is None:
                            return
                        if isinstance(moment, float):
                            yield b": still here\n\n"
                            continue
                        # Whose token it was may have changed since the stream began.
                        hit.viewer = self.guarded.viewer(request, needed)
                        text = await render(hit, moment)
                        if text != last:
                            last = text
                            yield event(text)
                except PageError:
                    return  # they may not see it any more
                finally:
                    feed.close()

            return StreamingResponse(
                events(), media_type="text/event-stream", headers=self.context.site.fields
            )

        return Route(path, serve, methods=["GET"])


async def _next(feed: Feed, seconds: float) -> Moment | float | None:
    """Return what comes next; None: nothing will; a number: nothing has for so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            return await feed.next()
    except TimeoutError:
        return seconds


def hostname_of(request: Request) -> str:
    """Return the hostname that a request names."""
    host = request.headers.get("host", "").encode("latin-1", "replace")
    return host_from_header(host) or ""


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form; each once, the first value of its name.

    The body is bounded by the edge (``settings.dashboard.MAX_BODY``). Cancelling it loses nothing.
    """
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    text = (await request.body()).decode("utf-8", "replace")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return {}
    found: dict[str, str] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found
