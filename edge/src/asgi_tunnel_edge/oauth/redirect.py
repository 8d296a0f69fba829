"""Where a client may be sent back to with its code: https, or a program on the visitor's machine.

A code that leads to another place is a session for whoever is there, so what a client registered
has to be what it asks for, character by character. (OAuth 2.1 section 2.3.1, RFC 8252 section 7.3)
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlencode

__all__ = ["MAX_REDIRECT", "is_redirect", "matches", "origin_of", "with_parameters"]

MAX_REDIRECT: Final = 400
"""Bytes of one redirect URI; the ones of known clients have 30 to 90."""

_HTTPS: Final = re.compile(r"https://[a-z0-9.-]+(?::\d{1,5})?(?:/[!-~]*)?", re.IGNORECASE)
_LOOPBACK: Final = re.compile(
    r"(http://(?:127\.0\.0\.1|\[::1\]|localhost))(?::\d{1,5})?((?:/[!-~]*)?)", re.IGNORECASE
)
_UNSAFE: Final = re.compile(r"[#\\<>\"'`{}|^ ]")


def is_redirect(uri: str) -> bool:
    """Whether a client may register a URI: https, or http to this machine; without a fragment."""
    if len(uri) > MAX_REDIRECT or _UNSAFE.search(uri):
        return False
    return bool(_HTTPS.fullmatch(uri) or _LOOPBACK.fullmatch(uri))


def matches(registered: str, given: str) -> bool:
    """Whether a URI is the registered one.

    A program on the visitor's machine takes the port that is free when it asks.
    """
    if registered == given:
        return True
    mine, theirs = _LOOPBACK.fullmatch(registered), _LOOPBACK.fullmatch(given)
    if mine is None or theirs is None or not is_redirect(given):
        return False
    return mine.groups() == theirs.groups()


def origin_of(uri: str) -> str:
    """Return scheme, host and port of a URI that :func:`is_redirect` took."""
    return "/".join(uri.split("/", 3)[:3])


def with_parameters(uri: str, parameters: dict[str, str]) -> str:
    """Add parameters to a URI's query, which may have some."""
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(parameters)}"
