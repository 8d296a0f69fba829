"""The pages that a load balancer or a monitor asks: does this edge run, and does it take requests?

``health`` is about the process: whoever starts processes again asks for it. ``ready`` is about the
next request: whoever chooses among several edges asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from .page import Page, Response

__all__ = ["HEALTH_PATH", "READY_PATH", "Health", "Ready"]

HEALTH_PATH: Final = "/.well-known/asgi-tunnel/health"
"""Answered on every hostname, with an address or nothing as Host, and by HTTP/1.0."""

READY_PATH: Final = "/.well-known/asgi-tunnel/ready"
"""Likewise."""

_AGAIN: Final = [(b"retry-after", b"5")]


class Health(Page):
    """200 ``{"status": "ok"}``, or 503 ``{"status": "stopping"}``.

    Args:
        is_alive: Whether the process is not about to end.
    """

    def __init__(self, is_alive: Callable[[], bool]) -> None:
        self._is_alive = is_alive

    async def respond(self, scope: Any) -> Response:
        """See :class:`.page.Page`."""
        if self._is_alive():
            return Response.json(200, {"status": "ok"})
        return Response.json(503, {"status": "stopping"}, _AGAIN)


class Ready(Page):
    """200 ``{"status": "ready"}``, or 503 ``{"status": "not ready"}``.

    Args:
        reasons: Why the next request should go elsewhere; empty: it should not.
        notes: What else is wrong, and is so at each edge; shown to those who are shown reasons.
        shows_reasons: They stand in the response: on a page that strangers do not see.
    """

    def __init__(
        self,
        reasons: Callable[[], Sequence[str]],
        *,
        notes: Callable[[], Sequence[str]] = tuple,
        shows_reasons: bool,
    ) -> None:
        self._reasons = reasons
        self._notes = notes
        self._shows_reasons = shows_reasons

    async def respond(self, scope: Any) -> Response:
        """See :class:`.page.Page`."""
        reasons = list(self._reasons())
        value: dict[str, object] = {"status": "not ready" if reasons else "ready"}
        if self._shows_reasons:
            value["reasons"] = reasons
            if notes := list(self._notes()):
                value["notes"] = notes
        return Response.json(503 if reasons else 200, value, _AGAIN if reasons else [])
