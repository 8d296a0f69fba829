"""Builds the ASGI scope of a stream from its request head.

The address of the visitor, the scheme and the edge's own address come from the head alone, which
the edge wrote; what a visitor put into forwarding fields was removed there.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from ..protocol.head import RequestHead
from .types import Scope

HTTP_SPEC_VERSION = "2.3"
"""HTTP apps are tuned to silent sends after a disconnect: with "2.4" Starlette notices a visitor
who left an idle event stream only at its next send."""

WEBSOCKET_SPEC_VERSION = "2.5"
"""Sends after a disconnect raise an OSError, and the close reason reaches the app."""


def http_scope(
    head: RequestHead,
    *,
    state: dict[str, Any] | None,
    root_path: str,
    spec_version: str = HTTP_SPEC_VERSION,
    edge: str = "",
    visitor: dict[str, Any] | None = None,
) -> Scope:
    """Return a fresh ``http`` scope.

    Args:
        head: What the edge sent.
        state: The lifespan state, copied one level deep; None when the app has no lifespan.
        root_path: Put before the path, without a slash at its end.
        spec_version: "2.4" makes sends after a disconnect raise.
        edge: The URL of the edge, as its token has it.
        visitor: Who it is, as :func:`.visitor.read_visitor` returns it; None: nobody has asked.
    """
    scope = _common(head, state, root_path, "http", spec_version)
    scope["method"] = head.method.decode("latin-1").upper()
    scope["extensions"] = {
        "http.response.trailers": {},
        "http.response.early_hint": {},
        "asgi_tunnel": _own(head, edge, visitor),
    }
    return scope


def websocket_scope(
    head: RequestHead,
    *,
    state: dict[str, Any] | None,
    root_path: str,
    edge: str = "",
    visitor: dict[str, Any] | None = None,
) -> Scope:
    """Return a fresh ``websocket`` scope; arguments as :func:`http_scope`."""
    scope = _common(head, state, root_path, "websocket", WEBSOCKET_SPEC_VERSION)
    scope["subprotocols"] = [
        one.strip()
        for name, value in head.fields
        if name == b"sec-websocket-protocol"
        for one in value.decode("latin-1").split(",")
        if one.strip()
    ]
    scope["extensions"] = {
        "websocket.http.response": {},
        "asgi_tunnel": _own(head, edge, visitor),
    }
    return scope


def _own(head: RequestHead, edge: str, visitor: dict[str, Any] | None) -> dict[str, Any]:
    """Return the extension that only requests through a tunnel have."""
    own: dict[str, Any] = {
        "request_id": head.request_id.decode("latin-1"),
        "hostname": head.hostname.decode("latin-1"),
        "edge": edge,
    }
    if visitor is not None:
        own["visitor"] = visitor
    return own


def _common(
    head: RequestHead,
    state: dict[str, Any] | None,
    root_path: str,
    kind: str,
    spec_version: str,
) -> dict[str, Any]:
    # All at once: an attribute of a named tuple costs more than an item of a plain one.
    _, target, arrival, request_id, hostname, fields = head
    peer_host = arrival.peer_host
    raw_path, _, query = target.partition(b"?")
    path = raw_path.decode("utf-8", "replace")
    if "%" in path:
        path = unquote(path)
    host, own_id = hostname, False
    for name, value in fields:
        if name == b"host":
            host = value
        elif name == b"x-request-id":
            own_id = True
    if root_path and raw_path != b"*":  # OPTIONS * asks the server itself
        path = root_path + path
        raw_path = root_path.encode() + raw_path
    scope: dict[str, Any] = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": spec_version},
        "http_version": arrival.http_version,
        "scheme": arrival.scheme,
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": root_path,
        "headers": [
            *fields,
            # What a proxy would add, for apps and logs that look there.
            (b"x-forwarded-for", peer_host),
            (b"x-forwarded-proto", b"https" if arrival.is_secure else b"http"),
            (b"x-forwarded-host", host),
            (b"x-real-ip", peer_host),
        ],
        "client": arrival.client,
        "server": arrival.server,
    }
    if not own_id:  # a visitor's own may be signed, or known to its other logs
        scope["headers"].append((b"x-request-id", request_id))
    if state is not None:
        scope["state"] = state.copy()
    return scope
