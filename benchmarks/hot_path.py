"""Times one small exchange inside one process: every layer of edge and app, and no socket.

    python -m benchmarks.hot_path [--count 2000] [--batch 32]

Prints microseconds for each step.  Between the steps nothing but ``bytes`` changes hands, as on
the wire, so a change to the hot path shows here first, without the noise of two processes and a
kernel.  Profilers see the whole exchange in one process.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, Final, NamedTuple, cast

import uvloop

import asgi_tunnel.session
from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.inspector.recorder import Recorder
from asgi_tunnel.protocol.connection import Connection, Role
from asgi_tunnel.protocol.limits import Settings, Timing
from asgi_tunnel.session import Session
from asgi_tunnel.transport import WebSocketTransport
from asgi_tunnel_edge.admission.tunnels import TunnelAcceptor
from asgi_tunnel_edge.connections.limiter import ConnectionLimiter
from asgi_tunnel_edge.connections.table import ConnectionTable
from asgi_tunnel_edge.context import EdgeContext
from asgi_tunnel_edge.directory import LocalDirectory
from asgi_tunnel_edge.dispatch import Dispatcher
from asgi_tunnel_edge.guards import Guards
from asgi_tunnel_edge.http1.connection import HTTP1Connection
from asgi_tunnel_edge.http1.front import HTTP1Front
from asgi_tunnel_edge.observers.access_log import AccessLog
from asgi_tunnel_edge.observers.request_counter import RequestCounter
from asgi_tunnel_edge.observers.tracing import ExchangeTracing
from asgi_tunnel_edge.route import SessionEntry
from asgi_tunnel_edge.settings.config import EdgeConfig, TracingConfig
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

from .model import HOSTNAME

REQUEST = f"GET / HTTP/1.1\r\nHost: {HOSTNAME}\r\n\r\n".encode()
STEPS = ("edge: request", "edge: flush", "app: requests", "app: calls", "edge: answer")


async def hello(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer five bytes."""
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"5"), (b"content-type", b"text/plain")],
        }
    )
    await send({"type": "http.response.body", "body": b"hello"})


