"""Which header fields go to a service and come from it, and what is added.

The edge has removed what visitors say about themselves (docs/reference/identity-fields.md); behind
any other server nobody has, so it is removed here too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from .response import Fields

_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
)
"""Fields about one connection (RFC 9110 section 7.6.1)."""

_NEVER_SENT: Final = _HOP | frozenset(
    {b"content-length", b"expect", b"forwarded", b"host", b"http2-settings"}
    | {b"proxy-authorization", b"proxy", b"trailer"}
    | {b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-prefix"}
    | {b"x-forwarded-proto", b"x-forwarded-server", b"x-forwarded-ssl", b"x-real-ip"}
)
"""Written here, or about the visitor's own connection."""

_HANDSHAKE: Final = b"sec-websocket-"
_FORWARDING: Final = b"x-forward"

_NEVER_RETURNED: Final = _HOP | frozenset({b"proxy-authenticate", b"proxy-authentication-info"})

bad_value: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
is_token: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
is_target: Final = re.compile(rb"[\x21-\x7e]*").fullmatch


class RequestError(Exception):
    """A request that cannot be written down for a service.

    Attributes:
        status: For the visitor.
        why: For the visitor.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(status, why)
        self.status = status
        self.why = why


def request_fields(
    scope: Mapping[str, Any], *, send_host: bytes, prefix: str, websocket: bool = False
) -> Fields:
    """Return the fields of a request to a service; framing is left to the caller.

    Args:
        scope: Of ``http`` or ``websocket``.
        send_host: Sent as Host; empty for the visitor's.
        prefix: What was stripped from the path.
        websocket: Leave the handshake's own fields out.

    Raises:
        RequestError: A field cannot be sent on as it is.
    """
    dropped = _listed(scope["headers"])
    host = b""
    takes_trailers = False
    kept: Fields = []
    for name, value in scope["headers"]:
        if name == b"host":
            host = value
        elif name == b"te":
            takes_trailers = takes_trailers or b"trailers" in value.lower()
        if name in _NEVER_SENT or name in dropped or name.startswith(_FORWARDING):
            continue
        if websocket and name.startswith(_HANDSHAKE) and name != b"sec-websocket-protocol":
            continue
        if b"_" in name and _is_written_here(name.replace(b"_", b"-")):
            continue  # many servers read an underscore as a hyphen
        if not is_token(name) or bad_value(value):
            raise RequestError(400, "a header field is malformed")
        kept.append((name, value))
    fields: Fields = [(b"host", send_host or host), *kept]
    if takes_trailers and not websocket:
        fields += [(b"te", b"trailers"), (b"connection", b"te")]  # RFC 9110 section 10.1.4
    fields += _forwarding(scope, host, prefix)
    return fields


def response_fields(fields: Fields) -> Fields:
    """Return what of a response's fields goes to the visitor: all but those about a connection."""
    dropped = _listed(fields)
    return [one for one in fields if one[0] not in _NEVER_RETURNED and one[0] not in dropped]


def _listed(fields: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """Return the names that Connection lists."""
    found: set[bytes] = set()
    for name, value in fields:
        if name == b"connection":
            found.update(one.strip() for one in value.lower().split(b","))
    # About no hop; a visitor must not take them away from a service (RFC 9110 section 7.6.1).
    return found - {b"host", b"content-length", b"cookie", b"content-type", b"authorization"}


def _is_written_here(name: bytes) -> bool:
    return name in _NEVER_SENT or name.startswith(_FORWARDING)


def _forwarding(scope: Mapping[str, Any], host: bytes, prefix: str) -> Fields:
    """Return who the visitor is: a service has no scope to read it from."""
    client = scope.get("client")
    address = str(client[0]).encode("latin-1", "replace") if client else b""
    scheme = {"ws": b"http", "wss": b"https"}.get(
        scope.get("scheme", "http"), str(scope.get("scheme", "http")).encode()
    )
    port = _port(host, scheme)
    node = b'"[%s]"' % address if b":" in address else address
    quoted = b'"%s"' % host if b":" in host else host
    fields: Fields = [(b"x-forwarded-proto", scheme), (b"x-forwarded-host", host)]
    fields.append((b"x-forwarded-port", port))
    if address:
        fields += [(b"x-forwarded-for", address), (b"x-real-ip", address)]
    parts = [b"for=" + (node or b"unknown"), b"proto=" + scheme]
    if host:
        parts.append(b"host=" + quoted)
    fields.append((b"forwarded", b";".join(parts)))
    if prefix:
        fields.append((b"x-forwarded-prefix", prefix.encode()))
    return fields


def _port(host: bytes, scheme: bytes) -> bytes:
    _, colon, port = host.rpartition(b":")
    if colon and port.isdigit():
        return port
    return b"443" if scheme == b"https" else b"80"
