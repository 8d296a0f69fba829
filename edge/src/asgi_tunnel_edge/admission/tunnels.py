"""The door for tunnels: checks the token, says WELCOME, and hands sessions to the registry."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from websockets.utils import accept_key

from asgi_tunnel.errors import TunnelError
from asgi_tunnel.protocol.codes import GoawayCode, RefuseCode
from asgi_tunnel.protocol.connection import Connection, Role
from asgi_tunnel.protocol.events import DrainReceived, SessionTerminated
from asgi_tunnel.protocol.handshake import (
    SUBPROTOCOL,
    HandshakeReader,
    Hello,
    Refuse,
    Welcome,
    agree_version,
    encode_handshake,
)
from asgi_tunnel.protocol.limits import PROTOCOL_VERSION, Settings, Timing
from asgi_tunnel.session import Session
from asgi_tunnel.transport import Transport, WebSocketTransport

from .. import __version__
from ..address import group_of
from ..directory import Holder, Registry
from ..errors import HostnameError
from ..hostname import normalise_hostname
from ..request import Request
from ..tokens import Refusal, TokenRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..settings.config import Limits

_log = logging.getLogger("asgi_tunnel_edge.admission.tunnels")

HELLO_TIMEOUT: Final = 10.0
"""Seconds between the WebSocket handshake and HELLO."""

MAX_GREETING: Final = 256
"""Connections that may be between the two at one time: a reconnecting crowd is let in by turns."""

FAILURES: Final = 20
"""Different wrong tokens from one address in ``FAILURE_WINDOW``; more are answered with 429."""

FAILURE_WINDOW: Final = 60.0
"""Seconds."""

STALL_CHECK: Final = 0.25
"""Seconds between two looks at what waits for a session whose transport was lost, and before the
first one: most are back by then."""

OVERLOAD_RETRY: Final = 5
"""Seconds that a new tunnel is told to wait when the edge has no memory left."""

_MAX_ADDRESSES: Final = 10_000


@runtime_checkable
class Stallable(Protocol):
    """A handler that knows what to do while its session is away."""

    def check_stalled(self, lost_for: float, hold: float) -> None:
        """The peer was not heard for ``lost_for`` seconds; a visitor waits ``hold`` seconds."""


Answer = tuple[int, str, int | None]
"""Status, sentence and Retry-After of a refusal."""


class Door:
    """Lets connectors in.

    Args:
        registry: Where sessions go.
        limits: ``max_tunnels`` and ``resume_window`` are used.
        url_of: Where visitors find a hostname.
    """

    def __init__(self, registry: Registry, limits: Limits, url_of: Callable[[str], str]) -> None:
        self._registry = registry
        self._limits = limits
        self._url_of = url_of
        self._timing = Timing(resume_window=limits.resume_window)
        self._settings = Settings()
        self._greeting: set[_Greeting] = set()
        self._failures: dict[str, tuple[float, set[bytes]]] = {}
        self.is_closed = False
        self.is_overloaded = False  # no memory is left; set by the ingress

    def open(
        self,
        address: str,
        transport: asyncio.Transport,
        request: Request,
        rest: bytes | bytearray,
    ) -> Answer | None:
        """Check the token and complete the WebSocket handshake.

        Args:
            address: Of the app's machine.
            transport: Is given away on success.
            request: The handshake.
            rest: What came behind it.

        Returns:
            Why not, or None.
        """
        if self.is_closed:
            return 503, "this edge is about to stop", 1
        if (
            len(self._registry.holders) >= self._limits.max_tunnels
            or len(self._greeting) >= MAX_GREETING
        ):
            return 503, "this edge has no room for another tunnel right now", 2
        text = _bearer(request)
        token = self._registry.snapshot.authenticate_text(text)
        if isinstance(token, Refusal):
            if self._is_guessing(group_of(address), text):
                return 429, "too many wrong tokens came from this address", int(FAILURE_WINDOW)
            _log.warning("a tunnel from %s was refused: %s", address, token.code)
            return 401, token.sentence, None
        if self.is_overloaded and not self._registry.has_lost(token.id):
            return 503, "this edge has no memory left for another tunnel right now", OVERLOAD_RETRY
        key = request.websocket_key
        assert key is not None
        transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            b"sec-websocket-accept: "
            + accept_key(key.decode("latin-1")).encode()
            + b"\r\n"
            + b"sec-websocket-protocol: "
            + SUBPROTOCOL.encode()
            + b"\r\n\r\n"
        )
        carrier = WebSocketTransport(is_masking=False)
        transport.set_protocol(carrier.as_protocol())
        carrier.connection_made(transport)
        greeting = _Greeting(self, carrier, token, address)
        self._greeting.add(greeting)
        carrier.start(greeting)
        if rest:
            carrier.data_received(bytes(rest))
        return None

    def _is_guessing(self, address: str, text: str) -> bool:
        """Count a wrong token.

        Different ones only: apps whose token was revoked show the same one again and again, and
        share their address with apps whose token is good.
        """
        now = asyncio.get_running_loop().time()
        since, tokens = self._failures.get(address, (now, set()))
        if now - since > FAILURE_WINDOW:
            since, tokens = now, set()
        digest = hashlib.sha256(text.encode("latin-1", "replace")).digest()
        is_guessing = len(tokens) >= FAILURES and digest not in tokens
        if not is_guessing:
            tokens.add(digest)
        if len(self._failures) >= _MAX_ADDRESSES and address not in self._failures:
            self._failures.clear()
        self._failures[address] = since, tokens
        return is_guessing

    def greeted(self, greeting: _Greeting, hello: Hello, rest: bytes) -> None:
        """HELLO came: resume a session or start one."""
        self._greeting.discard(greeting)
        token = greeting.token
        refusal = self._check(hello, token)
        if refusal is not None:
            greeting.carrier.send(encode_handshake(refusal))
            greeting.carrier.close()
            return
        session = self._resume(greeting, hello)
        if session is None:
            session = self._begin(greeting, hello)
        if rest:
            session.data_received(rest)
        greeting.carrier.start(session)

    def gone(self, greeting: _Greeting) -> None:
        """The connection ended before HELLO."""
        self._greeting.discard(greeting)

    def _check(self, hello: Hello, token: TokenRecord) -> Refuse | None:
        if agree_version(hello) is None:
            side = "the app's side" if hello.version < PROTOCOL_VERSION else "the edge"
            return Refuse(
                code=RefuseCode.VERSION,
                reason=f"the app speaks protocol {hello.oldest} to {hello.version}, the edge "
                f"{PROTOCOL_VERSION}; upgrade {side}",
            )
        for wanted in hello.hostnames:
            try:
                name = normalise_hostname(wanted, wildcard=True)
            except HostnameError:
                name = ""
            if name not in token.hostnames:
                return Refuse(
                    code=RefuseCode.HOSTNAME,
                    reason=f"the token {token.name} does not serve every hostname it asked for",
                )
        return None

    def _welcome(self, session_id: str, token: TokenRecord) -> Welcome:
        return Welcome(
            session=session_id,
            agent=f"asgi-tunnel-edge/{__version__}",
            hostnames=token.hostnames,
            urls=tuple(self._url_of(name) for name in token.hostnames),
            settings=self._settings,
            timing=self._timing,
        )

    def _resume(self, greeting: _Greeting, hello: Hello) -> Session | None:
        if not hello.session:
            return None
        session = self._registry.find_session(hello.session, greeting.token.id)
        if session is None or session.is_over:
            return None
        welcome = self._welcome(session.session_id, greeting.token)
        received = session.connection.received_frames
        frame = encode_handshake(replace(welcome, resumed=True, received=received))
        if hello.received > session.connection.sent_frames:
            return None
        greeting.carrier.send(frame)
        if not session.resume(greeting.carrier, hello.received):
            greeting.carrier.abort()
        self._registry.attached(session)
        return session

    def _begin(self, greeting: _Greeting, hello: Hello) -> Session:
        loop = asyncio.get_running_loop()
        session_id = secrets.token_urlsafe(24)
        greeting.carrier.send(encode_handshake(self._welcome(session_id, greeting.token)))
        session = Session(
            Connection(
                Role.EDGE,
                local=self._settings,
                peer=hello.settings,
                timing=self._timing,
                now=loop.time(),
            ),
            session_id=session_id,
            name=f"{greeting.token.name}/{_printable(hello.instance[:8])}/{hello.slot}",
        )
        session.on_drain = self._on_drain
        session.on_suspended = self._on_suspended
        session.on_end = self._on_end
        session.attach(greeting.carrier)
        self._registry.add(
            Holder(session, greeting.token, instance=hello.instance, slot=hello.slot)
        )
        _log.info("tunnel %s is open from %s", session.name, greeting.address)
        return session

    def _on_suspended(self, session: Session) -> None:
        _log.info("tunnel %s has lost its connection", session.name)
        asyncio.get_running_loop().call_later(STALL_CHECK, self._check_stalled, session)

    def _check_stalled(self, session: Session) -> None:
        """Move or answer the requests that a lost session need not keep."""
        if session.is_attached or session.is_over:
            return
        loop = asyncio.get_running_loop()
        lost_for = loop.time() - session.connection.last_receive
        hold = self._limits.hold_timeout - STALL_CHECK  # seen at the next look, it would be late
        for handler in list(session.handlers.values()):
            if isinstance(handler, Stallable):
                handler.check_stalled(lost_for, hold)
        loop.call_later(STALL_CHECK, self._check_stalled, session)

    def _on_drain(self, session: Session, event: DrainReceived) -> None:
        self._registry.draining(session)

    def _on_end(self, session: Session, event: SessionTerminated) -> None:
        self._registry.remove(session)
        reason = event.reason or (
            GoawayCode(event.code).name if event.code in set(GoawayCode) else str(event.code)
        )
        _log.info("tunnel %s has ended: %s", session.name, _printable(reason))


class _Greeting:
    """A connection between its WebSocket handshake and HELLO; a transport's receiver."""

    def __init__(
        self, door: Door, carrier: WebSocketTransport, token: TokenRecord, address: str
    ) -> None:
        self.carrier = carrier
        self.token = token
        self.address = address
        self._door = door
        self._reader = HandshakeReader()
        self._is_over = False  # HELLO was read, or cannot be
        self._timer = asyncio.get_running_loop().call_later(HELLO_TIMEOUT, carrier.abort)

    def data_received(self, data: bytes | memoryview) -> None:
        if self._is_over:
            return  # refused: nothing more is read, and above all nothing is kept
        try:
            found = self._reader.feed(bytes(data))
        except TunnelError as error:
            self._is_over = True
            self._timer.cancel()
            refuse = Refuse(code=RefuseCode.MALFORMED, reason=str(error))
            self.carrier.send(encode_handshake(refuse))
            self.carrier.close()
            return
        if found is None:
            return
        self._is_over = True
        self._timer.cancel()
        message, rest = found
        if isinstance(message, Hello):
            self._door.greeted(self, message, rest)
        else:
            self.carrier.abort()

    def transport_writable(self) -> None:
        """Nothing waits to be sent."""

    def transport_lost(self, transport: Transport, error: Exception | None) -> None:
        self._timer.cancel()
        self._door.gone(self)


def _printable(text: str) -> str:
    """Escape what could start a line of the log or move a terminal's cursor (T38)."""
    if text.isascii() and text.isprintable():
        return text
    return text.encode("unicode_escape", "backslashreplace").decode("ascii")


def _bearer(request: Request) -> str:
    values = [value for name, value in request.fields if name == b"authorization"]
    if len(values) != 1 or values[0][:7].lower() != b"bearer ":
        return ""
    return values[0][7:].strip().decode("latin-1")
