"""Drives one WebSocket: a stream on one side, ``receive()`` and ``send()`` on the other."""

# StreamHandler's methods take what the seam gives

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from enum import Enum, auto
from typing import Any, Final

from ..errors import ClientDisconnectedError
from ..inspector.record import Record
from ..protocol.codes import ResetCode
from ..protocol.events import StreamOpened
from ..protocol.frames import Buffer
from ..protocol.head import Fields, ResponseHead
from ..protocol.limits import MAX_CLOSE_REASON_SIZE
from .fields import normalise_fields, read_length
from .http import copy_body, is_contained, is_farewell
from .inbox import Inbox, wait_until_set
from .types import ASGIApp, Message, Scope, StreamLink

_log = logging.getLogger("asgi_tunnel.asgi")

MAX_MESSAGE_SIZE: Final = 16 * 1024 * 1024
"""Bytes of one message from a visitor: the limit of uvicorn and hypercorn."""

NORMAL: Final = 1000
ABNORMAL: Final = 1006
INVALID_DATA: Final = 1007
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011

_CUT: Final = frozenset({ABNORMAL, INVALID_DATA, TOO_BIG})
"""Codes of a WebSocket that nobody has closed on purpose."""

_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})

ANSWER_TIMEOUT: Final = 2.0
"""Seconds of silence in which the edge has to answer the close of a shutdown.  It answers at once;
a tunnel that is down does not, and the app still needs time to end."""


class Phase(Enum):
    """How far the WebSocket is, seen from the app."""

    CONNECTING = auto()  # neither accepted nor refused
    OPEN = auto()  # accepted; messages may be sent
    DENYING = auto()  # a denial response is being sent
    CLOSING = auto()  # closed by a shutdown; what the visitor said before is still on its way
    CLOSED = auto()  # the app has ended it
    GONE = auto()  # ended without the app: by the visitor, the session's end or a shutdown


