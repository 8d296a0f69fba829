"""Flow control of one stream: what may be sent unread, and what was received unread.

The session window needs no frames of its own.  Each side counts, over all streams, the unread
bytes above a floor per stream; the floor makes sure that stalled streams cannot starve a small
exchange on another one, and both sides reach the same count from the same WINDOW frames.
"""

from __future__ import annotations

from typing import Final

from ..errors import FlowControlError
from .codes import GoawayCode
from .limits import FRAME_HEADER_SIZE, MAX_STREAM_WINDOW, WINDOW_FLOOR, Settings

GROWTH_ROUND_TRIPS = 4
"""A window that is read in less than this many round trips is what limits the peer: double it."""

MIN_ROUND_TRIP = 0.0025
"""Seconds that a round trip counts for at least.  On loopback or a fast LAN PING measures less than
the peer's event loop needs to come round, and a window that stays small makes both wait in turn."""


MIN_RETURN: Final = 1024
"""Bytes that a WINDOW frame returns at least, as long as the reader has not caught up: a frame for
each message of a byte would cost more than the message.  A peer's frame that returns less counts as
one without content."""


class SessionUse:
    """Unread bytes of all streams above their floors, in one direction."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit  # bytes, the receiver's ``session_window``
        self.used = 0


class SendWindow:
    """What this side may still send on one stream."""

    __slots__ = ("_session", "_size", "unread")

    def __init__(self, size: int, session: SessionUse) -> None:
        self._size = size  # bytes the peer's window holds
        self._session = session
        self.unread = 0  # bytes sent that the peer has not said it consumed

    def available(self) -> int:
        """Return how many bytes may be sent now, by this window and by the session's."""
        room = self._size - self.unread
        floor = WINDOW_FLOOR - self.unread
        if room <= floor:
            return room
        session = self._session.limit - self._session.used + max(floor, 0)
        return room if room < session else max(session, 0)

    @property
    def is_held_by_session(self) -> bool:
        """The stream's own window has room; what lacks is the session's."""
        return self._size - self.unread > FRAME_HEADER_SIZE

    def spend(self, size: int) -> None:
        """Count ``size`` bytes as sent.  The caller has asked :meth:`available`."""
        before = self.unread
        self.unread = after = before + size
        if after > WINDOW_FLOOR:
            self._session.used += after - max(before, WINDOW_FLOOR)

    def credit(self, consumed: int, growth: int) -> None:
        """Take a WINDOW frame.

        Raises:
            FlowControlError: It returns more than was sent, or grows beyond the bound.
        """
        before = self.unread
        if consumed > before:
            raise FlowControlError(
                GoawayCode.FLOW_CONTROL, f"WINDOW returns {consumed} of {before} bytes"
            )
        if self._size + growth > MAX_STREAM_WINDOW:
            raise FlowControlError(
                GoawayCode.FLOW_CONTROL,
                f"window of {self._size + growth} bytes exceeds {MAX_STREAM_WINDOW} bytes",
            )
        self._size += growth
        self.unread = after = before - consumed
        if before > WINDOW_FLOOR:
            self._session.used -= before - max(after, WINDOW_FLOOR)

    def release(self) -> None:
        """Give the session its share back: the stream was reset."""
        self.credit(self.unread, 0)


class ReceiveWindow:
    """What the peer has sent on one stream and this side has not consumed."""

    __slots__ = ("_consumed", "_last_update", "_read", "_session", "_size", "unread")

    def __init__(self, size: int, session: SessionUse, now: float) -> None:
        self._size = size
        self._session = session
        self._consumed = 0  # bytes consumed but not yet told in a WINDOW frame
        self._read = 0  # bytes consumed since ``_last_update``, told or not
        self._last_update = now
        self.unread = 0  # bytes received and not told as consumed

    @property
    def room(self) -> int:
        """Bytes that the peer may send, or has sent and are on their way."""
        return self._size - self.unread

    def receive(self, size: int) -> None:
        """Count ``size`` bytes as received.

        Raises:
            FlowControlError: The peer sent more than the stream's or the session's window allowed.
        """
        before = self.unread
        self.unread = after = before + size
        if after > WINDOW_FLOOR:
            if after > self._size:
                raise FlowControlError(
                    GoawayCode.FLOW_CONTROL,
                    f"{after} unread bytes exceed the stream window of {self._size} bytes",
                )
            session = self._session
            session.used += after - max(before, WINDOW_FLOOR)
            if session.used > session.limit:
                raise FlowControlError(
                    GoawayCode.FLOW_CONTROL,
                    f"{session.used} unread bytes exceed the session window of "
                    f"{session.limit} bytes",
                )

    def consume(self, size: int, now: float, round_trip: float) -> tuple[int, int] | None:
        """Count ``size`` bytes as consumed.

        Args:
            size: Bytes, at most what is unread.
            now: Monotonic seconds.
            round_trip: Seconds, as measured by PING.

        Returns:
            Bytes consumed and bytes to grow by, when a WINDOW frame is due: at half the window, so
            that a small exchange costs none; and earlier above half the floor, when the reader has
            caught up or the session window is half used: while others fill the session window,
            the floor is all that this stream has, and it must come back.
        """
        self._consumed += size
        self._read += size
        is_half_read = self._read * 2 >= self._size
        if not is_half_read:
            if self.unread * 2 <= WINDOW_FLOOR:
                return None
            if self._consumed < self.unread and (
                self._consumed < MIN_RETURN or self._session.used * 2 < self._session.limit
            ):
                return None
        growth = 0
        if is_half_read:
            if now - self._last_update < GROWTH_ROUND_TRIPS * max(round_trip, MIN_ROUND_TRIP):
                growth = min(self._size, MAX_STREAM_WINDOW - self._size)
                self._size += growth
            self._last_update, self._read = now, 0
        consumed, self._consumed = self._consumed, 0
        self._return(consumed)
        return consumed, growth

    def release(self) -> None:
        """Give the session its share back: the stream was reset and its bytes are dropped."""
        self._consumed = 0
        self._return(self.unread)

    def _return(self, size: int) -> None:
        before = self.unread
        self.unread = after = before - size
        if before > WINDOW_FLOOR:
            self._session.used -= before - max(after, WINDOW_FLOOR)


class Windows:
    """Makes the windows of a session's streams, when a stream first needs one.

    Attributes:
        sending: Unread bytes toward the peer, over all streams.
        receiving: Unread bytes from the peer, over all streams.
        now: Monotonic seconds; when the newest bytes came.
    """

    __slots__ = ("_local", "_peer", "now", "receiving", "sending")

    def __init__(self, local: Settings, peer: Settings, now: float) -> None:
        self._local = local.stream_window
        self._peer = peer.stream_window
        self.sending = SessionUse(peer.session_window)
        self.receiving = SessionUse(local.session_window)
        self.now = now

    def for_sending(self) -> SendWindow:
        """Return a full window toward the peer."""
        return SendWindow(self._peer, self.sending)

    def for_receiving(self) -> ReceiveWindow:
        """Return an empty window for what the peer sends."""
        return ReceiveWindow(self._local, self.receiving, self.now)
