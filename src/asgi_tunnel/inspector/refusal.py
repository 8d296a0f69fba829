"""Why something cannot be done with a recorded exchange, in one sentence."""

from __future__ import annotations

from ..errors import TunnelError

__all__ = ["RefusedError"]


class RefusedError(TunnelError):
    """What was asked for cannot be done; ``str()`` says why, and what to do.

    Attributes:
        status: Of the HTTP response that says so: 400, 403, 404, 409 or 413.
    """

    def __init__(self, sentence: str, *, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status
