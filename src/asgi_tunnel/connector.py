"""Keeps sessions to the edge alive: dials, says HELLO, and begins again for ever.

Streams are handed to an :class:`.asgi.origin.Origin`; bytes are pumped by :mod:`.session`.
Called by :mod:`.middleware` and :mod:`.runner`. Each of its connections is a :class:`.slot.Slot`.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import anyio

from ._version import __version__
from .agent import agent_of
from .asgi.origin import Origin
from .asgi.websocket import ANSWER_TIMEOUT
from .asking import Asking
from .config import TunnelConfig
from .edges import Edges
from .end_to_end import EndToEnd
from .errors import (
    TunnelError,
)
from .group import process_group
from .inspection import begin_inspection, capabilities_of
from .names import ServedNames, advice, is_covered
from .pins import KnownPins
from .policy.collect import SentPolicy
from .protocol.codes import DrainReason, GoawayCode
from .protocol.handshake import DURATION, INBOX, VISITOR, Hello, Welcome
from .protocol.limits import OWN_SETTINGS
from .proxy import Proxy, find_proxy
from .session import Session
from .slot import Slot
from .status import MAX_NAMES, MAX_SERVICES, MAX_TEXT, StatusSocket
from .transport import CLOSE_TIMEOUT

_log = logging.getLogger("asgi_tunnel.connector")

SLEEP: Final = 5.0
"""Seconds of sleep after which the connections are not trusted any more."""

MAX_WARNINGS: Final = 8
"""Lines of the log about names that the token does not serve: a person adds them one by one."""

_POLL: Final = 0.02
"""Seconds between looks at what is still in progress while draining."""

_CROSSING: Final = 0.1
"""Seconds, beside two round trips, in which requests that crossed DRAIN on the way arrive."""


class Connector:
    """The app's end of a tunnel.

    Large because all that its connections have in common is here: what is said of them, once.

    Args:
        config: Where to dial and as whom.
        origin: Serves the streams.
        name: What the banner calls the app.
        served: The names of the app's table, which may change; None: it takes whatever comes.
        policy: What the app wants the edge to refuse.
        inbox: Routes whose requests the edge keeps while the app is away.

    Attributes:
        on_refused: Called with a refusal that no retry is expected to change.
        on_urls: Called with the URLs that visitors use, when they are known, when they change, and
            when the app's table has other apps.
        end_to_end: Serves streams of bytes.
    """

    def __init__(
        self,
        config: TunnelConfig,
        origin: Origin,
        *,
        name: str = "the app",
        served: ServedNames | None = None,
        policy: SentPolicy | None = None,
        inbox: tuple[str, ...] = (),
    ) -> None:
        self.config = config
        self._inbox = inbox
        self.policy = SentPolicy() if policy is None else policy
        self._notes: tuple[str, ...] = ()  # of the newest WELCOME
        self.asking = Asking(self._current_sessions)
        self._is_unkept_logged = False
        self._served = ServedNames() if served is None else served
        self._unserved: frozenset[str] = frozenset()  # of the table's names, as it was logged
        self._shared: set[str] = set()  # names that another process serves, as it was logged
        self.on_refused: Callable[[TunnelError], None] | None = None
        self.on_urls: Callable[[Sequence[str]], None] | None = None
        self.origin = origin
        origin.edge = config.token.edge
        self.is_stopping = False
        self._name = name
        self._agent = agent_of(origin.app)
        self._instance = secrets.token_hex(8)
        # Resolvers sort what DNS has turned: apps would all begin at the same of several edges.
        self.first_address = secrets.randbelow(1 << 16)
        self._group = process_group()
        self._slots: dict[int, Slot] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._welcomed: asyncio.Event | None = None
        self._welcome: Welcome | None = None  # the newest
        self._started = time.time()
        self.ended_streams = 0  # of sessions that are over
        self._status: StatusSocket | None = None
        self.urls: tuple[str, ...] = ()
        self._proxy: Proxy | None = None  # that was logged last
        token = config.token
        self.pins = None if token.pin is None else KnownPins(token, config.pins_folder)
        self.edges = Edges(config, self._instance)
        self.edges.on_change = self._follow_edges
        self.end_to_end = EndToEnd(config.end_to_end, origin)
        origin.serve_bytes = self.end_to_end.serve
        self._inspection = begin_inspection(config.inspect, origin, name[:MAX_TEXT], self._agent)

    @property
    def is_connected(self) -> bool:
        """Whether at least one session can carry streams now."""
        return any(
            slot.session is not None and slot.session.is_attached for slot in self._slots.values()
        )

    @property
    def hears_an_edge(self) -> bool:
        """Whether at least one session is there whose edge replies."""
        sessions = [slot.session for slot in self._slots.values()]
        return any(one is not None and one.is_attached and not one.is_suspect for one in sessions)

    def start(self) -> None:
        """Start to dial, in the background."""
        _log.info("connecting to %s", self.config.token.edge)
        self._welcomed = asyncio.Event()
        self._served.on_change = self._follow_names
        self._served.on_apps = self._name_urls
        loop = asyncio.get_running_loop()
        self.asking.start()
        self._tasks.append(loop.create_task(self._watch_machine(), name="asgi-tunnel clock"))
        folder = self.config.status_folder
        name = f"{os.getpid()}-{self._instance[:8]}"
        if self._inspection is not None:
            self._tasks.append(loop.create_task(self._inspection.open(folder, name)))
        if folder is not None:
            self._status = StatusSocket(folder, name, self.describe)
            opening = loop.create_task(self._status.open(), name="asgi-tunnel status")
            self._tasks.append(opening)
        for number in range(self.config.connections):
            slot = self._slots[number] = Slot(self, number)
            slot.task = loop.create_task(
                slot.keep(), name=f"asgi-tunnel connection {number}", context=contextvars.Context()
            )
            self._tasks.append(slot.task)

    def _current_sessions(self) -> list[Session]:
        return [slot.session for slot in self._slots.values() if slot.session is not None]

    def _follow_names(self) -> None:
        """The app's table has other names: say HELLO anew, once for each connection."""
        for slot in self._slots.values():
            slot.follow_names()

    def _follow_edges(self) -> None:
        """Other edges are known: each connection may have to move."""
        for slot in self._slots.values():
            slot.look()

    def _name_urls(self) -> None:
        if self.on_urls is None or self._welcome is None:
            return
        try:
            self.on_urls(self._welcome.urls)
        except Exception:  # noqa: BLE001
            # It looks into the app's own objects: a defect there must not keep the app offline.
            _log.exception("the app could not be told its URLs")

    async def wait_connected(self) -> None:
        """Return when the tunnel is open for the first time."""
        if self._welcomed is not None:
            await self._welcomed.wait()

    async def stop(self, *, reason: DrainReason = DrainReason.SHUTDOWN) -> None:
        """Drain, then end every session.

        The edge is asked for no new streams, requests in progress get ``config.grace`` seconds;
        what has no end of its own is ended at once: WebSockets with 1012, and event streams.
        Cancelling it ends everything at once.
        """
        self.is_stopping = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.config.grace
        sessions = [session for slot in self._slots.values() for session in slot.stop_dialing()]
        try:
            for session in sessions:
                session.drain(reason, grace=self.config.grace)
            self._end_endless()
            if sessions:
                with anyio.move_on_after(self.config.grace):
                    await self._finish_streams(sessions)
            await self.origin.finish(max(deadline - loop.time(), 0.0) if sessions else 0)
        finally:
            for session in sessions:
                session.terminate(GoawayCode.SHUTDOWN, "the app has ended")
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._close_sockets()
            self.end_to_end.stop()
            self.asking.stop()
            await self._leave()

    async def _finish_streams(self, sessions: list[Session]) -> None:
        """Return when no stream is open, nor on its way."""
        round_trip = max(session.connection.round_trip for session in sessions)
        await anyio.sleep(_CROSSING + 2 * round_trip)
        self._end_endless()  # those that have crossed DRAIN
        while any(  # noqa: ASYNC110 - streams end in many ways; a look is cheap
            not one.is_over and one.connection.open_streams for one in sessions
        ):
            await anyio.sleep(_POLL)

    def _end_endless(self) -> None:
        # Of a short grace a half is left for the app, when the edge does not answer.
        patience = min(ANSWER_TIMEOUT, self.config.grace / 2)
        self.origin.close_websockets(1012, "the app restarts", patience=patience)
        self.origin.end_event_streams()
        self.end_to_end.shut_down()

    async def _leave(self) -> None:
        """Wait until the last bytes have left: they are in the transports, which close by then."""
        with anyio.move_on_after(CLOSE_TIMEOUT):
            while any(not slot.is_closed for slot in self._slots.values()):  # noqa: ASYNC110
                await anyio.sleep(_POLL)

    async def part(self) -> None:
        """Let the last words leave at the end of an event loop, after :meth:`abort`; close all.

        It takes milliseconds, and ``CLOSE_TIMEOUT`` where the edge does not answer.
        """
        await self._leave()
        for slot in self._slots.values():
            slot.drop_transports()
        await asyncio.sleep(0)  # in which the loop closes their sockets

    def abort(self) -> None:
        """End everything now: nobody waits for us."""
        self.is_stopping = True
        self.asking.stop()
        self.end_to_end.stop()
        for task in self._tasks:
            task.cancel()
        self._close_sockets()
        for slot in self._slots.values():
            for session in (*slot.retiring, slot.session):
                if session is not None:
                    session.terminate(GoawayCode.SHUTDOWN, "the app has ended")

    def _close_sockets(self) -> None:
        if self._status is not None:
            self._status.close()
        if self._inspection is not None:
            self._inspection.close()

    def describe(self) -> dict[str, Any]:
        """Return what the tunnel does now: docs/reference/schemas/app/status.json has its form."""
        sessions = [session for slot in self._slots.values() for session in slot.sessions]
        streams = self.ended_streams + sum(one.connection.last_stream_id for one in sessions)
        in_flight = sum(one.in_flight for one in sessions)
        welcome, table = self._welcome, self._served.describe
        services = [] if table is None else table()
        return {
            "pid": os.getpid(),
            "app": self._name[:MAX_TEXT],
            "version": __version__,
            "started": self._started,
            "edge": self.config.token.edge[:MAX_TEXT],
            "edges": _short(self.edges.known),
            "token_id": self.config.token.id,
            "hostnames": [] if welcome is None else _short(welcome.hostnames),
            "urls": [] if welcome is None else _short(welcome.urls),
            "is_connected": self.is_connected,
            "is_stopping": self.is_stopping,
            "connections": [slot.describe() for slot in self._slots.values()],
            "in_flight": in_flight,
            "done": streams - in_flight,
            "services": services[:MAX_SERVICES],
            "more_services": max(len(services) - MAX_SERVICES, 0),
            "policy": {
                "rules": [one.to_json() for one in self.policy.rules],
                "routes": len(self.policy.routes),
                "notes": list(self._notes),
            },
        }

    async def _watch_machine(self) -> None:
        """Dial again at once when this machine wakes or changes its address.

        Nothing else tells, and the silence would take up to 9 s to be noticed.
        """
        slept = _seconds_slept()
        while True:
            await anyio.sleep(1.0)
            now = _seconds_slept()
            has_slept = now - slept > SLEEP
            if has_slept:
                _log.info("this machine slept for %.0f s; dialing again", now - slept)
            for slot in self._slots.values():
                if has_slept or not slot.has_address:
                    slot.drop_transports()
            slept = now

    # -- for its slots -----------------------------------------------------------------------

    @property
    def services(self) -> tuple[str, ...]:
        """What HELLO says that the app has."""
        return self._served.in_hello

    def is_already_logged(self, slot: int) -> bool:
        """Whether the first slot logs what this one would: that the edge cannot be reached."""
        return slot > 0 and not self.is_connected

    def hello(self, slot: int, session: Session | None) -> Hello:
        """Say who this is, and which session it would like to resume."""
        resumable = session is not None and not session.is_over
        return Hello(
            instance=self._instance,
            slot=slot,
            group=self._group,
            agent=self._agent,
            hostnames=self.config.hostnames,
            services=self.services,
            inbox=self._inbox,
            capabilities=(DURATION, VISITOR, *capabilities_of(self._inspection)),
            policy=self.policy.rules,
            routes=self.policy.routes,
            settings=OWN_SETTINGS,
            session=session.session_id if session is not None and resumable else "",
            received=(
                session.connection.received_frames if session is not None and resumable else 0
            ),
        )

    def find_proxy(self, edge: str) -> Proxy | None:
        """Return the proxy to dial an edge through, and say which one when it is another one."""
        proxy = find_proxy(edge)
        if proxy != self._proxy:
            self._proxy = proxy
            if proxy is not None:
                _log.info("dialing the edge through the proxy %s (%s)", proxy, proxy.variable)
        return proxy

    def sentence(self, error: BaseException) -> str:
        """Return why the edge was not reached, for the log."""
        if isinstance(error, TimeoutError):
            through = "" if self._proxy is None else f" through the proxy {self._proxy}"
            return f"no reply in time{through}"
        return str(error) or type(error).__name__

    async def wait_turn(self, slot: int) -> None:
        """Return at once for the first slot, for the others when the tunnel was open once.

        So a refused token is refused, and said, once.
        """
        if slot:
            await self.wait_connected()

    def announce(self, welcome: Welcome, *, is_first: bool, place: str = "") -> None:
        """Tell the log: where the app is live, or that it is again.

        Args:
            welcome: What the edge said.
            is_first: The slot has not been connected before.
            place: Which of several edges that is.
        """
        before = () if self._welcome is None else self._welcome.urls
        self._welcome = welcome
        if self._welcomed is not None and not self._welcomed.is_set():
            self._welcomed.set()
            self.urls = welcome.urls
            for url in welcome.urls:
                other = " (or any other name in the place of demo)" if "//*." in url else ""
                _log.info("%s is live: %s%s", self._name, example_url(url), other)
        elif not is_first:
            to = f" to {place}" if place else ""
            _log.info("connected again%s%s", to, " and resumed" if welcome.resumed else "")
        if welcome.urls != before:
            self._name_urls()
        self._warn(welcome)
        if not welcome.resumed:
            self._tell_policy(welcome)

    def _tell_policy(self, welcome: Welcome) -> None:
        """Say what of the app's rules does not hold as it says, once for each."""
        notes = self.policy.notes(welcome)
        for one in notes:
            if one not in self._notes:
                _log.warning("policy: %s", one)
        self._notes = notes

    def _warn(self, welcome: Welcome) -> None:
        """Say which names nobody comes to, and which another process serves, once for each.

        And, once, that the edge does not keep what the app has marked.
        """
        is_kept = welcome.resumed or INBOX in welcome.capabilities
        if self._inbox and not is_kept and not self._is_unkept_logged:
            self._is_unkept_logged = True
            _log.warning(
                "the edge keeps no requests for this app while it is away (it is of an older "
                "version, or inbox.enabled is false there), and routes are marked: %s",
                ", ".join(self._inbox),
            )
        names = self._served.names
        unserved = frozenset(one for one in names if not is_covered(one, welcome.hostnames))
        new = [one for one in names if one in unserved - self._unserved]
        self._unserved = unserved
        for one in new[:MAX_WARNINGS]:
            _log.warning("%s", advice(one, self.config.token.id))
        if len(new) > MAX_WARNINGS:
            _log.warning("the token does not serve %d names more", len(new) - MAX_WARNINGS)
        shared = [one for one in welcome.shared if one not in self._shared]
        self._shared.update(shared)
        if shared:
            _log.warning(
                "another process serves %s too, with the same token, and each request goes to "
                "one of the two; if that is not meant, end the other one, or give this one a "
                "token of its own",
                ", ".join(shared),
            )


def _seconds_slept() -> float:
    """Return how long this machine has slept since it was started, where that can be known."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return 0.0 if boot is None else time.clock_gettime(boot) - time.monotonic()


def _short(texts: Sequence[str]) -> list[str]:
    return [one[:MAX_TEXT] for one in texts[:MAX_NAMES]]


def example_url(url: str) -> str:
    """Return a URL that can be opened, also for a wildcard."""
    return url.replace("//*.", "//demo.", 1)
