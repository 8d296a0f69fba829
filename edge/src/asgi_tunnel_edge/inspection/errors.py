"""Why an inspector cannot be asked."""

from __future__ import annotations

from typing import Literal

from ..errors import EdgeError

__all__ = ["InspectionError", "Reason"]

Reason = Literal["off", "away", "busy", "lost", "slow", "too-large", "broken"]


class InspectionError(EdgeError):
    """An app's inspector does not reply.

    Attributes:
        reason: For programs: ``off`` (the app has none), ``away`` (no tunnel), ``busy`` (too many
            ask), ``lost``, ``slow``, ``too-large`` (its reply), ``broken`` (it makes no sense).
    """

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