class WebSocketExchange:
    """One WebSocket.

    Args:
        link: Carries the stream.
        event: The OPEN that started it.
        record: Gets what passes; None: nothing is recorded.
    """

    __slots__ = (
        "_answer_due",
        "_code",
        "_inbox",
        "_is_ended",
        "_link",
        "_partial",
        "_phase",
        "_record",
        "_room",
        "stream_id",
    )

    def __init__(
        self, link: StreamLink, event: StreamOpened, *, record: Record | None = None
    ) -> None:
        self._record = record
        self.stream_id = event.stream_id
        self._link = link
        self._inbox = Inbox()
        self._inbox.put({"type": "websocket.connect"})
        # Set while there is room; made when the visitor is first slower than the app, taken away
        # from those who wait when there will be no more.
        self._room: asyncio.Event | None = None
        self._phase = Phase.CONNECTING
        self._is_ended = event.end  # the visitor's direction
        self._partial = bytearray()  # of one message; fragments of a few bytes cost no object each
        self._code: int | None = None  # with which the visitor, or a shutdown, closed
        self._answer_due: asyncio.TimerHandle | None = None  # while CLOSING

    # -- for the app -------------------------------------------------------------------------

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Call the app and see that the WebSocket ends with the code that fits.

        Cancelling it closes with 1011, or answers 500 before the handshake is done.
        """
        try:
            # Apps are not trusted to keep to their type.
            result: Any = await app(scope, self.receive, self.send)  # type: ignore[func-returns-value]
        except BaseException as error:
            # Before _finish; else it is another one's error.
            is_gone = self._phase is Phase.GONE or self._phase is Phase.CLOSING
            if self._record is not None:
                self._record.raised(None if is_gone and is_farewell(error) else error)
            self._finish(INTERNAL_ERROR)
            if is_contained(error, is_gone=is_gone):
                return
            raise
        else:
            if result is not None:
                _log.error("the app returned %s instead of None", type(result).__name__)
            if self._phase is Phase.CONNECTING:
                _log.error("the app returned without accepting or closing the WebSocket")
            self._finish(NORMAL)
            if self._record is not None:
                self._record.returned()

    async def receive(self) -> Message:
        """Return the next message for the app.  Cancelling it loses nothing."""
        message, flow_controlled_size = await self._inbox.get()
        if flow_controlled_size:
            self._link.consume(self.stream_id, flow_controlled_size)
        return message

    async def send(self, message: Message) -> None:
        """Take a message from the app and return when there is room for the next.

        Cancelling it while it waits loses nothing: the message is already queued.
        """
        kind = message["type"]
        phase = self._phase
        if phase is Phase.OPEN and kind == "websocket.send":
            self._send_message(message)
            room = self._room
            if room is not None and not room.is_set():
                await wait_until_set(room)
                if self._room is None:
                    raise ClientDisconnectedError(kind, code=self._code)
        elif phase is Phase.GONE or phase is Phase.CLOSING:
            if kind != "websocket.close":
                raise ClientDisconnectedError(kind, code=self._code)
        elif phase is Phase.CONNECTING and kind == "websocket.accept":
            self._accept(message)
        elif phase is Phase.CONNECTING and kind == "websocket.close":
            self._deny(ResponseHead(403, [(b"content-length", b"0")]))
            self._link.send_data(self.stream_id, b"", end=True)
            self._closed(ABNORMAL, "")
        elif phase is Phase.CONNECTING and kind == "websocket.http.response.start":
            status = message["status"]
            if not isinstance(status, int) or not 200 <= status <= 599:
                raise ValueError(f"the denial response has the status {status!r}")
            self._deny(ResponseHead(status, _denial_fields(status, message.get("headers", ()))))
        elif phase is Phase.DENYING and kind == "websocket.http.response.body":
            if self._send_denial(message) and self._room is not None:
                await wait_until_set(self._room)
        elif phase is Phase.OPEN and kind == "websocket.close":
            self._close(message)
        else:
            raise RuntimeError(_misplaced(phase, kind))

    def shut_down(self, code: int, reason: str, patience: float = ANSWER_TIMEOUT) -> None:
        """Close from this side because the app ends: both ends are told.

        Args:
            code: For both ends.
            reason: For both ends.
            patience: Seconds of silence in which the edge has to answer.

        The app is told when the edge has answered: what the visitor said before, and its own close,
        may be on the way, and the visitor may have been told that it has arrived.
        """
        if self._phase is Phase.OPEN:
            self._link.send_close(self.stream_id, code, reason)
            self._phase = Phase.CLOSING
            self._code = code
            self._await_answer(reason, patience)
            self._cut_senders()
        elif self._phase is Phase.CONNECTING:
            # Not accepted, so nothing was done: the edge may ask another process or answer 503.
            self._link.reset_stream(self.stream_id, ResetCode.REFUSED, reason)
            self._gone(code, reason)

    def _await_answer(self, reason: str, patience: float) -> None:
        loop = asyncio.get_running_loop()
        self._answer_due = loop.call_later(patience, self._on_silence, reason, patience)

    def _on_silence(self, reason: str, patience: float) -> None:
        if self._phase is not Phase.CLOSING:
            return
        if self._inbox.has_messages:
            # What follows may wait for room until the app has read them; the grace is the bound.
            self._await_answer(reason, patience)
        else:
            self._gone(self._code or ABNORMAL, reason)

    # -- what the app sends ------------------------------------------------------------------

    def _accept(self, message: Message) -> None:
        fields: Fields = []
        subprotocol = message.get("subprotocol")
        if subprotocol is not None:
            fields += normalise_fields([(b"sec-websocket-protocol", subprotocol.encode())])
        for field in normalise_fields(message.get("headers", ())):
            if field[0] == b"sec-websocket-protocol":
                raise ValueError("websocket.accept names a subprotocol in its headers")
            fields.append(field)
        self._link.send_head(self.stream_id, ResponseHead(101, fields))
        if self._record is not None:
            self._record.on_head(101, fields)
        self._phase = Phase.OPEN

    def _send_message(self, message: Message) -> None:
        text, data = message.get("text"), message.get("bytes")
        if (text is None) == (data is None):
            raise ValueError("websocket.send needs either text or bytes")
        payload = copy_body(data) if text is None else text.encode()
        if self._record is not None:
            self._record.on_message(payload if text is None else text, len(payload), True)
        if not self._link.send_data(self.stream_id, payload, text=text is not None):
            self._fill()

    def _fill(self) -> None:
        """Let senders wait."""
        if self._room is None:
            self._room = asyncio.Event()
        self._room.clear()

    def _close(self, message: Message) -> None:
        code = message.get("code", NORMAL)
        code = NORMAL if code is None else code
        reason = message.get("reason") or ""
        if not (1000 <= code <= 1014 or 3000 <= code <= 4999) or code in (1004, 1005, 1006):
            raise ValueError(f"websocket.close has the code {code}, which may not be sent")
        if len(reason.encode()) > MAX_CLOSE_REASON_SIZE:
            raise ValueError(f"websocket.close has a reason of over {MAX_CLOSE_REASON_SIZE} bytes")
        self._link.send_close(self.stream_id, code, reason)
        self._closed(code, reason)

    def _deny(self, head: ResponseHead) -> None:
        self._link.send_head(self.stream_id, head)
        if self._record is not None:
            self._record.on_head(*head)
        self._phase = Phase.DENYING

    def _send_denial(self, message: Message) -> bool:
        """Send a piece of the denial's body; return whether there is more to come."""
        more = bool(message.get("more_body", False))
        body = copy_body(message.get("body", b""))
        if self._record is not None:
            self._record.on_body(body)
        if not self._link.send_data(self.stream_id, body, end=not more):
            self._fill()
        if not more:
            self._closed(ABNORMAL, "")
        return more

    def _finish(self, code: int) -> None:
        """End what the app left open."""
        if self._phase is Phase.OPEN:
            self._link.send_close(self.stream_id, code)
            self._closed(code, "")
        elif self._phase is Phase.CONNECTING:
            body = b"Internal Server Error"
            head = [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", b"%d" % len(body)),
            ]
            self._deny(ResponseHead(500, head))
            self._link.send_data(self.stream_id, body, end=True)
            self._closed(ABNORMAL, "")
        elif self._phase is Phase.DENYING:
            self._link.reset_stream(self.stream_id, ResetCode.INTERNAL_ERROR, "denial cut short")
            self._phase = Phase.CLOSED
            self._record_end(is_cut=True)
        elif self._phase is Phase.CLOSING:
            self._phase = Phase.CLOSED
            self._record_end(is_cut=False)
            self._stop_waiting()
        self._drop_unread(ABNORMAL, "")

    def _stop_waiting(self) -> None:
        if self._answer_due is not None:
            self._answer_due.cancel()
            self._answer_due = None

    def _closed(self, code: int, reason: str) -> None:
        self._phase = Phase.CLOSED
        self._record_end(is_cut=False)
        if self._room is not None:
            self._room.set()
        self._drop_unread(code, reason)
        if self._is_ended:
            self._link.release(self.stream_id)

    def _record_end(self, *, is_cut: bool) -> None:
        if self._record is not None:
            if is_cut:
                self._record.cut()
            else:
                self._record.finish()

    def _drop_unread(self, code: int, reason: str) -> None:
        unread = self._inbox.put_last(_disconnect(code, reason), drop=True)
        if unread:
            self._link.consume(self.stream_id, unread)

    # -- what the visitor sends (StreamHandler) ----------------------------------------------

    def on_data(
        self, data: Buffer, flow_controlled_size: int, end: bool, text: bool, more: bool
    ) -> None:
        """Assemble messages; a fragment's bytes may be replaced as soon as they are kept here."""
        if self._phase is Phase.CLOSED or self._phase is Phase.GONE:
            self._link.consume(self.stream_id, flow_controlled_size)
            return
        if len(self._partial) + len(data) > MAX_MESSAGE_SIZE:
            self._link.consume(self.stream_id, flow_controlled_size)
            self._partial = bytearray()
            self._give_up(TOO_BIG, f"message exceeds {MAX_MESSAGE_SIZE} bytes")
            return
        if more:
            self._partial += data
            self._link.consume(self.stream_id, flow_controlled_size)
            return
        payload = bytes(data)
        if self._partial:
            payload = bytes(self._partial) + payload
            self._partial = bytearray()
        if not text:
            if self._record is not None:
                self._record.on_message(payload, len(payload), False)
            # Only the key that is there, as servers do: some apps ask which one it is with `in`.
            self._inbox.put({"type": "websocket.receive", "bytes": payload}, flow_controlled_size)
            return
        try:
            string = payload.decode()
        except UnicodeDecodeError:
            self._link.consume(self.stream_id, flow_controlled_size)
            self._give_up(INVALID_DATA, "text message is not UTF-8")
            return
        if self._record is not None:
            self._record.on_message(string, len(payload), False)
        self._inbox.put({"type": "websocket.receive", "text": string}, flow_controlled_size)

    def on_close(self, code: int, reason: str) -> None:
        """Tell the app, after the messages that came before; answer a close not yet answered."""
        self._is_ended = True
        if self._phase is Phase.DENYING:
            return  # the edge ends its direction as soon as it sees a denial; the body still counts
        if self._phase is Phase.OPEN:
            self._link.send_close(self.stream_id, code, reason)
        elif self._phase is Phase.CONNECTING:
            self._link.reset_stream(self.stream_id, ResetCode.CANCELLED)
        if self._phase is not Phase.CLOSED:
            self._gone(code, reason)
        self._link.release(self.stream_id)

    def on_reset(self, code: int, reason: str) -> None:
        """Tell the app that the visitor was lost."""
        if self._phase is Phase.CLOSING:
            self._gone(self._code or ABNORMAL, reason)
        elif self._phase is not Phase.CLOSED:
            self._gone(ABNORMAL, reason)

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Never called: only the app's side sends responses."""

    def on_trailers(self, fields: Fields) -> None:
        """Not for a WebSocket: the visitor's side broke the protocol."""
        self._link.reset_stream(self.stream_id, ResetCode.PROTOCOL_ERROR, "TRAILERS on a WebSocket")
        self.on_reset(ResetCode.PROTOCOL_ERROR, "")

    def on_writable(self) -> None:
        """Let the app's ``send()`` return."""
        if self._room is not None:
            self._room.set()

    def _give_up(self, code: int, reason: str) -> None:
        """Close although the app has not asked for it; what came before is still delivered."""
        if self._phase is Phase.OPEN:
            self._link.send_close(self.stream_id, code, reason)
        self._partial.clear()
        self._gone(code, reason)

    def _gone(self, code: int, reason: str) -> None:
        """The app's sends raise from now on; it gets the close after what it has not yet read."""
        if self._phase is not Phase.GONE:
            self._phase = Phase.GONE
            self._code = code
            self._record_end(is_cut=code in _CUT)
            self._stop_waiting()
            self._inbox.put_last(_disconnect(code, reason))
        self._cut_senders()

    def _cut_senders(self) -> None:
        """Let those raise that wait for room; a message that had it before is sent."""
        room = self._room
        if room is not None and not room.is_set():
            room.set()
            self._room = None


def _denial_fields(status: int, headers: Iterable[Any]) -> Fields:
    """Return the fields of a denial: of framing only its length, once, and none with a 204."""
    fields = normalise_fields(headers)
    lengths = [value for name, value in fields if name == b"content-length"]
    kept = [one for one in fields if one[0] not in _FRAMING]
    if lengths:
        read_length(lengths)
        if status != 204:
            kept.append((b"content-length", lengths[0]))
    return kept


def _disconnect(code: int, reason: str) -> Message:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


def _misplaced(phase: Phase, kind: str) -> str:
    expected = {
        Phase.CONNECTING: "'websocket.accept', 'websocket.close' or a denial response",
        Phase.OPEN: "'websocket.send' or 'websocket.close'",
        Phase.DENYING: "'websocket.http.response.body'",
    }.get(phase)
    if expected is None:
        return f"the app sent {kind!r} after it had closed the WebSocket"
    return f"the app sent {kind!r}; expected {expected}"
