"""In whose name the store is changed: kept beside the code that does it, for the audit log."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_ACTOR", "acting", "actor"]

MAX_ACTOR: Final = 255
"""Characters of a name; a provider may have a longer one, of which the rest is cut."""

_actor: ContextVar[str] = ContextVar("audit_actor", default="")


@contextmanager
def acting(by: str) -> Iterator[None]:
    """Make changes in somebody's name; threads that are started inside do so, too.

    Args:
        by: As a door calls them: ``user:anna``, ``token:ID``.
    """
    token = _actor.set(by[:MAX_ACTOR])
    try:
        yield
    finally:
        _actor.reset(token)


def actor() -> str:
    """Return in whose name changes are made here; empty: the command line's."""
    return _actor.get()
