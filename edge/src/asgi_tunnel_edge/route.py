"""One registered hostname: the sessions that serve it, and the visitors who wait for one.

Large because a session is one of its route's entries, and both change together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from asgi_tunnel.asgi.types import StreamHandler
from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import RequestHead
from asgi_tunnel.session import Session

from .counts import HoldCounts
from .hostname import wildcard_of
from .policy.matcher import AppPolicy
from .replies import Reply
from .request import Request
from .shares.pool import FairPool
from .shares.token import TokenShare
from .tokens import TokenRecord

__all__ = [
    "Elsewhere",
    "Judged",
    "Marked",
    "Route",
    "SessionEntry",
    "Upstream",
    "Waiter",
    "granted_hostnames",
]

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
a bulk transfer: 4 Mbit/s. What is complete in one frame does not count."""

CROWD_RATE: Final = 1000
"""Exchanges a second, likewise, from which they stay on one connection, where one process serves
the name: what leaves in one turn of the event loop is one message then, and one for each connection
before. Below it they are spread: over a long line two connections begin faster than one."""

# What is added to the streams in flight of a session that should come later; no session has so
# many streams.
_BESIDE_BULK: Final = 1 << 30
_AVOIDED: Final = 1 << 31

RECOUNTED: Final = 8
"""Sessions of a name up to which the end of one may leave those of one process: it has no more."""


class Judged(Protocol):
    """An exchange whose app has said late what it wants refused."""

    max_time: float  #: seconds; 0: no limit

    @property
    def visitor(self) -> str:
        """The address of the visitor."""


Judge = Callable[[AppPolicy, Request, Judged], Reply | None]
"""See :attr:`Route.judge`."""


class Upstream(Protocol):
    """What an exchange asks of the session that carries it; ``Session`` has all of it."""

    tells_duration: bool  #: the app's side says how long its app took, where it is asked
    takes_visitor: bool  #: the app's side understands the line that says who a visitor is

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

    def resume(self, session: Upstream) -> None:
        """A session is ready; the wait is over."""

    def give_way(self) -> None:
        """Another visitor needs the place; the wait is over."""

    def refuse(self, reply: Reply) -> None:
        """No app gets the request; the wait is over."""


class Marked(Protocol):
    """The routes that an app has marked; ``inbox.marks`` has them."""

    @property
    def rules(self) -> tuple[str, ...]:
        """As HELLO has them."""

    def find(self, method: bytes, target: bytes) -> str | None:
        """Return the rule that a request falls under, or None."""


class Elsewhere(Protocol):
    """The other nodes that have sessions for one hostname; ``peers`` has them."""

    def choose(self, avoid: Upstream | None) -> Upstream | None:
        """Return a way to a session there that is ready, for one exchange, or None."""

    def seek(self) -> None:
        """Find out who has one, and wake the route then."""


