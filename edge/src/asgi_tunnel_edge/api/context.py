"""What operations of the API may use of the edge: handed in by the dashboard, which runs in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from asgi_tunnel_edge.history import History
    from asgi_tunnel_edge.observers.limited import LimitedVisitors
    from asgi_tunnel_edge.operations.scope import Scope
    from asgi_tunnel_edge.settings.config import EdgeConfig
    from asgi_tunnel_edge.storage.audit import AuditRow

__all__ = ["APIContext", "Caller"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, as the dashboard's door has let them in."""

    subject: str  #: ``user:anna``, ``token:svc_1``
    is_operator: bool
    csrf: str  #: what a form of this login sends along; empty for a program


@dataclass(frozen=True, slots=True, kw_only=True)
class APIContext:
    """See the module."""

    config: EdgeConfig
    ask: Callable[..., Awaitable[dict[str, Any]]]  #: a question of ``questions``, with its values
    note: Callable[[str, str, str], None]  #: action, subject, detail; blocks
    audit: Callable[[int | None, str, int], list[AuditRow]]  #: before, text, limit; blocks
    history: History
    limited: LimitedVisitors
    #: Serves the inspector of one app's side; None: this edge has none.
    inspect: Callable[[Request, Scope, str, str], Awaitable[Response]] | None = None
