"""Recorded exchanges for tests, in the form that the inspector's interface has."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

Pairs = Sequence[tuple[str, str]]


def body(data: bytes | str, *, size: int | None = None, kind: str = "") -> dict[str, Any]:
    """What a recorded body is; ``size`` above its length: the rest was not kept."""
    raw = data.encode() if isinstance(data, str) else data
    found: dict[str, Any] = {
        "size": len(raw) if size is None else size,
        "kept": len(raw),
        "type": kind,
    }
    if isinstance(data, str):
        found["text"] = data
    else:
        found["base64"] = base64.b64encode(data).decode()
    return found


def exchange(
    method: str = "GET",
    path: str = "/",
    *,
    fields: Pairs = (),
    sent: dict[str, Any] | None = None,
    status: int | None = 200,
    response_fields: Pairs = (),
    received: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A recorded HTTP exchange."""
    response = {"fields": [list(one) for one in response_fields], "body": received}
    return {
        "id": "00000000000000aa",
        "seq": 1,
        "request_id": "edge-1",
        "kind": "http",
        "started": 1_796_011_200.25,
        "host": "shop.example.org",
        "method": method,
        "path": path,
        "status": status,
        "state": "done",
        "error": None,
        "seconds": 0.25,
        "first_byte": 0.2,
        "sent": 0 if received is None else received["size"],
        "received": 0 if sent is None else sent["size"],
        "messages": 0,
        "client": "203.0.113.9",
        "visitor": None,
        "replay_of": None,
        "end_to_end": False,
        "scheme": "https",
        "http_version": "1.1",
        "level": "full",
        "request": {"fields": [list(one) for one in fields], "body": sent},
        "response": None if status is None else response,
        "trailers": [],
        "exchange_messages": [],
        "traceback": None,
        **more,
    }


def message(sender: str, data: bytes | str, *, at: float = 0.0) -> dict[str, Any]:
    """A recorded message of a WebSocket."""
    found = body(data)
    del found["type"]
    return {**found, "at": at, "from": sender, "type": "text" if isinstance(data, str) else "bytes"}
