"""Writes responses as HTTP/1.1: the only place of the edge that knows its bytes.

One writer belongs to one connection and serves its exchanges one after the other. What waits for a
slow visitor is in :mod:`.outbox`. Responses come from semi-trusted apps: each field is checked
before a byte of it leaves (T39).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final

from websockets.utils import accept_key

from asgi_tunnel.protocol.frames import Buffer
from asgi_tunnel.protocol.head import Fields, ResponseHead
from asgi_tunnel.protocol.output import LARGE

from ..connections.outbox import Outbox
from ..exchange.fields import (
    FORBIDDEN_TRAILERS,
    HOP_FIELDS,
    bad_bytes,
    bad_fields,
    connection_options,
    good_names,
    is_good_name,
    is_number,
    relayed,
)
from ..exchange.writer import ByteChannel, Exchange, ResponseWriter
from ..pages import Pages
from ..replies import REASON_FIELD, Reply
from ..request import Request
from .responses import date_field, encode_reply, status_line

__all__ = ["HTTP1Channel", "HTTP1Writer", "Line"]

_DROPPED: Final = HOP_FIELDS | {REASON_FIELD}
_SPECIAL: Final = _DROPPED | {b"content-length", b"date"}
_HSTS: Final = b"strict-transport-security"
_HANDSHAKE: Final = _DROPPED | {
    b"sec-websocket-accept",
    b"sec-websocket-extensions",
    b"content-length",
    b"date",
}


class _Framing(Enum):
    NONE = auto()  # the response has no body
    LENGTH = auto()  # as long as announced
    CHUNKED = auto()
    CLOSE = auto()  # up to the end of the connection (HTTP/1.0, refused handshakes)


# Aliases: docs/adr/0006-compiled-wheels.md.
_NONE: Final = _Framing.NONE
_LENGTH: Final = _Framing.LENGTH
_CHUNKED: Final = _Framing.CHUNKED
_CLOSE: Final = _Framing.CLOSE


class Line:
    """What a writer asks of its connection, and does not do itself: reading, states, the end."""

    __slots__ = ()

    @property
    def pages(self) -> Pages:
        """What the edge's own replies look like."""
        raise NotImplementedError

    @property
    def can_keep_alive(self) -> bool:
        """Whether the whole request is here: only then the next one can be read behind it.

        Of a body that is still to come nobody knows whether it comes (RFC 9110 10.1.1).
        """
        raise NotImplementedError

    def pause_request(self) -> None:
        """Read no more."""
        raise NotImplementedError

    def resume_request(self) -> None:
        """Read on."""
        raise NotImplementedError

    def hold(self) -> None:
        """The request waits for an app."""
        raise NotImplementedError

    def release(self) -> None:
        """It waits no longer."""
        raise NotImplementedError

    def upgraded(self) -> None:
        """The exchange has the connection from here on."""
        raise NotImplementedError

    def finished(self, *, keep_alive: bool) -> None:
        """The response is complete."""
        raise NotImplementedError

    def close_soon(self) -> None:
        """Send what is left, then close."""
        raise NotImplementedError

    def cut(self) -> None:
        """Reset the connection."""
        raise NotImplementedError


