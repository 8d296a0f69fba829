"""Checks of an app's header fields, the same for every front (T39)."""

from __future__ import annotations

import re
from typing import Final

from asgi_tunnel.protocol.head import Fields

from ..replies import REASON_FIELD

bad_bytes: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
"""Finds a byte that no field value may hold."""

is_number: Final = re.compile(rb"[0-9]{1,18}").fullmatch
"""Matches a Content-Length."""

HOP_FIELDS: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
)
"""Fields about one connection: never passed on from an app."""

FORBIDDEN_TRAILERS: Final = (
    HOP_FIELDS
    # framing and routing
    | {b"content-length", b"host", b"trailer"}
    # how a message is asked for
    | {b"cache-control", b"expect", b"if-match", b"if-modified-since", b"if-none-match"}
    | {b"if-range", b"if-unmodified-since", b"max-forwards", b"pragma", b"range"}
    # who may have it
    | {b"authorization", b"cookie", b"proxy-authenticate", b"proxy-authorization"}
    | {b"set-cookie", b"set-cookie2", b"www-authenticate"}
    # what is done with a response
    | {b"age", b"clear-site-data", b"date", b"expires", b"location", b"refresh", b"retry-after"}
    | {b"content-security-policy", b"strict-transport-security", b"vary", b"x-frame-options"}
    | {b"access-control-allow-credentials", b"access-control-allow-origin"}
    # what the edge alone says
    | {REASON_FIELD}
    # what its body is
    | {b"content-disposition", b"content-encoding", b"content-range", b"content-type"}
)
"""Fields that have to be known before the body: never passed on as trailers (RFC 9110 6.5.1)."""

_KEPT: Final = frozenset({b"content-length", b"date"})
"""What Connection may name without effect: the edge itself answers for them."""

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


def connection_options(fields: Fields) -> set[bytes]:
    """Return what an app's Connection fields list: options, and names of fields for one hop."""
    options: set[bytes] = set()
    for name, value in fields:
        if name == b"connection":
            options.update(one.strip(b" \t").lower() for one in value.split(b","))
    return options


def relayed(fields: Fields) -> Fields:
    """Return the fields without those that Connection names, and without it (RFC 9110 7.6.1)."""
    options = connection_options(fields)
    if not options:
        return fields
    options -= _KEPT
    return [field for field in fields if field[0] not in options and field[0] != b"connection"]
