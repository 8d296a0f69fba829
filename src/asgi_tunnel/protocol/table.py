"""Which streams a session has: the open ones, and what the windows of closed ones still count.

A stream is closed when both directions have ended, but bytes of it may still be on their way or
unread.  They count against the session window until they are credited, on both sides.
"""

from __future__ import annotations

from ..errors import StreamStateError
from .codes import GoawayCode
from .frames import StreamKind
from .limits import WINDOW_FLOOR, Settings
from .scheduler import Scheduler
from .stream import Stream
from .window import ReceiveWindow, SendWindow, Windows


class StreamTable:
    """The streams of one session, by id.

    Args:
        local: What this side announced that it receives.
        peer: What the other side announced.
        now: Monotonic seconds.

    Attributes:
        streams: Those that are not closed in both directions.
        last_id: The highest id opened, by whichever side opens.
        windows: Makes the streams' windows.
        scheduler: Whose turn it is to send.
    """

    __slots__ = (
        "_uncredited_windows",
        "_unread_windows",
        "last_id",
        "scheduler",
        "streams",
        "windows",
    )

    def __init__(self, *, local: Settings, peer: Settings, now: float) -> None:
        self.streams: dict[int, Stream] = {}
        self.last_id = 0
        self.windows = Windows(local, peer, now)
        self.scheduler = Scheduler()
        # Of closed streams: what the peer has not read, and what this side has not.
        self._uncredited_windows: dict[int, SendWindow] = {}
        self._unread_windows: dict[int, ReceiveWindow] = {}

    def add(self, stream_id: int, kind: StreamKind) -> Stream:
        """Open a stream with the next id."""
        self.last_id = stream_id
        stream = self.streams[stream_id] = Stream(stream_id, kind, self.windows)
        return stream

    def find(self, stream_id: int) -> Stream | None:
        """Return the stream, or None for a closed one.

        Raises:
            StreamStateError: The id was never used.
        """
        stream = self.streams.get(stream_id)
        if stream is None and not 0 < stream_id <= self.last_id:
            raise StreamStateError(GoawayCode.STREAM_STATE, f"stream {stream_id} was never opened")
        return stream

    def close_if_over(self, stream: Stream) -> None:
        """Close a stream whose directions have both ended and which has sent everything."""
        if stream.is_closed and not stream.outbox and stream.id in self.streams:
            sending, receiving = stream.sending, stream.receiving
            if sending is not None and sending.unread > WINDOW_FLOOR:
                self._uncredited_windows[stream.id] = sending
            if receiving is not None and receiving.unread > WINDOW_FLOOR:
                self._unread_windows[stream.id] = receiving
            self._forget(stream)

    def reset(self, stream: Stream) -> None:
        """Close a stream at once, and give its windows back."""
        stream.reset()
        self._forget(stream)
        self.scheduler.wake_starved()

    def receive_window(self, stream_id: int) -> ReceiveWindow | None:
        """Return the window of a stream, open or closed, that has received anything."""
        stream = self.streams.get(stream_id)
        return stream.receiving if stream is not None else self._unread_windows.get(stream_id)

    # -- closed streams ----------------------------------------------------------------------

    def drop_unread(self, stream_id: int) -> int:
        """Give back what this side has not read of a closed stream; return how many bytes."""
        window = self._unread_windows.pop(stream_id, None)
        if window is None:
            return 0
        unread = window.unread
        window.release()
        return unread

    def forget_read(self, stream_id: int) -> None:
        """Forget the window of a closed stream once no more than the floor is unread."""
        window = self._unread_windows.get(stream_id)
        if window is not None and window.unread <= WINDOW_FLOOR:
            del self._unread_windows[stream_id]

    def credit_closed(self, stream_id: int, consumed: int) -> None:
        """Take a WINDOW frame for a closed stream."""
        window = self._uncredited_windows.get(stream_id)
        if window is not None:
            window.credit(min(consumed, window.unread), 0)
            if window.unread <= WINDOW_FLOOR:
                self.release_closed(stream_id)

    def release_closed(self, stream_id: int) -> None:
        """Count a closed stream as read by the peer."""
        window = self._uncredited_windows.pop(stream_id, None)
        if window is not None:
            window.release()
            self.scheduler.wake_starved()

    # -- inside ------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget everything: the session is over."""
        self.streams.clear()
        self._uncredited_windows.clear()
        self._unread_windows.clear()
        self.scheduler = Scheduler()

    def _forget(self, stream: Stream) -> None:
        del self.streams[stream.id]
        self.scheduler.forget(stream)
