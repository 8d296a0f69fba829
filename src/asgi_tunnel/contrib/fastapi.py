"""Dependencies of FastAPI: who the visitor is, as a door of the edge says it.

``async def index(visitor: CurrentVisitor)``.  How to: docs/howto/visitor.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, HTTPException, WebSocketException, status
from starlette.requests import HTTPConnection  # noqa: TC002 - FastAPI reads annotations

from asgi_tunnel.identity import Visitor, visitor

__all__ = [
    "CurrentVisitor",
    "OptionalVisitor",
    "current_visitor",
    "optional_visitor",
    "require_group",
]


def optional_visitor(connection: HTTPConnection) -> Visitor | None:
    """Return who it is; None: nobody that is known.  For requests and WebSockets."""
    return visitor(connection)


def current_visitor(connection: HTTPConnection) -> Visitor:
    """Return who it is.

    Raises:
        HTTPException: 401, nobody is known.
        WebSocketException: The same for a WebSocket, which is refused with 403.
    """
    found = visitor(connection)
    if found is None:
        raise _refusal(connection, status.HTTP_401_UNAUTHORIZED, "nobody is signed in")
    return found


def require_group(*groups: str) -> Callable[[HTTPConnection], Visitor]:
    """Return a dependency that lets in who is in one of the groups.

    ``Depends(require_group("operators"))`` gives the visitor, and raises as
    :func:`current_visitor`; 403 for whoever is in none of the groups.
    """

    def visitor_of_group(connection: HTTPConnection) -> Visitor:
        found = current_visitor(connection)
        if not set(groups) & set(found.groups):
            why = f"only for {' or '.join(groups)}"
            raise _refusal(connection, status.HTTP_403_FORBIDDEN, why)
        return found

    return visitor_of_group


CurrentVisitor = Annotated[Visitor, Depends(current_visitor)]
"""The visitor; nobody else gets in."""

OptionalVisitor = Annotated[Visitor | None, Depends(optional_visitor)]
"""The visitor, or None."""


def _refusal(connection: HTTPConnection, code: int, why: str) -> Exception:
    if connection.scope["type"] == "websocket":
        return WebSocketException(status.WS_1008_POLICY_VIOLATION, why)
    return HTTPException(code, why)
