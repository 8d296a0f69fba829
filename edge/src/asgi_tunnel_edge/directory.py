"""Who serves which hostname: routes, the sessions behind them, and visitors who wait for one.

All of it is in memory and found by index: what happens to one session costs the same whether the
edge has one or ten thousand.  What a token may serve comes from a :class:`.tokens.Snapshot`.
Written by :mod:`.admission`, read by :mod:`.exchange` for each request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from asgi_tunnel.asgi.types import StreamHandler
from asgi_tunnel.protocol.codes import DrainReason, GoawayCode, ResetCode
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import RequestHead
from asgi_tunnel.protocol.limits import STREAM_ID_DRAIN
from asgi_tunnel.session import Session

from .hostname import wildcard_of
from .shares.pool import FairPool
from .tokens import Snapshot, TokenRecord

MAX_WAITING: Final = 1024
"""Visitors that wait for one hostname.  A restart under load holds a few hundred."""

WAITING_SHARES: Final = (512, 768, 1024)
"""The same of one address (IPv6: one /64), one /56 and one /48; the oldest gives way to the newest.
Half for one address: an office that reloads a page fits."""

ACK_TIMEOUT: Final = 30.0
"""Seconds without an ACK, while frames enough for one are on their way, after which a session ends.
A connector sends it at once; over a line of 10 kB/s 64 KiB take 7 seconds."""

BULK_RATE: Final = 512 * 1024
"""Bytes a second, averaged from one sample to the next, above which a session counts as busy with
a bulk transfer: 4 Mbit/s."""

MAX_SHARED: Final = 8
"""Hostnames that a process hears of as served by another one: what fits into a line of its log."""

# What is added to the streams in flight of a session that should come later; no session has so
# many streams.
_BESIDE_BULK: Final = 1 << 30
_AVOIDED: Final = 1 << 31


class Upstream(Protocol):
    """What an exchange asks of the session that carries it; ``Session`` has all of it."""

    def open_stream(
        self,
        kind: StreamKind,
        head: RequestHead,
        handler: StreamHandler,
        *,
        data: Buffer = b"",
        end: bool,
    ) -> int:
        """Start a stream; return its id."""

    def send_data(
        self,
        stream_id: int,
        data: Buffer,
        *,
        end: bool = False,
        text: bool = False,
        more: bool = False,
    ) -> bool:
        """Queue bytes; False when the caller should wait for ``on_writable``."""

    def send_close(self, stream_id: int, code: int, reason: str = "") -> None:
        """Queue a WebSocket close, which ends this direction."""

    def reset_stream(self, stream_id: int, code: ResetCode, reason: str = "") -> None:
        """End a stream at once; its handler is not called again."""

    def consume(self, stream_id: int, cost: int) -> None:
        """Let the peer send ``cost`` more bytes on the stream."""

    def release(self, stream_id: int) -> None:
        """Forget the handler of a stream that is finished."""


class Waiter(Protocol):
    """A visitor's request that waits for a session."""

    def resume(self, session: Session) -> None:
        """A session is ready; the wait is over."""

    def give_way(self) -> None:
        """Another visitor needs the place; the wait is over."""


class Directory(Protocol):
    """What an exchange asks to find who serves a hostname."""

    def find(self, hostname: str) -> Route | None:
        """Return the route of a normal hostname; None where no token has it."""


