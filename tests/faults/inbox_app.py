"""An app behind marked routes: it checks each signature, and notes each request before it responds.

What it notes is in a file, which stays when the app is killed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from typing import Any

from asgi_tunnel.inbox import delivery

KEY = b"whsec_example"
_notes = open(os.environ.get("NOTES", os.devnull), "a", buffering=1)  # noqa: SIM115, PTH123 - as long as the app


def sign(body: bytes, at: int) -> str:
    """The field that a sender signs a request with, as Stripe does."""
    digest = hmac.new(KEY, b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve one call."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    fields = dict(scope["headers"])
    signature = fields[b"stripe-signature"].decode()
    at = int(signature.partition(",")[0][2:])
    is_good = hmac.compare_digest(signature, sign(body, at))
    found = delivery(scope)
    assert found is not None
    note = {
        "path": scope["path"],
        "number": json.loads(body)["number"],
        "id": found.id,
        "attempt": found.attempt,
        "is_good": is_good,
    }
    _notes.write(json.dumps(note) + "\n")
    status = 200 if is_good else 400
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})
