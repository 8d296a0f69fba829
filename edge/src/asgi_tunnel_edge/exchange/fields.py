"""Checks of an app's header fields, the same for every front (T39)."""

from __future__ import annotations

import re
from typing import Final

from asgi_tunnel.protocol.head import Fields

bad_bytes: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
"""Finds a byte that no field value may hold."""

is_number: Final = re.compile(rb"[0-9]{1,18}").fullmatch
"""Matches a Content-Length."""

HOP_FIELDS: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
)
"""Fields about one connection: never passed on from an app."""

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
_MAX_NAMES: Final = 2048
_MAX_NAME: Final = 64  # bytes of a name that is remembered

good_names: set[bytes] = set()
"""Names that were checked; bounded, for an app may make names up."""


def is_good_name(name: bytes) -> bool:
    """Whether a name is a lower-case token; remembers it."""
    if not _TOKEN(name):
        return False
    if len(name) <= _MAX_NAME and len(good_names) < _MAX_NAMES:
        good_names.add(name)
    return True


def bad_fields(fields: Fields) -> str | None:
    """Return what is wrong with an app's fields, or None."""
    for name, value in fields:
        if (name not in good_names and not is_good_name(name)) or bad_bytes(value):
            return "a header field is malformed"
    return None
