"""The bus of up to five edges: their PostgreSQL, one service fewer to run.

Two tables have who is there and who holds what, a notification carries each change, and each node
keeps the whole table: looking a hostname up asks nobody. Who dies is seen by its neighbour
(:mod:`.postgresql_neighbour`), who freezes or is cut off by heartbeats. No pooler that gives a
session to several (PgBouncer in its transaction mode) may stand between: locks and notifications
belong to sessions.

While the server is away the last state stays. What this node holds is written again when it is
back, and nobody is taken for gone until all had time for that.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import secrets
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg

from .bus import BusListener, Event, Node, encode_event
from .postgresql_neighbour import Neighbour
from .postgresql_session import CHANNEL, Connection, answering, connect, cut, set_up
from .ring import successor
from .table import OwnNames, Table

__all__ = ["PostgresqlBus"]

HEARTBEAT: Final = 2.0
"""Seconds between two signs of life of a node: one small UPDATE."""

SILENT_AFTER: Final = 5.0
"""Seconds without one after which a node is gone: two that were missed, by the server's clock."""

FORGET_AFTER: Final = 60.0
"""Seconds after which the rows of a silent node are deleted; it may come back, and writes them."""

RETURN_TIME: Final = 10.0
"""Seconds that nodes have to come back after this one has found the server again: twice the longest
delay between two tries."""

MIN_DELAY: Final = 0.1
"""Seconds before the server is tried again, the first time; doubled each time."""

MAX_DELAY: Final = 5.0
"""Seconds before that, at the most, and half of it at random: not all edges come at once."""

START_TIMEOUT: Final = 3.0
"""Seconds that a start waits for the server, at the most; then it goes on without."""

STOP_TIMEOUT: Final = 2.0
"""Seconds for the word that this node leaves; without it the others see the end of its session."""

MAX_PAYLOAD: Final = 7900
"""Bytes of a notification; PostgreSQL takes less than 8,000."""

MAX_EVENTS: Final = 1000
"""Events that wait for the server, 4 MB at the most; above it they are lost, and it is away."""

MAX_NAMES: Final = 1000
"""Changes of hostnames in one transaction: some 30 KB, a few notifications."""

MAX_JOINED: Final = 10_000
"""Hostnames that a node writes at once when it joins; the others read them when it has."""

_log = logging.getLogger("asgi_tunnel_edge.bus")


