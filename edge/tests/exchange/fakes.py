"""A second writer, a list of calls, and what else an exchange needs without a socket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import Arrival, Fields, RequestHead, ResponseHead
from asgi_tunnel.session import Session
from asgi_tunnel_edge.context import EdgeContext
from asgi_tunnel_edge.counts import HoldCounts
from asgi_tunnel_edge.exchange.writer import ByteChannel, Exchange, ResponseWriter
from asgi_tunnel_edge.observers.access_log import Entry
from asgi_tunnel_edge.replies import Reply
from asgi_tunnel_edge.request import Request
from asgi_tunnel_edge.route import Route, Waiter
from asgi_tunnel_edge.settings.config import Limits
from asgi_tunnel_edge.shares.token import TokenShare

HOSTNAME = "shop.example.test"


class ListWriter(ResponseWriter):
    """Keeps what it is asked to write, as a list of calls.

    Attributes:
        calls: Name and argument of each call.
        refuses: What :meth:`start` and :meth:`data` say is wrong.
    """

    def __init__(self, *, is_paused: bool = False) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.refuses: str | None = None
        self.paused = is_paused
        self.started = False
        self.keeps_alive = False
        self.status = 0
        self.fields: Fields = []
        self.channel: ListChannel | None = None

    @property
    def names(self) -> list[str]:
        """The names of the calls."""
        return [name for name, _ in self.calls]

    @property
    def body(self) -> bytes:
        """All bytes of the response's body."""
        return b"".join(data for name, data in self.calls if name in ("start", "data"))

    @property
    def replied(self) -> Reply | None:
        """What the edge itself said."""
        return next((reply for name, reply in self.calls if name == "reply"), None)

    @property
    def is_paused(self) -> bool:
        """As it was made."""
        return self.paused

    @property
    def has_started(self) -> bool:
        """Whether a response was begun."""
        return self.started

    def informational(self, head: ResponseHead) -> None:
        """Keep the status."""
        self.calls.append(("informational", head.status))

    def keep_to_https(self, max_age: int) -> None:
        """Keep for how long."""
        self.calls.append(("keep_to_https", max_age))

    def start(self, head: ResponseHead, data: Buffer, *, end: bool) -> str | None:
        """Keep the first bytes."""
        if self.refuses is None:
            self.started = True
            self.status = head.status
            self.fields = head.fields
            self.calls.append(("start", bytes(data)))
        return self.refuses

    def data(self, data: Buffer, *, end: bool) -> str | None:
        """Keep the bytes."""
        self.calls.append(("data", bytes(data)))
        return self.refuses

    def trailers(self, fields: Fields) -> str | None:
        """Keep the fields."""
        self.calls.append(("trailers", fields))
        return None

    def upgrade(self, head: ResponseHead, channel: Exchange) -> ByteChannel:
        """Give a channel that keeps what is written."""
        self.calls.append(("upgrade", head.fields))
        self.channel = ListChannel(self)
        return self.channel

    def finish(self) -> None:
        """Note it."""
        self.calls.append(("finish", None))

    def reply(self, reply: Reply, *, request_id: bytes = b"", keep_alive: bool = False) -> None:
        """Keep the reply."""
        self.keeps_alive = keep_alive
        self.started = True
        self.calls.append(("reply", reply))

    def abort(self) -> None:
        """Note it."""
        self.calls.append(("abort", None))

    def pause_request(self) -> None:
        """Note it."""
        self.calls.append(("pause_request", None))

    def resume_request(self) -> None:
        """Note it."""
        self.calls.append(("resume_request", None))

    def hold(self) -> None:
        """Note it."""
        self.calls.append(("hold", None))

    def release(self) -> None:
        """Note it."""
        self.calls.append(("release", None))


