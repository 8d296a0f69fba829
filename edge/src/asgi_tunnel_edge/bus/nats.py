"""The bus of many edges: core NATS, in which a subscription is the row that says who holds what.

Who looks for a hostname asks on its subject, and who holds it replies; the server says at once that
there is nobody, and drops what a dead node had subscribed to. Nodes know each other by a word every
two seconds, and each watches over one other (:mod:`.ring`): a subject without a subscriber shows
that its node is gone. Nothing is kept on the server, and no message is larger than an event.

While the servers are away the last state stays, with what was found before.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error

from .bus import BusListener, Event, Node, encode_event
from .nats_service import Service
from .ring import successor
from .table import OwnNames, Table

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription

__all__ = ["NatsBus"]

HEARTBEAT: Final = 2.0
"""Seconds between two words of a node that it is there."""

SILENT_AFTER: Final = 5.0
"""Seconds without one after which a node is gone: two that were missed."""

RETURN_TIME: Final = 10.0
"""Seconds that nodes have to come back after this one has found a server again."""

PROBE: Final = 0.25
"""Seconds between two looks whether the neighbour is there: one small message, without a reply."""

MISSES: Final = 3
"""Looks in vain after which the neighbour is gone: whose server has died connects to another one
within half a second."""

PING_INTERVAL: Final = 2
"""Seconds between two pings to the server: a frozen one is left after six seconds, and not after
the four minutes that the client would wait by itself."""

MAX_PINGS: Final = 2
"""Pings that may stay without a reply."""

CONNECT_TIMEOUT: Final = 2
"""Seconds for a connection to one server."""

RECONNECT_DELAY: Final = 0.1
"""Seconds before a server is tried again; another one is tried at once."""

FIND_TIMEOUT: Final = 0.25
"""Seconds for holders to reply, at the most: 250 times what a reply takes."""

OWN_FIND_TIMEOUT: Final = 0.05
"""The same for a hostname that this node holds, too."""

GATHER: Final = 0.005
"""Seconds for more holders to reply after the first: an app has connections to two edges."""

MAX_KNOWN: Final = 10_000
"""Hostnames whose holders are kept for when the servers are away; 5 MB. The oldest is left out."""

MAX_WATCHED: Final = 1000
"""Hostnames looked for last, whose changes are heard; each is a subscription, 2 KB."""

START_TIMEOUT: Final = 3.0
"""Seconds that a start waits for a server, at the most; then it goes on without."""

MAX_EVENTS: Final = 1000
"""Events that wait to be sent, 4 MB at the most; above it they are lost."""

_log = logging.getLogger("asgi_tunnel_edge.bus")


class _Hearer(asyncio.Future[Msg]):
    """Gets each message of some subscriptions in the moment in which it comes.

    ``nats-py`` gives a message to a future, if the subscription has one, and would start a task and
    a queue for each subscription otherwise: as many as there are hostnames.
    """

    def __init__(self, hear: Callable[[Msg], None]) -> None:
        super().__init__()
        self._hear = hear

    def set_result(self, result: Msg, /) -> None:
        """Take the next message; the client's reading must not end by what is in it."""
        try:
            self._hear(result)
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("a message of another form came over the bus (%s)", error)


