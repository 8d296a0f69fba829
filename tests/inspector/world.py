"""An app behind a tunnel in memory, with an inspector, and the edge that asks it."""

from __future__ import annotations

import json
import os
from typing import Any

from tests.asgi.memory import Tunnelled, Visitor

from asgi_tunnel.asgi.replay import Replays
from asgi_tunnel.inspector.app import InspectorApp
from asgi_tunnel.inspector.recorder import Recorder
from asgi_tunnel.inspector.settings import Inspect
from asgi_tunnel.protocol.head import INSPECT

ANNA = b'{"by":"anna","may_write":true}'
READER = b'{"by":"berta","may_write":false}'


def describe() -> dict[str, Any]:
    """What the state says of the process."""
    return {"app": "main:app", "pid": os.getpid(), "agent": "test"}


class Inspected(Tunnelled):
    """See the module; other arguments as :class:`.Tunnelled`.

    Attributes:
        recorder: What keeps the exchanges.
    """

    def __init__(self, app: Any, settings: Inspect | None = None, **arguments: Any) -> None:
        super().__init__(app, **arguments)
        self.recorder = self.origin.recorder = Recorder(settings or Inspect(level="full"))
        self.recorder.on_call = Replays(self.origin).call
        self.origin.inspector = InspectorApp(self.recorder, describe)

    def question(
        self, method: str, target: str, body: bytes = b"", *, line: bytes = ANNA
    ) -> Visitor:
        """Ask the inspector as the edge does."""
        return self.ask(method, target, (INSPECT, line), body=body)

    async def put(self, method: str, target: str, body: bytes = b"", **more: Any) -> Visitor:
        """Ask, and wait for the end of the reply."""
        return await self.question(method, target, body, **more).over()

    async def look(self, target: str) -> Any:
        """Return what the inspector replies to a GET, which has to be 200."""
        visitor = await self.put("GET", target)
        assert visitor.status == 200, visitor.body
        return json.loads(visitor.body)

    async def newest(self) -> Any:
        """Return the newest exchange, with all that is kept of it."""
        found = (await self.look("/exchanges?limit=1"))["exchanges"]
        return await self.look(f"/exchanges/{found[0]['id']}")
