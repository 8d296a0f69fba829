"""Keeps sessions to the edge alive: dials, says HELLO, and begins again for ever.

Streams are handed to an :class:`.asgi.origin.Origin`; bytes are pumped by :mod:`.session`.
Called by :mod:`.middleware` and :mod:`.runner`.

Large because a connector and its slots decide together when to dial again and what to log of it.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import anyio

from ._version import __version__
from .agent import agent_of
from .asgi.origin import Origin
from .asgi.websocket import ANSWER_TIMEOUT
from .asking import Asking
from .backoff import BASE, PERMANENT, Backoff
from .config import TunnelConfig
from .dial import dial
from .edge_tls import PinError
from .edges import Edges
from .end_to_end import EndToEnd
from .errors import (
    AuthenticationError,
    HandshakeError,
    HostnameUnavailableError,
    TunnelError,
    VersionMismatchError,
)
from .greeting import HELLO_TIMEOUT, greet
from .group import process_group
from .inspection import begin_inspection, capabilities_of
from .names import ServedNames, advice, is_covered
from .pins import KnownPins
from .policy.collect import SentPolicy
from .protocol.codes import DrainReason, GoawayCode
from .protocol.connection import Connection, Role
from .protocol.events import DrainReceived, SessionTerminated
from .protocol.handshake import DURATION, INBOX, VISITOR, Hello, Welcome
from .protocol.heartbeat import UNKNOWN_ROUND_TRIP
from .protocol.limits import OWN_SETTINGS
from .protocol.policy import BAN
from .proxy import Proxy, find_proxy
from .session import Session
from .status import MAX_NAMES, MAX_SERVICES, MAX_TEXT, ConnectionStatus, StatusSocket
from .transport import CLOSE_TIMEOUT, Transport, WebSocketTransport

_log = logging.getLogger("asgi_tunnel.connector")

AUTH_RETRY_DELAY: Final = 1.0
"""Seconds before a token that the edge does not know is shown once more: an edge hears of a new
token within this time."""

SLEEP: Final = 5.0
"""Seconds of sleep after which the connections are not trusted any more."""

MAX_WARNINGS: Final = 8
"""Lines of the log about names that the token does not serve: a person adds them one by one."""

_POLL: Final = 0.02
"""Seconds between looks at what is still in progress while draining."""

_CROSSING: Final = 0.1
"""Seconds, beside two round trips, in which requests that crossed DRAIN on the way arrive."""

_LOCAL_WAIT: Final = 1.0
"""Seconds between two tries, at the most, while this machine has no network: such a try costs the
edge nothing, and the network that is back is noticed at once."""

LOG_INTERVAL: Final = 8.0
"""Seconds between two lines of the log about the same outage; longer as the outage goes on."""

MAX_LOG_INTERVAL: Final = 60.0
"""Seconds between two such lines at the most: nobody has to guess whether it still tries."""

_NO_UPLINK: Final = frozenset({errno.ENETUNREACH, errno.ENETDOWN})
_NO_NETWORK: Final = _NO_UPLINK | {errno.EHOSTUNREACH}

_PERMANENT: Final = (
    AuthenticationError,
    HostnameUnavailableError,
    VersionMismatchError,
    PinError,
)


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
        self._slots: dict[int, _Slot] = {}
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
            slot = self._slots[number] = _Slot(self, number)
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


class _Slot:
    """One of the connections a connector keeps.

    Large because after each loss it decides when to dial again, where, and what to log of it.
    """

    def __init__(self, connector: Connector, number: int) -> None:
        self.session: Session | None = None
        self.retiring: list[Session] = []  # drained by the edge; finish what they carry
        self.task: asyncio.Task[None] | None = None
        self._connector = connector
        self._number = number
        self._auth_retried = False  # the edge has refused the token once, and is asked again
        self._interrupted = asyncio.Event()
        self._transports: list[WebSocketTransport] = []  # not yet closed, the newest one last
        self._was_connected = False
        self._services: tuple[str, ...] = ()  # that the session's HELLO named
        self._hint: float | None = None  # seconds that the edge asked this side to wait
        self._received = 0  # frames of the session when its transport was new
        self._tries = 0  # since the edge was last reached
        self._outage = 0.0  # when the first of them failed
        self._reasons: dict[str, str] = {}  # by URL: of the last one that was logged
        self._dialed = connector.config.token.edge  # URL, at the last try
        self._place = ""  # which of several edges has the session
        self._is_held = False  # it waits for its edge, and looks for no other
        self._status = ConnectionStatus()
        # When it was logged last that the edge cannot be reached.
        self._last_logged = -MAX_LOG_INTERVAL

    @property
    def sessions(self) -> list[Session]:
        """Those that are there, the newest one first."""
        current = [] if self.session is None else [self.session]
        return [*current, *self.retiring]

    def describe(self) -> dict[str, Any]:
        """Return what it does now, for people."""
        session = self.session
        is_attached = session is not None and session.is_attached
        trip = session.connection.round_trip if session is not None and is_attached else None
        return {
            "number": self._number,
            **self._status.describe(),
            "round_trip": None if trip == UNKNOWN_ROUND_TRIP else trip,
            "in_flight": sum(one.in_flight for one in self.sessions),
            "retiring": len(self.retiring),
        }

    @property
    def is_closed(self) -> bool:
        """Whether every connection has been closed."""
        return all(one.is_lost for one in self._transports)

    @property
    def has_address(self) -> bool:
        """Whether this machine still has the address that the connection uses."""
        return all(one.has_address for one in self._transports)

    def drop_transports(self) -> None:
        """Abort what is connected: it is known to be dead."""
        for one in self._transports:
            one.abort()

    def follow_names(self) -> None:
        """Put a fresh session in the place of one whose HELLO named other services.

        The old one finishes what it carries, and the edge ends it then.  One that has lost its
        connection resumes first, for the sake of what it carries.
        """
        session = self.session
        if (
            session is None
            or not session.is_attached
            or self._connector.is_stopping
            or self._services == self._connector.services
        ):
            return
        session.drain(DrainReason.RENEW)
        self._retire(session, 0.0)

    def _retire(self, session: Session, delay: float) -> None:
        """Open a replacement of the session, after a delay, and let it finish."""
        self.session = None
        self.retiring.append(session)
        self._connector.end_to_end.drain(session)
        self._hint = delay
        self._interrupted.set()

    def look(self) -> None:
        """Look whether another edge is the better one, where there is a session."""
        if self.session is not None and self.session.is_attached:
            self._interrupted.set()

    def stop_dialing(self) -> list[Session]:
        """Dial no more, except to resume what is in progress; return what is in progress."""
        sessions = list(self.retiring)
        if self.session is not None and not self.session.is_over:
            sessions.append(self.session)
        elif self.task is not None:
            self.task.cancel()
        return sessions

    async def keep(self) -> None:
        """Dial, wait for the end, and begin again."""
        await self._connector.wait_turn(self._number)
        loop = asyncio.get_running_loop()
        backoff = Backoff(loop.time())
        while self.session is not None or not self._connector.is_stopping:
            self._interrupted.clear()
            self._hint = None
            self._status.dials()
            try:
                await self._connect()
            except (HandshakeError, PinError) as error:
                self._status.failed(f"the edge refuses this app: {error}")
                delay = self._refused(error, backoff)
            except (OSError, TimeoutError, TunnelError) as error:
                self._status.failed(self._connector.sentence(error))
                delay = self._unreached(error, backoff)
            except Exception:  # noqa: BLE001
                # The task's outer edge: a defect here must not leave the app offline for ever.
                delay = PERMANENT
                _log.exception("dialing failed by a defect; next try in %.0f s", delay)
            else:
                backoff.connected(loop.time())
                self._auth_retried = False
                self._last_logged, self._tries = -MAX_LOG_INTERVAL, 0
                self._reasons.clear()
                await self._stay()
                delay = self._lost(backoff)
            self._status.waits(delay)
            await anyio.sleep(delay)
        self._status.stops()

    async def _stay(self) -> None:
        """Return when the session is lost or drained.

        Meanwhile it moves to the edge that it should be on, once that can be reached.
        """
        edges = self._connector.edges
        while True:
            with anyio.move_on_after(edges.look_in(self._number)):
                await self._interrupted.wait()
            if self.session is None or not self.session.is_attached:
                return
            self._interrupted.clear()
            if edges.wanted(self._number) is None or self._connector.is_stopping:
                continue
            place = self._place
            try:
                await self._connect(moves=True)
                self._hint = None  # of a session that was drained meanwhile
            except Exception as error:  # noqa: BLE001
                # Whatever it is, the connection that is there goes on.
                edges.failed(self._dialed)
                edges.stays(self._number, place)
                _log.debug("= the edge at %s is not back: %s", self._dialed, error)

    def _lost(self, backoff: Backoff) -> float:
        """Return the seconds to wait before the first try."""
        now = asyncio.get_running_loop().time()
        lasted = backoff.lost(now)
        session = self.session
        if session is not None:
            # A cut line is dialed at once; one that is cut as soon as it is there is not, unless
            # it gets on: no busy loop.
            carried = session.connection.received_frames > self._received
            return 0.0 if lasted > BASE or carried else backoff.next(now)
        if self.retiring and self._hint is not None:
            return self._hint  # the edge goes away, and has spread its apps itself
        return (self._hint or 0.0) + backoff.next(now)

    def _unreached(self, error: Exception, backoff: Backoff) -> float:
        """Return the seconds to wait after a try that found no edge."""
        now = asyncio.get_running_loop().time()
        delay = backoff.next(now)
        edges, dialed = self._connector.edges, self._dialed
        self._is_held = self._waits_for_network(error)
        if not self._is_held:
            edges.failed(dialed)
        if not self._is_held and edges.has_ready:
            delay = edges.pause() if self._connector.is_connected else 0.0
        elif isinstance(error, TimeoutError):
            delay = min(delay, BASE)  # the try itself was the wait
        elif isinstance(error, socket.gaierror) or getattr(error, "errno", None) in _NO_NETWORK:
            delay = min(delay, _LOCAL_WAIT)
        self._tries += 1
        if self._tries == 1:
            self._outage = now
        since = now - self._outage
        reason = self._connector.sentence(error)
        pause = min(max(LOG_INTERVAL, since / 4), MAX_LOG_INTERVAL)
        if reason != self._reasons.get(dialed):
            pause = BASE  # what has changed is worth a line
        already_logged = now - self._last_logged < pause
        if not already_logged:
            self._last_logged = now
            self._reasons[dialed] = reason
        _log.log(
            logging.DEBUG
            if already_logged or self._connector.is_already_logged(self._number)
            else logging.WARNING,
            "cannot reach the edge at %s (%s)%s; next try in %.1f s%s",
            dialed,
            reason,
            f" since {since:.0f} s, in {self._tries} tries" if self._tries > 1 else "",
            delay,
            ", and on until it replies" if self._tries == 1 else "",
        )
        return delay

    def _waits_for_network(self, error: Exception) -> bool:
        """Whether it is more likely that this machine's network is away than this edge.

        Then the session is not given up for another edge, which could not be reached either: it
        resumes when the network is back. One connection alone cannot know.
        """
        number = getattr(error, "errno", None)
        if number in _NO_UPLINK:
            return True
        connector = self._connector
        is_silent = isinstance(error, TimeoutError) or number in _NO_NETWORK
        has_siblings = connector.config.connections > 1
        return (
            is_silent and self.session is not None and has_siblings and not connector.hears_an_edge
        )

    def _refused(self, error: TunnelError, backoff: Backoff) -> float:
        if isinstance(error, AuthenticationError) and not self._auth_retried:
            self._auth_retried = True
            return AUTH_RETRY_DELAY
        edges = self._connector.edges
        is_permanent = isinstance(error, _PERMANENT)
        hint = getattr(error, "retry_after", None) or 0.0
        edges.failed(self._dialed, max(PERMANENT, hint) if is_permanent else hint)
        if edges.has_ready:
            level = logging.ERROR if is_permanent else logging.INFO
            _log.log(level, "the edge at %s refuses this app: %s", self._dialed, error)
            return edges.pause()
        if is_permanent:
            _log.error("the edge refuses this app: %s", error)
            if self._connector.on_refused is not None:
                self._connector.on_refused(error)
            return max(PERMANENT, getattr(error, "retry_after", None) or 0.0)
        now = asyncio.get_running_loop().time()
        # Behind the hint, not instead of it: all who were refused got the same one.
        delay = (getattr(error, "retry_after", None) or 0.0) + backoff.next(now)
        _log.warning("the edge is not ready: %s; next try in %.1f s", error, delay)
        return delay

    async def _connect(self, *, moves: bool = False) -> None:
        """Dial, and resume the session or begin one.

        Args:
            moves: There is a session; a fresh one on another edge takes its place, and it finishes
                what it carries.
        """
        config, edges = self._connector.config, self._connector.edges
        session = self.session
        resumable = None if moves else session
        url = self._dialed = edges.choose(self._number, self._place if resumable else "")
        if url not in (self._place, config.token.edge) and self._place:
            resumable = None  # it is on another edge
        with anyio.fail_after(None if self._is_held else edges.patience(url)):
            transport, hello, welcome, rest = await self._reach(url, resumable)
        try:
            if moves and self._connector.is_stopping:
                raise ConnectionAbortedError("the app ends")
            place = edges.reached(self._number, url, welcome.edges, peer=transport.peer)
            session = self.session if moves else session  # which may have been drained meanwhile
            session = self._adopt(transport, welcome, session, hello)
        except BaseException:
            transport.abort()
            raise
        self._place, self._is_held = place, False
        if rest:
            session.data_received(rest)
        self._received = session.connection.received_frames
        transport.start(session)
        is_first, self._was_connected = not self._was_connected, True
        self._status.connected(transport.peer, place, is_resumed=welcome.resumed)
        if not welcome.resumed:
            self._services = hello.services
        self._connector.announce(welcome, is_first=is_first, place=place)
        self.follow_names()  # the table may have changed since HELLO, or since the loss
        known = self._connector.pins
        if known is not None:
            await known.learn(welcome.pins)

    async def _reach(
        self, url: str, session: Session | None
    ) -> tuple[WebSocketTransport, Hello, Welcome, bytes]:
        """Dial an edge and say HELLO.

        Returns:
            The transport, what was said, the reply, and the bytes behind it.
        """
        config, edges = self._connector.config, self._connector.edges
        known = self._connector.pins
        try:
            transport = await dial(
                config.token.edge,
                config.text,
                pins=() if known is None else await known.accepted(),
                ca_file=config.ca_file,
                first=self._connector.first_address + self._number,
                proxy=self._connector.find_proxy(url),
                way=edges.way(url),
            )
        except PinError as error:
            raise PinError("" if known is None else known.kept_in) from error
        self._transports = [one for one in self._transports if not one.is_lost] + [transport]
        try:
            with anyio.fail_after(HELLO_TIMEOUT):
                hello = self._connector.hello(self._number, session)
                welcome, rest = await greet(transport, hello, self._connector.end_to_end.expect)
            self._connector.policy.check(welcome)
        except BaseException:
            transport.abort()
            raise
        return transport, hello, welcome, rest

    def _adopt(
        self, transport: Transport, welcome: Welcome, session: Session | None, hello: Hello
    ) -> Session:
        """Resume the old session over the new transport, or put a new one in its place."""
        if welcome.resumed and session is not None and hello.session:
            if session.resume(transport, welcome.received):
                return session
            raise ConnectionError("the edge resumed another session than this side has")
        if session is not None and not session.is_over:
            # Forgotten first: its end must not interrupt the session that takes its place.
            self.session = None
            if session.is_attached:  # on another edge
                session.drain(DrainReason.RENEW)
                self.retiring.append(session)
                self._connector.end_to_end.drain(session)
            else:
                why = "the edge no longer has the session"
                if not hello.session:
                    why = f"the edge at {self._place} was not reached, and another one was"
                _log.info("%s; what was in progress is lost", why)
                session.terminate(GoawayCode.RESUME_FAILED, why)
        loop = asyncio.get_running_loop()
        connection = Connection(
            Role.CONNECTOR,
            local=hello.settings,
            peer=welcome.settings,
            timing=welcome.timing,
            now=loop.time(),
        )
        origin = self._connector.origin
        session = Session(
            connection,
            session_id=welcome.session,
            on_stream=origin.serve,
            name=f"connection {self._number}",
        )
        session.takes_asks = BAN in welcome.capabilities
        session.on_ask = self._connector.asking.on_reply
        session.on_suspended = self._on_suspended
        session.on_drain = self._on_drain
        session.on_end = self._on_end
        self.session = session
        session.attach(transport)
        return session

    def _on_suspended(self, session: Session) -> None:
        if session is self.session:
            _log.info("the connection to the edge was lost; dialing again")
            self._status.failed("the connection to the edge was lost")
            self._interrupted.set()

    def _on_drain(self, session: Session, event: DrainReceived) -> None:
        """The edge goes away: open the replacement now, let this session finish."""
        if session is self.session:
            if event.reason == DrainReason.SHUTDOWN:
                self._connector.edges.failed(self._place, event.grace)
            self._retire(session, event.delay)

    def _on_end(self, session: Session, event: SessionTerminated) -> None:
        self._connector.ended_streams += session.connection.last_stream_id
        self._connector.asking.end(session)
        if session in self.retiring:
            self.retiring.remove(session)
        elif session is self.session:
            self.session = None
            if not self._connector.is_stopping:
                _log.log(
                    logging.ERROR if event.code == GoawayCode.REVOKED else logging.INFO,
                    "the session ended: %s",
                    event.reason or GoawayCode(event.code).name,
                )
                self._status.failed(event.reason or "the session ended")
            self._hint = event.retry_after
            self._interrupted.set()


def _seconds_slept() -> float:
    """Return how long this machine has slept since it was started, where that can be known."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return 0.0 if boot is None else time.clock_gettime(boot) - time.monotonic()


def _short(texts: Sequence[str]) -> list[str]:
    return [one[:MAX_TEXT] for one in texts[:MAX_NAMES]]


def example_url(url: str) -> str:
    """Return a URL that can be opened, also for a wildcard."""
    return url.replace("//*.", "//demo.", 1)
