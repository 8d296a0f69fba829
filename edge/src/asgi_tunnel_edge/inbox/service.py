"""One edge's inbox: which routes are marked, who delivers, and what is too old.

Nothing is opened and no thread runs until an app marks a route.

During a reload an edge has two processes. The one that holds the lock on ``inbox.lock`` delivers;
the other one stores what comes to it, and holds ``inbox.others`` meanwhile. As long as somebody
holds that, the first one stores, too: what it passed on at once could overtake what the other one
has just stored. The system takes both locks from a process that has ended, however it did.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from asgi_tunnel.protocol.head import RequestHead

from ..bus.bus import Event
from ..bus.events import Events
from ..context import EdgeContext
from ..directory import LocalDirectory
from ..errors import StorageError
from ..exchange.writer import Exchange, ResponseWriter
from ..files import PRIVATE
from ..observers.access_log import Entry
from ..observers.observer import notify
from ..replies import Reply
from ..request import Request
from ..route import Route, SessionEntry
from ..settings.config import EdgeConfig
from ..storage.inbox import InboxStore, Lane
from ..tokens import Snapshot
from .book import Book
from .exchange import InboxExchange
from .journal import Journal
from .lane import DeliveryLane
from .marks import Marks

try:
    import fcntl
except ImportError:  # Windows, where no edge has a second process
    fcntl = None  # type: ignore[assignment]

__all__ = ["Inbox"]

_log = logging.getLogger("asgi_tunnel_edge.inbox")

LOOK: Final = 0.1
"""Seconds between two looks for apps that are back, and for changes by other processes."""

FIRST_LOOK: Final = 5.0
"""Seconds that a start waits for the first look: a slow disk must not keep an edge from serving."""

CLEAN_EVERY: Final = 60.0
"""Seconds between two looks for what is too old."""

MAX_TOLD: Final = 2048
"""Bytes of marks, as JSON, that other nodes are told: an event has 4,096. Longer ones they hear of
when they first ask the node that has the app."""

DRAIN: Final = 5.0
"""Seconds in which all has to be on disk when the edge ends."""


class Inbox:
    """See the module.

    Args:
        config: Of the edge.
        context: Of the edge.
        directory: Has the routes; hears of marks.

    Attributes:
        book: What it has counted.
    """

    def __init__(self, config: EdgeConfig, context: EdgeContext, directory: LocalDirectory) -> None:
        settings = config.inbox
        self._config = config
        self._settings = settings
        self._context = context
        self._directory = directory
        store = InboxStore(config.inbox_path, config.acme_key_path, max_bytes=settings.max_file)
        self._journal = Journal(store)
        self.book = Book(settings, self._journal, directory.find, self._notify)
        self._events: Events | None = None  # None: this node is alone
        self._lanes: dict[Lane, DeliveryLane] = {}
        self._rules: dict[tuple[str, str], tuple[str, ...]] = {}  # by token id and hostname
        self._lead = _Lock(config.inbox_lock_path)
        self._others = _Lock(config.inbox_lock_path.with_suffix(".others"))
        self._timer: asyncio.TimerHandle | None = None  # None: nothing is marked
        self._is_leaving = False
        self._is_looking = False
        self._has_looked = asyncio.Event()
        self._version = -1
        self._unwritten = 0  # marks on their way to the store
        self._cleaned_at = 0.0

    async def start(self) -> None:
        """Read what an earlier process has kept.  Cancelling it loses nothing."""
        paths = (self._config.inbox_path, self._config.inbox_lock_path)
        if not self._settings.enabled or not any(path.exists() for path in paths):
            return
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._journal.read(InboxStore.marks, lambda found: _give(done, found))
        found = await done
        if isinstance(found, dict):
            self._take_over(found)
        else:
            _log.error("%s; webhooks are not kept until an app marks its routes again", found)
        self._activate()
        if self._lead.is_held:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._has_looked.wait(), FIRST_LOOK)
        else:
            # Until the process that delivers has seen that this one is here.
            await asyncio.sleep(2 * LOOK)

    # -- what apps say -----------------------------------------------------------------------

    def follow(self, entry: SessionEntry, rules: Sequence[str]) -> None:
        """An app has said which routes it marks, for the hostnames that it serves."""
        if not self._settings.enabled:
            if rules:
                _log.warning(
                    "the app of token %s marks routes, and inbox.enabled is false: nothing is kept",
                    entry.token.name,
                )
            return
        for hostname in entry.hostnames:
            if self.learn(entry.token.id, hostname, rules) and self._events is not None:
                found = list(Marks(rules).rules)  # without what no node could read
                told = {"token": entry.token.id, "hostname": hostname, "rules": found}
                if len(json.dumps(found)) <= MAX_TOLD:
                    self._events.broadcast({"kind": "marks", **told})

    def join(self, events: Events) -> None:
        """Tell the other nodes what apps mark here, and hear what they mark there, from now on."""
        self._events = events

        def hear(event: Event, _node_id: str) -> None:
            rules = list(map(str, event["rules"]))
            self.learn(str(event["token"]), str(event["hostname"]), rules)

        events.on("marks", hear)

    def learn(self, token_id: str, hostname: str, rules: Sequence[str]) -> bool:
        """Note what an app marks of a hostname, here or at another node; return whether it is new.

        Args:
            token_id: Of the app.
            hostname: Or wildcard.
            rules: As it has said them.
        """
        found = Marks(rules).rules
        if not self._settings.enabled or self._rules.get((token_id, hostname), ()) == found:
            return False
        self._set(token_id, hostname, found)
        self._activate()
        self._unwritten += 1
        change = partial(_set_marks, token_id, hostname, found)
        self._journal.write(change, self._written, is_kept=True)
        _log.info("%s of token %s marks: %s", hostname, token_id, ", ".join(found))
        return True

    def _written(self, _result: object) -> None:
        self._unwritten -= 1
        self._version = -1  # what was read meanwhile may have been older

    def _take_over(self, marks: dict[tuple[str, str], tuple[str, ...]]) -> None:
        """Follow what the store has: apps have told it to other processes of this edge."""
        for token_id, hostname in {*marks, *self._rules}:
            rules = marks.get((token_id, hostname), ())
            if self._rules.get((token_id, hostname), ()) != rules:
                self._set(token_id, hostname, rules)

    def _set(self, token_id: str, hostname: str, rules: tuple[str, ...]) -> None:
        if rules:
            self._rules[token_id, hostname] = rules
        else:
            self._rules.pop((token_id, hostname), None)
        self._directory.mark(token_id, hostname, Marks(rules) if rules else None)

    def apply(self, snapshot: Snapshot) -> None:
        """Follow the store: what was kept for tokens that were revoked is forgotten."""
        if self._timer is None:
            return
        gone = {token.id for token in snapshot.tokens.values() if token.revoked}
        for token_id, hostname in [one for one in self._rules if one[0] in gone]:
            self._set(token_id, hostname, ())
        self._cleaned_at = 0.0  # at the next look

    # -- for dispatch ------------------------------------------------------------------------

    def claim(
        self, request: Request, head: RequestHead, route: Route, writer: ResponseWriter
    ) -> Reply | Exchange | None:
        """Take a request to a marked route; None: it is to none.

        The exchange takes no body above ``max_body``, whatever else the hostname allows.
        """
        marks = route.marks
        rule = None if marks is None else marks.find(request.method, request.target)
        if rule is None:
            return None
        max_body = self._settings.max_body
        if request.length is not None and request.length > max_body:
            return Reply(413, f"the body is larger than {max_body} bytes (inbox.max_body)")
        lane = self._lane(Lane(route.token_id, route.hostname, rule))
        exchange = InboxExchange(self.book, lane, writer, request, head, route)
        exchange.max_body = max_body
        return exchange

    def _lane(self, key: Lane) -> DeliveryLane:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = DeliveryLane(self.book, key)
        return lane

    # -- life --------------------------------------------------------------------------------

    def retire(self) -> None:
        """Begin with no further delivery: another process delivers, once those here are over."""
        self._is_leaving = True
        self.book.is_leading = self.book.may_pass_on = False
        if self._timer is not None:
            self._others.share()

    async def stop(self) -> None:
        """Have all on disk, then let go.  Cancelling it loses what is not there yet."""
        self.retire()
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._journal.drain(DRAIN)
        finally:
            self._lead.release()
            self._others.release()
            self._journal.close()

    def _activate(self) -> None:
        if self._timer is None:
            is_new = not self._config.inbox_path.exists()
            if not self._lead.take():
                self._others.share()
            elif is_new:  # nobody has stored anything
                self.book.is_leading = True
            self._look()

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK, self._look)
        book = self.book
        if self._is_leaving:
            if not any(lane.is_busy for lane in self._lanes.values()):
                self._lead.release()
            return
        if not book.is_leading and self._lead.take():
            self._version = -1  # another one may have written until now
        book.may_pass_on = book.is_leading and self._others.is_free()
        if not self._is_looking:
            self._is_looking = True
            begins = not book.is_leading and self._lead.is_held
            self._journal.read(partial(_read, self._version), partial(self._seen, begins))
        for key, lane in list(self._lanes.items()):
            lane.look()
            if lane.is_idle:
                del self._lanes[key]
        now = self.book.now()
        if self.book.is_leading and now - self._cleaned_at >= CLEAN_EVERY:
            self._cleaned_at = now
            self._clean()

    def _seen(
        self,
        begins: bool,
        found: Seen | StorageError | None,
    ) -> None:
        """Follow what other processes have changed.

        Args:
            begins: The lock was held before this look, and nothing was delivered so far.
            found: None: nothing has changed.
        """
        self._is_looking = False
        self._has_looked.set()
        if found is None or isinstance(found, StorageError):
            return
        self._version = found.version
        book = self.book
        book.recount(found.usage)
        for key in {*found.lanes, *self._lanes}:
            self._lane(key).follow(found.lanes.get(key, 0))
        if not self._unwritten:
            self._take_over(found.marks)
        if begins and self._lead.is_held and not self._is_leaving:
            book.is_leading = True
            self._others.release()
            book.may_pass_on = self._others.is_free()

    def _clean(self) -> None:
        before = time.time_ns() - int(self._settings.max_age * 1e9)
        tokens = self._directory.snapshot.tokens
        revoked = frozenset(one.id for one in tokens.values() if one.revoked)

        def cleaned(found: object) -> None:
            if not isinstance(found, tuple):
                return
            expired, forgotten = found
            if expired:
                _log.error(
                    "%d requests were dropped: no app took them in %.0f s (inbox.max_age)",
                    expired,
                    self._settings.max_age,
                )
            if forgotten:
                _log.warning("%d requests for tokens that were revoked are forgotten", forgotten)
            if expired or forgotten:
                self._version = -1

        self._journal.write(partial(_drop_old, before, revoked), cleaned, makes_room=True)

    def _notify(self, entry: Entry) -> None:
        notify(self._context.observers, entry)


class _Lock:
    """A lock on a file, between processes; the system takes it from one that has ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this process holds it."""
        return self._number is not None

    def take(self) -> bool:
        """Hold it alone, if nobody else has it."""
        if self._number is None:
            self._number = self._locked(alone=True)
        return self._number is not None

    def share(self) -> None:
        """Hold it together with others; who looks whether it is free is done in a moment."""
        if self._number is None:
            self._number = self._locked(alone=False)

    def is_free(self) -> bool:
        """Whether no other process holds it."""
        number = self._locked(alone=True)
        if number is not None:
            os.close(number)
        return number is not None

    def _locked(self, *, alone: bool) -> int | None:
        try:
            number = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        except OSError:
            return None
        try:
            if fcntl is not None:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
        except OSError:
            os.close(number)
            return None
        return number

    def release(self) -> None:
        """Let it go; may be called twice."""
        number, self._number = self._number, None
        if number is not None:
            os.close(number)


def _give(future: asyncio.Future[object], found: object) -> None:
    if not future.done():
        future.set_result(found)


def _set_marks(token_id: str, hostname: str, rules: tuple[str, ...], store: InboxStore) -> None:
    store.set_marks(token_id, hostname, rules)


class Seen(NamedTuple):
    """What the store has, where it has changed since the last look."""

    version: int
    lanes: dict[Lane, int]  # requests that wait
    usage: dict[str, tuple[int, int]]  # requests and bytes, by token id
    marks: dict[tuple[str, str], tuple[str, ...]]  # by token id and hostname


def _read(version: int, store: InboxStore) -> Seen | None:
    """Return what there is, if the file has changed; its version comes first: none is missed."""
    now = store.version
    return None if now == version else Seen(now, store.lanes(), store.usage(), store.marks())


def _drop_old(before: int, revoked: frozenset[str], store: InboxStore) -> tuple[int, int]:
    return store.expire(before), store.forget_tokens(revoked & store.token_ids())
