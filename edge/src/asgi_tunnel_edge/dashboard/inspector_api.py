"""The inspectors of apps' sides over the edge's HTTP API: requests go through as they are."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from ..api.problem import APIError
from ..errors import TunnelNotFoundError
from ..inspection import Inquiry, InspectionError
from ..questions.matching import matching
from ..storage.acting import acting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request

    from ..inspection import Inspectable
    from ..operations.scope import Scope
    from ..tokens import TokenRecord
    from .context import DashboardContext

__all__ = ["InspectorAPI"]

_LIVE = "live"
_STATUSES = {"off": 404, "away": 404, "too-large": 502, "broken": 502}


class InspectorAPI:
    """See the module; called for each request.

    Args:
        context: Of the dashboard.
        note: Keeps in the audit log who has changed what; blocks.
    """

    def __init__(self, context: DashboardContext, note: Callable[[str, str, str], None]) -> None:
        self._context = context
        self._note = note

    async def __call__(self, request: Request, scope: Scope, tunnel: str, path: str) -> Response:
        """Ask, and return what the inspector says. Cancelling it tells the app's side.

        Args:
            request: What is asked.
            scope: What they may see.
            tunnel: A token's name or id, or the id of a session.
            path: Of the inspector's interface, without its first slash.

        Raises:
            TunnelNotFoundError: No app of theirs is connected so.
            APIError: The inspector does not reply.
        """
        token, way = await self._way(scope, tunnel)
        writes = request.method != "GET"
        if writes:
            what = f"{request.method} /{path}"
            with acting(scope.subject):
                await asyncio.to_thread(self._note, "inspector.ask", token.name, what)
        query = f"?{request.url.query}" if request.url.query else ""
        inquiry = Inquiry(
            target=f"/{quote(path)}{query}",
            method=request.method,
            body=await request.body(),
            by=scope.subject,
            may_write=writes,
        )
        try:
            if path == _LIVE and not writes:
                return await self._follow(way, inquiry)
            reply = await self._context.inspectors.ask(way, inquiry)
        except InspectionError as error:
            status = _STATUSES.get(error.reason, 503)
            raise APIError(status, f"inspector_{error.reason}", str(error)) from error
        fields = {**self._context.site.fields, "content-type": reply.type}
        return Response(reply.body, status_code=reply.status, headers=fields)

    async def _way(self, scope: Scope, tunnel: str) -> tuple[TokenRecord, Inspectable]:
        """Return whose app it is, and the newest process that has an inspector, or the newest."""
        edge = self._context.edge()
        found = [
            one
            for one in matching(edge.directory, {tunnel})
            if scope.sees_token(one.token.id) and one.session.is_attached
        ]
        ready = [one for one in found if one.session.takes_inspect]
        if not ready:
            for token in edge.directory.snapshot.tokens.values():
                if tunnel in (token.id, token.name) and scope.sees_token(token.id):
                    for process in await edge.processes(token.hostnames):
                        if process.takes_inspect:
                            return token, process
        if not found:
            raise TunnelNotFoundError(tunnel)
        entry = max(ready or found, key=lambda one: one.since)
        return entry.token, entry.session

    async def _follow(self, way: Inspectable, inquiry: Inquiry) -> Response:
        stack = AsyncExitStack()
        pieces = await stack.enter_async_context(self._context.inspectors.follow(way, inquiry))

        async def events() -> AsyncIterator[bytes]:
            async with stack:
                try:
                    async for piece in pieces:
                        yield piece
                except InspectionError:
                    return  # the app has gone; who reads on connects again

        return StreamingResponse(
            events(), media_type="text/event-stream", headers=self._context.site.fields
        )
