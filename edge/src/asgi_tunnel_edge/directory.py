"""Who serves which hostname: routes, the sessions that hold them, and visitors who wait for one.

All of it is in memory; what a token may serve comes from a :class:`.tokens.Snapshot`.  Written by
:mod:`.door`, read by :mod:`.relay` for each request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from asgi_tunnel.protocol.codes import DrainReason, GoawayCode
from asgi_tunnel.protocol.limits import STREAM_ID_DRAIN
from asgi_tunnel.session import Session

from .hostname import wildcard_of
from .tokens import Snapshot, TokenRecord

MAX_WAITING: Final = 1024
"""Visitors that wait for one hostname.  A restart under load holds a few hundred."""

BULK: Final = 128 * 1024
"""Bytes that a session moves between two looks, a quarter of a second apart, at which it counts as
busy with a bulk transfer: 4 Mbit/s."""


class Holder:
    """One session of an app, as the registry sees it.

    Attributes:
        session: Carries the streams.
        token: What it was let in with.
        instance: The app's process.
        slot: Which of the process's connections.
        is_draining: It takes no new streams.
        is_busy: It carries a bulk transfer, which small exchanges had better not stand behind.
    """

    __slots__ = ("_moved", "instance", "is_busy", "is_draining", "session", "slot", "token")

    def __init__(self, session: Session, token: TokenRecord, *, instance: str, slot: int) -> None:
        self.session = session
        self.token = token
        self.instance = instance
        self.slot = slot
        self.is_draining = False
        self.is_busy = False
        self._moved = 0  # bytes, at the last look

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

    def look(self) -> None:
        """Called a few times a second: see what was moved since the last time."""
        moved = self.session.moved
        self.is_busy = moved - self._moved > BULK
        self._moved = moved


class Route:
    """One registered hostname or wildcard, and the sessions that serve it."""

    __slots__ = ("_waiting", "holders", "hostname", "token_id")

    def __init__(self, hostname: str, token_id: str) -> None:
        self.hostname = hostname
        self.token_id = token_id
        self.holders: list[Holder] = []
        self._waiting: dict[Callable[[Session], None], None] = {}  # in order of arrival

    def choose(self, avoid: Session | None = None) -> Session | None:
        """Return the ready session with the fewest streams in flight, or None.

        Of the connections of one process, one without a bulk transfer comes first: on a slow link
        what is committed to a socket stands in front of every small answer on it.

        Args:
            avoid: The session that has just failed; used when there is no other.
        """
        holders = self.holders
        if len(holders) == 1:
            return holders[0].session if holders[0].is_ready else None
        best: Holder | None = None
        fewest = 0
        for holder in holders:
            if holder.is_ready:
                count = holder.session.connection.open_streams
                if holder.session is avoid:
                    count += 1 << 30
                elif (
                    best is not None
                    and best.is_busy is not holder.is_busy
                    and best.instance == holder.instance
                    and best.session is not avoid
                ):
                    if best.is_busy:
                        best, fewest = holder, count
                    continue
                if best is None or count < fewest:
                    best, fewest = holder, count
        return None if best is None else best.session

    def wait(self, resume: Callable[[Session], None]) -> bool:
        """Call ``resume`` once a session is ready; False when too many wait already."""
        if len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting[resume] = None
        return True

    def give_up(self, resume: Callable[[Session], None]) -> None:
        """Take back :meth:`wait`."""
        self._waiting.pop(resume, None)

    @property
    def has_waiting(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    def wake(self) -> None:
        """Resume those who wait, in order, as long as a session is ready."""
        while self._waiting:
            session = self.choose()
            if session is None:
                return
            resume = next(iter(self._waiting))
            del self._waiting[resume]
            resume(session)


class Registry:
    """Routes by hostname, and holders by session."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._routes: dict[str, Route] = {}
        self._holders: dict[Session, Holder] = {}
        self.apply(snapshot)

    # -- for visitors ------------------------------------------------------------------------

    def find(self, hostname: str) -> Route | None:
        """Return the route of a hostname: the exact name first, then the wildcard above it."""
        route = self._routes.get(hostname)
        if route is None:
            wildcard = wildcard_of(hostname)
            if wildcard is not None:
                route = self._routes.get(wildcard)
        return route

    # -- for tunnels -------------------------------------------------------------------------

    @property
    def holders(self) -> list[Holder]:
        """All sessions."""
        return list(self._holders.values())

    def find_session(self, session_id: str, token_id: str) -> Session | None:
        """Return the session that a connector wants to resume, if it is its own."""
        for session, holder in self._holders.items():
            if session.session_id == session_id and holder.token.id == token_id:
                return session
        return None

    def has_lost(self, token_id: str) -> bool:
        """Whether a session of a token may want to resume: its connection is lost, or seems so."""
        return any(
            holder.token.id == token_id
            and (not holder.session.is_attached or holder.session.is_suspect)
            for holder in self._holders.values()
        )

    def add(self, holder: Holder) -> None:
        """Let a session serve its token's hostnames; its own ghost goes at once."""
        for other in list(self._holders.values()):
            if (other.instance, other.slot, other.token.id) == (
                holder.instance,
                holder.slot,
                holder.token.id,
            ) and not other.is_draining:
                other.session.terminate(GoawayCode.REPLACED, "a newer session took its place")
        self._holders[holder.session] = holder
        for hostname in holder.token.hostnames:
            route = self._routes.get(hostname)
            if route is not None and route.token_id == holder.token.id:
                route.holders.append(holder)
                route.wake()

    def attached(self, session: Session) -> None:
        """A session has a transport again: wake who waits for it."""
        holder = self._holders.get(session)
        if holder is not None:
            for route in self._routes_of(holder):
                route.wake()

    def draining(self, session: Session) -> None:
        """A session takes no new streams."""
        holder = self._holders.get(session)
        if holder is not None:
            holder.is_draining = True

    def remove(self, session: Session) -> None:
        """A session is over."""
        holder = self._holders.pop(session, None)
        if holder is not None:
            for route in self._routes_of(holder):
                route.holders = [one for one in route.holders if one is not holder]

    def apply(self, snapshot: Snapshot) -> None:
        """Follow the store: new names, names that moved, tokens that are no longer valid."""
        self.snapshot = snapshot
        for session, holder in list(self._holders.items()):
            record = snapshot.tokens.get(holder.token.id)
            if record is None or record.revoked:
                session.terminate(GoawayCode.REVOKED, "the token was revoked")
            elif record != holder.token:
                holder.token = record
        routes: dict[str, Route] = {}
        for hostname, record in snapshot.owners.items():
            route = self._routes.get(hostname)
            if route is None or route.token_id != record.id:
                route = Route(hostname, record.id)
            route.holders = [
                holder for holder in self._holders.values() if holder.token.id == record.id
            ]
            routes[hostname] = route
        self._routes = routes

    def look(self) -> None:
        """Called a few times a second: see which sessions are busy."""
        for holder in self._holders.values():
            holder.look()

    def wake_all(self) -> None:
        """Look again for whoever waits: a session that was full may have room."""
        for route in list(self._routes.values()):
            if route.has_waiting:
                route.wake()

    def end_expired(self, now: float) -> None:
        """End the sessions whose token has expired; ``now`` is seconds since 1970."""
        for session, holder in list(self._holders.items()):
            if holder.token.is_expired(now):
                session.terminate(GoawayCode.REVOKED, "the token has expired")

    def renew(self) -> None:
        """Where stream ids run out, ask for a fresh session; end the old one once it is empty."""
        for session, holder in list(self._holders.items()):
            if session.connection.last_stream_id < STREAM_ID_DRAIN:
                continue
            if not holder.is_draining:
                holder.is_draining = True
                session.drain(DrainReason.RENEW)
            elif not session.connection.open_streams:
                session.terminate(GoawayCode.NO_ERROR, "the session was renewed")

    def _routes_of(self, holder: Holder) -> list[Route]:
        return [route for route in self._routes.values() if holder in route.holders]