class FakeSocket:
    """An asyncio transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self._extra = {"peername": ("127.0.0.1", 40_000), "sockname": ("127.0.0.1", 80)}

    def get_extra_info(self, name: str) -> Any:
        """Its addresses; it has no socket."""
        return self._extra.get(name)

    def write(self, data: bytes) -> None:
        """Keep."""
        self.written.append(data)

    def take(self) -> bytes:
        """Return what was written since the last call."""
        data = b"".join(self.written)
        self.written.clear()
        return data

    def get_write_buffer_size(self) -> int:
        """Everything is taken at once."""
        return 0

    def set_write_buffer_limits(self, high: int, low: int | None = None) -> None:
        """Without effect."""

    def abort(self) -> None:
        """Without effect."""


class Extras(NamedTuple):
    """What is switched on."""

    counter: RequestCounter | None = None  # of [metrics]
    tracer: ExchangeTracing | None = None  # of [tracing]
    server_timing: bool = False
    recorder: Recorder | None = None  # of the app's inspector


_NOTHING: Final = Extras()


class World:
    """An edge, one tunnel and an app in one event loop.

    Args:
        folder: For the access log.
        extras: What an edge may have and most have not.
    """

    def __init__(self, folder: Path, extras: Extras) -> None:
        loop = asyncio.get_running_loop()
        record = TokenRecord(
            id="tok_a", name="shop", secret_sha256="", hostnames=(HOSTNAME,), created_at=0
        )
        snapshot = Snapshot.of(1, [record])
        config = EdgeConfig(
            data_dir=folder,
            domain="example.test",
            listen="127.0.0.1:0",
            tracing=TracingConfig(server_timing=extras.server_timing),
        )
        registry = LocalDirectory(snapshot)
        guards = Guards(config, loop.time)
        guards.apply(snapshot)
        self.log = AccessLog(form=config.access_log.format, path=folder / "access.log")
        context = EdgeContext(limits=config.limits, observers=(self.log,))
        if extras.counter is not None:
            context.attach(extras.counter)
        if extras.tracer is not None:
            context.trace(extras.tracer)
        limiter = ConnectionLimiter(guards, context.now)
        self.front = HTTP1Front(
            context,
            limiter=limiter,
            table=ConnectionTable(
                max_connections=config.limits.max_connections,
                max_per_address=config.limits.max_connections_per_address,
            ),
            dispatcher=Dispatcher(context, registry, guards),
            tunnels=TunnelAcceptor(
                context, registry, lambda hostname: hostname, on_error=limiter.note_error
            ),
        )
        self.at_edge, self.edge = self._session(Role.EDGE, None)
        origin = Origin(hello)
        origin.recorder = extras.recorder
        self.at_app, self.app = self._session(Role.CONNECTOR, origin.serve)
        registry.add(SessionEntry(self.edge, record, instance="i", slot=0))
        self.log.start()

    def _session(self, role: Role, on_stream: Any) -> tuple[WebSocketTransport, Session]:
        settings = Settings()
        connection = Connection(
            role,
            local=settings,
            peer=settings,
            timing=Timing(),
            now=asyncio.get_running_loop().time(),
        )
        session = Session(connection, session_id="s", on_stream=on_stream)
        carrier = WebSocketTransport(is_masking=role is Role.CONNECTOR)
        carrier.connection_made(cast(asyncio.BaseTransport, FakeSocket()))
        session.attach(carrier)
        carrier.start(session)
        return carrier, session


async def measure(count: int, batch: int, extras: Extras = _NOTHING) -> list[float]:
    """Return seconds spent in each of :data:`STEPS`, for one exchange."""
    spent = [0.0] * len(STEPS)
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), extras)
        sockets = [FakeSocket() for _ in range(batch)]
        visitors = [HTTP1Connection(world.front) for _ in sockets]
        for visitor, sock in zip(visitors, sockets, strict=True):
            visitor.connection_made(cast(asyncio.BaseTransport, sock))
        edge_out, app_out = _socket(world.at_edge), _socket(world.at_app)

        async def turn_until(sock: FakeSocket) -> bytes:
            while not sock.written:  # noqa: ASYNC110  # turns of the loop are what is measured
                await asyncio.sleep(0)
            for _ in range(2):  # the first exchange of a quiet tunnel leaves before the others
                await asyncio.sleep(0)
            return sock.take()

        for _ in range(2):  # PING and PONG, at the start of a session
            world.at_app.data_received(await turn_until(edge_out))
            world.at_edge.data_received(await turn_until(app_out))
        for number in range(count // batch):
            marks = [perf_counter()]
            for visitor in visitors:
                visitor.data_received(REQUEST)
            marks.append(perf_counter())
            data = await turn_until(edge_out)
            marks.append(perf_counter())
            world.at_app.data_received(data)
            marks.append(perf_counter())
            data = await turn_until(app_out)
            marks.append(perf_counter())
            world.at_edge.data_received(data)
            marks.append(perf_counter())
            for sock in sockets:
                if not sock.take().endswith(b"hello"):
                    raise SystemExit("an answer is missing")
            if number:
                for step in range(len(STEPS)):
                    spent[step] += marks[step + 1] - marks[step]
            world.log.flush()
        world.log.stop()
    return [one / (count // batch - 1) / batch for one in spent]


def _socket(carrier: WebSocketTransport) -> FakeSocket:
    return cast(FakeSocket, carrier._transport)  # noqa: SLF001 - its other end is in this file


def main(run: Callable[[int, int], Any] = measure) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="exchanges")
    parser.add_argument("--batch", type=int, default=32, help="exchanges in one turn of the loop")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        spent = runner.run(run(options.count, options.batch))
    compiled = "compiled" if (asgi_tunnel.session.__file__ or "").endswith(".so") else "plain"
    for name, seconds in zip(STEPS, spent, strict=True):
        sys.stdout.write(f"{name:15} {seconds * 1e6:6.2f} us\n")
    sys.stdout.write(f"{'in all':15} {sum(spent) * 1e6:6.2f} us ({compiled})\n")


if __name__ == "__main__":
    main()
