"""One of the connections that a connector keeps: dials, resumes, moves to another edge, and logs.

A connector (:mod:`.connector`) has a few; what they share is asked of it, as a :class:`Keeper`.

Large because after each loss one place decides when to dial again, where, and what to log of it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio

from .backoff import BASE, PERMANENT, Backoff
from .dial import dial
from .edge_tls import PinError
from .errors import (
    AuthenticationError,
    HandshakeError,
    HostnameUnavailableError,
    TunnelError,
    VersionMismatchError,
)
from .greeting import HELLO_TIMEOUT, greet
from .protocol.codes import DrainReason, GoawayCode
from .protocol.connection import Connection, Role
from .protocol.heartbeat import UNKNOWN_ROUND_TRIP
from .protocol.policy import BAN
from .session import Session
from .status import ConnectionStatus

if TYPE_CHECKING:
    from .asgi.origin import Origin
    from .asking import Asking
    from .config import TunnelConfig
    from .edges import Edges
    from .end_to_end import EndToEnd
    from .pins import KnownPins
    from .policy.collect import SentPolicy
    from .protocol.events import DrainReceived, SessionTerminated
    from .protocol.handshake import Hello, Welcome
    from .proxy import Proxy
    from .transport import Transport, WebSocketTransport

__all__ = ["Keeper", "Slot"]

_log = logging.getLogger("asgi_tunnel.connector")

AUTH_RETRY_DELAY: Final = 1.0
"""Seconds before a token that the edge does not know is shown once more: an edge hears of a new
token within this time."""

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


class Keeper(Protocol):
    """What a slot asks of its connector.

    Attributes:
        config: Where to dial and as whom.
        edges: Which edge each slot dials.
        end_to_end: Serves streams of bytes.
        origin: Serves the others.
        asking: What the app wants of the edge.
        pins: The certificates to accept; None: CAs are asked.
        policy: What the app wants the edge to refuse.
        first_address: Of the edge's addresses, the one that slot 0 begins with.
        is_stopping: The app ends.
        on_refused: Called with a refusal that no retry is expected to change.
        ended_streams: Of sessions that are over.
    """

    config: TunnelConfig
    edges: Edges
    end_to_end: EndToEnd
    origin: Origin
    asking: Asking
    pins: KnownPins | None
    policy: SentPolicy
    first_address: int
    is_stopping: bool
    on_refused: Callable[[TunnelError], None] | None
    ended_streams: int

    @property
    def is_connected(self) -> bool:
        """Whether at least one session can carry streams now."""

    @property
    def hears_an_edge(self) -> bool:
        """Whether a connection was heard a moment ago."""

    @property
    def services(self) -> tuple[str, ...]:
        """What HELLO says that the app has."""

    def is_already_logged(self, slot: int) -> bool:
        """Whether the first slot logs what this one would."""

    def hello(self, slot: int, session: Session | None) -> Hello:
        """Say who this is, and which session it would like to resume."""

    def find_proxy(self, edge: str) -> Proxy | None:
        """Return the proxy to dial an edge through."""

    def sentence(self, error: BaseException) -> str:
        """Return why the edge was not reached."""

    async def wait_turn(self, slot: int) -> None:
        """Return when the slot may dial for the first time."""

    def announce(self, welcome: Welcome, *, is_first: bool, place: str = "") -> None:
        """Hear that an edge has taken the app."""


class Slot:
    """One of the connections a connector keeps.

    Large because after each loss it decides when to dial again, where, and what to log of it.
    """

    def __init__(self, connector: Keeper, number: int) -> None:
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
                _log.debug("the edge at %s is not back: %s", self._dialed, error)

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
        if self._connector.is_stopping and not welcome.resumed:
            # Nobody would drain it, nor end it: what it was dialed for is lost already.
            session.terminate(GoawayCode.SHUTDOWN, "the app ends")
            return
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
            if event.code == GoawayCode.REVOKED and self.session is None:
                self._say_end(event)  # its replacement, which is on its way, is refused
        elif session is self.session:
            self.session = None
            self._say_end(event)
            self._hint = event.retry_after
            self._interrupted.set()

    def _say_end(self, event: SessionTerminated) -> None:
        if self._connector.is_stopping:
            return
        level = logging.ERROR if event.code == GoawayCode.REVOKED else logging.INFO
        _log.log(level, "the session ended: %s", event.reason or _name_of(event.code))
        self._status.failed(event.reason or "the session ended")


def _name_of(code: int) -> str:
    try:
        return GoawayCode(code).name
    except ValueError:  # of a newer edge
        return f"code {code}"
