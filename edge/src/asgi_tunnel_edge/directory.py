"""Who serves which hostname: routes, the sessions behind them, and visitors who wait for one.

All of it is in memory and found by index: what happens to one session costs the same whether the
edge has one or ten thousand.  What a token may serve comes from a :class:`.tokens.Snapshot`.
Written by :mod:`.admission`, read by :mod:`.exchange` for each request.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from asgi_tunnel.protocol.codes import DrainReason, GoawayCode
from asgi_tunnel.protocol.limits import STREAM_ID_DRAIN
from asgi_tunnel.protocol.policy import PolicyRule
from asgi_tunnel.session import Session

from .counts import HoldCounts
from .hostname import wildcard_of
from .policy.matcher import AppPolicy
from .quotas import TokenLimiter
from .route import ACK_TIMEOUT, Elsewhere, Judge, Marked, Route, SessionEntry
from .shares.token import TokenShares
from .tokens import Snapshot

__all__ = ["Directory", "LocalDirectory", "Neighbourhood"]

MAX_SHARED: Final = 8
"""Hostnames that a process hears of as served by another one: what fits into a line of its log."""


_REPLACED: Final = "the token got another secret"


class Directory(Protocol):
    """What an exchange asks to find who serves a hostname."""

    def find(self, hostname: str) -> Route | None:
        """Return the route of a normal hostname; None where no token has it."""


class Neighbourhood(Protocol):
    """The other nodes; ``peers`` has them."""

    def elsewhere(self, route: Route) -> Elsewhere:
        """Return what finds their sessions for a route."""

    def hold(self, hostname: str) -> None:
        """A session serves a hostname or wildcard here from now on."""

    def release(self, hostname: str) -> None:
        """None does any longer."""


class LocalDirectory:
    """The routes and sessions of this edge; a :class:`Directory`.

    Large because each change of tokens and sessions has to leave all of its indices agreeing.

    Args:
        snapshot: What the store has now.
        limiter: Knows what each token may take; None: nothing is limited.
        hides_offline: A name that no token has gets a route too, on which nobody ever serves: its
            visitors wait, and are told the same in the end, as those of an app that is offline.
        judge: See :attr:`.route.Route.judge`.

    Attributes:
        shares: What each token has and does.
        moved_by_ended: Bytes that sessions which are over have sent and received.
        holds: The visitors that wait for an app.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        limiter: TokenLimiter | None = None,
        hides_offline: bool = False,
        judge: Judge | None = None,
    ) -> None:
        self._judge = judge
        self.snapshot = snapshot
        self.shares = TokenShares()
        self.moved_by_ended = 0
        self.holds = HoldCounts()
        self._limiter = limiter
        self._hides_offline = hides_offline
        # By hostname; kept as long as somebody waits. Visitors make the names up, but no more of
        # them than they have connections, and requests between two calls of `wake_all`.
        self._unknown: dict[str, Route] = {}
        self._routes: dict[str, Route] = {}  # by hostname or wildcard
        self._own: dict[str, Route] = {}  # by hostname: to what the edge itself serves
        self._entries: dict[Session, SessionEntry] = {}
        self._by_id: dict[str, SessionEntry] = {}  # by session id
        self._by_token: dict[str, dict[SessionEntry, None]] = {}  # by token id
        self._by_slot: dict[tuple[str, str, int], SessionEntry] = {}  # the newest of each slot
        self._by_instance: dict[tuple[str, str], int] = {}  # sessions of each process of a token
        self._marks: dict[tuple[str, str], Marked] = {}  # by token id and hostname
        self._sampled_at = 0.0
        self._used: set[str] = set()  # ids of tokens whose sessions have ended; no more than known
        self._neighbours: Neighbourhood | None = None  # None: this node is alone
        self._told: set[str] = set()  # hostnames that they know to be served here
        self._is_withdrawn = False
        self.apply(snapshot)

    def __len__(self) -> int:
        """Return how many sessions there are."""
        return len(self._entries)

    # -- for visitors ------------------------------------------------------------------------

    def find(self, hostname: str) -> Route | None:
        """Return the route of a hostname: the exact name first, then the wildcard above it.

        What the edge itself serves comes before every token's.
        """
        if hostname in self._own:
            return self._own[hostname]
        route = self._routes.get(hostname)
        if route is None:
            wildcard = wildcard_of(hostname)
            if wildcard is not None:
                route = self._routes.get(wildcard)
            if route is None and self._hides_offline:
                route = self._unknown.get(hostname)
                if route is None:
                    route = self._unknown[hostname] = Route(hostname, "", holds=self.holds)
        return route

    def serve(self, hostname: str, route: Route) -> None:
        """Let the edge itself serve a hostname, whatever tokens have."""
        self._own[hostname] = route

    def registered_name(self, hostname: str) -> str | None:
        """Return the name or wildcard of a token that a hostname is; None: there is none."""
        if hostname in self._own:
            return None
        if hostname in self._routes:
            return hostname
        wildcard = wildcard_of(hostname)
        return wildcard if wildcard in self._routes else None

    # -- for other nodes ---------------------------------------------------------------------

    def join(self, neighbours: Neighbourhood) -> None:
        """Tell the other nodes from now on what is served here, and find what is served there."""
        self._neighbours = neighbours
        for route in self._routes.values():
            route.elsewhere = neighbours.elsewhere(route)
        self._tell(self._routes.values())

    def find_route(self, name: str) -> Route | None:
        """Return the route of a token's hostname: its exact name or wildcard, or the one above."""
        route = self._routes.get(name)
        if route is None:
            wildcard = wildcard_of(name)
            route = None if wildcard is None else self._routes.get(wildcard)
        return route

    def withdraw(self) -> None:
        """Let other nodes send nothing here from now on: this one leaves."""
        self._is_withdrawn = True
        if self._neighbours is not None:
            for hostname in self._told:
                self._neighbours.release(hostname)
        self._told.clear()

    def _tell(self, routes: Iterable[Route]) -> None:
        neighbours, told = self._neighbours, self._told
        if neighbours is None or self._is_withdrawn:
            return
        for route in routes:
            if route.is_served != (route.hostname in told):
                if route.is_served:
                    told.add(route.hostname)
                    neighbours.hold(route.hostname)
                else:
                    told.discard(route.hostname)
                    neighbours.release(route.hostname)

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

    def policy_of(
        self, token_id: str, rules: tuple[PolicyRule, ...], routes: tuple[str, ...]
    ) -> AppPolicy | None:
        """Return what a HELLO wants refused; compiled once for sessions that say the same."""
        if not rules and not routes:
            return None
        for entry in self._by_token.get(token_id, ()):
            if entry.policy is not None and entry.policy.says(rules, routes):
                return entry.policy
        return AppPolicy(rules, routes, token_id=token_id)

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
            stale.session.give_up_place()
        self._entries[session] = entry
        self._by_id[session.session_id] = entry
        self._by_token.setdefault(token_id, {})[entry] = None
        self._by_slot[slot] = entry
        process = (token_id, entry.instance)
        others = self._by_instance.get(process, 0)
        self._by_instance[process] = others + 1
        routes = self._routes_of(entry)
        for route in routes:
            route.follow_policy(entry, is_known=others > 0)
            route.add(entry)
        self._tell(routes)
        for route in routes:  # only then: who is woken may end the session at once
            route.wake()

    def attached(self, session: Session) -> None:
        """A session has a transport again: wake who waits for it."""
        entry = self._entries.get(session)
        if entry is not None:
            for route in self._routes_of(entry):
                route.follow_here()
                route.wake()

    def draining(self, session: Session, *, is_renewed: bool = False) -> None:
        """A session takes no new streams.

        Args:
            session: Which one.
            is_renewed: The app has put a fresh one in its place, and waits for its end.
        """
        entry = self._entries.get(session)
        if entry is not None:
            entry.is_draining = True
            entry.is_renewed = entry.is_renewed or is_renewed

    def tell_shared(self, newcomer: SessionEntry) -> None:
        """Let those hear who serve a name of a new session, and whose group is another one.

        WELCOME says it, so one session of each instance is renewed (:meth:`renew`); not that of an
        instance which has heard of these names.
        """
        told: set[str] = set()
        others: dict[str, SessionEntry] = {}
        for entry in self._by_token.get(newcomer.token.id, ()):
            if entry.group == newcomer.group:
                continue
            common = set(entry.hostnames).intersection(newcomer.hostnames)
            # One name is enough, for WELCOME does not name all: two that tell each other would not
            # come to an end.
            is_asked = entry.is_renewed and not entry.is_draining
            if is_asked or common & entry.told_shared:
                told.add(entry.instance)
            elif common and entry.is_ready:
                others.setdefault(entry.instance, entry)
        for instance, entry in others.items():
            if instance not in told:
                entry.is_renewed = True

    def remove(self, session: Session) -> None:
        """A session is over."""
        entry = self._entries.pop(session, None)
        if entry is None:
            return
        self.moved_by_ended += session.moved
        token_id = entry.token.id
        self._used.add(token_id)
        slot = (token_id, entry.instance, entry.slot)
        if self._by_id.get(session.session_id) is entry:
            del self._by_id[session.session_id]
        if self._by_slot.get(slot) is entry:
            del self._by_slot[slot]
        process = (token_id, entry.instance)
        left = self._by_instance[process] = self._by_instance[process] - 1
        if not left:
            del self._by_instance[process]
        siblings = self._by_token[token_id]
        del siblings[entry]
        if not siblings:
            del self._by_token[token_id]
        routes = self._routes_of(entry)
        for route in routes:
            route.remove(entry)
        self._tell(routes)

    def apply(self, snapshot: Snapshot) -> None:
        """Follow the store: new names, names that moved, tokens that are no longer valid."""
        self.snapshot = snapshot
        now = time.time()
        for token_id, entries in list(self._by_token.items()):
            record = snapshot.tokens.get(token_id)
            for entry in list(entries):
                if record is None or record.revoked:
                    entry.session.terminate(GoawayCode.REVOKED, "the token was revoked")
                elif not record.takes(entry.secret_sha256, now):
                    entry.session.terminate(GoawayCode.REVOKED, _REPLACED)
                elif record != entry.token:
                    entry.follow(record)
        self._follow_limits(snapshot)
        routes: dict[str, Route] = {}
        fresh: set[Route] = set()
        for hostname, record in snapshot.owners.items():
            old = self._routes.get(hostname)
            if old is None or old.token_id != record.id:
                share = self.shares.of(record.id)
                routes[hostname] = Route(hostname, record.id, share, self.holds, self._judge)
                fresh.add(routes[hostname])
                if self._neighbours is not None:
                    routes[hostname].elsewhere = self._neighbours.elsewhere(routes[hostname])
            else:
                routes[hostname] = old
                old.remove_all()
            routes[hostname].is_end_to_end = hostname in record.end_to_end
            routes[hostname].marks = self._marks.get((record.id, hostname))
        self._routes = routes
        self.shares.keep(snapshot.tokens)
        for entry in self._entries.values():
            for route in self._routes_of(entry):
                if route in fresh:
                    route.follow_policy(entry)
                route.add(entry)
        if self._neighbours is not None:
            for hostname in [one for one in self._told if one not in routes]:
                self._told.discard(hostname)
                self._neighbours.release(hostname)
            self._tell(routes.values())

    def mark(self, token_id: str, hostname: str, marks: Marked | None) -> None:
        """Say which requests to a hostname of a token are kept; None: none are."""
        if marks is None:
            self._marks.pop((token_id, hostname), None)
        else:
            self._marks[token_id, hostname] = marks
        route = self._routes.get(hostname)
        if route is not None and route.token_id == token_id:
            route.marks = marks

    def _follow_limits(self, snapshot: Snapshot) -> None:
        if self._limiter is None:
            return
        for record in snapshot.tokens.values():
            limits = self._limiter.of(record.quotas)
            share = self.shares.of(record.id)
            share.follow(max_visitors=limits.max_visitors, max_frames=limits.max_frames)

    def close(self) -> None:
        """The edge ends: no visitor gets a session any more, the first time or again."""
        for route in self._routes.values():
            route.is_closed = True
            route.remove_all()
            route.elsewhere = None
        self._neighbours = None

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
                if route.has_waiting:
                    route.seek()
        for hostname, route in list(self._unknown.items()):
            if not route.has_waiting:
                del self._unknown[hostname]

    def end_expired(self, now: float) -> None:
        """End the sessions whose token, or the secret they came with, has expired.

        Args:
            now: Seconds since 1970.
        """
        for session, entry in list(self._entries.items()):
            if entry.token.is_expired(now):
                session.terminate(GoawayCode.REVOKED, "the token has expired")
            elif not entry.token.takes(entry.secret_sha256, now):
                session.terminate(GoawayCode.REVOKED, _REPLACED)

    def take_used(self) -> set[str]:
        """Return the ids of the tokens that had a session since the last call."""
        used, self._used = self._used, set()
        return used.union(self._by_token)

    def renew(self) -> None:
        """Ask for a fresh session where an old one will not do; end that once it is empty.

        Its stream ids run out, or its app does not know for which hostnames it speaks TLS, or the
        next pins: WELCOME says that, and nothing after it.
        """
        for session, entry in list(self._entries.items()):
            is_asked = entry.is_outdated or entry.is_renewed
            if session.connection.last_stream_id < STREAM_ID_DRAIN and not is_asked:
                continue
            if not entry.is_draining:
                entry.is_draining = True
                session.drain(DrainReason.RENEW)
            elif not session.connection.open_streams:
                session.terminate(GoawayCode.NO_ERROR, "the session was renewed")

    def renew_all(self, spread: float) -> int:
        """Ask all apps for fresh sessions, which hear what WELCOME says now; how many it asked.

        Args:
            spread: Seconds over which they come.
        """
        entries = [one for one in self._entries.values() if not one.is_draining]
        for number, entry in enumerate(entries):
            entry.is_draining = entry.is_renewed = True
            entry.session.drain(DrainReason.RENEW, delay=spread * number / len(entries))
        return len(entries)

    def renew_one(self, entry: SessionEntry) -> bool:
        """Ask an app for a fresh session in the place of one, which ends once it is empty.

        Returns:
            False where it takes no new streams already.
        """
        if entry.is_draining:
            return False
        entry.is_draining = entry.is_renewed = True
        entry.session.drain(DrainReason.RENEW)
        return True

    def _routes_of(self, entry: SessionEntry) -> list[Route]:
        """The routes of its names, as far as they are its token's now."""
        routes = self._routes
        token_id = entry.token.id
        return [
            route
            for hostname in entry.hostnames
            if (route := routes.get(hostname)) is not None and route.token_id == token_id
        ]
