"""The frame: nine bytes of frame header and a payload (docs/protocol.md section 3).

Turns bytes into frames, whatever pieces they arrive in, and numbers into names.  What a payload
means is left to :mod:`.head`, :mod:`.handshake` and :mod:`.connection`.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

from ..errors import FrameError
from .codes import GoawayCode
from .limits import FRAME_HEADER_SIZE, MAX_FRAME_SIZE, TURN_FRAMES

Buffer = bytes | bytearray | memoryview
Payload = bytes | memoryview
View = memoryview
"""Under a name of our own: the compiler does not find the builtin in a named tuple."""


class FrameType(IntEnum):
    """First byte after the length.  Numbers below 32 are sequenced, the others are not."""

    OPEN = 1  #: starts a stream: kind, head, first bytes of the body
    HEAD = 2  #: status and fields of the response, first bytes of its body
    DATA = 3  #: bytes of a body, or of a WebSocket message
    TRAILERS = 4  #: fields after a body; ends this direction
    CLOSE = 5  #: WebSocket close code and reason; ends this direction
    RESET = 6  #: ends both directions at once
    WINDOW = 7  #: bytes consumed, and bytes the window grows by
    DRAIN = 8  #: no new streams, please
    ASK = 9  #: the app wants something of the edge; only where WELCOME says that it can
    REPLY = 10  #: what became of it

    HELLO = 32  #: the connector's first frame
    WELCOME = 33  #: the edge's first frame
    REFUSE = 34  #: the edge's first and last frame
    PING = 35  #: are you there; carries an acknowledgement
    PONG = 36  #: yes; carries an acknowledgement
    ACK = 37  #: sequenced frames received so far
    GOAWAY = 38  #: the session ends now


FIRST_UNSEQUENCED: Final = 32


class Flag:
    """Bits of the flags byte.  A bit that a type does not define must be 0."""

    END: Final = 1  #: OPEN, HEAD, DATA: the last frame of this direction
    TEXT: Final = 2  #: DATA of a WebSocket: UTF-8 text, else binary
    MORE: Final = 4  #: DATA of a WebSocket: the message goes on in the next DATA frame


DEFINED_FLAGS: Final[dict[int, int]] = {
    FrameType.OPEN: Flag.END,
    FrameType.HEAD: Flag.END,
    FrameType.DATA: Flag.END | Flag.TEXT | Flag.MORE,
}
"""The bits that a type defines; none for the types that are not here."""

UNDEFINED_FLAGS: Final = bytes(0xFF & ~DEFINED_FLAGS.get(kind, 0) for kind in range(256))
"""At each type's number the bits that must be 0: ignored, they could get no meaning later."""


_SMALL_READ: Final = 16 * 1024


class StreamKind(IntEnum):
    """What a stream carries; first byte of an OPEN payload."""

    HTTP = 1  #: one exchange
    WEBSOCKET = 2  #: one WebSocket, from its handshake to its close
    BYTES = 3  #: raw bytes both ways (TLS passed through)


FRAME_HEADER: Final = Struct(">IBI")
pack_header: Final = FRAME_HEADER.pack
unpack_header: Final = FRAME_HEADER.unpack_from
_new: Final = tuple.__new__  # docs/adr/0006-compiled-wheels.md, "Two idioms"


class Frame(NamedTuple):
    """One frame off the wire."""

    type: int  # a FrameType, or a number this version does not know
    flags: int
    stream_id: int  # 0 for frames of the whole session
    payload: bytes | View


def encode_frame(kind: int, payload: Buffer = b"", *, stream_id: int = 0, flags: int = 0) -> bytes:
    """Return one frame as bytes.

    Args:
        kind: A FrameType.
        payload: At most ``MAX_FRAME_SIZE`` bytes; the caller has checked.
        stream_id: 0 for frames of the whole session.
        flags: Bits of :class:`Flag`.
    """
    return pack_header(len(payload) << 8 | kind, flags, stream_id) + payload


