"""Opens WebSockets only for pages of some origins (403): ``origins`` (T25).

A browser sends Origin with each WebSocket handshake, and cookies whatever page asks. Where a list
is set, a handshake without Origin is refused too, unless the list has ``"none"``.
"""

from __future__ import annotations

from typing import Final

from ..replies import Reply
from .guard import RequestContext

__all__ = ["OriginGuard"]

_DENY: Final = Reply(
    403,
    "pages of this origin may not open a WebSocket here",
    source="origins",
    reason="origin-refused",
)


class OriginGuard:
    """See the module."""

    __slots__ = ("denied",)

    def __init__(self) -> None:
        self.denied = 0

    def check(self, context: RequestContext, now: float) -> Reply | None:
        """See :class:`.guard.Guard`."""
        origins, request = context.rules.origins, context.request
        if origins is None or request.websocket_key is None:
            return None
        given = [value.lower() for name, value in request.fields if name == b"origin"] or [b"none"]
        if len(given) == 1 and given[0] in origins:
            return None
        self.denied += 1
        return _DENY
