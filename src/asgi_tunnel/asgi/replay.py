"""Calls the app with a request that no visitor has sent: one that was recorded, once more.

The call is like any other: a task of its own in the tunnel's context, recorded, ended with the app.
What the app sends goes into the record and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from ..inspector.replay import Message
from ..protocol.codes import ResetCode
from ..protocol.events import StreamOpened
from ..protocol.frames import Buffer, StreamKind
from ..protocol.head import Arrival, Fields, HeadError, RequestHead, ResponseHead
from .http import HTTPExchange
from .origin import Origin
from .played_visitor import PlayedVisitor
from .websocket import WebSocketExchange

__all__ = ["Replays"]

MAX_REPLAYS: Final = 8
"""Calls in progress at the same time: a person sends one, a program some."""

REPLAY_WAIT: Final = 10.0
"""Seconds that who asks waits for the response; then the call goes on, and is looked at later."""

REPLAY_TIMEOUT: Final = 60.0
"""Seconds after which the visitor who is not there leaves: an event stream has no other end."""


class Replays:
    """Repeats exchanges.

    Args:
        origin: Of the app; has a recorder.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._in_progress = 0

    async def call(
        self,
        scope: dict[str, Any],
        body: bytes,
        replay_of: str,
        messages: Sequence[Message] | None = None,
    ) -> int:
        """Call the app; return the record's number when the response is complete, or takes long.

        Args:
            scope: Of ASGI; ``method``, ``raw_path``, ``query_string``, ``headers``, ``scheme``,
                ``http_version``, ``client`` and ``server`` are taken from it.
            body: Of the request.
            replay_of: The id of the exchange that is repeated.
            messages: What the visitor of a WebSocket sends; None: it is an HTTP request.

        Raises:
            RuntimeError: As many are in progress as may be, or nothing is recorded.
            ValueError: The scope has something that no request has.

        Cancelling it ends the wait, and not the call.
        """
        recorder = self._origin.recorder
        if self._in_progress >= MAX_REPLAYS:
            raise RuntimeError(f"{MAX_REPLAYS} replays are in progress; wait for one of them")
        head = _head_of(scope, replay_of)
        record = (
            None
            if recorder is None
            else recorder.begin_replay(head, replay_of, is_websocket=messages is not None)
        )
        if record is None:
            raise RuntimeError("nothing is recorded now")
        exchange: HTTPExchange | WebSocketExchange
        if messages is None:
            event = StreamOpened(0, StreamKind.HTTP, head, body, True)
            exchange = HTTPExchange(_NoLink(), event, record=record)
        else:
            visitor = PlayedVisitor(messages)
            event = StreamOpened(0, StreamKind.WEBSOCKET, head, b"", False)
            exchange = WebSocketExchange(visitor, event, record=record)
            visitor.start(exchange)
        task = self._origin.replay(exchange, head, replay_of)
        self._in_progress += 1
        leaving = asyncio.get_running_loop().call_later(REPLAY_TIMEOUT, _leave, exchange, task)

        def done(_: object) -> None:
            self._in_progress -= 1
            leaving.cancel()

        task.add_done_callback(done)
        await asyncio.wait([task], timeout=REPLAY_WAIT)
        return record.seq


def _leave(exchange: HTTPExchange | WebSocketExchange, task: asyncio.Task[None]) -> None:
    exchange.on_reset(ResetCode.CANCELLED, "the replay takes too long")
    task.cancel()


def _head_of(scope: dict[str, Any], replay_of: str) -> RequestHead:
    """Return the head that the edge would have written.

    Raises:
        ValueError: A value of the scope is none that a request has.
    """
    target = scope["raw_path"]
    if scope.get("query_string"):
        target += b"?" + scope["query_string"]
    fields = [(bytes(name).lower(), bytes(value)) for name, value in scope["headers"]]
    host = next((value for name, value in fields if name == b"host"), b"")
    lines = [target, host, *(part for pair in fields for part in pair)]
    if any(b"\n" in one or b"\r" in one or b"\0" in one for one in lines):
        raise ValueError("a path or a field of the request holds a line end or a zero byte")
    try:
        arrival = _arrival_of(scope)
    except HeadError as error:
        raise ValueError(str(error)) from None
    return RequestHead(
        scope["method"].encode("latin-1"),
        target,
        arrival,
        f"replay-{replay_of}".encode("latin-1"),
        host.partition(b":")[0].lower(),
        fields,
    )


def _arrival_of(scope: dict[str, Any]) -> Arrival:
    peer, port = scope.get("client") or ("127.0.0.1", 0)
    host, own_port = scope.get("server") or ("127.0.0.1", 443)
    return Arrival(
        scope.get("scheme", "https").encode("latin-1"),
        scope.get("http_version", "1.1").encode("latin-1"),
        str(peer).encode("latin-1"),
        int(port),
        str(host).encode("latin-1"),
        int(own_port or 0),
    )


class _NoLink:
    """Carries nothing: there is no visitor."""

    def send_head(self, stream_id: int, head: ResponseHead) -> bool:
        """There is always room."""
        return True

    def send_data(
        self,
        stream_id: int,
        data: Buffer,
        *,
        end: bool = False,
        text: bool = False,
        more: bool = False,
    ) -> bool:
        """There is always room."""
        return True

    def send_trailers(self, stream_id: int, fields: Fields) -> None:
        """Do nothing."""

    def send_close(self, stream_id: int, code: int, reason: str = "") -> None:
        """Do nothing."""

    def reset_stream(self, stream_id: int, code: ResetCode, reason: str = "") -> None:
        """Do nothing."""

    def consume(self, stream_id: int, flow_controlled_size: int) -> None:
        """Do nothing."""

    def release(self, stream_id: int) -> None:
        """Do nothing."""
