"""The session's clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_tunnel.protocol.codes import GoawayCode
from asgi_tunnel.protocol.connection import Connection, Role
from asgi_tunnel.protocol.limits import Settings, Timing
from asgi_tunnel.session import Session

uvloop = pytest.importorskip("uvloop")


class Sink:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.is_writable = True
        self.buffered = 0
        self.room = 128 * 1024
        self.sent = asyncio.Event()

    def send(self, data: bytes) -> None:
        """Note it."""
        self.sent.set()

    def close(self) -> None:
        """Nothing to close."""

    def abort(self) -> None:
        """Nothing to abort."""


def test_deadline_that_is_due_now_is_kept_under_uvloop() -> None:
    """A heartbeat that is due when its timer is set is sent: uvloop makes such timers otherwise."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        errors: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: errors.append(context))
        timing = Timing()
        connection = Connection(
            Role.EDGE,
            local=Settings(),
            peer=Settings(),
            timing=timing,
            now=loop.time() - timing.heartbeat_interval,
        )
        session = Session(connection, session_id="session-1")
        sink = Sink()
        session.attach(sink)
        async with asyncio.timeout(5):
            await sink.sent.wait()
        assert errors == []
        session.terminate(GoawayCode.NO_ERROR, "done")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
