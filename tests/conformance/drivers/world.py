"""The app's end of the tunnels: connectors on an event loop of their own, with many apps behind.

The edges are processes that :mod:`tests.conformance` has started. One runs without TLS, one with
it, so ``http`` and ``https`` are what they say. A visit is one request or one WebSocket of a test.
The edge names the visitor's port to the app, and that tells which visit a call belongs to: nothing
is added to a request on its way.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from anyio.from_thread import BlockingPortal

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector

from .record import note_exchange

EDGES: Final = "CONFORMANCE_EDGES"
"""The variable with a JSON object: scheme to an :class:`Edge`."""

TIMEOUT: Final = 20.0
"""Seconds for anything that a test waits for; each takes some milliseconds."""

Message = dict[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge process.

    Attributes:
        port: Where visitors and connectors arrive, on loopback.
        token: What a connector shows it.
        certificate: The file of its certificate; empty without TLS.
    """

    port: int
    token: str
    certificate: str


@cache
def edges() -> dict[str, Edge]:
    """All edges, by the scheme that visitors speak."""
    return {scheme: Edge(**one) for scheme, one in json.loads(os.environ[EDGES]).items()}


@dataclass(eq=False)
class Visit:
    """What belongs to one connection of a visitor, mostly one request, as both of its ends see it.

    Attributes:
        app: Serves it.
        overrides: Keys of the scope that the test sets, like ``root_path``.
        extensions: Extensions of the scope that never leave the process.
        sent: The app's messages, without their bodies.
        error: What the app raised.
    """

    app: App
    overrides: Scope = field(default_factory=dict)
    extensions: dict[str, Any] = field(default_factory=dict)
    sent: list[Message] = field(default_factory=list)
    error: BaseException | None = None
    called: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    task: asyncio.Task[Any] | None = None

    @property
    def has_responded(self) -> bool:
        """Whether the app has sent the head of a response, or accepted or closed a WebSocket."""
        return any(one["type"] != "http.response.debug" for one in self.sent)

    def wait_done(self, timeout: float = TIMEOUT) -> bool:
        """Wait for the app's return when it was called at all; False when it does not return."""
        return not self.called.is_set() or self.done.wait(timeout)

    def cancel(self) -> None:
        """End a call that does not end by itself."""
        if self.task is not None and not self.done.is_set():
            world().loop.call_soon_threadsafe(self.task.cancel)
            self.done.wait(TIMEOUT)


class Switch:
    """The app behind one edge: finds the visit by the visitor's port, and calls its app."""

    def __init__(self) -> None:
        self.visits: dict[int, Visit] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one stream."""
        visit = self.visits[scope["client"][1]]
        visit.task = asyncio.current_task()
        visit.called.set()
        scope.update(visit.overrides)
        scope["extensions"] = {**scope.get("extensions", {}), **visit.extensions}

        async def noting(message: Message) -> None:
            visit.sent.append({key: value for key, value in message.items() if key != "body"})
            if message["type"] != "http.response.debug":
                await send(message)

        try:
            await visit.app(scope, receive, noting)
        except BaseException as error:
            visit.error = error
            raise
        finally:
            visit.done.set()


@dataclass
class Gate:
    """One edge, and the switch behind it."""

    edge: Edge
    switch: Switch = field(default_factory=Switch)

    @property
    def port(self) -> int:
        """Where visitors connect."""
        return self.edge.port

    def register(self, port: int, visit: Visit) -> None:
        """Say whose the streams from a visitor's port are, until another visitor has the port."""
        self.switch.visits[port] = visit

    @contextlib.contextmanager
    def visit(self, visit: Visit) -> Iterator[socket.socket]:
        """A new connection of a visitor, whose streams belong to ``visit``."""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as sock:
            number = sock.getsockname()[1]
            self.register(number, visit)
            note_exchange()
            try:
                yield sock
            finally:
                self.switch.visits.pop(number, None)


class World:
    """All connectors of this process."""

    def __init__(self) -> None:
        self.gates = {scheme: Gate(edge) for scheme, edge in edges().items()}
        self.loop: asyncio.AbstractEventLoop
        self.portal: BlockingPortal
        self._ready = threading.Event()
        self._stopped: asyncio.Event
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main()), name="conformance", daemon=True
        )
        self._thread.start()
        if not self._ready.wait(TIMEOUT):
            raise RuntimeError("no tunnel in time")

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        connectors = []
        for gate in self.gates.values():
            config = TunnelConfig.from_env({}, token=gate.edge.token, connections=1, grace=0.0)
            assert config is not None
            connectors.append(Connector(config, Origin(gate.switch)))
            connectors[-1].start()
        for one in connectors:
            await one.wait_connected()
        self._stopped = asyncio.Event()
        async with BlockingPortal() as self.portal:
            self._ready.set()
            await self._stopped.wait()
            for one in connectors:
                await one.stop()
            await self.portal.stop(cancel_remaining=True)

    def stop(self) -> None:
        """End the tunnels."""
        self.loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(TIMEOUT)

    def gate(self, scheme: str) -> Gate:
        """The edge for a scheme."""
        return self.gates["https" if scheme in ("https", "wss") else "http"]


@cache
def world() -> World:
    """The one of this process."""
    return World()


@cache
def visitor_tls() -> ssl.SSLContext:
    """What a visitor uses: the edge's certificate is its own, so nobody vouches for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def pytest_unconfigure() -> None:
    """End the tunnels with the run."""
    if world.cache_info().currsize:
        world().stop()
