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
        "*",
        "*: header keep-alive",
        "says how long one connection is kept: that of the server to whoever is in front of it",
    ),
    Allowed(
        "Express",
        "*, with a URL: header content-length",
        "https:// is a character longer than the http:// under which it is visited alone",
    ),
    Allowed(
        "Jupyter",
        "login: header set-cookie",
        "over HTTPS its cookie is `Secure`; alone it is visited over HTTP",
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
