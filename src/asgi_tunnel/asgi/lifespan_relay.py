"""Passes a server's lifespan on to an app, and answers in its place where it takes no part.

The counterpart of :mod:`.lifespan`, which plays the server. Called by ``middleware``.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from ..logs import ensure_handler
from .lifespan import log_startup_error
from .types import ASGIApp, Message, Receive, Send

__all__ = ["refuse_startup", "serve_lifespan"]


async def serve_lifespan(
    app: ASGIApp, scope: MutableMapping[str, Any], receive: Receive, send: Send
) -> None:
    """Call the app's lifespan; answer in its place when it has none.

    Django and Channels raise on the scope, others return.  As long as the app has sent nothing,
    that means it takes no part.
    """
    last = ""  # what the app has sent
    received: Message | None = None

    async def noted_receive() -> Message:
        nonlocal received
        received = await receive()
        return received

    async def noted_send(message: Message) -> None:
        nonlocal last
        last = message["type"]
        await send(message)

    try:
        await app(scope, noted_receive, noted_send)
    except Exception as error:
        if last:
            raise
        ensure_handler()
        log_startup_error(error)
    if last == "lifespan.startup.complete" and received is not None:
        if received["type"] == "lifespan.startup":
            # The app is served on although its lifespan is over: wait for the end in its place.
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        return
    if last:
        return
    message = received or await receive()
    if message["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def refuse_startup(receive: Receive, send: Send, why: str) -> None:
    """Let the server's start fail, for a reason that it prints."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": f"asgi-tunnel: {why}"})
