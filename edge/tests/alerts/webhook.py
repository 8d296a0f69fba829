"""A webhook on loopback that keeps what it gets, and says what a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.services.scripted import Call, scripted


@dataclass
class Got:
    """One request."""

    fields: dict[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        """What it says."""
        return json.loads(self.body)


@dataclass
class Hook:
    """A server.

    Attributes:
        got: All requests, in order.
        responses: What is said next, in order; then 204. None: nothing.
        arrived: Those that no test has waited for.
    """

    url: str = ""
    got: list[Got] = field(default_factory=list)
    responses: list[bytes | None] = field(default_factory=list)
    arrived: asyncio.Queue[Got] = field(default_factory=asyncio.Queue)

    async def next(self) -> Got:
        """The next request."""
        async with asyncio.timeout(20):
            return await self.arrived.get()

    async def serve(self, call: Call) -> None:
        """Answer one connection."""
        head = (await call.head()).decode("latin-1")
        lines = [line.partition(": ") for line in head.split("\r\n")[1:] if line]
        fields = {name.lower(): value for name, _, value in lines}
        body = await call.reader.readexactly(int(fields["content-length"]))
        got = Got(fields, body)
        self.got.append(got)
        response = self.responses.pop(0) if self.responses else status(204)
        self.arrived.put_nowait(got)
        if response is None:
            await call.reader.read()
        else:
            await call.say(response)


def status(number: int, *fields: str) -> bytes:
    """A response without a body."""
    lines = [f"HTTP/1.1 {number} X", "Content-Length: 0", *fields, "", ""]
    return "\r\n".join(lines).encode()


@asynccontextmanager
async def webhook(*responses: bytes | None) -> AsyncIterator[Hook]:
    """Run one."""
    hook = Hook(responses=list(responses))
    async with scripted(hook.serve) as server:
        hook.url = f"{server.url}/hook?key=secret"
        yield hook
