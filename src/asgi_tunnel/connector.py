"""Keeps sessions to the edge alive: dials, says HELLO, and begins again for ever.

Streams are handed to an :class:`.asgi.origin.Origin`; bytes are pumped by :mod:`.session`.
Called by :mod:`.middleware` and :mod:`.runner`.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import platform
import secrets
import time
from collections.abc import Callable
from typing import Final

import anyio

from ._version import __version__
from .asgi.origin import Origin
from .backoff import PERMANENT, Backoff
from .config import TunnelConfig
from .dial import PinError, dial
from .errors import (
    AuthenticationError,
    HandshakeError,
    HostnameUnavailableError,
    TunnelError,
    VersionMismatchError,
)
from .protocol.codes import DrainReason, GoawayCode, RefuseCode
from .protocol.connection import Connection, Role
from .protocol.events import DrainReceived, SessionTerminated
from .protocol.handshake import (
    HandshakeReader,
    Hello,
    Refuse,
    Welcome,
    encode_handshake,
)
from .session import Session
from .transport import Transport, WebSocketTransport

_log = logging.getLogger("asgi_tunnel.connector")

HELLO_TIMEOUT: Final = 10.0
"""Seconds between HELLO and WELCOME."""

SLEEP: Final = 5.0
"""Seconds of sleep after which the connections are not trusted any more."""

_POLL: Final = 0.02
"""Seconds between looks at what is still in progress while draining."""

_REFUSED: Final = {
    RefuseCode.UNAUTHENTICATED: AuthenticationError,
    RefuseCode.VERSION: VersionMismatchError,
    RefuseCode.HOSTNAME: HostnameUnavailableError,
}
_PERMANENT: Final = (
    AuthenticationError,
    HostnameUnavailableError,
    VersionMismatchError,
    PinError,
)


class Connector:
    """The app's end of a tunnel.

    Args:
        config: Where to dial and as whom.
        origin: Serves the streams.
        name: What the banner calls the app.

    Attributes:
        on_refused: Called with a refusal that no retry is expected to change.
    """

    def __init__(self, config: TunnelConfig, origin: Origin, *, name: str = "the app") -> None:
        self.config = config
        self.on_refused: Callable[[TunnelError], None] | None = None
        self.origin = origin
        self.is_stopping = False
        self._name = name
        self._instance = secrets.token_hex(8)
        self._slots: dict[int, _Slot] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._welcomed: asyncio.Event | None = None
        self.urls: tuple[str, ...] = ()

    @property
    def is_connected(self) -> bool:
        """Whether at least one session can carry streams now."""
        return any(
            slot.session is not None and slot.session.is_attached for slot in self._slots.values()
        )

    def start(self) -> None:
        """Start to dial, in the background."""
        self._welcomed = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._tasks.append(loop.create_task(self._watch_sleep(), name="asgi-tunnel clock"))
        for number in range(self.config.connections):
            slot = self._slots[number] = _Slot(self, number)
            self._tasks.append(
                loop.create_task(
                    slot.keep(),
                    name=f"asgi-tunnel connection {number}",
                    context=contextvars.Context(),
                )
            )

    async def wait_connected(self) -> None:
        """Return when the tunnel is open for the first time."""
        if self._welcomed is not None:
            await self._welcomed.wait()

    async def stop(self, *, reason: DrainReason = DrainReason.SHUTDOWN) -> None:
        """Drain, then end every session.

        The edge is asked for no new streams, requests in progress get ``config.grace`` seconds,
        WebSockets are closed with 1012 at once.  Cancelling it ends everything at once.
        """
        self.is_stopping = True
        grace = self.config.grace
        sessions = [slot.session for slot in self._slots.values() if slot.session is not None]
        try:
            for slot in self._slots.values():
                sessions += slot.retiring
            for session in sessions:
                session.drain(reason, grace=grace)
            self.origin.close_websockets(1012, "the app restarts")
            if sessions:
                with anyio.move_on_after(grace):
                    while any(  # noqa: ASYNC110 - streams end in many ways; a look is cheap
                        not one.is_over and one.connection.open_streams for one in sessions
                    ):
                        await anyio.sleep(_POLL)
            await self.origin.finish(grace if sessions else 0)
        finally:
            for session in sessions:
                session.terminate(GoawayCode.SHUTDOWN, "the app has ended")
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def abort(self) -> None:
        """End everything now: nobody waits for us."""
        self.is_stopping = True
        for task in self._tasks:
            task.cancel()
        for slot in self._slots.values():
            for session in (*slot.retiring, slot.session):
                if session is not None:
                    session.terminate(GoawayCode.SHUTDOWN, "the app has ended")

    async def _watch_sleep(self) -> None:
        """Dial again at once when the machine wakes: the edge has given the connection up."""
        slept = _seconds_slept()
        while True:
            await anyio.sleep(1.0)
            now = _seconds_slept()
            if now - slept > SLEEP:
                _log.info("this machine slept for %.0f s; dialing again", now - slept)
                for slot in self._slots.values():
                    if slot.session is not None:
                        slot.session.drop_transport()
            slept = now

    # -- for its slots -----------------------------------------------------------------------

    def hello(self, slot: int, session: Session | None) -> Hello:
        """Say who this is, and which session it would like to resume."""
        resumable = session is not None and not session.is_over
        return Hello(
            instance=self._instance,
            slot=slot,
            agent=f"asgi-tunnel/{__version__} python/{platform.python_version()}",
            session=session.session_id if session is not None and resumable else "",
            received=(
                session.connection.received_frames if session is not None and resumable else 0
            ),
        )

    def announce(self, welcome: Welcome) -> None:
        """Tell the log: where the app is live, or that it is again."""
        if self._welcomed is not None and not self._welcomed.is_set():
            self._welcomed.set()
            self.urls = welcome.urls
            for url in welcome.urls:
                _log.info("%s is live: %s", self._name, url)
        else:
            _log.info("connected again%s", " and resumed" if welcome.resumed else "")


class _Slot:
    """One of the connections a connector keeps."""

    def __init__(self, connector: Connector, number: int) -> None:
        self.session: Session | None = None
        self.retiring: list[Session] = []  # drained by the edge; finish what they carry
        self._connector = connector
        self._number = number
        self._interrupted = asyncio.Event()

    async def keep(self) -> None:
        """Dial, wait for the end, and begin again."""
        loop = asyncio.get_running_loop()
        backoff = Backoff(loop.time())
        while True:
            self._interrupted.clear()
            try:
                await self._connect()
            except HandshakeError as error:
                delay = self._refused(error, backoff)
            except PinError as error:
                delay = self._refused(error, backoff)
            except (OSError, TimeoutError, TunnelError) as error:
                delay = backoff.next(loop.time())
                _log.warning(
                    "cannot reach the edge at %s (%s); next try in %.1f s",
                    self._connector.config.token.edge,
                    _sentence(error),
                    delay,
                )
            except Exception:  # noqa: BLE001
                # The task's outer edge: a defect here must not leave the app offline for ever.
                delay = PERMANENT
                _log.exception("dialing failed by a defect; next try in %.0f s", delay)
            else:
                backoff.connected(loop.time())
                await self._interrupted.wait()
                backoff.lost(loop.time())
                # The first try comes at once for a cut line, spread for an edge that went away.
                delay = 0.0 if self.session is not None else backoff.next(loop.time())
            await anyio.sleep(delay)

    def _refused(self, error: TunnelError, backoff: Backoff) -> float:
        if isinstance(error, _PERMANENT):
            _log.error("the edge refuses this app: %s", error)
            if self._connector.on_refused is not None:
                self._connector.on_refused(error)
            return max(PERMANENT, getattr(error, "retry_after", None) or 0.0)
        now = asyncio.get_running_loop().time()
        delay = max(backoff.next(now), getattr(error, "retry_after", None) or 0.0)
        _log.warning("the edge is not ready: %s; next try in %.1f s", error, delay)
        return delay

    async def _connect(self) -> None:
        config = self._connector.config
        session = self.session
        transport = await dial(config.token.edge, config.text, pin=config.token.pin)
        try:
            with anyio.fail_after(HELLO_TIMEOUT):
                hello = self._connector.hello(self._number, session)
                welcome, rest = await _greet(transport, hello)
            session = self._adopt(transport, welcome, session, hello)
        except BaseException:
            transport.abort()
            raise
        if rest:
            session.data_received(rest)
        transport.start(session)
        self._connector.announce(welcome)

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
            _log.info("the edge no longer has the session; what was in progress is lost")
            session.terminate(GoawayCode.RESUME_FAILED, "the edge no longer has the session")
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
        session.on_suspended = self._on_suspended
        session.on_drain = self._on_drain
        session.on_end = self._on_end
        self.session = session
        session.attach(transport)
        return session

    def _on_suspended(self, session: Session) -> None:
        if session is self.session:
            _log.info("the connection to the edge was lost; dialing again")
            self._interrupted.set()

    def _on_drain(self, session: Session, event: DrainReceived) -> None:
        """The edge goes away: open the replacement now, let this session finish."""
        if session is self.session:
            self.session = None
            self.retiring.append(session)
            self._interrupted.set()

    def _on_end(self, session: Session, event: SessionTerminated) -> None:
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
            self._interrupted.set()


class _Greeting:
    """Receives the one frame that answers HELLO."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Hello | Welcome | Refuse]
        self.answer = asyncio.get_running_loop().create_future()
        self._reader = HandshakeReader()
        self.rest = b""  # frames behind the answer, which the session has to read
        self.is_lost = False

    def data_received(self, data: bytes | memoryview) -> None:
        if self.answer.done():
            self.rest += data
            return
        try:
            found = self._reader.feed(bytes(data))
        except TunnelError as error:
            self.answer.set_exception(error)
            return
        if found is not None:
            answer, self.rest = found
            self.answer.set_result(answer)

    def transport_writable(self) -> None:
        """HELLO is small."""

    def transport_lost(self, transport: Transport, error: Exception | None) -> None:
        self.is_lost = True
        if not self.answer.done():
            self.answer.set_exception(
                error or ConnectionResetError("the edge closed during the handshake")
            )


async def _greet(transport: WebSocketTransport, hello: Hello) -> tuple[Welcome, bytes]:
    greeting = _Greeting()
    transport.start(greeting)
    transport.send(encode_handshake(hello))
    # The answer is seen a turn of the loop after it came: what came meanwhile is in the greeting.
    answer = await greeting.answer
    if isinstance(answer, Refuse):
        kind = _REFUSED.get(RefuseCode(answer.code)) if answer.code in set(RefuseCode) else None
        raise (kind or HandshakeError)(answer.code, answer.reason, retry_after=answer.retry_after)
    if not isinstance(answer, Welcome):
        raise ConnectionError("the edge answered HELLO with HELLO")
    if greeting.is_lost:
        raise ConnectionResetError("the edge closed after the handshake")
    return answer, greeting.rest


def _seconds_slept() -> float:
    """Return how long this machine has slept since it was started, where that can be known."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return 0.0 if boot is None else time.clock_gettime(boot) - time.monotonic()


def _sentence(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