class NatsBus:
    """See :class:`.bus.Bus`.

    Large because holding, finding, presence and events share one connection and its losses.

    Args:
        url: As :meth:`Service.of` takes it.
        node: This one.
    """

    def __init__(self, url: str, node: Node) -> None:
        self._service = Service.of(url)
        self._name = self._service.name
        self._node = node
        self._described = msgspec.json.encode(node)
        self._table = Table()  # of nodes; who holds what is asked for
        self._own = OwnNames()
        self._rows: dict[str, Subscription] = {}  # by hostname that this node holds
        self._watched: OrderedDict[str, Subscription] = OrderedDict()
        self._known: OrderedDict[str, list[Node]] = OrderedDict()
        self._events: deque[bytes] = deque()
        self._finding: dict[str, Callable[[Node | None], None]] = {}  # by the subject of replies
        self._number = 0
        self._seen: dict[str, float] = {}
        self._misses: tuple[str, int] = ("", 0)
        self._client: Client | None = None
        self._wake = asyncio.Event()
        self._joined = asyncio.Event()
        self._returned_at = 0.0  # who is missing is taken for gone from then on
        self._away_since: float | None = None
        self._is_new = True  # on this connection: all has to be said
        self._is_stopping = False
        self._task: asyncio.Task[None] | None = None

    @property
    def nodes(self) -> Sequence[Node]:
        """See the interface."""
        return self._table.nodes

    @property
    def is_connected(self) -> bool:
        """See the interface."""
        return self._joined.is_set() and self._client is not None and self._client.is_connected

    async def start(self, listener: BusListener) -> None:
        """See the interface."""
        self._table.listener = listener
        self._task = asyncio.get_running_loop().create_task(self._run(), name="bus")
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
        self._is_stopping = True
        self._table.listener = None
        if self.is_connected:
            with contextlib.suppress(Error, OSError, TimeoutError):
                async with asyncio.timeout(FIND_TIMEOUT):
                    await self._flush_events()
                    await self._say({"gone": self._node.id})
                    await self._connection.flush()
        task.cancel()
        await asyncio.wait([task])
        self._joined.clear()
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
        """See the interface."""
        if not self.is_connected:
            return list(self._known.get(hostname, ()))
        loop = asyncio.get_running_loop()
        found: list[Node] = []
        done = asyncio.Event()

        def on_reply(node: Node | None) -> None:
            if node is None:
                done.set()
            else:
                if not found:
                    loop.call_later(GATHER, done.set)
                found.append(node)

        self._number += 1
        reply = f"{self._inbox}.{self._number}"
        self._finding[reply] = on_reply
        # The server counts this node as one that may reply, and does not say that there is nobody.
        limit = OWN_FIND_TIMEOUT if hostname in self._own.held else FIND_TIMEOUT
        timer = loop.call_later(limit, done.set)
        try:
            await self._watch(hostname)  # before: what changes from here on is heard
            await self._connection.publish(self._subject("h", hostname), b"", reply=reply)
            await done.wait()
        except (Error, OSError):
            return list(self._known.get(hostname, ()))
        finally:
            timer.cancel()
            del self._finding[reply]
        self._known[hostname] = found
        self._known.move_to_end(hostname)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return list(found)

    def broadcast(self, event: Event) -> None:
        """See the interface."""
        data = encode_event(event)
        if self.is_connected and len(self._events) < MAX_EVENTS:
            self._events.append(data)
            self._wake.set()

    # -- one connection after the other ------------------------------------------------------

    async def _run(self) -> None:
        while True:
            client = self._client = Client()
            try:
                await self._connect(client)
                await self._subscribe_own(client)
                await self._serve(client)
            except (Error, OSError, TimeoutError) as error:
                self._note_away(error)
            except Exception:  # noqa: BLE001
                # The task's outer edge: without it this node would never join again.
                _log.exception("the bus is joined again after a defect")
            finally:
                self._joined.clear()
                # AssertionError: of a client that had not begun to connect.
                with contextlib.suppress(Error, OSError, TimeoutError, AssertionError):
                    await client.close()
            # By itself it comes back; here it was refused: by a password that was changed, say.
            await asyncio.sleep(HEARTBEAT)

    async def _connect(self, client: Client) -> None:
        async def on_error(error: Exception) -> None:
            if not client.is_connected:
                self._note_away(error)

        async def on_lost() -> None:
            self._events.clear()

        async def on_back() -> None:
            self._is_new = True
            self._wake.set()

        async def on_closed() -> None:
            self._wake.set()

        options = await asyncio.to_thread(lambda: self._service.options)  # it may read files
        await client.connect(
            self._service.servers,
            name=f"asgi-tunnel-edge {self._node.edge}",
            no_echo=True,
            ping_interval=PING_INTERVAL,
            max_outstanding_pings=MAX_PINGS,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_DELAY,  # type: ignore[arg-type]  # a fraction works
            connect_timeout=CONNECT_TIMEOUT,
            error_cb=on_error,
            disconnected_cb=on_lost,
            reconnected_cb=on_back,
            closed_cb=on_closed,
            **options,
        )

    async def _subscribe_own(self, client: Client) -> None:
        """What the client repeats by itself when it comes back to a server."""
        self._rows.clear()
        self._watched.clear()
        self._own.say_all()
        self._holding = _Hearer(self._on_question)
        self._watching = _Hearer(self._on_change)
        for subject, hear in (
            (f"{self._inbox}.*", self._on_reply),
            (f"{self._name}.all", self._on_word),
            (f"{self._name}.node.{self._node.id}", lambda _: None),
        ):
            await client.subscribe(subject, future=_Hearer(hear))
        self._is_new = True

    async def _serve(self, client: Client) -> None:
        loop = asyncio.get_running_loop()
        next_beat = next_probe = loop.time()
        while not client.is_closed:
            now = loop.time()
            if client.is_connected:
                if self._is_new:
                    await self._come(client)
                    next_beat = now + HEARTBEAT
                await self._send(client)
                if now >= next_beat:
                    await self._beat(now, late=now - next_beat)
                    next_beat = now + HEARTBEAT
                if now >= next_probe:
                    await self._probe(client)
                    next_probe = now + PROBE
            timer = loop.call_at(min(next_beat, next_probe, now + HEARTBEAT), self._wake.set)
            if not client.is_connected:
                timer.cancel()
            await self._wake.wait()
            timer.cancel()
            self._wake.clear()

    async def _come(self, client: Client) -> None:
        """Say that this node is there, and ask all others who they are."""
        self._is_new = False
        now = asyncio.get_running_loop().time()
        self._returned_at = now + RETURN_TIME
        await self._send(client)
        self._number += 1
        reply = f"{self._inbox}.{self._number}"
        hello = msgspec.json.encode({"node": self._node})
        await client.publish(f"{self._name}.all", hello, reply=reply)
        await client.flush(timeout=CONNECT_TIMEOUT)
        if self._away_since is not None:
            _log.info("the bus is back after %.1f s", now - self._away_since)
            self._away_since = None
        self._joined.set()

    def _note_away(self, error: Exception) -> None:
        if self._away_since is None and not self._is_stopping:
            self._away_since = asyncio.get_running_loop().time()
            _log.warning(
                "the bus is away: %s: %s; see that NATS runs there, and knows this edge's user and"
                " password; what is known of other edges stays, and it is tried again",
                ", ".join(self._service.servers),
                str(error) or type(error).__name__,
            )

    # -- what is said ------------------------------------------------------------------------

    @property
    def _connection(self) -> Client:
        assert self._client is not None
        return self._client

    @property
    def _inbox(self) -> str:
        return f"{self._name}.to.{self._node.id}"

    def _subject(self, kind: str, hostname: str) -> str:
        """Subjects have their own dots and wildcards, so a hostname is there by its digest."""
        digest = hashlib.sha256(hostname.encode()).hexdigest()[:32]
        return f"{self._name}.{kind}.{digest}"

    async def _say(self, what: dict[str, Any]) -> None:
        await self._connection.publish(f"{self._name}.all", msgspec.json.encode(what))

    async def _send(self, client: Client) -> None:
        while self._own.has_changes:
            hold, release = self._own.take()
            try:
                for hostname in release:
                    row = self._rows.pop(hostname, None)
                    if row is not None:
                        await row.unsubscribe()
                for hostname in hold:
                    if hostname not in self._rows:
                        self._rows[hostname] = await client.subscribe(
                            self._subject("h", hostname), future=self._holding
                        )
                for hostname in (*hold, *release):
                    await client.publish(self._subject("c", hostname), hostname.encode())
            except (Error, OSError):
                self._own.take_back([*hold, *release])
                raise
        await self._flush_events()

    async def _flush_events(self) -> None:
        while self._events:
            event = msgspec.Raw(self._events.popleft())
            await self._say({"from": self._node.id, "event": event})

    async def _watch(self, hostname: str) -> None:
        if hostname in self._watched:
            self._watched.move_to_end(hostname)
            return
        self._watched[hostname] = await self._connection.subscribe(
            self._subject("c", hostname), future=self._watching
        )
        if len(self._watched) > MAX_WATCHED:
            await self._watched.popitem(last=False)[1].unsubscribe()

    # -- what is heard -----------------------------------------------------------------------

    def _on_question(self, message: Msg) -> None:
        self._reply(message.reply)

    def _reply(self, subject: str) -> None:
        """Say who this node is; what leaves now leaves with the client's next turn."""
        task = asyncio.get_running_loop().create_task(
            self._connection.publish(subject, self._described), name="bus reply"
        )
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _on_reply(self, message: Msg) -> None:
        is_nobody = bool(message.headers) and not message.data  # 503: nobody has subscribed
        on_reply = self._finding.get(message.subject)
        if is_nobody:
            if on_reply is not None:
                on_reply(None)
            elif message.subject == f"{self._inbox}.probe":
                self._on_miss()
            return
        node = msgspec.json.decode(message.data, type=Node)
        if node.id == self._node.id:
            return
        self._on_node(node)
        if on_reply is not None:
            on_reply(node)

    def _on_change(self, message: Msg) -> None:
        listener = self._table.listener
        if listener is not None:
            listener.holders_changed(message.data.decode())

    def _on_word(self, message: Msg) -> None:
        said = msgspec.json.decode(message.data)
        if "node" in said:
            self._on_node(msgspec.convert(said["node"], Node))
            if message.reply:
                self._reply(message.reply)
        elif "gone" in said:
            if said["gone"] == self._node.id:
                self._is_new = True  # another node could not reach this one for a moment
                self._wake.set()
            else:
                self._forget(str(said["gone"]))
        elif "event" in said and self._table.listener is not None:
            self._table.listener.happened(said["event"], str(said["from"]))

    def _on_node(self, node: Node) -> None:
        self._seen[node.id] = asyncio.get_running_loop().time()
        self._table.put(node)

    def _forget(self, node_id: str) -> None:
        self._seen.pop(node_id, None)
        for hostname, nodes in self._known.items():
            self._known[hostname] = [one for one in nodes if one.id != node_id]
        self._table.remove(node_id)

    # -- who lives ---------------------------------------------------------------------------

    async def _beat(self, now: float, *, late: float) -> None:
        """Say that this node is there, and look who has not said so."""
        await self._say({"node": self._node})
        if late > HEARTBEAT / 2:  # this process stood still: what the others said is not read yet
            self._seen = dict.fromkeys(self._seen, now)
        if now >= self._returned_at:
            for node_id in [one for one, at in self._seen.items() if now - at > SILENT_AFTER]:
                self._forget(node_id)

    async def _probe(self, client: Client) -> None:
        neighbour = successor(self._node.id, self._seen)
        if neighbour is not None:
            subject = f"{self._name}.node.{neighbour}"
            if self._misses[0] != neighbour:
                self._misses = (neighbour, 0)
            await client.publish(subject, b"", reply=f"{self._inbox}.probe")

    def _on_miss(self) -> None:
        neighbour, count = self._misses
        self._misses = (neighbour, count + 1)
        now = asyncio.get_running_loop().time()
        if count + 1 >= MISSES and now - self._seen.get(neighbour, now) > PROBE:
            self._forget(neighbour)
            task = asyncio.get_running_loop().create_task(self._say({"gone": neighbour}))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