class ListChannel(ByteChannel):
    """Keeps the bytes that are written."""

    def __init__(self, writer: ListWriter) -> None:
        self.written = b""
        self.is_closed = False
        self._writer = writer

    @property
    def is_paused(self) -> bool:
        """As its writer."""
        return self._writer.paused

    @property
    def is_stalled(self) -> bool:
        """As its writer."""
        return self._writer.paused

    def write(self, data: bytes) -> None:
        """Keep them."""
        self.written += data

    def write_large(self, pieces: Any) -> None:
        """Keep them."""
        self.written += b"".join(pieces)

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""

    def close(self) -> None:
        """Note it."""
        self.is_closed = True

    cut = close


class FakeUpstream:
    """Notes what it is asked."""

    def __init__(self, *, tells_duration: bool = False, takes_visitor: bool = False) -> None:
        self.tells_duration = tells_duration
        self.takes_visitor = takes_visitor
        self.heads: list[RequestHead] = []
        self.opened = 0
        self.consumed = 0
        self.released = 0
        self.resets: list[ResetCode] = []
        self.sent: list[bytes] = []

    def open_stream(self, kind: StreamKind, head: RequestHead, handler: Any, *, end: bool) -> int:
        """Keep the head."""
        self.heads.append(head)
        self.opened += 1
        return self.opened

    def send_data(self, stream_id: int, data: Buffer, **flags: bool) -> bool:
        """Keep the bytes; there is room."""
        self.sent.append(bytes(data))
        return True

    def send_close(self, stream_id: int, code: int, reason: str = "") -> None:
        """Do nothing."""

    def consume(self, stream_id: int, size: int) -> None:
        """Count."""
        self.consumed += size

    def release(self, stream_id: int) -> None:
        """Count."""
        self.released += 1

    def reset_stream(self, stream_id: int, code: ResetCode, reason: str = "") -> None:
        """Note the code."""
        self.resets.append(code)


class FakeRoute:
    """Knows one upstream at most, and who waits."""

    hostname = HOSTNAME
    is_closed = False
    judge: Any = None
    policy: Any = None
    marks: Any = None

    def __init__(self, upstream: Any = None) -> None:
        self.share = TokenShare()
        self.holds = HoldCounts()
        self.ready = upstream
        self.waiting: list[Waiter] = []
        self.paths: list[Sequence[str]] = []

    def choose(self, avoid: Session | None = None) -> Any:
        """Return the upstream that is ready."""
        return self.ready

    def wait(self, waiter: Waiter, path: Sequence[str]) -> None:
        """Note who waits."""
        self.waiting.append(waiter)
        self.paths.append(path)

    def give_up(self, waiter: Waiter) -> None:
        """Take it back."""
        self.waiting.remove(waiter)

    def wake(self, upstream: Any) -> None:
        """Let the first one go on."""
        self.waiting.pop(0).resume(upstream)

    def as_route(self) -> Route:
        """Return it as what annotations name."""
        return cast(Route, self)


class Log:
    """An observer that keeps the entries."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def closed(self, entry: Entry) -> None:
        """Keep it."""
        self.entries.append(entry)


def context_of(*observers: Log, limits: Limits | None = None) -> EdgeContext:
    """Return a context whose clock stands at 0."""
    return EdgeContext(limits=limits or Limits(), observers=observers, now=lambda: 0.0)


def request_of(
    method: bytes = b"GET",
    *,
    length: int | None = 0,
    target: bytes = b"/",
    hostname: str | None = HOSTNAME,
    fields: Fields | None = None,
    websocket_key: bytes | None = None,
    websocket_error: int = 0,
    keep_alive: bool = True,
) -> Request:
    """Return a request as a front has read it."""
    return Request(
        method=method,
        target=target,
        is_http11=True,
        host=b"" if hostname is None else hostname.encode(),
        hostname=hostname,
        fields=fields or [],
        length=length,
        keep_alive=keep_alive,
        expects_continue=False,
        takes_trailers=False,
        websocket_key=websocket_key,
        websocket_error=websocket_error,
    )


ARRIVAL = Arrival(b"http", b"1.1", b"192.0.2.7", 50_000, b"192.0.2.1", 80)


def head_of(method: bytes = b"GET") -> RequestHead:
    """Return the same for the wire."""
    return RequestHead(method, b"/", ARRIVAL, b"r1", HOSTNAME.encode(), [])
