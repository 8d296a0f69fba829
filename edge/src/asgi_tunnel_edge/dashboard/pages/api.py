"""The API, and the page that describes it: see :mod:`asgi_tunnel_edge.api`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from asgi_tunnel_edge.api.app import PREFIX, make_routes
from asgi_tunnel_edge.api.context import APIContext, Caller
from asgi_tunnel_edge.api.openapi import document
from asgi_tunnel_edge.api.problem import APIError
from asgi_tunnel_edge.storage.audit import AuditStore

from ..inspector_api import InspectorAPI
from ..page import Page
from ..problem import PageError
from ..roles import Role
from ..serving import Hit, PageRoutes, hostname_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from asgi_tunnel_edge.storage.audit import AuditRow

__all__ = ["PAGE"]


def _routes(routes: PageRoutes) -> Sequence[BaseRoute]:
    context, guarded = routes.context, routes.guarded
    audit = AuditStore(context.config.database)

    def newest(before: int | None, query: str, limit: int) -> list[AuditRow]:
        return audit.newest(before=before, query=query, limit=limit)

    async def identify(request: Request, writes: bool) -> Caller:
        try:
            viewer = guarded.viewer(request, Role.OWNER)
            if writes:
                guarded.check_own(request, viewer, {})
        except PageError as error:
            raise APIError(error.status, "not_allowed", error.text) from error
        visitor = viewer.visitor
        csrf = "" if viewer.is_program else context.csrf.token(visitor, hostname_of(request))
        return Caller(subject=viewer.subject, is_operator=viewer.is_operator, csrf=csrf)

    api = APIContext(
        config=context.config,
        ask=context.ask,
        note=audit.note,
        audit=newest,
        history=context.history,
        inspect=InspectorAPI(context, audit.note),
        limited=context.limited,
    )
    return [routes.view("/api", _describe), *make_routes(api, identify)]


async def _describe(hit: Hit) -> Response:
    values = {"sections": _sections(), "prefix": PREFIX, "origin": hit.hostname}
    return hit.render("api.html", values)


@cache
def _sections() -> list[dict[str, Any]]:
    """The operations of the document by what they are about, as the page shows them."""
    described = document(PREFIX)
    schemas = described["components"]["schemas"]
    found: dict[str, list[dict[str, Any]]] = {}
    for path, methods in described["paths"].items():
        for method, one in methods.items():
            body = one.get("requestBody", {}).get("content", {}).get("application/json", {})
            shown = {
                "method": method.upper(),
                "path": path,
                "summary": one["summary"],
                "who": one["description"],
                "parameters": [
                    (it["name"], _type(it["schema"], schemas), it["schema"].get("description", ""))
                    for it in one["parameters"]
                    if it["in"] == "query"
                ],
                "body": _fields(body.get("schema"), schemas),
                "result": _fields(_result(one), schemas),
            }
            found.setdefault(one["tags"][0], []).append(shown)
    return [{"name": name, "operations": operations} for name, operations in found.items()]


def _result(one: dict[str, Any]) -> dict[str, Any] | None:
    good = next(iter(one["responses"].values()))
    schema: dict[str, Any] | None = (
        good.get("content", {}).get("application/json", {}).get("schema")
    )
    return schema


def _fields(schema: dict[str, Any] | None, schemas: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Name, type and whether it is needed, of each field of an object."""
    if schema is None:
        return []
    whole = schemas[schema["$ref"].rpartition("/")[2]]
    required = whole.get("required", [])
    return [
        (name, _type(one, schemas), name in required) for name, one in whole["properties"].items()
    ]


def _type(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    """A type as people write it: ``text``, ``list of TokenView``, ``number or null``."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_type(one, schemas) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f'"{one}"' for one in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema.get('items') or {}, schemas)}"
    words = {"string": "text", "integer": "number", "boolean": "true or false"}
    return words.get(str(kind), str(kind))


PAGE = Page(
    name="api",
    routes=_routes,
    title="API",
    path="/api",
    section="Edge",
    order=900,
    role=Role.OWNER,
)
