"""Which sessions a request is about, and what each one is called where people see it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..directory import LocalDirectory
    from ..route import SessionEntry

__all__ = ["matching", "names_in", "public_id"]


def public_id(entry: SessionEntry) -> str:
    """Return 8 hexadecimal digits that name a session; its own id is a secret, to resume it."""
    return hashlib.sha256(entry.session.session_id.encode()).hexdigest()[:8]


def names_in(request: dict[str, Any]) -> frozenset[str]:
    """Return the names of tokens, their ids, and the ids of sessions that a request has."""
    names = request.get("names")
    return frozenset(map(str, names)) if isinstance(names, list) else frozenset()


def matching(directory: LocalDirectory, names: Collection[str]) -> list[SessionEntry]:
    """Return the sessions that one of ``names`` means, oldest first."""
    return [
        entry
        for entry in directory.entries
        if entry.token.name in names or entry.token.id in names or public_id(entry) in names
    ]
