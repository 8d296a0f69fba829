"""Relays one HTTP exchange between a visitor and a stream.

The request was read and checked by the ingress; which session serves it is decided here, and what
happens when that session goes.  The answer comes from a semi-trusted app: it is checked before a
byte of it leaves (T39).
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final, Protocol

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import Fields, HeadError, RequestHead, ResponseHead
from asgi_tunnel.protocol.limits import WINDOW_FLOOR
from asgi_tunnel.session import Session
from asgi_tunnel.transport import LARGE

from ..directory import Route
from ..observers.access_log import AccessLog, Entry
from ..replies import answer, date_field, status_line
from ..request import Request

_BAD_BYTES: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
_DIGITS: Final = re.compile(rb"[0-9]{1,18}").fullmatch
_MAX_NAMES: Final = 2048
_MAX_NAME: Final = 64  # bytes of a name that is remembered
_SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})
HOP_FIELDS: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
)
_SPECIAL: Final = HOP_FIELDS | {b"content-length", b"date"}
RETRY_AFTER: Final = 5
"""Seconds that a visitor of an app which is away is told to wait."""

MAX_TRIES: Final = 3
"""Sessions that one exchange is tried on."""

_good_names: set[bytes] = set()


class Writer(Protocol):
    """What a relay asks of the visitor's connection."""

    peer: bytes

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def write_large(self, pieces: Sequence[Buffer]) -> None:
        """Send pieces at the end of the turn."""

    @property
    def is_paused(self) -> bool:
        """Whether the visitor reads slower than the app writes."""

    def pause_body(self) -> None:
        """Read no more of the request body."""

    def resume_body(self) -> None:
        """Read on."""

    def hold(self, route: Route) -> None:
        """Start to wait for a session; ``hold_timeout`` is the visitor's."""

    def released(self) -> None:
        """The wait is over."""

    def finished(self, *, keep_alive: bool) -> None:
        """The answer is complete."""

    def cut(self) -> None:
        """End the connection so that what was sent cannot look complete."""


class _Phase(Enum):
    WAITING = auto()  # no session yet
    SENT = auto()  # the request is on its way, no byte of the answer has come
    ANSWERING = auto()  # the head of the answer has left
    OVER = auto()


class _Framing(Enum):
    NONE = auto()  # the answer has no body
    LENGTH = auto()  # as long as announced
    CHUNKED = auto()
    CLOSE = auto()  # up to the end of the connection (HTTP/1.0)


# One look-up instead of two each time, and none when compiled.
_WAITING: Final = _Phase.WAITING
_SENT: Final = _Phase.SENT
_ANSWERING: Final = _Phase.ANSWERING
_OVER: Final = _Phase.OVER
_NONE: Final = _Framing.NONE
_LENGTH: Final = _Framing.LENGTH
_CHUNKED: Final = _Framing.CHUNKED
_CLOSE: Final = _Framing.CLOSE
_HTTP: Final = StreamKind.HTTP
_new: Final = tuple.__new__  # skips a named tuple's own constructor


