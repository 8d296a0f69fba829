"""Every difference between the tunnel and uvicorn that the suite allows, with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Final


@dataclass(frozen=True)
class Allowed:
    """A fact that may differ."""

    program: str  # a pattern
    fact: str  # a pattern for "label: header name", "label: status" or "label: other fact"
    reason: str


ALLOWED: Final[tuple[Allowed, ...]] = (
    Allowed(
        "*",
        "*: header connection",
        "an app's `connection: keep-alive` is about one connection (RFC 9110, section 7.6.1), and "
        "HTTP/1.1's default",
    ),
    Allowed(
        "WsgiDAV*",
        "*: header date",
        "the app sends a Date of its own; uvicorn sends a second one beside it, the edge does not",
    ),
)


def allowed(program: str, fact: str) -> Allowed | None:
    """Return why this fact of a program may differ."""
    for row in ALLOWED:
        if fnmatch(program, row.program) and fnmatch(fact, row.fact):
            return row
    return None