class SessionEntry:
    """One session of an app, as the directory sees it.

    Attributes:
        session: Carries the streams.
        token: What it was accepted with, as the store has it now.
        hostnames: The names and wildcards of the token that it serves.
        instance: The app's process.
        slot: Which of the process's connections.
        group: The processes that were started together with it.
        is_draining: It takes no new streams.
        is_busy: It carries a bulk transfer, behind which small exchanges would have to wait.
    """

    __slots__ = (
        "_acknowledged",
        "_acknowledged_at",
        "_sampled",
        "_wanted",
        "group",
        "hostnames",
        "instance",
        "is_busy",
        "is_draining",
        "session",
        "slot",
        "token",
    )

    def __init__(
        self,
        session: Session,
        token: TokenRecord,
        *,
        instance: str,
        slot: int,
        group: str = "",
        wanted: frozenset[str] = frozenset(),
    ) -> None:
        """Make the entry of a new session.

        Args:
            session: Carries the streams.
            token: What it was accepted with.
            instance: The app's process.
            slot: Which of the process's connections.
            group: The processes that were started together with it; empty: it alone.
            wanted: The names of the token that it asked for; empty: all that the token has.
        """
        self.session = session
        self._wanted = wanted
        self.follow(token)
        self.instance = instance
        self.slot = slot
        self.group = group or instance
        self.is_draining = False
        self.is_busy = False
        self._sampled = 0  # bytes moved up to the last sample
        self._acknowledged: int | None = None  # frames, at the last look; None: no ACK was due
        self._acknowledged_at = 0.0  # when that changed, or when nothing had to be acknowledged

    def follow(self, token: TokenRecord) -> None:
        """Take over the token's hostnames, as far as the session wants them."""
        self.token = token
        self.hostnames = granted_hostnames(token, self._wanted)

    @property
    def is_ready(self) -> bool:
        """Whether a new stream may start on it now; not on one that may be dead already."""
        session = self.session
        return (
            not self.is_draining
            and session.is_attached
            and session.connection.can_open
            and not session.is_suspect
        )

    def sample_throughput(self, seconds: float) -> None:
        """See whether it was busy in the ``seconds`` since the last sample."""
        moved = self.session.moved
        self.is_busy = moved - self._sampled > BULK_RATE * seconds
        self._sampled = moved

    def is_acknowledgement_overdue(self, now: float) -> bool:
        """Whether the peer is there, and has said for too long nothing of what it received."""
        session = self.session
        count = session.connection.sequence.replay.awaited_ack if session.is_attached else None
        if count is None or count != self._acknowledged:
            self._acknowledged, self._acknowledged_at = count, now
            return False
        return now - self._acknowledged_at >= ACK_TIMEOUT


def granted_hostnames(token: TokenRecord, wanted: frozenset[str]) -> tuple[str, ...]:
    """Return the hostnames of a token that a session serves, in the token's order.

    Source: docs/protocol.md section 6.
    """
    if not wanted:
        return token.hostnames
    return tuple(name for name in token.hostnames if name in wanted)


class Route:
    """One registered hostname or wildcard, and the sessions that serve it."""

    __slots__ = (
        "_entries",
        "_only",
        "_waiting",
        "hostname",
        "is_closed",
        "is_end_to_end",
        "token_id",
    )

    def __init__(self, hostname: str, token_id: str) -> None:
        self.hostname = hostname
        self.token_id = token_id
        self.is_end_to_end = False  # its TLS is spoken by the app, and passed on
        self.is_closed = False  # the edge ends: what is lost now is not tried again
        self._entries: dict[SessionEntry, None] = {}  # in order of arrival
        self._only: SessionEntry | None = None  # where there is one: nothing is to be chosen
        # Most names never have anybody who waits: a pool for each would be 10 MB for 10,000.
        self._waiting: FairPool[Waiter] | None = None

    @property
    def entries(self) -> list[SessionEntry]:
        """The sessions that serve it."""
        return list(self._entries)

    def add(self, entry: SessionEntry) -> None:
        """Let a session serve it."""
        self._entries[entry] = None
        self._only = entry if len(self._entries) == 1 else None

    def remove(self, entry: SessionEntry) -> None:
        """A session does not serve it any longer."""
        self._entries.pop(entry, None)
        self._only = next(iter(self._entries)) if len(self._entries) == 1 else None

    def remove_all(self) -> None:
        """No session serves it, until they are added again."""
        self._entries.clear()
        self._only = None

    def choose(self, avoid: Upstream | None = None) -> Session | None:
        """Return the ready session with the fewest streams in flight, or None.

        Of the connections of one process, those without a bulk transfer come first: on a slow link
        what is committed to a socket stands in front of every small response on it.

        Args:
            avoid: The session that has just failed; used when there is no other.
        """
        only = self._only
        if only is not None:
            return only.session if only.is_ready else None
        best: SessionEntry | None = None
        lowest = 0
        quiet: set[str] | None = None
        for entry in self._entries:
            if not entry.is_ready:
                continue
            rank = entry.session.connection.open_streams
            if entry.session is avoid:
                rank += _AVOIDED
            elif entry.is_busy:
                if quiet is None:
                    quiet = self._quiet_instances(avoid)
                if entry.instance in quiet:
                    rank += _BESIDE_BULK
            if best is None or rank < lowest:
                best, lowest = entry, rank
        return None if best is None else best.session

    def _quiet_instances(self, avoid: Upstream | None) -> set[str]:
        """The processes that have a ready connection without a bulk transfer."""
        return {
            entry.instance
            for entry in self._entries
            if not entry.is_busy and entry.session is not avoid and entry.is_ready
        }

    def wait(self, waiter: Waiter, path: Sequence[str]) -> None:
        """Resume a visitor's request once a session is ready.

        Where all places are taken, the oldest of the address group that has the most gives way; so
        nobody fills them for others.

        Args:
            waiter: Does not wait yet.
            path: The visitor's address groups (:func:`.address.networks_of`).
        """
        pool = self._waiting
        if pool is None:
            pool = self._waiting = FairPool(MAX_WAITING, WAITING_SHARES, replaces_own=True)
        victim = pool.enter(waiter, path).victim
        if victim is not None:
            victim.give_way()

    def give_up(self, waiter: Waiter) -> None:
        """Take back :meth:`wait`."""
        if self._waiting is not None and self._waiting.leave(waiter) and not self._waiting:
            self._waiting = None

    @property
    def has_waiting(self) -> bool:
        """Whether somebody waits."""
        return self._waiting is not None

    def wake(self) -> None:
        """Resume those who wait, in order, as long as a session is ready."""
        while self._waiting is not None and (waiter := self._waiting.first) is not None:
            session = self.choose()
            if session is None:
                return
            self.give_up(waiter)
            waiter.resume(session)


