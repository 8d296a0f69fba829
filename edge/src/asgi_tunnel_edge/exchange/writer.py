"""The seam between an exchange and the front that its visitor came through.

An exchange says what is to be sent; a front's writer says in which bytes. :mod:`..http1.writer` is
HTTP/1.1's. The classes here are bases and not protocols: a call of a compiled base class costs a
tenth of one that is looked up by name (docs/adr/0006-compiled-wheels.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from asgi_tunnel.protocol.frames import Buffer
from asgi_tunnel.protocol.head import Fields, ResponseHead

from ..replies import Reply
from ..settings.guards import Pace

__all__ = ["ByteChannel", "Exchange", "Holder", "ResponseWriter"]


class Holder:
    """Where it is noted that an exchange waits for an app."""

    __slots__ = ()

    def hold(self) -> None:
        """Start to wait for an app; the front calls :meth:`Exchange.time_out` when it is over."""
        raise NotImplementedError

    def release(self) -> None:
        """The wait is over."""
        raise NotImplementedError


class ByteChannel:
    """A visitor's connection after an upgrade: bytes both ways, no messages of HTTP."""

    __slots__ = ()

    @property
    def is_paused(self) -> bool:
        """Whether the visitor reads slower than the app writes."""
        raise NotImplementedError

    @property
    def is_stalled(self) -> bool:
        """The same, for longer than to the end of this iteration of the event loop."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Send bytes; dropped when the visitor is gone."""
        raise NotImplementedError

    def write_large(self, pieces: Sequence[Buffer]) -> None:
        """Send pieces at the end of this iteration of the event loop, perhaps uncopied."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        """Take no more bytes from the visitor."""
        raise NotImplementedError

    def resume_reading(self) -> None:
        """Go on taking them."""
        raise NotImplementedError

    def close(self) -> None:
        """Send what is left, then close."""
        raise NotImplementedError

    def cut(self) -> None:
        """Reset the connection: what was sent cannot look complete."""
        raise NotImplementedError


class ResponseWriter(Holder):
    """Where an exchange writes its response, and how it steers the request's body.

    One writer may serve one exchange after the other; the front says when the next one begins.
    """

    __slots__ = ()

    @property
    def is_paused(self) -> bool:
        """Whether the visitor reads slower than the app writes."""
        raise NotImplementedError

    @property
    def has_started(self) -> bool:
        """Whether a byte of a final response has left: nothing else can be said then."""
        raise NotImplementedError

    def informational(self, head: ResponseHead) -> None:
        """Send a 1xx head, or drop it: for a visitor that cannot read it, or is slow."""
        raise NotImplementedError

    def keep_to_https(self, max_age: int) -> None:
        """Add Strict-Transport-Security to the response, unless the app sets it (RFC 6797).

        Args:
            max_age: Seconds.
        """
        raise NotImplementedError

    def start(self, head: ResponseHead, data: Buffer, *, end: bool) -> str | None:
        """Send the head of the response and its first bytes, in one write.

        Returns:
            What is wrong with the app's response, or None; :attr:`has_started` says whether
            something of it was sent.
        """
        raise NotImplementedError

    def data(self, data: Buffer, *, end: bool) -> str | None:
        """Send bytes of the body; returns as :meth:`start`."""
        raise NotImplementedError

    def trailers(self, fields: Fields) -> str | None:
        """End the body with trailers, if the visitor takes them; returns as :meth:`start`."""
        raise NotImplementedError

    def upgrade(self, head: ResponseHead, channel: Exchange) -> ByteChannel:
        """Accept a WebSocket handshake; ``channel`` gets the bytes that follow."""
        raise NotImplementedError

    def finish(self) -> None:
        """Say that the response is complete: the front takes the next request, or closes."""
        raise NotImplementedError

    def reply(self, reply: Reply, *, request_id: bytes = b"", keep_alive: bool = False) -> None:
        """Send a response of the edge's own, whole, and finish.

        Args:
            reply: What to say.
            request_id: So that a visitor can quote it.
            keep_alive: Whether the exchange allows another one behind it.
        """
        raise NotImplementedError

    def abort(self) -> None:
        """End the connection so that what was sent cannot look complete."""
        raise NotImplementedError

    def pause_request(self) -> None:
        """Take no more of the request body."""
        raise NotImplementedError

    def resume_request(self) -> None:
        """Go on taking it."""
        raise NotImplementedError


class Exchange:
    """What a front asks of an exchange, whatever it carries.

    Attributes:
        max_time: Seconds that it may take; 0: no limit.
        max_body: Bytes that a chunked request body may have; 0: no limit.
        overhead: Units without content in what :meth:`data_received` took last.
        pace: How fast bodies have to move; None: as ``[limits]`` says.
        identity: Who the visitor is, as :meth:`..access.identity.Identity.encode` writes it, for an
            app whose side understands that; empty: nobody has asked.
        person: Whom a door has let in, as :class:`..access.doors.Admission` has it; or None.
    """

    __slots__ = ("identity", "max_body", "max_time", "overhead", "pace", "person")

    def __init__(self) -> None:
        self.max_time = 0.0
        self.max_body = 0
        self.overhead = 0
        self.pace: Pace | None = None
        self.identity = b""
        self.person: object = None

    @property
    def is_over(self) -> bool:
        """Whether its response is complete or was given up."""
        raise NotImplementedError

    def start(self) -> None:
        """Ask an app, or wait for one."""
        raise NotImplementedError

    def send_body(self, data: bytes, *, end: bool) -> None:
        """Relay a piece of the request body."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> bytes:
        """Take bytes of the visitor, after an upgrade.

        Returns:
            What is left for the next turn of the event loop, to be given again.
        """
        raise NotImplementedError

    def writable(self) -> None:
        """The visitor took what was written: let the app send more."""
        raise NotImplementedError

    def time_out(self) -> None:
        """No app came within the time of a hold."""
        raise NotImplementedError

    def abandon(self, code: int, outcome: str, status: int) -> None:
        """End it: the visitor is gone, or broke a rule.

        Args:
            code: A :class:`ResetCode` for the app's side.
            outcome: For the log.
            status: What the visitor got in place of a response, for the log; 499: nothing.
        """
        raise NotImplementedError

    def check(self, now: float) -> None:
        """Called a few times a second: keep an upgraded connection alive, or end it."""

    def shut_down(self) -> None:
        """The edge stops: end what would not end by itself."""
