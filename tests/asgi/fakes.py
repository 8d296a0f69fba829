"""What tests of the wrapper and of the runner share: an app, and a connector without an edge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from tests.asgi.memory import Answer, Tunnelled, Visitor, body, start

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.errors import TunnelError
from asgi_tunnel.names import ServedNames


class FakeConnector:
    """Stands in for the connector: notes what is asked of it, dials nothing.

    Attributes:
        made: All of one test, in order.
        refusal: With what the edge refuses, if it does.
        connects: Whether the tunnel is ever open.
    """

    made: ClassVar[list[FakeConnector]] = []
    refusal: ClassVar[TunnelError | None] = None
    connects: ClassVar[bool] = True

    def __init__(
        self,
        config: Any,
        origin: Origin,
        *,
        name: str,
        served: ServedNames | None = None,
        policy: Any = None,
        inbox: tuple[str, ...] = (),
    ) -> None:
        self.config = config
        self.origin = origin
        self.name = name
        self.policy = policy
        self.inbox = inbox
        self.urls: tuple[str, ...] = ()
        self.on_urls: Callable[[Sequence[str]], None] | None = None
        self.log: list[str] = []
        self.on_refused: Callable[[TunnelError], None] | None = None
        self.made.append(self)

    def start(self) -> None:
        """Note it; refuse in the next turn when told to."""
        self.log.append("start")
        if self.refusal is not None:
            asyncio.get_running_loop().call_soon(self._refuse, self.refusal)

    def _refuse(self, error: TunnelError) -> None:
        assert self.on_refused is not None
        self.on_refused(error)

    async def wait_connected(self) -> None:
        """Return when the tunnel would be open."""
        if not self.connects or self.refusal is not None:
            await asyncio.Event().wait()

    async def stop(self) -> None:
        """Note it."""
        self.log.append("stop")

    def abort(self) -> None:
        """Note it."""
        self.log.append("abort")

    async def get(self) -> Visitor:
        """Relay a request to what the origin serves."""
        tunnel = Tunnelled(Answer())
        tunnel.origin = self.origin
        return await tunnel.get()


class Life:
    """An app with a lifespan; a request is answered with its state.

    Args:
        startup: "complete" or "failed".

    Attributes:
        log: What the app was asked for, and before "shutdown" what the tunnel had done by then.
    """

    def __init__(self, startup: str = "complete") -> None:
        self.startup = startup
        self.log: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve."""
        if scope["type"] == "http":
            self.log.append("request")
            await send(start())
            await send(body(str(scope.get("state")).encode()))
            return
        scope["state"]["pool"] = 7
        await receive()
        self.log.append("startup")
        await send({"type": f"lifespan.startup.{self.startup}", "message": "no database"})
        await receive()
        for connector in FakeConnector.made:
            self.log += connector.log
        self.log.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})