class LocalDirectory:
    """The routes and sessions of this edge; a :class:`Directory`.

    Args:
        snapshot: What the store has now.
        hides_offline: A name that no token has gets a route too, on which nobody ever serves: its
            visitors wait, and are told the same in the end, as those of an app that is offline.
    """

    def __init__(self, snapshot: Snapshot, *, hides_offline: bool = False) -> None:
        self.snapshot = snapshot
        self._hides_offline = hides_offline
        # By hostname; kept as long as somebody waits. Visitors make the names up, but no more of
        # them than they have connections, and requests between two calls of `wake_all`.
        self._unknown: dict[str, Route] = {}
        self._routes: dict[str, Route] = {}  # by hostname or wildcard
        self._entries: dict[Session, SessionEntry] = {}
        self._by_id: dict[str, SessionEntry] = {}  # by session id
        self._by_token: dict[str, dict[SessionEntry, None]] = {}  # by token id
        self._by_slot: dict[tuple[str, str, int], SessionEntry] = {}  # the newest of each slot
        self._sampled_at = 0.0
        self.apply(snapshot)

    def __len__(self) -> int:
        """Return how many sessions there are."""
        return len(self._entries)

    # -- for visitors ------------------------------------------------------------------------

    def find(self, hostname: str) -> Route | None:
        """Return the route of a hostname: the exact name first, then the wildcard above it."""
        route = self._routes.get(hostname)
        if route is None:
            wildcard = wildcard_of(hostname)
            if wildcard is not None:
                route = self._routes.get(wildcard)
            if route is None and self._hides_offline:
                route = self._unknown.get(hostname)
                if route is None:
                    route = self._unknown[hostname] = Route(hostname, "")
        return route

    # -- for tunnels -------------------------------------------------------------------------

    @property
    def entries(self) -> list[SessionEntry]:
        """All sessions."""
        return list(self._entries.values())

    def find_entry(self, session_id: str, token_id: str) -> SessionEntry | None:
        """Return the session that a connector wants to resume, if it is its own."""
        entry = self._by_id.get(session_id)
        return entry if entry is not None and entry.token.id == token_id else None

    def entry_of(self, session: Session) -> SessionEntry | None:
        """Return what is known of a session; None once it is over."""
        return self._entries.get(session)

    def find_slot(self, token_id: str, instance: str, slot: int) -> SessionEntry | None:
        """Return the session that a new one of the same slot takes the place of."""
        return self._by_slot.get((token_id, instance, slot))

    def count(self, token_id: str) -> int:
        """How many sessions a token has."""
        return len(self._by_token.get(token_id, ()))

    def has_lost(self, token_id: str) -> bool:
        """Whether a session of a token may want to resume: its connection is lost, or seems so."""
        for entry in self._by_token.get(token_id, ()):
            if not entry.session.is_attached or entry.session.is_suspect:
                return True
        return False

    def shared_hostnames(self, token_id: str, group: str, names: Sequence[str]) -> tuple[str, ...]:
        """Return those of a session's hostnames that other groups of processes serve now.

        Not those of a process that ends, or that was not heard: the new one may be its successor.
        """
        others = {
            name
            for entry in self._by_token.get(token_id, ())
            if entry.group != group and entry.is_ready
            for name in entry.hostnames
        }
        return tuple(name for name in names if name in others)[:MAX_SHARED]

    def add(self, entry: SessionEntry) -> None:
        """Let a session serve its hostnames; a stale session of the same slot is replaced."""
        session, token_id = entry.session, entry.token.id
        slot = (token_id, entry.instance, entry.slot)
        stale = self._by_slot.get(slot)
        if stale is not None and not stale.is_draining:
            stale.session.terminate(GoawayCode.REPLACED, "a newer session took its place")
        self._entries[session] = entry
        self._by_id[session.session_id] = entry
        self._by_token.setdefault(token_id, {})[entry] = None
        self._by_slot[slot] = entry
        routes = self._routes_of(entry)
        for route in routes:
            route.add(entry)
        for route in routes:  # only then: who is woken may end the session at once
            route.wake()

    def attached(self, session: Session) -> None:
        """A session has a transport again: wake who waits for it."""
        entry = self._entries.get(session)
        if entry is not None:
            for route in self._routes_of(entry):
                route.wake()

    def draining(self, session: Session) -> None:
        """A session takes no new streams."""
        entry = self._entries.get(session)
        if entry is not None:
            entry.is_draining = True

    def remove(self, session: Session) -> None:
        """A session is over."""
        entry = self._entries.pop(session, None)
        if entry is None:
            return
        token_id = entry.token.id
        slot = (token_id, entry.instance, entry.slot)
        if self._by_id.get(session.session_id) is entry:
            del self._by_id[session.session_id]
        if self._by_slot.get(slot) is entry:
            del self._by_slot[slot]
        siblings = self._by_token[token_id]
        del siblings[entry]
        if not siblings:
            del self._by_token[token_id]
        for route in self._routes_of(entry):
            route.remove(entry)

    def apply(self, snapshot: Snapshot) -> None:
        """Follow the store: new names, names that moved, tokens that are no longer valid."""
        self.snapshot = snapshot
        for token_id, entries in list(self._by_token.items()):
            record = snapshot.tokens.get(token_id)
            for entry in list(entries):
                if record is None or record.revoked:
                    entry.session.terminate(GoawayCode.REVOKED, "the token was revoked")
                elif record != entry.token:
                    entry.follow(record)
        routes: dict[str, Route] = {}
        for hostname, record in snapshot.owners.items():
            old = self._routes.get(hostname)
            if old is None or old.token_id != record.id:
                routes[hostname] = Route(hostname, record.id)
            else:
                routes[hostname] = old
                old.remove_all()
            routes[hostname].is_end_to_end = hostname in record.end_to_end
        self._routes = routes
        for entry in self._entries.values():
            for route in self._routes_of(entry):
                route.add(entry)

    def close(self) -> None:
        """The edge ends: no visitor gets a session any more, the first time or again."""
        for route in self._routes.values():
            route.is_closed = True
            route.remove_all()

    def sample_throughput(self, now: float) -> None:
        """See which sessions carry a bulk transfer; called a few times a second.

        Args:
            now: Monotonic seconds.  The first call only says when the first sample begins.
        """
        seconds, self._sampled_at = now - self._sampled_at, now
        for entry in self._entries.values():
            entry.sample_throughput(seconds)

    def end_unacknowledged(self, now: float) -> None:
        """End sessions whose peer is there and acknowledges nothing; ``now`` as above."""
        for session, entry in list(self._entries.items()):
            if entry.is_acknowledgement_overdue(now):
                reason = f"no frame was acknowledged for {ACK_TIMEOUT:g} seconds"
                session.terminate(GoawayCode.FLOW_CONTROL, reason)

    def wake_all(self) -> None:
        """Resume visitors that wait where a session has room again; called a few times a second."""
        for route in list(self._routes.values()):
            if route.has_waiting:
                route.wake()
        for hostname, route in list(self._unknown.items()):
            if not route.has_waiting:
                del self._unknown[hostname]

    def end_expired(self, now: float) -> None:
        """End the sessions whose token has expired; ``now`` is seconds since 1970."""
        for session, entry in list(self._entries.items()):
            if entry.token.is_expired(now):
                session.terminate(GoawayCode.REVOKED, "the token has expired")

    def renew(self) -> None:
        """Where stream ids run out, ask for a fresh session; end the old one once it is empty."""
        for session, entry in list(self._entries.items()):
            if session.connection.last_stream_id < STREAM_ID_DRAIN:
                continue
            if not entry.is_draining:
                entry.is_draining = True
                session.drain(DrainReason.RENEW)
            elif not session.connection.open_streams:
                session.terminate(GoawayCode.NO_ERROR, "the session was renewed")

    def _routes_of(self, entry: SessionEntry) -> list[Route]:
        """The routes of its names, as far as they are its token's now."""
        routes = self._routes
        token_id = entry.token.id
        return [
            route
            for hostname in entry.hostnames
            if (route := routes.get(hostname)) is not None and route.token_id == token_id
        ]
