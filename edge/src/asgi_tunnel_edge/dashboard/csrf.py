"""Whether a change was asked for by a page of this dashboard, and by no other site (CSRF).

Two answers, and both have to be yes: what browsers say of where a request comes from, which no page
can change, and a token that stands in each form and is good for one login only.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asgi_tunnel.identity import Visitor

__all__ = ["FIELD", "HEADER", "CsrfGuard", "is_from_page", "is_same_origin"]

FIELD: Final = "csrf"
"""The field of a form that holds the token."""

HEADER: Final = "x-csrf-token"
"""Where a script may send it instead."""


class CsrfGuard:
    """See the module.

    Args:
        key: 32 secret bytes, for this use only; the same in each process of an edge.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def token(self, visitor: Visitor, hostname: str) -> str:
        """Return the token of one login at one hostname."""
        text = "\0".join([visitor.subject, visitor.method, str(visitor.since), hostname])
        digest = hmac.digest(self._key, text.encode(), hashlib.sha256)
        return urlsafe_b64encode(digest).rstrip(b"=").decode()

    def holds(self, given: str, visitor: Visitor, hostname: str) -> bool:
        """Whether a token is that of a login; in the same time, whatever it is."""
        wanted = self.token(visitor, hostname).encode()
        return hmac.compare_digest(given.encode("utf-8", "replace"), wanted)


def is_from_page(headers: Mapping[str, str]) -> bool:
    """Whether a browser has sent a request for some page, as only browsers say.

    Args:
        headers: By lower-case name.
    """
    return "origin" in headers or "sec-fetch-site" in headers


def is_same_origin(headers: Mapping[str, str], scheme: str) -> bool:
    """Whether a request was sent by a page of its own host, as far as its fields say.

    Browsers send Origin with each POST (RFC 6454 section 7), and Sec-Fetch-Site where the page is a
    safe place; a request that has neither is none of a page.

    Args:
        headers: By lower-case name.
        scheme: Of the request.
    """
    site = headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    return headers.get("origin", "").lower() == f"{scheme}://{headers.get('host', '').lower()}"
