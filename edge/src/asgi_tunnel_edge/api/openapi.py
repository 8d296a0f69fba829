"""The OpenAPI 3.1 document of the API, from the same structs that requests are read with."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asgi_tunnel_edge._version import __version__

from .problem import Problem
from .responses import PROBLEM_TYPE
from .table import OPERATIONS

if TYPE_CHECKING:
    from .operation import Operation

__all__ = ["document"]

_REF: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")
_ABOUT: Final = (
    "What the commands and the dashboard of an asgi-tunnel edge do, for programs. A program sends "
    "a service token of the policy `dashboard`; a page of the dashboard sends its session's cookie "
    "and, to change something, its CSRF token."
)
_SECURITY: Final = {
    "serviceToken": {
        "type": "http",
        "scheme": "basic",
        "description": "id and secret of a service token (`--access dashboard`)",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-asgi-tunnel",
        "description": "a login at the dashboard; changes need `x-csrf-token`, too",
    },
}


@functools.cache
def document(prefix: str) -> dict[str, Any]:
    """Return the document, which nobody changes.

    Args:
        prefix: Below which the API is mounted.
    """
    types: list[Any] = [Problem]
    for one in OPERATIONS:
        types += [it for it in (one.body, one.result) if it is not None]
    unique = list(dict.fromkeys(types))
    found, schemas = msgspec.json.schema_components(unique, ref_template=_REF)
    by_type = dict(zip(unique, found, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "asgi-tunnel edge", "version": __version__, "description": _ABOUT},
        "servers": [{"url": prefix}],
        "security": [{"serviceToken": []}, {"session": []}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _SECURITY},
    }


def _operation(one: Operation, schemas: dict[Any, Any]) -> dict[str, Any]:
    who = "Operators only." if one.role == "operator" else "Owners of tokens see their own."
    described: dict[str, Any] = {
        "operationId": one.id,
        "tags": [one.path.split("/")[1]],
        "summary": one.summary,
        "description": who,
        "parameters": [*_path_parameters(one.path), *_query_parameters(one.query)],
        "responses": {
            str(204 if one.result is None else one.status): _good(one, schemas),
            "default": {
                "description": "It was not done; `detail` says why in one sentence.",
                "content": {PROBLEM_TYPE: {"schema": schemas[Problem]}},
            },
        },
    }
    if one.body is not None:
        content = {"application/json": {"schema": schemas[one.body]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _good(one: Operation, schemas: dict[Any, Any]) -> dict[str, Any]:
    if one.result is None:
        return {"description": "It is done."}
    content = {"application/json": {"schema": schemas[one.result]}}
    return {"description": "It is done.", "content": content}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(path)
    ]


def _query_parameters(struct: type[msgspec.Struct]) -> list[dict[str, Any]]:
    (_, schemas) = msgspec.json.schema_components([struct], ref_template=_REF)
    properties = schemas[struct.__name__]["properties"]
    required = schemas[struct.__name__].get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in properties.items()
    ]
