"""What a front has understood of a request head."""

from __future__ import annotations

from typing import NamedTuple

from asgi_tunnel.protocol.head import Fields


class Request(NamedTuple):
    """One request head, understood."""

    method: bytes
    target: bytes  # origin-form or b"*"; byte for byte
    is_http11: bool
    host: bytes  # the Host field as sent; empty when HTTP/1.0 sent none
    hostname: str | None  # registered spelling; None when Host is an address
    fields: Fields  # what is relayed
    length: int | None  # bytes of the body; None for a chunked one
    keep_alive: bool
    expects_continue: bool
    takes_trailers: bool
    websocket_key: bytes | None  # set for a WebSocket handshake
    websocket_error: int  # 0, or the status that answers a broken handshake
