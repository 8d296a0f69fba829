"""Builds the ASGI scope of a stream from its request head.

The address of the visitor, the scheme and the edge's own address come from the head alone, which
the edge wrote; what a visitor put into forwarding fields was removed there.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from ..protocol.head import Fields, RequestHead
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
) -> Scope:
    """Return a fresh ``http`` scope.

    Args:
        head: What the edge sent.
        state: The lifespan state, copied one level deep; None when the app has no lifespan.
        root_path: Put before the path, without a slash at its end.
        spec_version: "2.4" makes sends after a disconnect raise.
    """
    scope = _common(head, state, root_path)
    scope["type"] = "http"
    scope["asgi"] = {"version": "3.0", "spec_version": spec_version}
    scope["method"] = head.method.decode("latin-1").upper()
    scope["extensions"] = {"http.response.trailers": {}, "http.response.early_hint": {}}
    return scope


def websocket_scope(head: RequestHead, *, state: dict[str, Any] | None, root_path: str) -> Scope:
    """Return a fresh ``websocket`` scope; arguments as :func:`http_scope`."""
    scope = _common(head, state, root_path)
    scope["type"] = "websocket"
    scope["asgi"] = {"version": "3.0", "spec_version": WEBSOCKET_SPEC_VERSION}
    scope["subprotocols"] = [
        one.strip()
        for name, value in head.fields
        if name == b"sec-websocket-protocol"
        for one in value.decode("latin-1").split(",")
        if one.strip()
    ]
    scope["extensions"] = {"websocket.http.response": {}}
    return scope


def _common(head: RequestHead, state: dict[str, Any] | None, root_path: str) -> dict[str, Any]:
    raw_path, _, query = head.target.partition(b"?")
    path = raw_path.decode("utf-8", "replace")
    if "%" in path:
        path = unquote(path)
    if root_path and raw_path != b"*":  # OPTIONS * asks the server itself
        path = root_path + path
        raw_path = root_path.encode() + raw_path
    peer = head.peer_host.decode("latin-1")
    scope: dict[str, Any] = {
        "http_version": head.http_version.decode("latin-1"),
        "scheme": head.scheme.decode("latin-1"),
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": root_path,
        "headers": head.fields + _forwarded(head),
        "client": (peer, head.peer_port),
        "server": (head.host.decode("latin-1"), head.port),
    }
    if state is not None:
        scope["state"] = state.copy()
    return scope


def _forwarded(head: RequestHead) -> Fields:
    """The fields that a proxy would add, for apps and logs that look there."""
    proto = b"https" if head.scheme in (b"https", b"wss") else b"http"
    return [
        (b"x-forwarded-for", head.peer_host),
        (b"x-forwarded-proto", proto),
        (b"x-forwarded-host", head.hostname),
        (b"x-real-ip", head.peer_host),
        (b"x-request-id", head.request_id),
    ]
