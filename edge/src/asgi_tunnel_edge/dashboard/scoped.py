"""What pages that change things share: whose things somebody may touch, and lists in a form."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..operations.scope import Scope
from ..storage import Store

if TYPE_CHECKING:
    from .serving import Hit

__all__ = ["scope_of", "words_of"]


async def scope_of(hit: Hit) -> Scope:
    """Return what who asks may see and change, by the store as it is now.

    Cancelling it loses nothing.
    """
    store = Store(hit.context.config.database)
    return Scope(
        subject=hit.viewer.subject,
        is_operator=hit.viewer.is_operator,
        snapshot=await asyncio.to_thread(store.snapshot),
    )


def words_of(text: str) -> tuple[str, ...]:
    """Return what somebody has written with spaces, commas or on lines of its own."""
    return tuple(text.replace(",", " ").split())
