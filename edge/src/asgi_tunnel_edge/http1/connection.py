"""One connection of a visitor: requests in, answers out, one after the other.

Reading, deadlines and the connection's end are here; what an exchange does is in
:mod:`..relay`, what a WebSocket does in :mod:`.websocket`, tunnels in :mod:`..door`.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, cast

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.frames import Buffer
from asgi_tunnel.protocol.handshake import SUBPROTOCOL, TUNNEL_PATH
from asgi_tunnel.protocol.head import Arrival, Fields, RequestHead
from asgi_tunnel.transport import tune_socket

from ..directory import Route
from ..exchange.http import HTTPRelay
from ..exchange.websocket import WebSocketRelay
from ..guards import Deny, Rules, VisitorAddress
from ..observers.access_log import Entry
from ..replies import answer
from ..request import Request
from .body import Body, ChunkedBody, LengthBody
from .head import HeadError, LastFields, check_request_line, read_head
from .outbox import Outbox

if TYPE_CHECKING:
    from ..context import Ingress
    from ..identity.proxies import TrustedPeer
    from ..identity.proxy_protocol import Preamble

LINGER: Final = 2.0
"""Seconds a closed connection is still read, so that the answer is not lost to a reset."""

LINGER_BYTES: Final = 256 * 1024
"""Bytes read and dropped meanwhile."""

HALF_CLOSE_GRACE: Final = 0.5
"""Seconds a visitor that sends no more is believed to still wait for its answer, and for more of it
while it takes what comes."""

BUFFER_LIMIT: Final = 64 * 1024
"""Bytes of pipelined requests or of a held body at which reading stops."""

HOLD_EARLY: Final = 0.25
"""Seconds before its end at which a hold is given up: deadlines are seen that much late."""

GONE_CHECK: Final = 1.0
"""Seconds between two looks whether a visitor that is not read, for the app is slow, has left."""

TLS_BUFFER: Final = 64 * 1024
"""Bytes that the TLS layer keeps below a write buffer which is not empty, and tells nobody of."""

SHED_RETRY: Final = 5
"""Seconds that a visitor is told to wait when the edge has no memory left for new work."""

_SHED: Final = "this edge has no memory left for new requests right now"
_TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)  # Linux has it
_TCP_GONE: Final = (7, 8)  # TCP_CLOSE after a reset, TCP_CLOSE_WAIT after the visitor's end
_new: Final = tuple.__new__  # skips a named tuple's own constructor
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class _State(Enum):
    HEAD = auto()  # a request head is due
    BODY = auto()  # a request body is being relayed
    ANSWER = auto()  # the request is complete, its answer is not
    HELD = auto()  # the request waits for a session
    TAKEN = auto()  # a WebSocket or a tunnel has the connection
    DRAIN = auto()  # all is said; what still comes is dropped, then the connection closes
    CLOSED = auto()


# One look-up instead of two each time, and none when compiled.
_HEAD: Final = _State.HEAD
_BODY: Final = _State.BODY
_ANSWER: Final = _State.ANSWER
_HELD: Final = _State.HELD
_TAKEN: Final = _State.TAKEN
_DRAIN: Final = _State.DRAIN
_CLOSED: Final = _State.CLOSED


class Visitor:
    """One connection on the public listener.

    Args:
        ingress: What all connections share.
        is_secure: It speaks TLS.
        preamble: What a trusted balancer said of it.
    """

    __slots__ = (
        "_arrival",
        "_arrival_key",
        "_body",
        "_buffer",
        "_client",
        "_deadline",
        "_dropped",
        "_ends_at",
        "_half_closed_at",
        "_head_size",
        "_ingress",
        "_is_https",
        "_is_processing",
        "_is_reading",
        "_is_secure",
        "_last_fields",
        "_moved",
        "_outbox",
        "_paused_at",
        "_preamble",
        "_proxy",
        "_relay",
        "_requests",
        "_scanned",
        "_state",
        "_taken",
        "_taken_then",
        "_transport",
        "_websocket",
        "_write_deadline",
        "address",
        "group",
        "peer",
        "peer_port",
        "server",
        "server_port",
    )

    def __init__(
        self, ingress: Ingress, *, is_secure: bool, preamble: Preamble | None = None
    ) -> None:
        self._ingress = ingress
        self._is_secure = is_secure
        self._is_https = is_secure  # as the visitor sees it; a proxy may speak TLS for this edge
        self._preamble = preamble
        self._proxy: TrustedPeer | None = None  # who says with each request whose it is
        self._transport: asyncio.Transport | None = None
        self._outbox: Outbox | None = None  # while there is a transport
        self._state = _HEAD
        self._buffer: bytes | bytearray = b""
        self._scanned = 0  # bytes of the buffer that hold no end of a head
        self._head_size = 0  # bytes of the last head; an exchange in progress keeps them
        self._body: Body | None = None
        self._relay: HTTPRelay | None = None
        self._websocket: WebSocketRelay | None = None
        self._is_reading = True
        self._paused_at = math.inf  # since when it is not read, or was looked after
        self._is_processing = False
        self._deadline = math.inf
        self._ends_at = math.inf  # when an exchange has had its max_time
        self._client: VisitorAddress | None = None
        self._arrival: Arrival | None = None
        self._arrival_key = (b"", b"", b"", 0)
        self._moved = 0  # bytes of a body read since the last look at its rate
        self._taken = 0  # bytes that its socket had taken at the last look at its rate
        self._write_deadline = math.inf  # of that look, while the visitor reads too slowly
        self._dropped = 0
        self._requests = 0
        self._last_fields: LastFields | None = None  # made for the second request
        self._half_closed_at = math.inf
        self._taken_then = 0  # bytes that its socket had taken then
        self.peer = b""
        self.peer_port = 0
        self.server = b""
        self.server_port = 0
        self.address = ""
        self.group: str | None = ""  # what its connection is counted under; None: not counted

    # -- asyncio -----------------------------------------------------------------------------

    def as_protocol(self) -> asyncio.Protocol:
        """Return this as what asyncio's signatures name: it has its methods, and no base class."""
        return cast(asyncio.Protocol, self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note who it is and start the clock."""
        # uvloop's transports are none of asyncio's classes, so this cannot be checked.
        self._transport = transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername") or ("", 0)
        local = transport.get_extra_info("sockname") or ("", 0)
        proxies = self._ingress.proxies
        if proxies is not None:
            if self._preamble is not None:
                peer, local = self._preamble.source or peer, self._preamble.destination or local
                self._is_https = proxies.over_https(self._preamble)
            else:
                self._proxy = proxies.find(peer[0], peer[1])
        self.address = peer[0]
        self.peer, self.peer_port = peer[0].encode(), peer[1]
        self.server, self.server_port = local[0].encode(), local[1]
        self._outbox = Outbox(transport, self.resume_writing)
        tune_socket(transport)
        self._deadline = self._ingress.now() + self._ingress.limits.head_timeout
        why = self._ingress.admit(self)
        if why:
            self._say(503, why, retry_after=5)
        elif self._proxy is None and self._ingress.guards.refuses(self.address):
            self._say(403, "this address is banned")

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is in progress."""
        self._transport = self._outbox = None
        self._ingress.left(self)
        state, self._state = self._state, _CLOSED
        self._deadline = self._write_deadline = math.inf
        if self._websocket is not None:
            self._websocket.connection_lost()
        elif self._relay is not None and state is not _TAKEN:
            self._relay.abandon()

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        websocket = self._websocket
        if websocket is not None and websocket.is_open:
            websocket.data_received(data)
            return
        if self._state is _DRAIN:
            self._dropped += len(data)
            if self._dropped > LINGER_BYTES:
                self._abort()
            return
        if self._buffer:
            if not isinstance(self._buffer, bytearray):
                self._buffer = bytearray(self._buffer)
            self._buffer += data
        else:
            self._buffer = data
        self._process()

    def eof_received(self) -> bool:
        """A visitor that has said all may still read the answer: keep the other half open."""
        if self._websocket is None and self._state in (_ANSWER, _HELD):
            # Whether it has left or only said all cannot be told apart: an answer that is quick
            # is sent, for a longer one the app hears that the visitor has gone.
            self._half_closed_at = self._ingress.now()
            self._taken_then = 0 if self._outbox is None else self._outbox.taken
            return not self._is_secure
        return False

    def pause_writing(self) -> None:
        """The visitor reads slower than the app writes."""
        if self._outbox is not None:
            self._outbox.pause()
            self._watch_writing()

    def resume_writing(self) -> None:
        """Write on, and when nothing waits any more let the app go on."""
        self._write_deadline = math.inf
        if self._outbox is None or not self._outbox.resume():
            return
        if self._websocket is not None:
            self._websocket.writable()
        elif self._relay is not None:
            self._relay.writable()
        elif self._state is _HEAD:
            self.resume_body()  # requests that were sent without reading the answers

    # -- the clock ---------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """Called a few times a second: end what took too long."""
        if self._websocket is not None:
            self._websocket.check(now)
        if now - self._half_closed_at > HALF_CLOSE_GRACE and not self._takes_its_answer(now):
            self._abort()
            return
        if now - self._paused_at > GONE_CHECK:
            self._paused_at = now
            if self._has_left():
                self._abort()
                return
        if now >= self._write_deadline:
            self._check_writing()
        if now >= self._ends_at:
            self._end_exchange()
        if now < self._deadline:
            return
        self._deadline = math.inf
        state = self._state
        if state is _HELD and self._relay is not None:
            self._relay.time_out()
        elif state is _HELD and self._websocket is not None:
            self._websocket.time_out()
        elif state is _HEAD:
            if self._requests and not self._buffer:
                self._close()  # an idle connection
            elif self._buffer:
                self._say(408, "the request head took too long")
            else:
                self._abort()
        elif state is _DRAIN:
            self._check_drained()
        elif state is _BODY and self._is_reading:
            self._check_reading()

    def _takes_its_answer(self, now: float) -> bool:
        """Whether a visitor who has said all took more of its answer, which gives it more time."""
        before = self._taken_then
        self._taken_then = 0 if self._outbox is None else self._outbox.taken
        self._half_closed_at = now
        return self._taken_then > before

    def _end_exchange(self) -> None:
        """Give up on an exchange that has had its ``max_time``."""
        self._ends_at = math.inf
        if self._relay is not None:
            status = 504 if self._body is None else 408
            self._fail(status, "the exchange took longer than it may", ResetCode.TIMEOUT)

    def _has_left(self) -> bool:
        """Whether a visitor that is not read is gone, which only its socket's state tells.

        As for one that is read, to have said all counts as gone after a moment.
        """
        option = _TCP_INFO
        if self.is_paused or self._transport is None or option is None:
            return False  # while an answer is being written, its socket fails in time
        sock = self._transport.get_extra_info("socket")
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, option, 1)
        except (AttributeError, OSError):  # no TCP socket
            return False
        return info[0] in _TCP_GONE

    def _watch_reading(self) -> None:
        self._moved = 0
        self._deadline = self._ingress.now() + self._ingress.limits.body_grace

    def _check_reading(self) -> None:
        limits = self._ingress.limits
        if self._moved >= limits.min_body_rate * limits.body_grace:
            self._watch_reading()
        else:
            self._fail(408, "the request body came too slowly", ResetCode.TIMEOUT)

    def _watch_writing(self) -> None:
        if self._outbox is not None:
            self._taken = self._outbox.taken
            self._write_deadline = self._ingress.now() + self._ingress.limits.body_grace

    def _check_writing(self) -> None:
        """Cut a visitor that takes too little of what was written, and is being written, for it."""
        if self._outbox is None:
            return
        limits = self._ingress.limits
        if self._outbox.taken - self._taken >= limits.min_body_rate * limits.body_grace:
            self._watch_writing()
            return
        if self._relay is not None:
            self._relay.abandon(ResetCode.TIMEOUT, "visitor too slow")
        self.cut()

    def _check_drained(self) -> None:
        """Close when the visitor has had its time, or go on while it still reads an answer."""
        if self._outbox is None or not self._outbox.size:
            self._abort()
            return
        if self._write_deadline == math.inf:
            self._watch_writing()
        self._deadline = self._ingress.now() + LINGER

    # -- reading -----------------------------------------------------------------------------

    def _process(self) -> None:
        """Read requests and bodies as far as the buffer and the state allow."""
        if self._is_processing:
            return
        self._is_processing = True
        try:
            while self._buffer:
                if self._state is _HEAD:
                    if self.is_paused:  # it has not taken the answers to its last requests
                        self._pause_reading()
                        break
                    if not self._read_head():
                        break
                elif self._state is _BODY and self._is_reading:
                    self._read_body()
                else:
                    if self._state is _DRAIN:
                        self._buffer = b""
                    elif len(self._buffer) > BUFFER_LIMIT:
                        self._pause_reading()
                    break
        except HeadError as error:
            self._fail(error.status, error.why, ResetCode.PROTOCOL_ERROR)
        finally:
            self._is_processing = False

    def _read_head(self) -> bool:
        data = self._buffer
        limits = self._ingress.limits
        end = data.find(b"\r\n\r\n", self._scanned)
        if end < 0:
            if data[:2] == b"\r\n":
                self._skip_empty_lines()
                return bool(self._buffer)
            self._check_partial_head(data)
            self._scanned = max(0, len(data) - 3)
            if self._ingress.is_overloaded:
                self._say(503, _SHED, retry_after=SHED_RETRY)
                return False
            if self._requests and self._deadline - self._ingress.now() > limits.head_timeout:
                self._deadline = self._ingress.now() + limits.head_timeout
            return False
        if data[:2] == b"\r\n":
            self._skip_empty_lines()
            return bool(self._buffer)
        end += 4
        if end > limits.max_head_bytes:
            raise HeadError(431, f"the request head is larger than {limits.max_head_bytes} bytes")
        whole = bytes(data)
        if self._last_fields is None and self._requests:
            self._last_fields = LastFields()
        request = read_head(whole, end, limits, self._last_fields)
        if self._proxy is not None:
            told, request = self._proxy.read(whole[:end], request)
            self.address, self.peer, self.peer_port = told.address, told.address.encode(), told.port
            self._is_https = told.is_https
        self._buffer = whole[end:] if end < len(whole) else b""
        self._scanned = 0
        self._head_size = end
        self._requests += 1
        self._deadline = math.inf
        self._begin(request)
        return True

    def _skip_empty_lines(self) -> None:
        """RFC 9112 section 2.2: an empty line before a request is skipped; not more than two."""
        data = bytes(self._buffer)
        stripped = data[2:] if data[2:4] != b"\r\n" else data[4:]
        if stripped[:2] == b"\r\n":
            raise HeadError(400, "the request line is malformed")
        self._buffer = stripped
        self._scanned = 0

    def _check_partial_head(self, data: bytes | bytearray) -> None:
        """Refuse early what can no longer become a head."""
        limits = self._ingress.limits
        if data[0] == 0x16:
            raise HeadError(400, "TLS is not spoken on this port")
        first = data.find(b"\n", 0, limits.max_request_line)
        if first < 0 and len(data) > limits.max_request_line:
            raise HeadError(414, f"the request line is longer than {limits.max_request_line} bytes")
        if len(data) > limits.max_head_bytes:
            raise HeadError(431, f"the request head is larger than {limits.max_head_bytes} bytes")
        if first >= self._scanned:
            check_request_line(data, limits)
        at = data.find(b"\n", max(0, self._scanned - 1))
        while at >= 0:
            if data[at - 1 : at] != b"\r":
                raise HeadError(400, "a line of the request head ends without a carriage return")
            at = data.find(b"\n", at + 1)

    def _begin(self, request: Request) -> None:
        ingress = self._ingress
        if request.websocket_error:
            self._refuse_websocket(request)
            return
        if request.websocket_key is not None and _is_tunnel(request):
            self._open_door(request)
            return
        if ingress.is_overloaded:
            self._say(503, _SHED, request=request, retry_after=SHED_RETRY)
            return
        route = None if request.hostname is None else ingress.registry.find(request.hostname)
        rules = ingress.guards.rules(request.hostname)
        deny = self._ask_guards(request, rules, "" if route is None else route.hostname)
        if deny is not None:
            self._deny(request, deny)
            return
        if request.length is not None and 0 < rules.max_body < request.length:
            self._say(413, f"the body is larger than {rules.max_body} bytes", request=request)
            return
        if route is None or request.hostname is None:
            self._unknown(request)
            return
        head = _new(
            RequestHead,
            (
                request.method,
                request.target,
                self._arrive(request),
                ingress.next_request_id(),
                request.hostname.encode(),
                request.fields,
            ),
        )
        if request.websocket_key is not None:
            self._state = _ANSWER
            self._websocket = WebSocketRelay(self, request, head, route, ingress)
            self._websocket.start()
            return
        relay = self._relay = HTTPRelay(self, request, head, route, ingress.access_log)
        if rules.max_time:
            self._ends_at = ingress.now() + rules.max_time
        if request.length == 0:
            self._state = _ANSWER
        else:
            if request.length is None:
                self._body = ChunkedBody(rules.max_body)
            else:
                self._body = LengthBody(request.length)
            self._state = _BODY
            self._watch_reading()
        relay.start()

    def _ask_guards(self, request: Request, rules: Rules, name: str) -> Deny | None:
        guards = self._ingress.guards
        client = self._client
        if client is None or client.address != self.address:  # a proxy brings several
            client = self._client = guards.visitor_address(self.address)
        return guards.check(client, request, rules, name)

    def _arrive(self, request: Request) -> Arrival:
        version = b"1.1" if request.is_http11 else b"1.0"
        if request.websocket_key is not None:
            scheme = b"wss" if self._is_https else b"ws"
        else:
            scheme = b"https" if self._is_https else b"http"
        key = (scheme, version, self.peer, self.peer_port)
        if self._arrival is None or key != self._arrival_key:  # a proxy brings several
            self._arrival_key = key
            self._arrival = Arrival(*key, self.server, self.server_port)
        return self._arrival

    def _read_body(self) -> None:
        body, relay = self._body, self._relay
        assert body is not None
        assert relay is not None
        data = bytes(self._buffer)
        pieces: list[bytes] = []
        end = body.feed(data, 0, pieces)
        self._buffer = data[end:] if end < len(data) else b""
        self._moved += end
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if body.is_complete:
            self._body = None
            self._state = _ANSWER
            self._deadline = math.inf
            relay.send_body(piece, end=True)
        elif piece:
            relay.send_body(piece, end=False)

    @property
    def is_proxy(self) -> bool:
        """Whether a trusted proxy sends many visitors' requests over this connection."""
        return self._proxy is not None

    # -- for the relay -----------------------------------------------------------------------

    @property
    def is_paused(self) -> bool:
        """Whether the visitor reads slower than the app writes."""
        return self._outbox is not None and self._outbox.is_paused

    @property
    def is_stalled(self) -> bool:
        """The same, longer than to the end of this turn of the loop."""
        return self._outbox is not None and self._outbox.is_stalled

    def write(self, data: bytes) -> None:
        """Send bytes; dropped when the visitor is gone."""
        if self._outbox is not None:
            self._outbox.write(data)

    def write_large(self, pieces: Sequence[Buffer]) -> None:
        """Send pieces at the end of the turn; dropped when the visitor is gone."""
        if self._outbox is not None:
            self._outbox.write_large(pieces)

    def pause_body(self) -> None:
        """Read no more until :meth:`resume_body`."""
        self._pause_reading()
        self._deadline = math.inf  # it is the app that is slow

    def resume_body(self) -> None:
        """Read on."""
        if self._state is _HELD:
            return
        if not self._is_reading and self._transport is not None:
            self._is_reading = True
            self._paused_at = math.inf
            self._transport.resume_reading()
            if self._state is _BODY:
                self._watch_reading()
        if self._buffer:
            self._process()

    def hold(self, route: Route) -> None:
        """Wait for a session of ``route``, ``hold_timeout`` at the most."""
        self._state = _HELD
        # Seen at the next look after it, so it is put before that.
        hold = max(self._ingress.limits.hold_timeout - HOLD_EARLY, 0.0)
        self._deadline = self._ingress.now() + hold

    def released(self) -> None:
        """The wait is over."""
        if self._state is _HELD:
            self._state = _ANSWER if self._body is None else _BODY
            self._deadline = math.inf
            if self._state is _BODY:
                self._watch_reading()
            self.resume_body()

    def finished(self, *, keep_alive: bool) -> None:
        """The answer is complete: read the next request, or close."""
        self._relay = None
        self._ends_at = math.inf
        is_last = self._half_closed_at < math.inf and not self._buffer
        if not keep_alive or self._body is not None or is_last or self._ingress.is_stopping:
            self._linger()
            return
        self._state = _HEAD
        self._deadline = self._ingress.now() + self._ingress.limits.keep_alive_timeout
        self.resume_body()

    def cut(self) -> None:
        """Reset the connection, so that what was sent cannot look complete."""
        transport = self._transport
        if transport is None:
            return
        sock = transport.get_extra_info("socket")
        if sock is not None:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            except OSError:
                pass  # already gone
        transport.abort()

    def taken_over(self) -> None:
        """A WebSocket has the connection from now on, and what came before its handshake ended."""
        self._state = _TAKEN
        self._deadline = math.inf
        early, self._buffer = bytes(self._buffer), b""
        self.resume_body()
        if early and self._websocket is not None and self._websocket.is_open:
            self._websocket.data_received(early)

    def close_soon(self) -> None:
        """Send what is left, then close; the visitor gets ``LINGER`` seconds."""
        self._linger()

    # -- answers of the edge -----------------------------------------------------------------

    def _unknown(self, request: Request) -> None:
        why = "no app is served under this name"
        keep_alive = request.keep_alive and request.length == 0
        self.write(
            answer(
                404,
                why,
                accept=_accept(request),
                is_head=request.method == b"HEAD",
                keep_alive=keep_alive,
            )
        )
        self._note(404, why, request)
        self.finished(keep_alive=keep_alive)

    def _deny(self, request: Request, deny: Deny) -> None:
        """A guard turns the visitor away."""
        self._say(
            deny.status,
            deny.why,
            request=request,
            retry_after=deny.retry_after,
            outcome=f"refused: {deny.guard}",
        )

    def _refuse_websocket(self, request: Request) -> None:
        if request.websocket_error == 426:
            fields = [(b"sec-websocket-version", b"13"), (b"upgrade", b"websocket")]
            why = "only WebSocket version 13 is spoken here"
            self._say(426, why, request=request, fields=fields)
        else:
            self._say(400, "the WebSocket handshake is malformed", request=request)

    def _open_door(self, request: Request) -> None:
        transport = self._transport
        if transport is None:
            return
        if self._proxy is not None and self._ingress.guards.refuses(self.address):
            self._say(403, "this address is banned", request=request)
            return
        refusal = self._ingress.door.accept(self.address, transport, request, self._buffer)
        if refusal is None:
            # Another protocol has the socket: nothing will tell this one of its end.
            self._state = _TAKEN
            self._deadline = math.inf
            self._buffer = b""
            self._transport = None
            self._ingress.left(self)
        else:
            status, why, retry_after = refusal
            self._say(status, why, request=request, retry_after=retry_after)

    def _fail(self, status: int, why: str, code: ResetCode) -> None:
        """The visitor broke a rule: answer and close, or cut an answer that has begun."""
        relay = self._relay
        if relay is None or relay.is_over:
            self._say(status, why)
            return
        has_begun = relay.is_answering
        relay.abandon(code, why, status)  # which notes it
        if has_begun:
            self.cut()  # a second status line would read as a part of the first answer
        else:
            self._answer_and_close(answer(status, why))

    def _say(
        self,
        status: int,
        why: str,
        *,
        request: Request | None = None,
        retry_after: int | None = None,
        fields: Fields | None = None,
        outcome: str = "",
    ) -> None:
        """Answer and close, whatever was going on, and note it.

        Args:
            status: The HTTP status.
            why: For the visitor, and for the log unless ``outcome`` says more.
            request: What it answers; None when that could not be read.
            retry_after: Seconds.
            fields: More header fields.
            outcome: For the log.
        """
        if status == 405:
            fields = [(b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")]
        self._answer_and_close(
            answer(
                status,
                why,
                accept=b"" if request is None else _accept(request),
                retry_after=retry_after,
                is_head=request is not None and request.method == b"HEAD",
                fields=fields,
            )
        )
        self._note(status, outcome or why, request)

    def _answer_and_close(self, data: bytes) -> None:
        self._relay = None
        self._body = None
        self.write(data)
        self._linger()

    def _note(self, status: int, outcome: str, request: Request | None) -> None:
        """Log an answer of the edge's own.

        Of a request that could not be read nothing is repeated: what looks like its first line may
        be a body, with a password in it.
        """
        ingress = self._ingress
        ingress.access_log.add(
            Entry(
                ingress.next_request_id(),
                self.peer,
                b"-" if request is None else request.method,
                "-" if request is None else request.hostname or "-",
                b"-" if request is None else request.target,
                status,
                0,
                0.0,
                outcome,
            )
        )

    # -- the end -----------------------------------------------------------------------------

    def _pause_reading(self) -> None:
        if self._is_reading and self._transport is not None:
            self._is_reading = False
            self._paused_at = self._ingress.now()
            self._transport.pause_reading()

    def _linger(self) -> None:
        """Send the end of the stream, then read and drop what still comes for a moment."""
        transport, outbox = self._transport, self._outbox
        self._state = _DRAIN
        self._buffer = b""
        self._body = None
        if transport is None or outbox is None:
            return
        outbox.flush()
        self._deadline = self._ingress.now() + LINGER
        if self._half_closed_at < math.inf:  # it has said all: nothing is left to wait for
            self._half_closed_at = math.inf
            transport.close()
            return
        if not self._is_reading:
            self._is_reading = True
            self._paused_at = math.inf
            transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()  # TLS has no half-close: its own goodbye does the same

    def _close(self) -> None:
        if self._transport is not None and self._outbox is not None:
            self._state = _DRAIN
            self._outbox.flush()
            self._transport.close()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    @property
    def buffered(self) -> int:
        """Bytes kept for this visitor, in whichever direction."""
        size = len(self._buffer)
        if self._relay is not None or self._websocket is not None:
            size += self._head_size
        unsent = 0 if self._outbox is None else self._outbox.held
        if unsent:
            size += unsent + TLS_BUFFER if self._is_secure else unsent
        return size

    @property
    def judged_at(self) -> float:
        """When a visitor who does not take what is written is judged; infinite for who does."""
        return self._write_deadline

    def sacrifice(self) -> None:
        """End it in the middle: the edge has no memory left, and it is among the slowest."""
        if self._relay is not None:
            self._relay.abandon(ResetCode.CANCELLED, "the edge had no memory left")
        self.cut()

    @property
    def is_busy(self) -> bool:
        """Whether something is in progress, or written and not yet taken by the socket."""
        return self._outbox is not None and (
            self._state in (_BODY, _ANSWER, _HELD) or self._outbox.size > 0
        )

    def shut_down(self) -> None:
        """The edge stops: close when idle; an exchange in progress is finished first."""
        if self._state is _HELD:
            self._deadline = 0.0  # whoever waits for an app gets its answer from the next look
        elif self._websocket is not None:
            self._websocket.shut_down()
        elif self._state is _HEAD and not self._buffer:
            self._close()

    def end(self) -> None:
        """The edge has stopped: what is complete stays so, what is not is cut."""
        if self._state is _DRAIN:
            self._abort()
        else:
            self.cut()


def _accept(request: Request) -> bytes:
    return next((v for n, v in request.fields if n == b"accept"), b"")


def _is_tunnel(request: Request) -> bool:
    return request.target == TUNNEL_PATH.encode() and any(
        name == b"sec-websocket-protocol" and SUBPROTOCOL.encode() in value
        for name, value in request.fields
    )