class HTTP1Writer(ResponseWriter):
    """See :class:`..exchange.writer.ResponseWriter`.

    Args:
        line: The connection.
        transport: Its own.
        resume: Called in the next iteration of the event loop to go on with what waits.

    Attributes:
        outbox: What is written and not yet taken.
        transport: As given.
    """

    __slots__ = (
        "_framing",
        "_has_started",
        "_hsts",
        "_is_handshake",
        "_keep_alive",
        "_left",
        "_line",
        "_request",
        "outbox",
        "transport",
    )

    def __init__(
        self, line: Line, transport: asyncio.Transport, resume: Callable[[], object]
    ) -> None:
        self.transport = transport
        self.outbox = Outbox(transport, resume)
        self._line = line
        self._request: Request | None = None
        self._framing = _NONE
        self._left = 0  # bytes of the response still to come, when its length is known
        self._keep_alive = False
        self._is_handshake = False
        self._has_started = False
        self._hsts = 0  # seconds; 0: nothing is said

    def begin(self, request: Request | None) -> None:
        """Go on with the next exchange; None while its request is not known."""
        self._request = request
        self._framing = _NONE
        # Behind a WebSocket handshake frames may follow, and no request.
        self._is_handshake = request is not None and request.websocket_key is not None
        self._keep_alive = request is not None and request.keep_alive and not self._is_handshake
        self._has_started = False
        self._hsts = 0

    # -- ResponseWriter ----------------------------------------------------------------------

    @property
    def is_paused(self) -> bool:
        """See :class:`ResponseWriter`."""
        return self.outbox.is_paused

    @property
    def has_started(self) -> bool:
        """See :class:`ResponseWriter`."""
        return self._has_started

    def informational(self, head: ResponseHead) -> None:
        """See :class:`ResponseWriter`."""
        request = self._request
        if request is None or not request.is_http11 or bad_fields(head.fields) is not None:
            return
        if self.outbox.is_paused:
            return  # no window bounds informational heads, and nobody has to have them
        if head.status == 100 and not request.expects_continue:
            return
        lines = [status_line(head.status)]
        lines += [
            name + b": " + value + b"\r\n"
            for name, value in relayed(head.fields)
            if name not in _SPECIAL  # there is no body that framing could be about
        ]
        lines.append(b"\r\n")
        self.outbox.write(b"".join(lines))

    def keep_to_https(self, max_age: int) -> None:
        """See :class:`ResponseWriter`."""
        self._hsts = max_age

    def start(self, head: ResponseHead, data: Buffer, *, end: bool) -> str | None:
        """See :class:`ResponseWriter`."""
        request = self._request
        if request is None:
            return "there is no request"
        lines: list[Buffer] = [status_line(head.status)]
        if self._keep_alive and not self._line.can_keep_alive:
            self._keep_alive = False
        why = self._take_fields(head, request, lines)
        if why is not None:
            return why
        if self._framing is _CHUNKED:
            lines.append(b"transfer-encoding: chunked\r\n")
        if not self._keep_alive:
            lines.append(b"connection: close\r\n")
        elif not request.is_http11:
            lines.append(b"connection: keep-alive\r\n")
        lines.append(b"\r\n")
        return self._body(lines, data, end)

    def data(self, data: Buffer, *, end: bool) -> str | None:
        """See :class:`ResponseWriter`."""
        return self._body([], data, end)

    def trailers(self, fields: Fields) -> str | None:
        """See :class:`ResponseWriter`."""
        if self._framing is not _CHUNKED:
            return self._body([], b"", True)
        request = self._request
        lines = [b"0\r\n"]
        if request is not None and request.takes_trailers and bad_fields(fields) is None:
            lines += [
                name + b": " + value + b"\r\n"
                for name, value in fields
                if name not in FORBIDDEN_TRAILERS
            ]
        lines.append(b"\r\n")
        self.outbox.write(b"".join(lines))
        return None

    def upgrade(self, head: ResponseHead, channel: Exchange) -> ByteChannel:
        """See :class:`ResponseWriter`; the fields were checked by the exchange."""
        key = b"" if self._request is None else self._request.websocket_key or b""
        lines = [
            status_line(101),
            b"upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ",
            accept_key(key.decode("latin-1")).encode(),
            b"\r\n",
            date_field(),
        ]
        lines += [
            name + b": " + value + b"\r\n"
            for name, value in relayed(head.fields)
            if name not in _HANDSHAKE
        ]
        lines.append(b"\r\n")
        self._has_started = True
        self.outbox.write(b"".join(lines))
        self._line.upgraded()
        return HTTP1Channel(self._line, self.outbox)

    def finish(self) -> None:
        """See :class:`ResponseWriter`."""
        self._line.finished(keep_alive=self._keep_alive)

    def reply(self, reply: Reply, *, request_id: bytes = b"", keep_alive: bool = False) -> None:
        """See :class:`ResponseWriter`."""
        request = self._request
        accept = method = b""
        if request is not None:
            accept = next((value for name, value in request.fields if name == b"accept"), b"")
            method = request.method
        keep_alive = keep_alive and self._keep_alive
        self._has_started = True
        self.outbox.write(
            encode_reply(
                reply,
                self._line.pages,
                accept=accept,
                request_id=request_id,
                method=method,
                keep_alive=keep_alive,
            )
        )
        self._line.finished(keep_alive=keep_alive)

    def abort(self) -> None:
        """See :class:`ResponseWriter`."""
        self._line.cut()

    def pause_request(self) -> None:
        """See :class:`ResponseWriter`."""
        self._line.pause_request()

    def resume_request(self) -> None:
        """See :class:`ResponseWriter`."""
        self._line.resume_request()

    def hold(self) -> None:
        """See :class:`ResponseWriter`."""
        self._line.hold()

    def release(self) -> None:
        """See :class:`ResponseWriter`."""
        self._line.release()

    # -- inside ------------------------------------------------------------------------------

    def _take_fields(self, head: ResponseHead, request: Request, lines: list[Buffer]) -> str | None:
        """Write the response's fields to ``lines`` and decide how its end is told.

        Returns:
            What is wrong with the response, or None.
        """
        length: int | None = None
        has_date = has_connection = False
        good, bad = good_names, bad_bytes
        for name, value in head.fields:
            if (name not in good and not is_good_name(name)) or bad(value):
                return "a header field is malformed"
            if name in _SPECIAL:
                if name == b"content-length":
                    if length is not None or not is_number(value):
                        return "its Content-Length is no single number"
                    length = int(value)
                elif name == b"date":
                    has_date = True
                else:
                    has_connection = has_connection or name == b"connection"
                    continue
            lines.append(b"%s: %s\r\n" % (name, value))
        if has_connection:  # rare: an app under a server has no say in connections
            if b"close" in connection_options(head.fields):
                self._keep_alive = False
            del lines[1:]
            lines += [
                b"%s: %s\r\n" % (name, value)
                for name, value in relayed(head.fields)
                if name not in _DROPPED
            ]
        if not has_date:
            lines.append(date_field())
        if self._hsts and not any(name == _HSTS for name, _ in head.fields):
            lines.append(b"%s: max-age=%d\r\n" % (_HSTS, self._hsts))
        return self._decide_framing(head.status, request, length)

    def _decide_framing(self, status: int, request: Request, length: int | None) -> str | None:
        if status in (204, 304) or request.method == b"HEAD":
            if status == 204 and length is not None:
                return "a 204 has a Content-Length"
            self._framing = _NONE
        elif length is not None:
            self._framing = _LENGTH
            self._left = length
        elif request.is_http11 and request.websocket_key is None:
            self._framing = _CHUNKED
        else:
            self._framing = _CLOSE
            self._keep_alive = False
        return None

    def _body(self, parts: list[Buffer], data: Buffer, end: bool) -> str | None:
        size = len(data)
        framing = self._framing
        if size:
            if framing is _CHUNKED:
                parts += (b"%x\r\n" % size, data, b"\r\n")
            elif framing is _NONE:
                size = 0
            else:
                if framing is _LENGTH:
                    if size > self._left and self._is_handshake:
                        data, size = data[: self._left], self._left
                    self._left -= size
                    if self._left < 0:
                        return "the response is longer than announced"
                parts.append(data)
        if end and framing is _CHUNKED:
            parts.append(b"0\r\n\r\n")
        self._has_started = True
        if size >= LARGE:
            self.outbox.write_large(parts, is_last=end)
        elif parts:
            self.outbox.write(b"".join(parts))
        if end and framing is _LENGTH and self._left:
            return "the response is shorter than announced"
        return None


class HTTP1Channel(ByteChannel):
    """A connection of HTTP/1.1 after 101; see :class:`..exchange.writer.ByteChannel`."""

    __slots__ = ("_line", "_outbox")

    def __init__(self, line: Line, outbox: Outbox) -> None:
        self._line = line
        self._outbox = outbox

    @property
    def is_paused(self) -> bool:
        """See :class:`ByteChannel`."""
        return self._outbox.is_paused

    @property
    def is_stalled(self) -> bool:
        """See :class:`ByteChannel`."""
        return self._outbox.is_stalled

    def write(self, data: bytes) -> None:
        """See :class:`ByteChannel`."""
        self._outbox.write(data)

    def write_large(self, pieces: Sequence[Buffer]) -> None:
        """See :class:`ByteChannel`."""
        self._outbox.write_large(pieces)

    def pause_reading(self) -> None:
        """See :class:`ByteChannel`."""
        self._line.pause_request()

    def resume_reading(self) -> None:
        """See :class:`ByteChannel`."""
        self._line.resume_request()

    def close(self) -> None:
        """See :class:`ByteChannel`."""
        self._line.close_soon()

    def cut(self) -> None:
        """See :class:`ByteChannel`."""
        self._line.cut()