class SessionEntry:
    """One session of an app, as the directory sees it.

    Attributes:
        session: Carries the streams.
        token: What it was accepted with, as the store has it now.
        secret_sha256: Of the secret that it came with; the token's, until another one is set.
        hostnames: The names and wildcards of the token that it serves.
        instance: The app's process.
        slot: Which of the process's connections.
        group: The processes that were started together with it.
        policy: What its HELLO wants refused; None: nothing.
        is_draining: It takes no new streams.
        is_renewed: The app was asked for a fresh session in its place.
        is_busy: It carries a bulk transfer, behind which small exchanges would have to wait.
        is_crowded: It carries so many exchanges that they should stay together.
        is_outdated: Its WELCOME named other end-to-end hostnames than the token has now.
        told_shared: The names that its WELCOME named as served by another group, too.
        address: Where its connection comes from; that of the last one, while it has none.
        agent: What its HELLO says of the software at the other end.
        since: When it began, in seconds since 1970.
        resumed: How many times it has gone on over another connection.
    """

    __slots__ = (
        "_acknowledged",
        "_acknowledged_at",
        "_opened",
        "_sampled",
        "_services",
        "_told",
        "_wanted",
        "address",
        "agent",
        "group",
        "hostnames",
        "instance",
        "is_busy",
        "is_crowded",
        "is_draining",
        "is_outdated",
        "is_renewed",
        "policy",
        "resumed",
        "secret_sha256",
        "session",
        "since",
        "slot",
        "token",
        "told_shared",
    )

    def __init__(  # noqa: PLR0913 - what HELLO says, each by its name
        self,
        session: Session,
        token: TokenRecord,
        *,
        instance: str,
        slot: int,
        group: str = "",
        wanted: frozenset[str] = frozenset(),
        services: frozenset[str] = frozenset(),
        shared: Sequence[str] = (),
        address: str = "",
        agent: str = "",
        policy: AppPolicy | None = None,
    ) -> None:
        """Make the entry of a new session.

        Args:
            session: Carries the streams.
            token: What it was accepted with.
            instance: The app's process.
            slot: Which of the process's connections.
            group: The processes that were started together with it; empty: it alone.
            wanted: The names of the token that it asked for; empty: all that the token has.
            services: The names that it has something behind; empty: behind all.
            shared: What its WELCOME named as served by another group, too.
            address: Where its connection comes from.
            agent: The software at the other end, as HELLO names it.
            policy: What HELLO wants refused; None: nothing.
        """
        self.session = session
        self.policy = policy
        self.address, self.agent = address, agent
        self.since = time.time()
        self.resumed = 0
        self.secret_sha256 = token.secret_sha256
        self._wanted = wanted
        self._services = services
        self.told_shared = frozenset(shared)
        self._told: tuple[str, ...] | None = None  # the end-to-end hostnames in its WELCOME
        self.is_outdated = False
        self.follow(token)
        self.instance = instance
        self.slot = slot
        self.group = group or instance
        self.is_draining = False
        self.is_renewed = False
        self.is_busy = self.is_crowded = False
        self._sampled = 0  # bytes streamed up to the last sample
        self._opened = 0  # exchanges up to the last sample
        self._acknowledged: int | None = None  # frames, at the last look; None: no ACK was due
        self._acknowledged_at = 0.0  # when that changed, or when nothing had to be acknowledged

    def follow(self, token: TokenRecord) -> None:
        """Take over the token's hostnames, as far as the session wants them."""
        self.token = token
        self.hostnames = granted_hostnames(token, self._wanted, self._services)
        end_to_end = tuple(name for name in self.hostnames if name in token.end_to_end)
        if self._told is None:
            self._told = end_to_end
        self.is_outdated = end_to_end != self._told

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
        """See whether it was busy or crowded in the ``seconds`` since the last sample."""
        streamed = self.session.streamed
        self.is_busy = streamed - self._sampled > BULK_RATE * seconds
        self._sampled = streamed
        opened = self.session.connection.last_stream_id
        self.is_crowded = opened - self._opened > CROWD_RATE * seconds
        self._opened = opened

    def is_acknowledgement_overdue(self, now: float) -> bool:
        """Whether the peer is there, and has said for too long nothing of what it received."""
        session = self.session
        count = session.connection.sequence.replay.awaited_ack if session.is_attached else None
        if count is None or count != self._acknowledged:
            self._acknowledged, self._acknowledged_at = count, now
            return False
        return now - self._acknowledged_at >= ACK_TIMEOUT


