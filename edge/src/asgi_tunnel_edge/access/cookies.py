"""The edge's own cookies and fields in a request: read, and taken out before an app sees the rest.

One cookie holds a session (``session``); pages of a login may keep others, whose names begin
alike. ``__Host-`` makes browsers keep them to one hostname, to https, and away from subdomains.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from asgi_tunnel.protocol.head import Fields

__all__ = [
    "ID_FIELD",
    "PREFIX",
    "SECRET_FIELD",
    "SESSION_COOKIE",
    "Credentials",
    "expired_cookie",
    "session_cookie",
    "take_credentials",
]

PREFIX: Final = b"__Host-asgi-tunnel"
"""What the names of all of them begin with."""

SESSION_COOKIE: Final = PREFIX
"""The name of the session's."""

ID_FIELD: Final = b"asgi-tunnel-token-id"
SECRET_FIELD: Final = b"asgi-tunnel-token-secret"
"""The pair of fields with a service token. No app sees them."""

_SESSION_IS: Final = SESSION_COOKIE + b"="
_COOKIE: Final = b"cookie"
_AUTHORIZATION: Final = b"authorization"
_WATCHED: Final = frozenset({_COOKIE, _AUTHORIZATION, ID_FIELD, SECRET_FIELD})
_new: Final = tuple.__new__  # skips a named tuple's own constructor
_ATTRIBUTES: Final = b"; Path=/; Secure; HttpOnly; SameSite=Lax"


class Credentials(NamedTuple):
    """What a request's fields are without those that are for the edge alone, and these."""

    fields: Fields  #: for the app; the same list where nothing was taken out
    cookies: list[bytes]  #: the different values of the session's cookie, in their order
    token: Fields  #: the fields of a service token
    has_authorization: bool  #: there is such a field, which may be the edge's


def take_credentials(fields: Fields) -> Credentials:
    """Split a request's fields.

    Args:
        fields: Of the request, names in lower case; they are not changed.
    """
    has_authorization = False
    values: list[bytes] = []
    token: Fields = []
    taken: list[tuple[int, bytes]] = []  # where, and what stays of it
    place = -1
    for pair in fields:
        place += 1
        name = pair[0]
        if name not in _WATCHED:
            continue
        if name == _AUTHORIZATION:
            has_authorization = True
        elif name != _COOKIE:
            token.append(pair)
            taken.append((place, b""))
        elif PREFIX in pair[1]:
            taken.append((place, _without_own(pair[1], values)))
    kept = fields
    if taken:
        kept = fields.copy()
        for place, rest in reversed(taken):
            if rest:
                kept[place] = (_COOKIE, rest)
            else:
                del kept[place]
    return _new(Credentials, (kept, values, token, has_authorization))


def _without_own(value: bytes, found: list[bytes]) -> bytes:
    """Take the edge's cookies out of a field; add different values of the session's to a list."""
    if value.startswith(_SESSION_IS) and b";" not in value:
        alone = value[len(_SESSION_IS) :]
        if alone not in found:
            found.append(alone)
        return b""
    place = value.find(_SESSION_IS)
    if place >= 0 and value.find(PREFIX) == value.rfind(PREFIX):
        # One of them, as nearly always, and found without taking the parts apart.
        before = value[:place].rstrip(b" \t")
        if not before or before.endswith(b";"):
            content, _, after = value[place + len(_SESSION_IS) :].partition(b";")
            content, after = content.rstrip(b" \t"), after.strip(b" \t")
            if content not in found:
                found.append(content)
            return before + b" " + after if before and after else before[:-1] or after
    others = []
    for part in value.split(b";"):
        key, _, content = part.strip(b" \t").partition(b"=")
        if not key.strip(b" \t").startswith(PREFIX):
            others.append(part)
        elif key == SESSION_COOKIE and content not in found:
            found.append(content)
    return b";".join(others).strip(b" \t")


def session_cookie(value: bytes, *, max_age: int, name: bytes = SESSION_COOKIE) -> bytes:
    """Return the Set-Cookie that begins a session, or another one of the edge's.

    Args:
        value: Of :class:`.session.SessionSigner`.
        max_age: Seconds.
        name: Begins with ``PREFIX``.
    """
    return b"%s=%s; Max-Age=%d%s" % (name, value, max_age, _ATTRIBUTES)


def expired_cookie(name: bytes = SESSION_COOKIE) -> bytes:
    """Return the Set-Cookie that ends a cookie of the edge's."""
    return b"%s=; Max-Age=0%s" % (name, _ATTRIBUTES)