class PostgresqlBus:
    """See :class:`.bus.Bus`.

    Large because what is said and what is heard share one session and its losses.

    Args:
        url: ``postgresql://``, as libpq takes it.
        node: This one.
    """

    def __init__(self, url: str, node: Node) -> None:
        self._url = url
        self._node = node
        self._table = Table()
        self._own = OwnNames()
        self._events: deque[bytes] = deque(maxlen=MAX_EVENTS)
        self._notes: deque[str] = deque()  # notifications that are not read yet
        self._locks: dict[str, int] = {}  # of the sessions of the others, by node
        self._unknown: set[str] = set()  # nodes whose rows have to be read
        self._neighbour = Neighbour(url)
        self._number = 0  # makes each notification another one: PostgreSQL sends equal ones once
        self._wake = asyncio.Event()
        self._joined = asyncio.Event()
        self._is_stopping = False
        self._away_since: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None

    @property
    def nodes(self) -> Sequence[Node]:
        """See the interface."""
        return self._table.nodes

    @property
    def is_connected(self) -> bool:
        """See the interface."""
        return self._joined.is_set()

    async def start(self, listener: BusListener) -> None:
        """See the interface."""
        self._table.listener = listener
        self._task = asyncio.get_running_loop().create_task(self._run(), name="bus")
        self._neighbour.start()
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await self._joined.wait()
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """See the interface."""
        task, self._task = self._task, None
        if task is None:
            return
        self._table.listener = None
        await self._neighbour.stop()
        self._is_stopping = True
        self._wake.set()
        await asyncio.wait([task], timeout=STOP_TIMEOUT)
        if self._connection is not None:
            cut(self._connection)
        task.cancel()
        await asyncio.wait([task])
        self._table.keep(())

    def hold(self, hostname: str) -> None:
        """See the interface."""
        if self._own.hold(hostname):
            self._wake.set()

    def release(self, hostname: str) -> None:
        """See the interface."""
        if self._own.release(hostname):
            self._wake.set()

    async def find(self, hostname: str) -> Sequence[Node]:
        """See the interface; it waits for nothing."""
        return self._table.find(hostname)

    def broadcast(self, event: Event) -> None:
        """See the interface."""
        data = encode_event(event)
        if self.is_connected and len(self._events) < MAX_EVENTS:
            self._events.append(data)
            self._wake.set()

    # -- one session after the other ---------------------------------------------------------

    async def _run(self) -> None:
        delay = MIN_DELAY
        while not self._is_stopping:
            try:
                connection = await connect(self._url)
                try:
                    self._connection = connection
                    await self._join(connection)
                    self._note_back()
                    delay = MIN_DELAY
                    await self._serve(connection)
                finally:
                    self._connection = None
                    self._joined.clear()
                    self._events.clear()
                    await connection.close()
            except (psycopg.Error, OSError) as error:
                self._note_away(error)
            except Exception:  # noqa: BLE001
                # The task's outer edge: without it this node would never join again.
                _log.exception("the bus is joined again after a defect")
            if not self._is_stopping:
                await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311 - spreads tries
                delay = min(delay * 2, MAX_DELAY)

    def _note_away(self, error: Exception) -> None:
        if self._away_since is None and not self._is_stopping:
            self._away_since = asyncio.get_running_loop().time()
            why = str(error).strip().splitlines() or [type(error).__name__]
            _log.warning(
                "the bus is away: %s; see that PostgreSQL runs there and lets this edge in; what is"
                " known of other edges stays, and it is tried again",
                why[0],
            )

    def _note_back(self) -> None:
        if self._away_since is not None:
            seconds = asyncio.get_running_loop().time() - self._away_since
            _log.info("the bus is back after %.1f s", seconds)
            self._away_since = None

    async def _join(self, connection: Connection) -> None:
        """Take a lock that shows that this session lives, say what is held, and read all others."""
        await set_up(connection)
        self._notes.clear()
        self._locks.clear()  # what each node holds is read anew: its changes were not heard
        connection.add_notify_handler(lambda note: self._notes.append(note.payload))
        lock = secrets.randbits(63)  # another one each time: an old session may not be over yet
        node = msgspec.json.encode(self._node).decode()
        self._own.say_all()
        self._own.take(len(self._own.held))
        with answering(connection):
            await connection.execute("SELECT pg_advisory_lock(%s)", (lock,))
            await connection.execute(f"LISTEN {CHANNEL}")
            async with connection.transaction():
                await connection.execute(
                    "DELETE FROM asgi_tunnel_bus.nodes WHERE id = %s", (self._node.id,)
                )
                await connection.execute(
                    "INSERT INTO asgi_tunnel_bus.nodes VALUES (%s, %s, %s, clock_timestamp())",
                    (self._node.id, lock, node),
                )
        held = list(self._own.held)
        for start in range(0, len(held), MAX_JOINED):
            with answering(connection):  # each part: a hundred thousand at once may take seconds
                await self._say(connection, [], held[start : start + MAX_JOINED])
        with answering(connection):
            await self._say(connection, [self._note(j=1)])
            await self._beat(connection, keeps=True)
        with answering(connection):
            await self._read_unknown(connection)
        self._joined.set()

    async def _serve(self, connection: Connection) -> None:
        """Send and read until the server is away, or this node stops."""
        loop = asyncio.get_running_loop()
        returned_at = loop.time() + RETURN_TIME
        beat_at = loop.time() + HEARTBEAT
        while True:
            await self._wait(connection, beat_at)
            if self._is_stopping:
                return await self._leave(connection)
            self._read_notes(connection)
            with answering(connection):
                await self._send(connection)
                if loop.time() >= beat_at:
                    beat_at = loop.time() + HEARTBEAT
                    await self._beat(connection, keeps=loop.time() < returned_at)
                await self._read_unknown(connection)

    async def _wait(self, connection: Connection, until: float) -> None:
        """Wait for something to send, something to read, or the next heartbeat."""
        self._collect(connection)  # it may have come with the reply to a statement
        if self._notes:
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_at(until, self._wake.set)
        loop.add_reader(connection.fileno(), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            loop.remove_reader(connection.fileno())
            timer.cancel()
        self._wake.clear()

    async def _leave(self, connection: Connection) -> None:
        with answering(connection):
            await self._send(connection)
            await connection.execute(
                "DELETE FROM asgi_tunnel_bus.nodes WHERE id = %s", (self._node.id,)
            )
            await self._say(connection, [self._note(g=None)])

    # -- what is said ------------------------------------------------------------------------

    async def _send(self, connection: Connection) -> None:
        while self._own.has_changes:
            hold, release = self._own.take(MAX_NAMES)
            try:
                await self._say(connection, self._changes(hold, release), hold, release)
            except BaseException:
                self._own.take_back([*hold, *release])
                raise
        while self._events:
            notes: list[str] = []
            while self._events and len(notes) < 100:
                notes.append(self._note(e=msgspec.Raw(self._events.popleft())))
            await self._say(connection, notes)

    async def _say(
        self,
        connection: Connection,
        notes: Sequence[str],
        hold: Sequence[str] = (),
        release: Sequence[str] = (),
    ) -> None:
        """Write changes and notify the others: all or nothing, in one statement."""
        await connection.execute(
            "WITH held AS (INSERT INTO asgi_tunnel_bus.holds"
            " SELECT %(node)s, unnest(%(hold)s::text[]) ON CONFLICT DO NOTHING),"
            " released AS (DELETE FROM asgi_tunnel_bus.holds"
            " WHERE node = %(node)s AND hostname = ANY(%(release)s::text[]))"
            " SELECT pg_notify(%(channel)s, note) FROM unnest(%(notes)s::text[]) AS notes (note)",
            {
                "node": self._node.id,
                "hold": list(hold),
                "release": list(release),
                "channel": CHANNEL,
                "notes": list(notes),
            },
        )

    def _note(self, **what: Any) -> str:
        self._number += 1
        return msgspec.json.encode({"n": self._node.id, "s": self._number, **what}).decode()

    def _changes(self, hold: Sequence[str], release: Sequence[str]) -> list[str]:
        """Notifications of changes, each as large as it may be."""
        notes: list[str] = []
        for key, names in (("h", hold), ("r", release)):
            part: list[str] = []
            size = 0
            for name in names:
                if size + len(name) + 3 > MAX_PAYLOAD - 200:  # 200: what stands around the names
                    notes.append(self._note(**{key: part}))
                    part, size = [], 0
                part.append(name)
                size += len(name) + 3
            if part:
                notes.append(self._note(**{key: part}))
        return notes

    # -- what is heard -----------------------------------------------------------------------

    def _collect(self, connection: Connection) -> None:
        connection.pgconn.consume_input()
        while (note := connection.pgconn.notifies()) is not None:
            self._notes.append(note.extra.decode(errors="replace"))

    def _read_notes(self, connection: Connection) -> None:
        self._collect(connection)
        while self._notes:
            text = self._notes.popleft()
            try:
                note = json.loads(text)
                if not isinstance(note, dict):
                    raise TypeError("it is no JSON object")
                self._on_note(note)
            except (ValueError, TypeError) as error:
                _log.warning("a notification of another form came over the bus (%s)", error)

    def _on_note(self, note: dict[str, Any]) -> None:
        node_id = str(note.get("n"))
        if node_id == self._node.id:
            if "g" in note and not self._is_stopping:
                raise psycopg.OperationalError("another node took this one for gone")
        elif "g" in note:
            if note["g"] in (None, self._locks.get(node_id)):
                self._locks.pop(node_id, None)
                self._table.remove(node_id)
                self._watch_neighbour()
        elif "j" in note or (node_id not in self._table and "e" not in note):
            self._unknown.add(node_id)
        elif "e" in note:
            listener = self._table.listener
            if listener is not None:
                listener.happened(note["e"], node_id)
        else:
            self._table.change(node_id, note.get("h", ()), note.get("r", ()))

    async def _beat(self, connection: Connection, *, keeps: bool) -> None:
        """Give a sign of life, and look who gave none.

        Args:
            connection: To the server.
            keeps: Take nobody for gone.
        """
        done = await connection.execute(
            "UPDATE asgi_tunnel_bus.nodes SET seen = clock_timestamp() WHERE id = %s",
            (self._node.id,),
        )
        if not done.rowcount:
            raise psycopg.OperationalError("this node's row is gone")
        await connection.execute(
            "DELETE FROM asgi_tunnel_bus.nodes"
            " WHERE seen < clock_timestamp() - make_interval(secs => %s)",
            (FORGET_AFTER,),
        )
        found = await connection.execute(
            "SELECT id, lock FROM asgi_tunnel_bus.nodes"
            " WHERE seen > clock_timestamp() - make_interval(secs => %s) AND id <> %s",
            (SILENT_AFTER, self._node.id),
        )
        alive: dict[str, int] = dict(await found.fetchall())
        for node_id, lock in alive.items():
            if self._locks.get(node_id) != lock or node_id not in self._table:
                self._unknown.add(node_id)
        if not keeps:
            self._table.keep(alive)
            self._locks = {one: lock for one, lock in self._locks.items() if one in alive}
        self._watch_neighbour()

    async def _read_unknown(self, connection: Connection) -> None:
        """Read the rows of nodes that have come, or come back."""
        if not self._unknown:
            return
        wanted, self._unknown = list(self._unknown), set()
        async with connection.transaction():
            # One moment for both: who leaves in between is not there without what it held.
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            found = await connection.execute(
                "SELECT id, lock, node FROM asgi_tunnel_bus.nodes WHERE id = ANY(%s)", (wanted,)
            )
            nodes = await found.fetchall()
            found = await connection.execute(
                "SELECT node, hostname FROM asgi_tunnel_bus.holds WHERE node = ANY(%s)", (wanted,)
            )
            names: dict[str, set[str]] = {}
            for node_id, hostname in await found.fetchall():
                names.setdefault(node_id, set()).add(hostname)
        for node_id, lock, text in nodes:
            self._locks[node_id] = lock
            self._table.put(msgspec.json.decode(text, type=Node))
            self._table.replace(node_id, names.get(node_id, set()))
        self._watch_neighbour()

    def _watch_neighbour(self) -> None:
        target = successor(self._node.id, self._locks)
        self._neighbour.watch(None if target is None else (target, self._locks[target]))
