"""Carries the bytes of a session over one WebSocket, after its handshake.

The tunnel is a byte stream inside binary messages, so this codec never assembles a message: what
has arrived is unmasked and passed on.  A general WebSocket library copies each message four times
(bulk transfers then spend two thirds of their time there); it still does the handshake, see
:mod:`.dial`.

Called by :mod:`.session`; both sides use it.

Large because it holds the codec beside the transport that is its only user.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Sequence
from struct import Struct
from typing import Final, Protocol, cast

from .pacing import CPUYield, shared_cpu_yield
from .protocol.frames import Buffer
from .protocol.limits import FRAME_HEADER_SIZE, TURN_FRAMES
from .protocol.output import LARGE, size_of

_BINARY: Final = 0x82  # FIN and opcode 2
_CLOSE: Final = 0x88
_PONG: Final = 0x8A
_MASKED: Final = 0x80
_LONG: Final = Struct(">BBQ")
_SHORT: Final = Struct(">BBH")
_MAX_CONTROL: Final = 125  # bytes, RFC 6455 section 5.5
_MAX_HEADER: Final = 14  # bytes, with eight of length and the mask
_NO_KEY: Final = bytes(4)  # masks nothing

MAX_ROOM: Final = 128 * 1024
"""Bytes committed to a fast link at one time, and unsent bytes the kernel takes of a visitor's
answer (``TCP_NOTSENT_LOWAT``).  Without it a send buffer holds seconds of a bulk transfer."""

MIN_ROOM: Final = 16 * 1024
"""The same at first, and for a slow link: 7 ms of a 20 Mbit/s uplink.  What is committed stands in
front of every click; what is not, the scheduler can still let it pass."""

AHEAD: Final = 0.01
"""Seconds of sending, at the rate at which the socket takes bytes, that are committed ahead."""

CLOSE_TIMEOUT: Final = 2.0
"""Seconds given to the peer to take the last bytes and close."""

LONG_READ: Final = 64 * 1024
"""Bytes in one read after which the other sockets come first.  uvloop reads a socket that is kept
full up to 32 times before it looks at another: 5 ms of an upload in front of every click.  After as
many, read or sent, the other processes come first too: see :mod:`.pacing`."""

_SHORT_READ: Final = TURN_FRAMES * 6
"""Bytes in which no more frames fit than are taken in one turn: six are the least of a masked one.
(Of the edge's, which it does not mask, a few more wait in line for no longer.)"""

READ_LIMIT: Final = 64
"""Control frames replied to in one read: a peer that pings in a flood is cut."""


class Receiver(Protocol):
    """What a transport tells its session."""

    @property
    def is_behind(self) -> bool:
        """Whether it has not taken all that arrived: nothing more should be read until it has."""

    def data_received(self, data: bytes | memoryview) -> None:
        """Bytes of the tunnel arrived, cut anywhere."""

    def note_overhead(self, units: int) -> None:
        """So many WebSocket frames arrived that hold less than a frame of the tunnel's."""

    def transport_writable(self) -> None:
        """``is_writable`` is true again."""

    def transport_lost(self, transport: Transport, error: Exception | None) -> None:
        """The transport is gone.  Called once."""


class Transport(Protocol):
    """A way for bytes to the peer: reliable and ordered until it is lost."""

    @property
    def is_writable(self) -> bool:
        """Whether more should be sent now."""

    @property
    def room(self) -> int:
        """Bytes that should be committed to it at one time."""

    @property
    def buffered(self) -> int:
        """Bytes taken from the session and not by the network."""

    def send(self, data: bytes) -> None:
        """Send bytes; dropped when the transport is lost."""

    def send_large(self, pieces: Sequence[Buffer]) -> None:
        """The same of pieces that belong together, and do not change any more."""

    def close(self) -> None:
        """Send what is left, say goodbye, and be lost within ``CLOSE_TIMEOUT``."""

    def abort(self) -> None:
        """Be lost now; unsent bytes are dropped."""


def _mask_with_int(data: bytes | memoryview, mask: bytes) -> bytes:
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def load_mask() -> _Mask:
    """Return the fastest function here that masks bytes with a 4-byte key."""
    try:
        from websockets.speedups import apply_mask
    except ImportError:  # no wheel for this platform
        return _mask_with_int
    return apply_mask


def extended_length_size(length: int) -> int:
    """Return how many bytes of length follow a frame header's 7-bit length (RFC 6455 5.2)."""
    if length < 126:
        return 0
    return 2 if length == 126 else 8


class _Mask(Protocol):
    def __call__(self, data: bytes | memoryview, mask: bytes, /) -> bytes: ...


class WebSocketCodec:
    """Wraps bytes into masked or plain binary messages, and back.

    Args:
        is_masking: True on the side that dialed (RFC 6455 section 5.3).
        is_private: Nobody between the two sides can see the bytes: the key is 0, and masking
            costs nothing.

    Attributes:
        overhead: WebSocket frames received that hold less than a frame of the tunnel's.
    """

    __slots__ = (
        "_control",
        "_has_key",
        "_is_masking",
        "_left",
        "_mask",
        "_mask_at",
        "_opcode",
        "_partial",
        "overhead",
    )

    def __init__(self, *, is_masking: bool, is_private: bool = False) -> None:
        self._is_masking = is_masking
        self._has_key = is_masking and not is_private
        self._mask = load_mask()
        self._partial = b""  # an incomplete header
        self._left = 0  # payload bytes of the current frame still to come
        self._opcode = 0
        self._mask_at = b""  # the mask, turned to the next payload byte
        self._control = b""  # payload of the current control frame
        self.overhead = 0

    @property
    def is_behind(self) -> bool:
        """Whether frames are left for the next call of :meth:`decode`, which may have no bytes."""
        return len(self._partial) > _MAX_HEADER

    @property
    def is_between_frames(self) -> bool:
        """Whether all that was received are whole frames."""
        return not self._partial and not self._left

    def encode(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the header and the payload of one binary message."""
        return self._encode(_BINARY, data)

    def encode_pieces(self, pieces: Sequence[Buffer]) -> list[Buffer]:
        """Return the same for a payload in pieces, which are copied only where they are masked."""
        if self._has_key:
            return list(self._encode(_BINARY, b"".join(pieces)))
        return [self._header(_BINARY, size_of(pieces)), *pieces]

    def encode_close(self, code: int = 1000) -> bytes:
        """Return a close frame."""
        return b"".join(self._encode(_CLOSE, code.to_bytes(2, "big")))

    def _encode(self, first: int, data: bytes) -> tuple[bytes, bytes]:
        header = self._header(first, len(data))
        if not self._has_key:
            return header, data
        key = os.urandom(4)
        return header + key, self._mask(data, key)

    def _header(self, first: int, size: int) -> bytes:
        """Return a header; behind it comes the key, where there is one that masks anything."""
        bit = _MASKED if self._is_masking else 0
        if size < 126:
            header = bytes((first, bit | size))
        elif size < 65536:
            header = _SHORT.pack(first, bit | 126, size)
        else:
            header = _LONG.pack(first, bit | 127, size)
        return header + _NO_KEY if bit and not self._has_key else header

    def decode(self, data: bytes) -> tuple[list[bytes | memoryview], list[bytes], bool]:
        """Take bytes off the wire, at most ``TURN_FRAMES`` frames of them.

        Returns:
            Pieces of the tunnel's byte stream; frames to reply with; whether the peer closes.

        Raises:
            ValueError: This is no WebSocket of a tunnel: a reserved bit, a text message, a frame
                that is masked the wrong way or a control frame of a wrong size.
        """
        pieces: list[bytes | memoryview] = []
        replies: list[bytes] = []
        if self._partial:
            data = self._partial + data
            self._partial = b""
        view = memoryview(data)
        start, end = 0, len(data)
        left = TURN_FRAMES
        while True:
            if self._left:
                stop = min(start + self._left, end)
                if start == stop:
                    break
                piece = self._unmask(view[start:stop])
                self._left -= stop - start
                start = stop
                if self._opcode < 8:
                    pieces.append(piece)
                else:
                    self._control += piece
                if self._left:
                    break
            if self._opcode >= 8:
                opcode, payload = self._opcode, self._control
                self._opcode, self._control = 0, b""
                if opcode == 8:
                    replies.append(b"".join(self._encode(_CLOSE, payload[:2])))
                    return pieces, replies, True
                if opcode == 9:
                    replies.append(b"".join(self._encode(_PONG, payload)))
                    if len(replies) > READ_LIMIT:
                        raise ValueError("a flood of WebSocket pings")
            if not left and end - start > _MAX_HEADER:
                self._partial = bytes(view[start:])
                break
            left -= 1
            start = self._read_header(view, data, start, end)
            if start < 0:
                break
        return pieces, replies, False

    def _read_header(self, view: memoryview, data: bytes, start: int, end: int) -> int:
        """Read one frame header; return where the payload starts, or -1 when it is cut."""
        if start == end:
            return -1
        need = 2 if self._is_masking else 6
        if end - start >= 2:
            need += extended_length_size(data[start + 1] & 0x7F)
        if end - start < need:
            self._partial = bytes(view[start:])
            return -1
        first, second = data[start], data[start + 1]
        opcode, size = first & 0x0F, second & 0x7F
        if first & 0x70 or opcode not in (0, 2, 8, 9, 10):
            raise ValueError(f"WebSocket frame starts with {first:#04x}")
        if bool(second & _MASKED) == self._is_masking:
            raise ValueError("WebSocket frame is masked the wrong way")
        at = start + 2
        if size >= 126:
            width = extended_length_size(size)
            size = int.from_bytes(view[at : at + width], "big")
            at += width
        if opcode >= 8 and (size > _MAX_CONTROL or not first & 0x80):
            raise ValueError("WebSocket control frame is long or fragmented")
        if not self._is_masking:
            self._mask_at = data[at : at + 4]
            at += 4
        if size < FRAME_HEADER_SIZE or opcode >= 8:
            self.overhead += 1
        self._left = size
        self._opcode = opcode
        return at

    def _unmask(self, piece: memoryview) -> bytes | memoryview:
        mask = self._mask_at
        if self._is_masking or mask == _NO_KEY:
            return piece
        turn = len(piece) % 4
        self._mask_at = mask[turn:] + mask[:turn]
        return self._mask(piece, mask)


class WebSocketTransport:
    """A :class:`Transport` over an asyncio transport whose WebSocket handshake is done.

    Args:
        is_masking: True on the side that dialed.
        is_private: As :class:`WebSocketCodec`.
        cpu: Asked to give the core away after each large piece; None for the process's own.

    Attributes:
        room: Bytes to commit at one time; it follows the rate at which the socket takes them.
    """

    def __init__(
        self, *, is_masking: bool, is_private: bool = False, cpu: CPUYield | None = None
    ) -> None:
        self._cpu = shared_cpu_yield() if cpu is None else cpu
        self._codec = WebSocketCodec(is_masking=is_masking, is_private=is_private)
        self._transport: asyncio.Transport | None = None
        self._receiver: Receiver | None = None
        self._early: list[bytes | memoryview] = []  # before there is a receiver; bounded by pause
        self._is_paused = False
        self._paused_at = 0.0  # monotonic seconds
        self._paused_size = 0  # bytes that waited then
        self._is_closing = False
        self.room = MIN_ROOM
        self._error: Exception | None = None
        self._close_timer: asyncio.TimerHandle | None = None

    # -- for the session ---------------------------------------------------------------------

    @property
    def is_writable(self) -> bool:
        """Whether more should be sent now."""
        return not self._is_paused and not self._is_closing and self._transport is not None

    @property
    def buffered(self) -> int:
        """Bytes that wait for the socket."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def is_lost(self) -> bool:
        """Whether the socket is closed."""
        return self._transport is None

    @property
    def peer(self) -> str:
        """Address and port of the other end; empty when the socket is closed."""
        name = None if self._transport is None else self._transport.get_extra_info("peername")
        if not isinstance(name, tuple):
            return ""
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"{host}:{name[1]}"

    @property
    def has_address(self) -> bool:
        """Whether this machine still has the address that the socket uses.

        The kernel does not say when it goes, and nothing sent from it will ever be answered.
        """
        if self._transport is None:
            return True
        sock, name = (self._transport.get_extra_info(key) for key in ("socket", "sockname"))
        if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
            return True
        try:
            with socket.socket(sock.family, socket.SOCK_DGRAM) as probe:
                probe.bind((name[0], 0, *name[2:]))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
        return True

    def start(self, receiver: Receiver) -> None:
        """Pass what arrives to ``receiver`` from now on, and first what came before."""
        self._receiver = receiver
        early, self._early = self._early, []
        for piece in early:
            receiver.data_received(piece)

    def send(self, data: bytes) -> None:
        """Send bytes as one binary message; dropped when the transport is lost."""
        if self._transport is not None and not self._is_closing:
            header, payload = self._codec.encode(data)
            if len(payload) < LARGE:
                self._transport.write(header + payload)
            else:
                self._transport.writelines((header, payload))
                if len(payload) >= LONG_READ:
                    self._cpu.yield_now()

    def send_large(self, pieces: Sequence[Buffer]) -> None:
        """See :meth:`Transport.send_large`; one binary message, too."""
        if self._transport is not None and not self._is_closing:
            self._transport.writelines(self._codec.encode_pieces(pieces))
            if size_of(pieces) >= LONG_READ:
                self._cpu.yield_now()

    def close(self) -> None:
        """Send what is left and a close frame, then close within ``CLOSE_TIMEOUT``."""
        if self._transport is None or self._is_closing:
            return
        self._transport.write(self._codec.encode_close())
        self._is_closing = True
        loop = asyncio.get_running_loop()
        self._close_timer = loop.call_later(CLOSE_TIMEOUT, self.abort)

    def abort(self) -> None:
        """Close the socket now."""
        if self._transport is not None:
            self._transport.abort()

    def detach(self) -> asyncio.Transport | None:
        """Give the connection away: its bytes are another protocol's from here on.

        Returns:
            None where it is lost, or a part of a frame was read that nobody else would see.
        """
        if not self._codec.is_between_frames or self._is_closing:
            return None
        transport, self._transport = self._transport, None
        self._receiver = None
        return transport

    # -- for asyncio -------------------------------------------------------------------------

    def as_protocol(self) -> asyncio.Protocol:
        """Return this as what asyncio's signatures name: it has its methods, and no base class."""
        return cast(asyncio.Protocol, self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket up: small buffers, so that data is committed late."""
        # uvloop's transports are none of asyncio's classes, so this cannot be checked.
        self._transport = transport = cast(asyncio.Transport, transport)
        self._set_room(MIN_ROOM)

    def data_received(self, data: bytes) -> None:
        """Decode; a violation aborts the transport."""
        self._take(data)
        size = len(data)
        if size >= LONG_READ or (size > _SHORT_READ and self._is_behind):
            transport = self._transport
            if transport is not None and not transport.is_closing():
                transport.pause_reading()
                asyncio.get_running_loop().call_soon(self._read_on)

    @property
    def _is_behind(self) -> bool:
        receiver = self._receiver
        return self._codec.is_behind or (receiver is not None and receiver.is_behind)

    def _take(self, data: bytes) -> None:
        if self._is_closing and self._close_timer is None:
            return
        try:
            pieces, replies, is_over = self._codec.decode(data)
        except ValueError as error:
            self._error = error
            self.abort()
            return
        receiver = self._receiver
        if receiver is None:
            self._early += [bytes(piece) for piece in pieces]
        else:
            for piece in pieces:
                receiver.data_received(piece)
            overhead = self._codec.overhead
            if overhead and self._receiver is not None:
                self._codec.overhead = 0
                self._receiver.note_overhead(overhead)
        if self._transport is None:
            return
        if replies and not self._is_closing:
            self._transport.writelines(replies)
        if is_over:
            self._is_closing = True
            self._close_behind()

    def _close_behind(self) -> None:
        """Close, but not before the session has taken what came before the peer's close."""
        transport, receiver = self._transport, self._receiver
        if transport is None:
            return
        if receiver is not None and receiver.is_behind:
            transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._close_behind)
        else:
            transport.close()

    def _read_on(self) -> None:
        """Take what a long read has left, then read again; one turn after the other."""
        self._cpu.yield_now()
        if self._codec.is_behind:
            self._take(b"")
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._is_behind:
            asyncio.get_running_loop().call_soon(self._read_on)
        else:
            transport.resume_reading()

    def eof_received(self) -> bool:
        """Close: half a WebSocket is none."""
        return False

    def pause_writing(self) -> None:
        """Note that the buffer is full, and when."""
        self._is_paused = True
        self._paused_at = time.monotonic()
        self._paused_size = self.buffered

    def resume_writing(self) -> None:
        """Ask the session for more; how much follows from how fast the last bytes left."""
        self._is_paused = False
        seconds = time.monotonic() - self._paused_at
        self._follow(self._paused_size - self.buffered, seconds)
        if self._receiver is not None:
            self._receiver.transport_writable()

    def _follow(self, size: int, seconds: float) -> None:
        """Commit ``AHEAD`` seconds at the rate of ``size`` bytes in ``seconds``."""
        room = self.room
        wanted = size * AHEAD / max(seconds, 1e-6)
        # In steps of two, so that a steady link costs no system call; one at a time downwards,
        # because a moment's pause is no slow link.
        if wanted >= 2 * room:
            while room < MAX_ROOM and wanted >= 2 * room:
                room *= 2
            self._set_room(room)
        elif wanted < room and room > MIN_ROOM:
            self._set_room(room // 2)

    def _set_room(self, room: int) -> None:
        self.room = room
        if self._transport is not None:
            # The kernel holds up to `room` unsent bytes itself, so the buffer above it only has to
            # bridge one turn of the loop.  A quarter of its limit is asyncio's own low-water mark.
            self._transport.set_write_buffer_limits(high=room // 2, low=room // 8)
            _tune_socket(self._transport, room)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the session, once."""
        self._transport = None
        if self._close_timer is not None:
            self._close_timer.cancel()
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.transport_lost(self, exc or self._error)


def _tune_socket(transport: asyncio.BaseTransport, room: int) -> None:
    """Set ``TCP_NODELAY`` and ``TCP_NOTSENT_LOWAT`` where the socket and the system have them.

    Args:
        transport: Of the socket.
        room: Unsent bytes that the kernel takes.
    """
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, room)
    except OSError:
        pass  # the socket is already gone, or is not one of ours to tune