class HTTPRelay:
    """One exchange; the stream's handler on the edge.

    Args:
        writer: The visitor's connection.
        request: What was read.
        head: The same for the wire.
        route: Whose session to use.
        log: Gets an entry at the end.
    """

    __slots__ = (
        "_framing",
        "_head",
        "_is_body_sent",
        "_keep_alive",
        "_left",
        "_log",
        "_outcome",
        "_owed",
        "_phase",
        "_request",
        "_route",
        "_sent",
        "_session",
        "_started",
        "_status",
        "_stream_id",
        "_tries",
        "_writer",
    )

    def __init__(
        self, writer: Writer, request: Request, head: RequestHead, route: Route, log: AccessLog
    ) -> None:
        self._writer = writer
        self._request = request
        self._head = head
        self._route = route
        self._log = log
        self._phase = _WAITING
        self._session: Session | None = None
        self._stream_id = 0
        self._is_body_sent = request.length == 0
        self._framing = _NONE
        self._left = 0  # bytes of the answer still to come, when its length is known
        self._keep_alive = request.keep_alive
        self._owed = 0  # cost of bytes that the visitor has not taken yet
        self._sent = 0
        self._status = 0
        self._tries = 0
        self._outcome = ""
        self._started = time.perf_counter()

    @property
    def is_over(self) -> bool:
        """Whether the answer is complete or was given up."""
        return self._phase is _OVER

    @property
    def is_answering(self) -> bool:
        """Whether the head of the answer has left and its end has not."""
        return self._phase is _ANSWERING

    # -- the request -------------------------------------------------------------------------

    def start(self) -> None:
        """Choose a session and send the request head, or wait for one; the body comes after."""
        session = self._route.choose()
        if session is None:
            self._wait()
        else:
            self._open(session)

    def send_body(self, data: bytes, *, end: bool) -> None:
        """Relay a piece of the request body."""
        if end:
            self._is_body_sent = True
        if self._session is None or self._phase is _OVER:
            return
        if not self._session.send_data(self._stream_id, data, end=end) and not end:
            self._writer.pause_body()

    def abandon(
        self,
        code: ResetCode = ResetCode.CANCELLED,
        outcome: str = "visitor left",
        status: int = 499,
    ) -> None:
        """The visitor is gone, or broke the rules: end the stream.

        Args:
            code: For the app's side.
            outcome: For the log.
            status: What the visitor is told instead of an answer, for the log.
        """
        if self._phase is _OVER:
            return
        if self._phase is _WAITING:
            self._route.give_up(self._resume)
        elif self._session is not None:
            self._session.reset_stream(self._stream_id, code)
        self._outcome = outcome
        self._over(self._status or status)

    def time_out(self) -> None:
        """No session came in time."""
        if self._phase is _WAITING:
            self._route.give_up(self._resume)
            self._writer.released()
            self._refuse(503, "the app behind this name is not connected", RETRY_AFTER)

    def check_stalled(self, lost_for: float, hold: float) -> None:
        """Give up on a session that is away, when nothing is lost by that.

        Args:
            lost_for: Seconds since its peer was heard.
            hold: Seconds that a visitor waits for an app.

        Only for a request that may be asked twice and has no answer yet: another session gets it
        once this one is not back at once, and without another it waits no longer than a new
        request would.  Everything else waits for the session to resume.
        """
        session = self._session
        if (
            self._phase is not _SENT
            or session is None
            or self._request.length != 0
            or self._head.method not in _SAFE
        ):
            return
        other = self._route.choose() if self._tries < MAX_TRIES else None
        waited = min(lost_for, time.perf_counter() - self._started)
        if other is not None:
            session.reset_stream(self._stream_id, ResetCode.CANCELLED)
            self._open(other)
        elif waited >= hold:
            session.reset_stream(self._stream_id, ResetCode.CANCELLED)
            self._refuse(503, "the app behind this name is not connected", RETRY_AFTER)

    def writable(self) -> None:
        """The visitor took what was written: let the app send more."""
        owed, self._owed = self._owed, 0
        if owed and self._session is not None:
            self._session.consume(self._stream_id, owed)

    def _open(self, session: Session) -> None:
        self._session = session
        self._phase = _SENT
        self._tries += 1
        try:
            self._stream_id = session.open_stream(_HTTP, self._head, self, end=self._is_body_sent)
        except HeadError:
            self._refuse(431, "the request head is too large to be relayed")

    def _wait(self) -> None:
        self._phase = _WAITING
        self._session = None
        if self._route.wait(self._resume):
            self._writer.hold(self._route)
        else:
            self._refuse(503, "too many visitors wait for this app", RETRY_AFTER)

    def _resume(self, session: Session) -> None:
        self._open(session)
        self._writer.released()

    # -- the answer (StreamHandler) ----------------------------------------------------------

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Send the head of the answer, and its first bytes, in one write."""
        status = head.status
        if status < 200:
            self._interim(head)
            return
        lines: list[Buffer] = [status_line(status)]
        why = self._take_fields(head, lines)
        if why is not None:
            self._reset(ResetCode.PROTOCOL_ERROR, why)
            self._refuse(502, f"the app's answer was refused: {why}")
            return
        self._phase = _ANSWERING
        self._status = status
        if self._framing is _CHUNKED:
            lines.append(b"transfer-encoding: chunked\r\n")
        if not self._keep_alive:
            lines.append(b"connection: close\r\n")
        elif not self._request.is_http11:
            lines.append(b"connection: keep-alive\r\n")
        lines.append(b"\r\n")
        size = len(data)
        # A small answer that came whole is below the floor: no window waits for it.
        self._body(lines, data, 0 if end and size <= WINDOW_FLOOR else size, end)

    def on_data(self, data: Buffer, cost: int, end: bool, text: bool, more: bool) -> None:
        """Send a piece of the answer's body."""
        if self._phase is _ANSWERING:
            self._body([], data, cost, end)

    def on_trailers(self, fields: Fields) -> None:
        """End a chunked answer with trailers, if the visitor asked for them."""
        if self._phase is not _ANSWERING:
            return
        if self._framing is _CHUNKED:
            lines = [b"0\r\n"]
            if self._request.takes_trailers and bad_fields(fields) is None:
                lines += [name + b": " + value + b"\r\n" for name, value in fields]
            lines.append(b"\r\n")
            self._writer.write(b"".join(lines))
            self._complete()
        else:
            self._body([], b"", 0, True)

    def on_close(self, code: int, reason: str) -> None:
        """Not for HTTP: the app's side broke the protocol."""
        self._reset(ResetCode.PROTOCOL_ERROR, "CLOSE on an exchange")
        self._fail("the app's side broke the tunnel's protocol")

    def on_writable(self) -> None:
        """Read on in the request body."""
        self._writer.resume_body()

    def on_reset(self, code: int, reason: str) -> None:
        """The app gave the exchange up, or its session is lost: try again, or say so."""
        if self._phase is not _SENT:
            self._fail(reason or "the tunnel was lost")
            return
        # Safe to repeat: never started by the app, or without effect and without a body.
        unsent = self._request.length == 0
        if (
            unsent
            and self._tries < MAX_TRIES
            and (
                code == ResetCode.REFUSED
                or (code == ResetCode.SESSION_LOST and self._head.method in _SAFE)
            )
        ):
            session = self._route.choose(avoid=self._session)
            if session is None:
                self._wait()
            else:
                self._open(session)
        elif code == ResetCode.SESSION_LOST:
            self._fail("the tunnel to the app was lost")
        elif code == ResetCode.REFUSED:
            self._refuse(503, "the app takes no requests at the moment", RETRY_AFTER)
        else:
            self._fail("the app gave up on the request")

    # -- inside ------------------------------------------------------------------------------

    def _interim(self, head: ResponseHead) -> None:
        if head.status == 101:
            self._reset(ResetCode.PROTOCOL_ERROR, "101 on an exchange")
            self._fail("the app tried to change the protocol")
            return
        if not self._request.is_http11 or bad_fields(head.fields) is not None:
            return
        if self._writer.is_paused:
            return  # no window bounds interim heads, and nobody has to have them
        if head.status == 100 and (not self._request.expects_continue or self._is_body_sent):
            return
        lines = [status_line(head.status)]
        lines += [
            name + b": " + value + b"\r\n"
            for name, value in head.fields
            if name not in _SPECIAL  # an interim answer has no framing that could be believed
        ]
        lines.append(b"\r\n")
        self._writer.write(b"".join(lines))

    def _take_fields(self, head: ResponseHead, lines: list[Buffer]) -> str | None:
        """Write the answer's fields to ``lines`` and decide how its end is told.

        Returns:
            What is wrong with the answer, or None.
        """
        length: int | None = None
        has_date = False
        good, bad = _good_names, _BAD_BYTES
        for name, value in head.fields:
            if (name not in good and not _is_good_name(name)) or bad(value):
                return "a header field is malformed"
            if name in _SPECIAL:
                if name == b"content-length":
                    if length is not None or not _DIGITS(value):
                        return "its Content-Length is no single number"
                    length = int(value)
                elif name == b"date":
                    has_date = True
                else:
                    if name == b"connection" and b"close" in value.lower():
                        self._keep_alive = False
                    continue
            lines.append(b"%s: %s\r\n" % (name, value))
        if not has_date:
            lines.append(date_field())
        return self._decide_framing(head.status, length)

    def _decide_framing(self, status: int, length: int | None) -> str | None:
        if status in (204, 304) or self._head.method == b"HEAD":
            if status == 204 and length is not None:
                return "a 204 has a Content-Length"
            self._framing = _NONE
        elif length is not None:
            self._framing = _LENGTH
            self._left = length
        elif self._request.is_http11:
            self._framing = _CHUNKED
        else:
            self._framing = _CLOSE
            self._keep_alive = False
        return None

    def _body(self, parts: list[Buffer], data: Buffer, cost: int, end: bool) -> None:
        size = len(data)
        framing = self._framing
        if size:
            if framing is _CHUNKED:
                parts += (b"%x\r\n" % size, data, b"\r\n")
            elif framing is _NONE:
                size = 0
            else:
                if framing is _LENGTH:
                    self._left -= size
                    if self._left < 0:
                        self._reset(ResetCode.PROTOCOL_ERROR, "body longer than announced")
                        self._fail("the answer is longer than announced")
                        return
                parts.append(data)
        if end and framing is _CHUNKED:
            parts.append(b"0\r\n\r\n")
        self._sent += size
        writer = self._writer
        if size >= LARGE:
            writer.write_large(parts)
        elif parts:
            writer.write(b"".join(parts))
        if end:
            self._owed += cost
            if framing is _LENGTH and self._left:
                self._reset(ResetCode.PROTOCOL_ERROR, "body shorter than announced")
                self._fail("the answer is shorter than announced")
            else:
                self._complete()
        elif cost:
            if writer.is_paused:
                self._owed += cost
            elif self._session is not None:
                self._session.consume(self._stream_id, cost)

    def _complete(self) -> None:
        session = self._session
        if session is not None:
            if self._is_body_sent:
                session.release(self._stream_id)
                if self._owed:
                    session.consume(self._stream_id, self._owed)
            else:
                session.reset_stream(self._stream_id, ResetCode.CANCELLED, "answered early")
        self._over(self._status)
        self._writer.finished(keep_alive=self._keep_alive and self._framing is not _CLOSE)

    def _reset(self, code: ResetCode, why: str) -> None:
        if self._session is not None:
            self._session.reset_stream(self._stream_id, code, why)

    def _refuse(self, status: int, why: str, retry_after: int | None = None) -> None:
        """Answer in the app's place: nothing of an answer has been sent."""
        accept = next((v for n, v in self._head.fields if n == b"accept"), b"")
        keep_alive = self._keep_alive and self._is_body_sent
        data = answer(
            status,
            why,
            accept=accept,
            request_id=self._head.request_id,
            retry_after=retry_after,
            is_head=self._head.method == b"HEAD",
            keep_alive=keep_alive,
        )
        self._writer.write(data)
        self._outcome = why
        self._over(status)
        self._writer.finished(keep_alive=keep_alive)

    def _fail(self, why: str) -> None:
        """502 when nothing was sent; else cut."""
        if self._phase is _SENT:
            self._refuse(502, why)
        elif self._phase is _ANSWERING:
            self._outcome = why
            self._over(self._status)
            self._writer.cut()

    def _over(self, status: int) -> None:
        self._phase = _OVER
        head = self._head
        self._log.add(
            _new(
                Entry,
                (
                    head.request_id,
                    head.arrival.peer_host,
                    head.method,
                    self._route.hostname,
                    head.target,
                    status,
                    self._sent,
                    time.perf_counter() - self._started,
                    self._outcome,
                ),
            )
        )


def _is_good_name(name: bytes) -> bool:
    if not _TOKEN(name):
        return False
    if len(name) <= _MAX_NAME and len(_good_names) < _MAX_NAMES:
        _good_names.add(name)
    return True


def bad_fields(fields: Fields) -> str | None:
    """Return what is wrong with an app's fields, or None."""
    for name, value in fields:
        if (name not in _good_names and not _is_good_name(name)) or _BAD_BYTES(value):
            return "a header field is malformed"
    return None
