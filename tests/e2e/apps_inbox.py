"""A FastAPI app with a marked webhook, which verifies signatures as Stripe's are made."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from fastapi import FastAPI, HTTPException, Request

from asgi_tunnel.inbox import delivery, inbox

KEY = b"whsec_example"
TOLERANCE = 300.0

app = FastAPI()
paid: list[dict[str, Any]] = []


def sign(body: bytes, at: float) -> str:
    """The field of a sender."""
    digest = hmac.new(KEY, b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at:.0f},v1={digest}"


@inbox
@app.post("/hooks/{provider}")
async def hook(provider: str, request: Request) -> dict[str, bool]:
    """Take an event whose signature is good, and no older than when the edge got it."""
    body = await request.body()
    signature = request.headers["stripe-signature"]
    at = float(signature.partition(",")[0][2:])
    found = delivery(request.scope)
    if found is None or not hmac.compare_digest(signature, sign(body, at)):
        raise HTTPException(400, "a wrong signature")
    if abs(found.received - at) > TOLERANCE:
        raise HTTPException(400, "an old signature")
    paid.append({"id": found.id, "body": body.hex(), "provider": provider})
    return {"ok": True}


@app.get("/paid")
async def show() -> list[dict[str, Any]]:
    """What was taken."""
    return paid
