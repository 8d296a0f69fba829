"""Sees at once when the neighbour's session with PostgreSQL ends (:mod:`.ring`).

Each node holds an advisory lock of its session, and its neighbour waits for the shared form of it:
the server grants that in the moment in which the node's session is over. Measured from SIGKILL of a
node to the others' knowledge: 11 ms. One connection more for each node, whatever their number.
"""

from __future__ import annotations

import asyncio
import json
from typing import Final

import psycopg

from .postgresql_session import CHANNEL, Connection, answering, connect, cut

__all__ = ["Neighbour"]

RETRY_DELAY: Final = 1.0
"""Seconds before this connection is tried again; the heartbeats of :mod:`.postgresql` go on."""

_CANCEL_TIMEOUT: Final = 2.0  # seconds for the server to stop a statement; then the cut ends it


class Neighbour:
    """See the module; what it finds is told to all, this node too, by a notification.

    Args:
        url: Of the server.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._target: tuple[str, int] | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="bus neighbour")

    async def stop(self) -> None:
        """End it; may be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def watch(self, target: tuple[str, int] | None) -> None:
        """Watch over a node; None: over nobody.

        Args:
            target: Its id, and the number of its lock.
        """
        if target != self._target:
            self._target = target
            self._changed.set()

    async def _run(self) -> None:
        while True:
            while self._target is None:
                await self._next()
            try:
                connection = await connect(self._url)
                try:
                    await self._watch_on(connection)
                finally:
                    await connection.close()
            except (psycopg.Error, OSError):
                # The server is away: :mod:`.postgresql` says so, and knows for how long.
                await asyncio.sleep(RETRY_DELAY)

    async def _next(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    async def _watch_on(self, connection: Connection) -> None:
        while self._target is not None:
            self._changed.clear()
            target = self._target
            if await self._is_over(connection, target[1]):
                await self._tell(connection, *target)
                if self._target == target:
                    self._target = None  # until it is said who comes next
                    return

    async def _is_over(self, connection: Connection, lock: int) -> bool:
        """Wait until a session is over, or another one is to be watched."""
        waiting = asyncio.ensure_future(
            connection.execute("SELECT pg_advisory_lock_shared(%s)", (lock,))
        )
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait([waiting, changed], return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                with answering(connection):
                    await connection.cancel_safe(timeout=_CANCEL_TIMEOUT)
                    await asyncio.wait([waiting])
            try:
                waiting.result()
            except psycopg.errors.QueryCanceled:
                return False
            with answering(connection):
                await connection.execute("SELECT pg_advisory_unlock_shared(%s)", (lock,))
            return True
        finally:
            changed.cancel()
            if not waiting.done():
                cut(connection)
                await asyncio.wait([waiting])
            waiting.cancelled() or waiting.exception()  # what it still says is for nobody

    async def _tell(self, connection: Connection, node_id: str, lock: int) -> None:
        """It may have a new session, with another lock, and be alive: then nothing is said."""
        payload = json.dumps({"n": node_id, "g": lock})
        with answering(connection):
            await connection.execute(
                "WITH gone AS (DELETE FROM asgi_tunnel_bus.nodes WHERE id = %s AND lock = %s"
                " RETURNING id) SELECT pg_notify(%s, %s) FROM gone",
                (node_id, lock, CHANNEL, payload),
            )
