"""Serves only some addresses, or not others (403): ``allow`` and ``deny``.

For visitors only: apps open their tunnels from anywhere, with a token.
"""

from __future__ import annotations

from typing import Final

from ..replies import Reply
from .guard import RequestContext, Rules

__all__ = ["AddressGuard"]

_DENY: Final = Reply(
    403,
    "visitors from this address are not served",
    source="addresses",
    reason="address-refused",
)


class AddressGuard:
    """See the module."""

    __slots__ = ("denied",)

    def __init__(self) -> None:
        self.denied = 0

    def check(self, context: RequestContext, now: float) -> Reply | None:
        """See :class:`.guard.Guard`."""
        return _DENY if self.denies(context.rules, context.visitor.number) else None

    def denies(self, rules: Rules, number: int) -> bool:
        """Whether an address may not visit a hostname; counted."""
        if rules.allow is None and rules.deny is None:
            return False
        is_denied = rules.deny is not None and rules.deny.find(number, 0.0) is not None
        if is_denied or (rules.allow is not None and rules.allow.find(number, 0.0) is None):
            self.denied += 1
            return True
        return False