class FrameDecoder:
    """Cuts a byte stream into frames; keeps an incomplete one for the next call.

    Of more than ``TURN_FRAMES`` the rest is left for :meth:`read_on`, and so is what comes before
    that was called.  Who feeds it stops reading meanwhile, so it is about one read.
    """

    __slots__ = ("_limit", "_need", "_partial", "_unread")

    def __init__(self, limit: int = MAX_FRAME_SIZE) -> None:
        self._limit = limit  # bytes of payload
        self._partial = bytearray()
        self._need = 0  # bytes that `_partial` must hold before another look is worth it
        self._unread: deque[Buffer] = deque()

    @property
    def buffered(self) -> int:
        """Bytes of an incomplete frame, and those that are left for the next turns."""
        return len(self._partial) + sum(len(data) for data in self._unread)

    @property
    def is_behind(self) -> bool:
        """Whether something is left for :meth:`read_on`."""
        return bool(self._unread)

    def feed(self, data: Buffer) -> list[Frame]:
        """Return the frames that ``data`` completes, in wire order; see :meth:`read_on`.

        Payloads are views into ``data`` or into a buffer given up to them: they stay valid.

        Raises:
            FrameError: A frame announces more than the limit.  The decoder is unusable after.
        """
        frames: list[Frame] = []
        if self._unread:
            self._unread.append(data)
        else:
            self._cut(data, frames)
        return frames

    def read_on(self) -> list[Frame]:
        """Return more frames of what was fed before.

        Raises:
            FrameError: As :meth:`feed`.
        """
        frames: list[Frame] = []
        unread = self._unread
        pieces = TURN_FRAMES
        while unread and pieces and len(frames) < TURN_FRAMES:
            pieces -= 1
            self._cut(unread.popleft(), frames)
        return frames

    def _cut(self, data: Buffer, frames: list[Frame]) -> None:
        """Append the frames that ``data`` completes."""
        view = memoryview(data)
        start, end = 0, len(data)
        if self._partial:
            start = self._complete(view, frames)
            if start == end:
                return
        # Of a small read a copy costs less than a view for each frame (0.3 against 0.7 us).
        small = bytes(data) if end <= _SMALL_READ else None
        left = TURN_FRAMES
        while end - start >= FRAME_HEADER_SIZE:
            if not left:
                self._unread.appendleft(view[start:])
                return
            left -= 1
            word, flags, stream_id = unpack_header(view, start)
            size = self._check(word >> 8)
            stop = start + FRAME_HEADER_SIZE + size
            if stop > end:
                self._need = stop - start
                break
            at = start + FRAME_HEADER_SIZE
            payload = view[at:stop] if small is None else small[at:stop]
            frames.append(_new(Frame, (word & 0xFF, flags, stream_id, payload)))
            start = stop
        else:
            self._need = FRAME_HEADER_SIZE
        if start < end:
            self._partial = bytearray(view[start:])

    def _complete(self, view: memoryview, frames: list[Frame]) -> int:
        """Give the incomplete frame what it lacks, and no more; return where the next starts."""
        partial = self._partial
        end = len(view)
        start = min(self._need - len(partial), end)
        partial += view[:start]
        if len(partial) < self._need:
            return start
        word, flags, stream_id = unpack_header(partial)
        need = FRAME_HEADER_SIZE + self._check(word >> 8)
        if len(partial) < need:  # the header was cut
            self._need = need
            more = min(need - len(partial), end - start)
            partial += view[start : start + more]
            start += more
            if len(partial) < need:
                return start
        self._partial = bytearray()
        payload: Payload = memoryview(partial)[FRAME_HEADER_SIZE:]
        if need <= _SMALL_READ:
            payload = bytes(payload)
        frames.append(_new(Frame, (word & 0xFF, flags, stream_id, payload)))
        return start

    def _check(self, size: int) -> int:
        if size > self._limit:
            raise FrameError(
                GoawayCode.FRAME_ERROR,
                f"frame of {size} bytes exceeds limit of {self._limit} bytes",
            )
        return size

    def clear(self) -> None:
        """Forget what was not read: its transport is gone and the peer sends it again."""
        self._unread.clear()
        self._partial = bytearray()
        self._need = 0
