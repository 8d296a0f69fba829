"""Accepts tunnels: checks the token, completes the WebSocket handshake, replies to HELLO.

What happens to a session afterwards is in :mod:`.supervisor`, how many wrong tokens an address may
send in :mod:`.failures`.  Called by the visitor's connection that got the handshake's request.

Large because it holds one class, which says why.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from websockets.utils import accept_key

from asgi_tunnel.protocol.codes import RefuseCode
from asgi_tunnel.protocol.connection import Connection, Role
from asgi_tunnel.protocol.handshake import (
    DURATION,
    INBOX,
    INSPECT,
    PROBE,
    SUBPROTOCOL,
    VISITOR,
    Hello,
    Refuse,
    Welcome,
    agree_version,
    encode_handshake,
)
from asgi_tunnel.protocol.limits import MAX_HANDSHAKE_SIZE, OWN_SETTINGS, PROTOCOL_VERSION, Timing
from asgi_tunnel.protocol.policy import BAN, POLICY, PolicyRule
from asgi_tunnel.session import Session
from asgi_tunnel.transport import WebSocketTransport

from .. import __version__
from ..address import group_of
from ..context import EdgeContext
from ..counts import TunnelCounts
from ..directory import LocalDirectory
from ..errors import HostnameError
from ..hostname import normalise_hostname
from ..quotas import MAX_PENDING_PER_TOKEN
from ..replies import RETRY_AFTER, Reply
from ..route import SessionEntry, granted_hostnames
from ..shares.pool import FairPool
from ..shares.spent import Spending
from ..tokens import Refusal, TokenRecord, digest_of
from .failures import FAILURE_WINDOW, FailureLimiter
from .pending import PendingTunnel
from .supervisor import SessionSupervisor, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..policy.matcher import AppPolicy
    from ..request import Request

__all__ = ["AppDesk", "SessionCarrier", "TunnelAcceptor"]

_log = logging.getLogger("asgi_tunnel_edge.admission")

MAX_PENDING_HANDSHAKES: Final = 256
"""Connections that may be between the two at one time: caps what a reconnect storm costs. Those of
tokens with a session to resume have as many places again, which no other token can take."""

CARRY_AT_MOST: Final = 30.0
"""Seconds that a session which goes on over another process is used as before while it carries
something; then a fresh one is asked for in its place, as at once where it is empty."""

CARRY_LOOK: Final = 0.5
"""Seconds between two looks whether it is empty."""

_TOO_BUSY: Final = "the token sent too many frames without content"
_FULL: Final = "this edge has no room for another tunnel right now"
_CROWDED: Final = "the token has as many tunnels as it may have (max_tunnels)"
_REASONS: Final = {
    RefuseCode.UNAUTHENTICATED: "revoked",
    RefuseCode.VERSION: "version",
    RefuseCode.HOSTNAME: "hostname",
    RefuseCode.OVERLOAD: "limit",
    RefuseCode.MALFORMED: "malformed",
}


class AppDesk(Protocol):
    """Takes what apps want of the edge beside their tunnels."""

    def notes(
        self, rules: Sequence[PolicyRule], hostnames: Sequence[str], end_to_end: Sequence[str]
    ) -> tuple[str, ...]:
        """Return what of an app's rules holds in another way than it says, for its log.

        Args:
            rules: Of its HELLO.
            hostnames: That its session serves.
            end_to_end: Those of them that the edge cannot read.
        """

    def answer(self, token: TokenRecord, values: Mapping[str, Any]) -> dict[str, Any]:
        """Do what an app wants (ASK), and return what became of it (REPLY)."""


class SessionCarrier(Protocol):
    """Lets a session resume that lives in another process of this edge; ``peers.carry`` has it."""

    def carry(self, pending: PendingTunnel, hello: Hello, otherwise: Callable[[], None]) -> bool:
        """Ask the process that may have the session, and hand the connection over to it.

        Args:
            pending: The connection; nothing is sent on it meanwhile.
            hello: Names the session.
            otherwise: Called when that process has not, or cannot be asked.

        Returns:
            False where there is none to ask: nothing will be called.
        """


class TunnelAcceptor:
    """Accepts the connections of connectors and makes or resumes their sessions.

    Large because each step of a handshake needs what the steps before have found.

    Args:
        context: While it stops, no connection is accepted; while it is overloaded, only those of
            tokens with a session to resume.
        directory: Where sessions go.
        url_of: Where visitors find a hostname.
        on_error: Called with the address that a wrong token came from.
        pins: Gives the certificates that apps are to accept; none where a CA vouches.
        edges: Gives the URLs of the edges that apps may go to, this one first; none where there are
            no others.
        desk: Takes what apps want; None: nothing of it is offered to them.

    Attributes:
        counts: What became of connectors.
        on_marks: Called with each new session and the routes that its app marks.
        keeps_marked: Whether requests to these are kept.
        carrier: Knows the other processes of this edge; None: there are none.
        tag: Ends the ids of sessions, and says which process has them.
    """

    def __init__(  # noqa: PLR0913 - each is a thing that WELCOME depends on
        self,
        context: EdgeContext,
        directory: LocalDirectory,
        url_of: Callable[[str], str],
        *,
        on_error: Callable[[str], None],
        pins: Callable[[], tuple[str, ...]] = tuple,
        edges: Callable[[], tuple[str, ...]] = tuple,
        desk: AppDesk | None = None,
    ) -> None:
        limits = context.limits
        self._context = context
        self._directory = directory
        self._max_tunnels = limits.max_tunnels
        self._url_of = url_of
        self._on_error = on_error
        self._pins = pins
        self._edges = edges
        self._desk = desk
        self._capabilities = () if desk is None else (POLICY, BAN)
        self._timing = Timing(resume_window=limits.resume_window)
        self._settings = OWN_SETTINGS
        self._pending = _pending_pool()
        self._resuming = _pending_pool()  # of tokens that have lost a connection
        self._failures = FailureLimiter()
        self.counts = TunnelCounts()
        self.on_marks: Callable[[SessionEntry, tuple[str, ...]], None] | None = None
        self.keeps_marked = False
        self.carrier: SessionCarrier | None = None
        self.tag = ""
        self._supervisor = SessionSupervisor(
            directory, hold_timeout=limits.hold_timeout, counts=self.counts
        )

    def accept(
        self,
        address: str,
        transport: asyncio.Transport,
        request: Request,
        rest: bytes | bytearray,
    ) -> Reply | None:
        """Check the token and complete the WebSocket handshake.

        Args:
            address: Where the connection comes from.
            transport: Belongs to the tunnel from here on, unless it is rejected.
            request: The handshake; its ``websocket_key`` is there.
            rest: What was read behind it.

        Returns:
            Why it is rejected, or None.
        """
        refused = self.counts.refused
        if self._context.is_stopping:
            refused["stopping"] += 1
            return Reply(503, "this edge is about to stop", 1, reason="stopping")
        text = _bearer(request)
        token = self._directory.snapshot.authenticate_text(text)
        if isinstance(token, Refusal):
            return self._reject(token, address, text)
        reply = self._check_room(token)
        if reply is not None:
            refused["limit"] += 1
            return reply
        if self._context.is_overloaded and not self._directory.has_lost(token.id):
            refused["memory"] += 1
            why = "this edge has no memory left for another tunnel right now"
            return Reply(503, why, RETRY_AFTER, reason="overloaded")
        assert request.websocket_key is not None
        transport.write(_upgrade_response(request.websocket_key))
        websocket = WebSocketTransport(is_masking=False)
        transport.set_protocol(websocket.as_protocol())
        websocket.connection_made(transport)
        pool = self._resuming if self._directory.has_lost(token.id) else self._pending
        pending = PendingTunnel(
            websocket,
            token,
            address,
            secret_sha256=digest_of(text),
            on_hello=self._on_hello,
            on_end=pool.leave,
        )
        share = self._context.tokens.of(token.quotas).max_pending
        victim = pool.enter(pending, (token.id,), share=share).victim
        if victim is not None:
            victim.websocket.abort()
        websocket.start(pending)
        if rest:
            websocket.data_received(bytes(rest))
        return None

    def _check_room(self, token: TokenRecord) -> Reply | None:
        """Say early that there is no place for a session of a token.

        A token that has lost a connection may come to resume its session, which needs no place.
        """
        directory = self._directory
        wait = directory.shares.of(token.id).overhead.wait(asyncio.get_running_loop().time())
        if wait:
            return Reply(429, _TOO_BUSY, math.ceil(wait))
        if directory.has_lost(token.id):
            return None
        if self._is_crowded(token):
            return Reply(503, _CROWDED, 2, reason="too-many-tunnels")
        if len(directory) >= self._max_tunnels and not self._supervisor.has_room():
            return Reply(503, _FULL, 2, reason="overloaded")
        return None

    def _take_place(self, token: TokenRecord) -> Refuse | None:
        """Make room for a new session; sessions that wait for their connector give way."""
        directory = self._directory
        if self._is_crowded(token) and not self._supervisor.make_room(token.id):
            return Refuse(code=RefuseCode.OVERLOAD, reason=_CROWDED, retry_after=2)
        if len(directory) >= self._max_tunnels and not self._supervisor.make_room():
            return Refuse(code=RefuseCode.OVERLOAD, reason=_FULL, retry_after=2)
        return None

    def _is_crowded(self, token: TokenRecord) -> bool:
        max_tunnels = self._context.tokens.of(token.quotas).max_tunnels
        return self._directory.count(token.id) >= max_tunnels

    def join(self, spending: Spending) -> None:
        """Count wrong tokens together with the other serving processes from now on."""
        self._failures.join(spending, self._context.now)

    def _reject(self, refusal: Refusal, address: str, text: str) -> Reply:
        self.counts.refused[refusal.code] += 1
        self._on_error(address)
        now = asyncio.get_running_loop().time()
        group = group_of(address)
        if self._failures.count(group, text, now):
            why = "too many wrong tokens came from this address"
            return Reply(429, why, int(FAILURE_WINDOW))
        # By group: the log sums up equal lines, and one visitor has a whole /64.
        _log.warning("a tunnel from %s was refused: %s", group, refusal.code)
        return Reply(401, refusal.sentence)

    def _on_hello(self, pending: PendingTunnel, hello: Hello, rest: bytes) -> None:
        """Let the process that has the session have the connection, or reply here."""
        carrier = self.carrier
        if (
            carrier is None
            or not hello.session
            or rest
            or self._directory.find_entry(hello.session, pending.token.id) is not None
            or not carrier.carry(pending, hello, lambda: self._reply_to(pending, hello, b""))
        ):
            self._reply_to(pending, hello, rest)

    def take_over(
        self,
        websocket: WebSocketTransport,
        session_id: str,
        token_id: str,
        *,
        address: str,
        secret_sha256: str,
    ) -> bool:
        """Take a connection whose HELLO another process of this edge has read; it comes again.

        Args:
            websocket: The connection, as it comes from there.
            session_id: Which session HELLO names.
            token_id: Of the app.
            address: Where the app's connection comes from.
            secret_sha256: Of the secret that it came with.

        Returns:
            False where there is no such session.
        """
        entry = self._directory.find_entry(session_id, token_id)
        if entry is None or entry.session.is_over:
            return False

        def on_hello(pending: PendingTunnel, hello: Hello, rest: bytes) -> None:
            self._reply_to(pending, hello, rest)
            self._renew_later(entry, entry.resumed, asyncio.get_running_loop().time())

        pending = PendingTunnel(
            websocket,
            entry.token,
            address,
            secret_sha256=secret_sha256,
            on_hello=on_hello,
            on_end=lambda _pending: None,
        )
        websocket.start(pending)
        return True

    def _renew_later(self, entry: SessionEntry, resumed: int, since: float) -> None:
        """Ask for a fresh session, so that a direct connection follows.

        Once this one is empty, or has been carried for long: an app resumes the session that it
        has, and not one that drains, so what is in progress would not outlive another cut.
        """
        session = entry.session
        if session.is_over or not session.is_attached or entry.resumed != resumed:
            return  # it ends, or comes again
        loop = asyncio.get_running_loop()
        if not session.connection.open_streams or loop.time() - since >= CARRY_AT_MOST:
            self._directory.renew_one(entry)
        else:
            loop.call_later(CARRY_LOOK, self._renew_later, entry, resumed, since)

    def _reply_to(self, pending: PendingTunnel, hello: Hello, rest: bytes) -> None:
        """Resume a session, start one, or refuse; reply to who only asks."""
        session = self._session_for(pending, hello)
        if isinstance(session, Refuse | Welcome):
            if isinstance(session, Refuse):
                self.counts.refused[_REASONS[RefuseCode(session.code)]] += 1
            pending.reply(session)
            return
        if rest:
            session.data_received(rest)
        pending.websocket.start(session)

    def _session_for(self, pending: PendingTunnel, hello: Hello) -> Session | Refuse | Welcome:
        if agree_version(hello) is None:
            side = "the app's side" if hello.version < PROTOCOL_VERSION else "the edge"
            reason = (
                f"the app speaks protocol {hello.oldest} to {hello.version}, the edge "
                f"{PROTOCOL_VERSION}; upgrade {side}"
            )
            return Refuse(code=RefuseCode.VERSION, reason=reason)
        # As the store has it now: it may have been revoked since the WebSocket handshake.
        token, now = self._directory.snapshot.tokens.get(pending.token.id), time.time()
        if (
            token is None
            or token.state(now) != "active"
            or not token.takes(pending.secret_sha256, now)
        ):
            reason = f"the token {pending.token.name} is no longer valid"
            return Refuse(code=RefuseCode.UNAUTHENTICATED, reason=reason)
        if PROBE in hello.capabilities:
            return self._reply_to_probe(token, hello)
        session = self._resume(pending, hello)
        if session is not None:
            return session
        wanted = _wanted(hello, token)
        if isinstance(wanted, str):
            reason = (
                f"the token {token.name} does not serve {wanted}; on the edge: "
                f"`asgi-tunnel-edge host add {token.name} {wanted}`"
            )
            return Refuse(code=RefuseCode.HOSTNAME, reason=reason)
        slot = self._directory.find_slot(token.id, hello.instance, hello.slot)
        refusal = None if slot is not None else self._take_place(token)
        return refusal or self._begin(pending, hello, token, wanted)

    def _welcome(self, session_id: str, hostnames: tuple[str, ...], token: TokenRecord) -> Welcome:
        return Welcome(
            session=session_id,
            end_to_end=tuple(name for name in hostnames if name in token.end_to_end),
            agent=f"asgi-tunnel-edge/{__version__}",
            hostnames=hostnames,
            urls=tuple(self._url_of(name) for name in hostnames),
            capabilities=self._capabilities,
            settings=self._settings,
            timing=self._timing,
            edges=self._edges(),
            pins=self._pins(),
        )

    def _reply_to_probe(self, token: TokenRecord, hello: Hello) -> Welcome:
        """Say what a session would hear, and begin none: nobody's place is taken."""
        group, names = hello.group or hello.instance, token.hostnames
        return replace(
            self._welcome("", names, token),
            capabilities=(PROBE, *self._capabilities),
            shared=self._directory.shared_hostnames(token.id, group, names),
            time=int(time.time()),
        )

    def _resume(self, pending: PendingTunnel, hello: Hello) -> Session | None:
        """Go on with the session that HELLO names; None where there is none to go on with.

        The hostnames that HELLO asks for are those of the first one, or are not looked at.
        """
        if not hello.session:
            return None
        entry = self._directory.find_entry(hello.session, pending.token.id)
        if entry is None or entry.session.is_over:
            return None
        session = entry.session
        if hello.received > session.connection.sent_frames:
            return None
        welcome = replace(
            self._welcome(session.session_id, entry.hostnames, entry.token),
            resumed=True,
            received=session.connection.received_frames,
        )
        pending.websocket.send(encode_handshake(welcome))
        entry.secret_sha256 = pending.secret_sha256
        entry.address = pending.address
        entry.resumed += 1
        if not session.resume(pending.websocket, hello.received):
            pending.websocket.abort()
        self.counts.resumed += 1
        self._supervisor.resumed(session)
        self._directory.attached(session)
        return session

    def _notes(
        self, policy: AppPolicy, hostnames: tuple[str, ...], token: TokenRecord
    ) -> tuple[str, ...]:
        if self._desk is None:
            return ()
        end_to_end = [name for name in hostnames if name in token.end_to_end]
        return self._desk.notes(policy.rules, hostnames, end_to_end)

    def _on_ask(self, session: Session, number: int, values: dict[str, Any]) -> None:
        """Reply to what an app wants."""
        entry = self._directory.entry_of(session)
        if entry is not None and self._desk is not None:
            session.ask(number, self._desk.answer(entry.token, values))

    def _begin(
        self, pending: PendingTunnel, hello: Hello, token: TokenRecord, wanted: frozenset[str]
    ) -> Session:
        session_id = secrets.token_urlsafe(24) + self.tag
        services = frozenset(hello.services)
        hostnames = granted_hostnames(token, wanted, services)
        group = hello.group or hello.instance
        shared = self._directory.shared_hostnames(token.id, group, hostnames)
        policy = self._directory.policy_of(token.id, hello.policy, hello.routes)
        base = self._welcome(session_id, hostnames, token)
        keeps = (INBOX,) if hello.inbox and self.keeps_marked else ()
        welcome = replace(
            base,
            shared=shared,
            capabilities=(*base.capabilities, *keeps),
            notes=() if policy is None else self._notes(policy, hostnames, token),
        )
        if len(encode_handshake(welcome)) > MAX_HANDSHAKE_SIZE:
            welcome = replace(welcome, notes=())  # a token of very long names
        pending.websocket.send(encode_handshake(welcome))
        connection = Connection(
            Role.EDGE,
            local=self._settings,
            peer=hello.settings,
            timing=self._timing,
            now=asyncio.get_running_loop().time(),
        )
        connection.overhead.allowance = self._directory.shares.of(token.id).overhead
        session = Session(
            connection,
            session_id=session_id,
            name=f"{token.name}/{printable(hello.instance[:8])}/{hello.slot}",
        )
        session.tells_duration = DURATION in hello.capabilities
        session.takes_visitor = VISITOR in hello.capabilities
        session.takes_inspect = INSPECT in hello.capabilities
        session.on_ask = self._on_ask
        self._supervisor.watch(session)
        session.attach(pending.websocket)
        entry = SessionEntry(
            session,
            token,
            instance=hello.instance,
            slot=hello.slot,
            group=group,
            wanted=wanted,
            services=services,
            shared=shared,
            address=pending.address,
            agent=hello.agent,
            policy=policy,
        )
        entry.secret_sha256 = pending.secret_sha256
        self.counts.opened += 1
        if self.on_marks is not None:
            self.on_marks(entry, hello.inbox)
        self._directory.add(entry)
        self._directory.tell_shared(entry)
        _log.info("tunnel %s is open from %s", session.name, pending.address)
        return session


