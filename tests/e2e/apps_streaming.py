"""The app behind the streaming tests.  What it saw is told by ``/seen/KEY``, as JSON.

Times are of the monotonic clock, which all processes of one machine share.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BLOCK = 64 * 1024

SEEN: dict[str, dict[str, Any]] = {}
GO_ON: dict[str, asyncio.Event] = {}


class Call:
    """One request: what it asks for, and the two ways to talk to its visitor."""

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        parts = scope["path"].strip("/").split("/")
        self.kind = parts[0]
        self.key = parts[1] if len(parts) > 1 else ""
        self.query = {
            name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()
        }
        self.receive = receive
        self.seen: dict[str, Any] = {}
        if self.kind not in ("seen", "go"):
            SEEN[self.key] = self.seen
        self._send = send

    def number(self, name: str, default: float = 0) -> float:
        """Return a number of the query."""
        return float(self.query.get(name, default))

    async def start(self, status: int = 200, length: int | None = None) -> None:
        """Send the head."""
        fields = [] if length is None else [(b"content-length", b"%d" % length)]
        await self._send({"type": "http.response.start", "status": status, "headers": fields})

    async def send(self, body: bytes, *, more: bool = True) -> None:
        """Send a piece of the body; count it once it is accepted."""
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
        self.seen["accepted"] = self.seen.get("accepted", 0) + len(body)

    async def answer(self, value: Any) -> None:
        """Send JSON."""
        body = json.dumps(value).encode()
        await self.start(200, len(body))
        await self.send(body, more=False)

    async def until_disconnect(self) -> None:
        """Read and count the body up to ``http.disconnect``; note when that came."""
        while (message := await self.receive())["type"] == "http.request":
            self.seen["received"] = self.seen.get("received", 0) + len(message["body"])
        self.seen["disconnected"] = time.monotonic()

    async def send_late(self) -> None:
        """Send three times although the visitor has left; note what each send does."""
        results: list[str | None] = []
        for _ in range(3):
            try:
                await self.send(b"too late")
            except OSError as error:
                results.append(type(error).__name__)
            else:
                results.append(None)
        self.seen["late"] = results


async def small(call: Call) -> None:
    """Answer a few bytes."""
    await call.answer("small")


async def seen(call: Call) -> None:
    """Tell what the call with this key saw."""
    await call.answer(SEEN.get(call.key, {}))


async def go(call: Call) -> None:
    """Let the call with this key go on."""
    GO_ON.setdefault(call.key, asyncio.Event()).set()
    await call.answer(None)


async def download(call: Call) -> None:
    """Send ``size`` bytes, no two blocks alike."""
    size = int(call.number("size"))
    await call.start(length=size if "length" in call.query else None)
    digest = hashlib.sha256()
    filler = os.urandom(BLOCK - 8)
    for number in range(size // BLOCK):
        block = number.to_bytes(8, "big") + filler
        digest.update(block)
        await call.send(block)
    await call.send(b"", more=False)
    call.seen["sha256"] = digest.hexdigest()


async def stalled(call: Call) -> None:
    """Send ``size`` bytes; the accepted ones of all these calls count together."""
    total = SEEN.setdefault("stalled", {"accepted": 0})
    await call.start()
    block = bytes(BLOCK)
    for _ in range(int(call.number("size")) // BLOCK):
        await call.send(block)
        total["accepted"] += BLOCK
    await call.send(b"", more=False)


async def upload(call: Call) -> None:
    """Hash the body."""
    digest = hashlib.sha256()
    size = 0
    while True:
        message = await call.receive()
        if message["type"] == "http.disconnect":
            call.seen["disconnected"] = time.monotonic()
            return
        digest.update(message["body"])
        size += len(message["body"])
        if not message["more_body"]:
            break
    await call.answer({"sha256": digest.hexdigest(), "size": size})


async def deaf(call: Call) -> None:
    """Receive nothing until told to go on; then hash the body."""
    await GO_ON.setdefault(call.key, asyncio.Event()).wait()
    await upload(call)


async def events(call: Call) -> None:
    """Send server-sent events that say when they were sent."""
    await call.start()
    call.seen["started"] = time.monotonic()
    await GO_ON.setdefault(call.key, asyncio.Event()).wait()
    for _ in range(int(call.number("count"))):
        await call.send(b"data: %r\n\n" % time.monotonic())
        await asyncio.sleep(call.number("interval"))
    await call.send(b"", more=False)


async def echo(call: Call) -> None:
    """Send the body back while it comes."""
    await call.start()
    while True:
        message = await call.receive()
        if message["type"] == "http.disconnect":
            return
        if message["body"]:
            await call.send(message["body"])
        if not message["more_body"]:
            break
    await call.send(b"", more=False)


async def idle(call: Call) -> None:
    """Start a response, then wait for the visitor to leave."""
    await call.start()
    await call.send(b"data: first\n\n")
    await call.until_disconnect()
    await call.send_late()


async def take(call: Call) -> None:
    """Receive a body that its visitor will not complete."""
    await call.until_disconnect()
    try:
        await call.start()
    except OSError as error:
        call.seen["start"] = type(error).__name__
    await call.send_late()


async def pour(call: Call) -> None:
    """Send without end, and listen for the visitor to leave."""
    await call.start()
    listener = asyncio.ensure_future(call.until_disconnect())
    block = bytes(BLOCK)
    try:
        while not listener.done():
            await call.send(block)
    except OSError as error:
        call.seen["raised"] = type(error).__name__
    await listener
    await call.send_late()


async def babble(call: Call) -> None:
    """Send without end until told to stop; never listen."""
    await call.start()
    told = GO_ON.setdefault(call.key, asyncio.Event())
    block = bytes(BLOCK)
    while not told.is_set():
        await call.send(block)


async def fail(call: Call) -> None:
    """Raise: before the head, or after a part of the body."""
    when = call.query["when"]
    if when != "before":
        await call.start(length=1000 if when == "length" else None)
        await call.send(b"x" * 100)
        if "at-once" not in call.query:
            await GO_ON.setdefault(call.key, asyncio.Event()).wait()
    if "return" in call.query:
        return
    raise LookupError("a secret of the app")


KINDS: dict[str, Callable[[Call], Awaitable[None]]] = {
    one.__name__: one
    for one in (
        small,
        seen,
        go,
        download,
        stalled,
        upload,
        deaf,
        events,
        echo,
        idle,
        take,
        pour,
        babble,
        fail,
    )
}


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Serve ``/KIND/KEY``."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    call = Call(scope, receive, send)
    try:
        await KINDS[call.kind](call)
    finally:
        call.seen["ended"] = time.monotonic()