def granted_hostnames(
    token: TokenRecord, wanted: frozenset[str], services: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Return the hostnames of a token that a session serves, in the token's order.

    Args:
        token: Has names and wildcards.
        wanted: As HELLO has them, in their one spelling; empty: all.
        services: As HELLO has them; empty: something is behind all.

    Source: docs/protocol.md section 6.
    """
    names = token.hostnames
    if wanted:
        names = tuple(name for name in names if name in wanted)
    if not services:
        return names
    # Each name of the token once: a list of services is long, and a wildcard covers one label.
    covering = {wildcard_of(one) for one in services - frozenset(token.hostnames)}
    return tuple(
        name
        for name in names
        if name in services or name in covering or wildcard_of(name) in services
    )


class Route:
    """One registered hostname or wildcard, and the sessions that serve it.

    Attributes:
        judge: Says whether a policy that came while a request waited refuses it, and bounds its
            exchange; None: nobody says.
        policy: What the app behind it wants refused, also while it is away; None: nothing.
        elsewhere: Finds sessions at other nodes; None: there are no others.
    """

    __slots__ = (
        "_entries",
        "_is_described",
        "_is_of_one",
        "_only",
        "_policy_instance",
        "_waiting",
        "elsewhere",
        "holds",
        "hostname",
        "is_closed",
        "is_end_to_end",
        "judge",
        "marks",
        "policy",
        "share",
        "token_id",
    )

    def __init__(
        self,
        hostname: str,
        token_id: str,
        share: TokenShare | None = None,
        holds: HoldCounts | None = None,
        judge: Judge | None = None,
    ) -> None:
        self.hostname = hostname
        self.judge = judge
        self.token_id = token_id
        self.share = TokenShare() if share is None else share
        self.holds = HoldCounts() if holds is None else holds  # of all routes together
        self.is_end_to_end = False  # its TLS is spoken by the app, and passed on
        self.is_closed = False  # the edge ends: what is lost now is not tried again
        self.policy: AppPolicy | None = None
        self._policy_instance = ""  # the process that it is of
        self._is_described = False  # another node has said it, and no session here
        self.elsewhere: Elsewhere | None = None
        self.marks: Marked | None = None  # which requests are kept while its app is away
        self._entries: dict[SessionEntry, None] = {}  # in order of arrival
        self._only: SessionEntry | None = None  # where there is one: nothing is to be chosen
        self._is_of_one = False  # all are of one process
        # Most names never have anybody who waits: a pool for each would be 10 MB for 10,000.
        self._waiting: FairPool[Waiter] | None = None

    @property
    def entries(self) -> list[SessionEntry]:
        """The sessions that serve it."""
        return list(self._entries)

    def add(self, entry: SessionEntry) -> None:
        """Let a session serve it."""
        entries = self._entries
        entries[entry] = None
        self._only = entry if len(entries) == 1 else None
        self._is_of_one = entry is self._only or (
            self._is_of_one and entry.instance == next(iter(entries)).instance
        )

    def follow_policy(self, entry: SessionEntry, *, is_known: bool = False) -> None:
        """Let what a session wants refused hold.

        The process that came last decides, also by wanting nothing. One that was here before, and
        opens another session while its successor serves, does not.

        Args:
            entry: The session.
            is_known: Its process has another one.
        """
        if entry.instance != self._policy_instance and is_known:
            return
        self._policy_instance = entry.instance
        self._is_described = False
        old, new = self.policy, entry.policy
        if old is None or new is None or not old.says(new.rules, new.routes):
            self.policy = new  # else it stays, and who waits is not asked again

    def follow_described(self, policy: AppPolicy | None) -> bool:
        """Let what another node says of the app hold: it has its sessions.

        Where a session here may get requests, too, what holds here stays: a process of before may
        be at the other node, and the one of now here.

        Returns:
            Whether both agree now; otherwise nothing may be sent there.
        """
        old = self.policy
        if old is policy or (
            old is not None and policy is not None and old.says(policy.rules, policy.routes)
        ):
            return True
        if any(one.session.is_attached and not one.is_draining for one in self._entries):
            return False
        self.policy = policy
        self._is_described = True
        return True

    def follow_here(self) -> None:
        """A session is back: what its app wants refused holds again, whatever others have said."""
        if not self._is_described:
            return
        for entry in self._entries:
            if entry.instance == self._policy_instance:
                self.follow_policy(entry)
                return

    @property
    def is_served(self) -> bool:
        """Whether a session serves it here, ready or not."""
        return bool(self._entries)

    def remove(self, entry: SessionEntry) -> None:
        """A session does not serve it any longer."""
        entries = self._entries
        entries.pop(entry, None)
        self._only = next(iter(entries)) if len(entries) == 1 else None
        if len(entries) <= RECOUNTED:
            self._is_of_one = len({one.instance for one in entries}) == 1

    def remove_all(self) -> None:
        """No session serves it, until they are added again."""
        self._entries.clear()
        self._only = None
        self._is_of_one = False

    def choose(self, avoid: Upstream | None = None) -> Upstream | None:
        """Return the ready session with the fewest streams in flight, or None.

        Those at other nodes come after all of this one.

        Args:
            avoid: The session that has just failed; used when there is no other.
        """
        only = self._only
        if only is not None and only.is_ready:
            return only.session
        session = None if only is not None else self.choose_here(avoid)
        if session is not None or self.elsewhere is None:
            return session
        return self.elsewhere.choose(avoid)

    def choose_here(self, avoid: Upstream | None = None) -> Session | None:
        """Return the same of this node's sessions.

        Of the connections of one process, those without a bulk transfer come first: on a slow link
        what is committed to a socket stands in front of every small response on it.

        Args:
            avoid: As above.
        """
        if avoid is None and self._is_of_one:
            return self._choose_of_one()
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

    def _choose_of_one(self) -> Session | None:
        """The same, where all are connections of one process, as most are."""
        best: SessionEntry | None = None
        lowest = 0
        for entry in self._entries:
            if not entry.is_ready:
                continue
            rank = entry.session.connection.open_streams
            if entry.is_busy:
                rank += _BESIDE_BULK
            elif entry.is_crowded:
                return entry.session
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
        self.seek()

    def seek(self) -> None:
        """Look for a session at other nodes, where there are any."""
        if self.elsewhere is not None:
            self.elsewhere.seek()

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
