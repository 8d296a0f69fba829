"""Routes of the API: who asks, whether they may, what they sent, and how the result is written."""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.routing import BaseRoute, Route

from asgi_tunnel_edge.errors import EdgeError
from asgi_tunnel_edge.operations.scope import Scope
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.acting import acting

from .openapi import document
from .operation import Call, Operation
from .problem import APIError, problem_of
from .reading import read_body, read_query
from .responses import json_response, no_content, respond
from .table import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from .context import APIContext, Caller

__all__ = ["PREFIX", "make_routes"]

PREFIX: Final = "/api/v1"

_INSPECTED: Final = ["GET", "POST", "PUT", "DELETE"]


def make_routes(
    context: APIContext, identify: Callable[[Request, bool], Awaitable[Caller]]
) -> list[BaseRoute]:
    """Return the routes of the API.

    Args:
        context: Of the edge.
        identify: Returns who asks; given whether they want to change something, in which case it
            has seen that no other site's page does.
    """
    served = _Served(context, identify)
    by_path: dict[str, dict[str, Operation]] = {}
    # What has no parameter comes first: it could be one.
    for one in sorted(OPERATIONS, key=lambda it: it.path.count("{")):
        by_path.setdefault(one.path, {})[one.method] = one
    routes: list[BaseRoute] = [
        # Networks have a slash in them: what is last in a path takes the rest of it.
        Route(
            f"{PREFIX}{path.replace('{address}', '{address:path}')}",
            served.of(operations),
            methods=list(operations),
        )
        for path, operations in by_path.items()
    ]
    inspector = f"{PREFIX}/tunnels/{{tunnel}}/inspector/{{path:path}}"
    routes.append(Route(inspector, served.inspector, methods=_INSPECTED))
    routes.append(Route(f"{PREFIX}/openapi.json", served.openapi))
    return routes


@functools.cache
def _document() -> bytes:
    return msgspec.json.encode(document(PREFIX))


class _Served:
    """What all operations have in common."""

    def __init__(
        self, context: APIContext, identify: Callable[[Request, bool], Awaitable[Caller]]
    ) -> None:
        self._context = context
        self._identify = identify

    def of(self, operations: dict[str, Operation]) -> Callable[[Request], Awaitable[Response]]:
        """Return what serves one path."""

        async def serve(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            return await self._answer(request, operations[method])

        return serve

    async def openapi(self, request: Request) -> Response:
        """Serve the document."""
        try:
            await self._identify(request, False)
        except (EdgeError, APIError) as error:
            return respond(problem_of(error))
        return json_response(_document())

    async def inspector(self, request: Request) -> Response:
        """Hand a request to the inspector of an app's side, where it is theirs."""
        tunnel, path = request.path_params["tunnel"], request.path_params["path"]
        try:
            caller = await self._identify(request, request.method != "GET")
            if self._context.inspect is None:
                raise APIError(404, "no_inspector", "this edge has no inspector")
            scope = await self._scope(caller)
            return await self._context.inspect(request, scope, tunnel, path)
        except (EdgeError, APIError) as error:
            return respond(problem_of(error))

    async def _answer(self, request: Request, operation: Operation) -> Response:
        try:
            caller = await self._identify(request, operation.writes)
            scope = await self._scope(caller)
            if operation.role == "operator":
                scope.require_operator()
            call = Call(
                context=self._context,
                scope=scope,
                path=request.path_params,
                query=read_query(request, operation.query),
                body=None if operation.body is None else await read_body(request, operation.body),
                address=None if request.client is None else request.client.host,
                csrf=caller.csrf,
            )
            with acting(caller.subject):
                if inspect.iscoroutinefunction(operation.run):
                    result = await operation.run(call)
                else:
                    result = await asyncio.to_thread(operation.run, call)
        except (EdgeError, APIError) as error:
            return respond(problem_of(error))
        if operation.result is None:
            return no_content()
        return json_response(msgspec.json.encode(result), operation.status)

    async def _scope(self, caller: Caller) -> Scope:
        store = Store(self._context.config.database)
        return Scope(
            subject=caller.subject,
            is_operator=caller.is_operator,
            snapshot=await asyncio.to_thread(store.snapshot),
        )