def _pending_pool() -> FairPool[PendingTunnel]:
    return FairPool(MAX_PENDING_HANDSHAKES, (MAX_PENDING_PER_TOKEN,), replaces_own=True)


def _wanted(hello: Hello, token: TokenRecord) -> frozenset[str] | str:
    """Return the hostnames that HELLO asks for, as the token has them.

    Or the first one that is not its own, as HELLO has it.
    """
    names = set()
    for text in hello.hostnames:
        try:
            name = normalise_hostname(text, wildcard=True)
        except HostnameError:
            return printable(text)
        if name not in token.hostnames:
            return printable(text)
        names.add(name)
    return frozenset(names)


def _upgrade_response(key: bytes) -> bytes:
    """The response that completes a WebSocket handshake (RFC 6455 section 4.2.2)."""
    return (
        "HTTP/1.1 101 Switching Protocols\r\n"
        "upgrade: websocket\r\n"
        "connection: Upgrade\r\n"
        f"sec-websocket-accept: {accept_key(key.decode('ascii'))}\r\n"
        f"sec-websocket-protocol: {SUBPROTOCOL}\r\n\r\n"
    ).encode()


def _bearer(request: Request) -> str:
    """The text of the token; empty unless there is exactly one Authorization field with one."""
    values = [value for name, value in request.fields if name == b"authorization"]
    if len(values) != 1 or values[0][:7].lower() != b"bearer ":
        return ""
    return values[0][7:].strip().decode("latin-1")
