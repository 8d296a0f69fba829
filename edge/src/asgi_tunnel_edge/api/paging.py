"""Lists in pieces: how much one response has at the most, and where the next one begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Generic, TypeVar

from msgspec import Meta, Struct

__all__ = ["Page", "PageQuery", "page_of"]

MAX_LIMIT: Final = 500
"""Entries of one response: some 200 KiB of the largest, tokens with many hostnames."""

DEFAULT_LIMIT: Final = 100
"""Entries where a request does not say how many."""

MAX_OFFSET: Final = 1_000_000
"""Entries that may be left out: more than any list of an edge has."""

_Item = TypeVar("_Item")


class PageQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which piece of a list is wanted."""

    offset: Annotated[int, Meta(ge=0, le=MAX_OFFSET, description="entries to leave out")] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="entries at the most")] = (
        DEFAULT_LIMIT
    )


class Page(Struct, Generic[_Item], frozen=True, kw_only=True):
    """A piece of a list."""

    items: list[_Item]
    total: int  #: entries of the whole list
    next: int | None  #: the offset of the next piece; None: there is none


def page_of(items: Sequence[_Item], query: PageQuery) -> Page[_Item]:
    """Return a piece of a list."""
    end = query.offset + query.limit
    return Page(
        items=list(items[query.offset : end]),
        total=len(items),
        next=end if end < len(items) else None,
    )
