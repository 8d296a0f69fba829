"""The edge's own cookies in a request: read, and taken out before an app sees the rest.

One cookie holds a session (``session``); pages of a login may keep others, whose names begin
alike. ``__Host-`` makes browsers keep them to one hostname, to https, and away from subdomains.
"""

from __future__ import annotations

from typing import Final

from asgi_tunnel.protocol.head import Fields

__all__ = ["PREFIX", "SESSION_COOKIE", "expired_cookie", "session_cookie", "take_cookies"]

PREFIX: Final = b"__Host-asgi-tunnel"
"""What the names of all of them begin with."""

SESSION_COOKIE: Final = PREFIX
"""The name of the session's."""

_COOKIE: Final = b"cookie"
_ATTRIBUTES: Final = b"; Path=/; Secure; HttpOnly; SameSite=Lax"


def take_cookies(fields: Fields) -> tuple[Fields, list[bytes]]:
    """Split a request's fields.

    Args:
        fields: Of the request; they are not changed.

    Returns:
        The fields for the app, without the edge's cookies: the same list where it has none. And
        the different values of the session's cookie, in the order of the request.
    """
    for name, value in fields:
        if name == _COOKIE and PREFIX in value:
            break
    else:
        return fields, []
    kept: Fields = []
    values: list[bytes] = []
    for pair in fields:
        name, value = pair
        if name != _COOKIE or PREFIX not in value:
            kept.append(pair)
            continue
        others = []
        for part in value.split(b";"):
            key, _, content = part.strip(b" \t").partition(b"=")
            if not key.strip(b" \t").startswith(PREFIX):
                others.append(part)
            elif key == SESSION_COOKIE and content not in values:
                values.append(content)
        rest = b";".join(others).strip(b" \t")
        if rest:
            kept.append((_COOKIE, rest))
    return kept, values


def session_cookie(value: bytes, *, max_age: int) -> bytes:
    """Return the Set-Cookie that begins a session.

    Args:
        value: Of :class:`.session.SessionSigner`.
        max_age: Seconds.
    """
    return b"%s=%s; Max-Age=%d%s" % (SESSION_COOKIE, value, max_age, _ATTRIBUTES)


def expired_cookie(name: bytes = SESSION_COOKIE) -> bytes:
    """Return the Set-Cookie that ends a cookie of the edge's."""
    return b"%s=; Max-Age=0%s" % (name, _ATTRIBUTES)
