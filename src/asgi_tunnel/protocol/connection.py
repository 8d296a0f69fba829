"""One session, either side of it, without input or output (docs/protocol.md sections 3 to 8).

Bytes go in with :meth:`Connection.receive_data`, events come out with :meth:`Connection.events`;
calls go in, bytes come out with :meth:`Connection.data_to_send`.  Time is an argument.  The
session outlives its transport: after :meth:`Connection.transport_lost` the state stays, and
:meth:`Connection.resume` goes on where the peer stopped receiving.

HELLO and WELCOME come before a connection exists: see :mod:`.handshake`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from struct import Struct
from typing import Final

from ..errors import FlowControlError, FrameError, ProtocolError
from .codes import DrainReason, GoawayCode
from .events import DrainReceived, SessionTerminated, TransportSilent
from .frames import (
    FIRST_UNSEQUENCED,
    UNDEFINED_FLAGS,
    Buffer,
    Frame,
    FrameDecoder,
    FrameType,
    Payload,
    encode_frame,
)
from .limits import (
    ACK_BYTES,
    ACK_FRAMES,
    CONTROL_LIMIT,
    EARLY_FRAMES,
    FLUSH_BUDGET,
    FRAME_HEADER_SIZE,
    MAX_REASON_SIZE,
    REPLAY_LIMIT,
    SUSPECT_AFTER,
    Settings,
    Timing,
)
from .replay import ReplayBuffer
from .stream import Stream
from .streams import STREAM_FRAMES, Receive, Role, Streams, cut_text, read_sentence, unpack

__all__ = ["Connection", "Role", "State", "Trace"]

_PING: Final = Struct(">QQ")  # opaque number, sequenced frames received
_ACK: Final = Struct(">Q")  # sequenced frames received
_GOAWAY: Final = Struct(">HII")  # code, last stream id, retry after in ms
_DRAIN: Final = Struct(">BII")  # reason, delay in ms, grace in ms
_NO_RETRY: Final = 0xFFFFFFFF  # "retry after" that is not given

Trace = Callable[[str, int, int, int, int], None]
"""Called with direction ("<" or ">"), type, flags, stream id and payload size of each frame."""


class State(Enum):
    """Where the session is."""

    ACTIVE = "active"  # a transport carries it
    SUSPENDED = "suspended"  # its transport was lost; it may resume
    TERMINATED = "terminated"  # over; nothing but a GOAWAY may still leave


class Connection(Streams):
    """The protocol core of one session.

    Args:
        role: Which end this is.
        local: What this side announced that it receives.
        peer: What the other side announced.
        timing: What the edge decided in WELCOME.
        now: Monotonic seconds.
        trace: Called for each frame received; None costs nothing.
    """

    def __init__(
        self,
        role: Role,
        *,
        local: Settings,
        peer: Settings,
        timing: Timing,
        now: float,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(role, local=local, peer=peer, now=now)
        self.state = State.ACTIVE
        self._timing = timing
        self._trace = trace
        self._resumable = timing.resume_window > 0
        self._decoder = FrameDecoder(local.max_frame_size)
        # what is to be sent
        self._control: list[bytes] = []  # unsequenced frames
        self._replay = ReplayBuffer()
        self._resend: list[bytes] = []  # chunks still to be replayed, last one first
        # what was received
        self._received = 0  # sequenced frames
        self._acknowledged = 0  # sequenced frames the peer was told of
        self._unacked_bytes = 0
        # time
        self._last_receive = now
        self._lost_at = now
        self._ping_id = 0
        self._ping_sent: dict[int, float] = {}  # at most one
        self._ping(now)

    # -- looking at it -----------------------------------------------------------------------

    @property
    def received_frames(self) -> int:
        """Sequenced frames received: what a resuming HELLO or WELCOME tells the peer."""
        return self._received

    @property
    def sent_frames(self) -> int:
        """Sequenced frames sent: a peer cannot have received more."""
        return self._replay.sent

    def is_suspect(self, now: float) -> bool:
        """Whether a PING waits for so long that no new stream should start here."""
        sent = self._ping_sent
        return bool(sent) and (
            now - max(next(iter(sent.values())), self._last_receive) > SUSPECT_AFTER
        )

    @property
    def last_receive(self) -> float:
        """When the peer was heard last, in monotonic seconds."""
        return self._last_receive

    @property
    def has_output(self) -> bool:
        """Whether :meth:`data_to_send` has anything to give."""
        if self.state is State.SUSPENDED:
            return False
        return bool(
            self._control
            or self._resend
            or self._sequenced
            or self._heads
            or (self._scheduler and self._replay.size < REPLAY_LIMIT)
            or self._is_ack_due()
        )

    @property
    def buffered(self) -> int:
        """Bytes kept: unacknowledged ones, those in outboxes, and the start of a frame."""
        return (
            self._replay.size
            + self._sequenced_size
            + self._decoder.buffered
            + sum(stream.queued for stream in self._streams.values())
        )

    # -- the session, sending ----------------------------------------------------------------

    def drain(self, reason: DrainReason, *, delay: float = 0.0, grace: float = 0.0) -> None:
        """Ask the peer for no new streams.

        Args:
            reason: What comes after.
            delay: Seconds the peer should wait before it opens a replacement.
            grace: Seconds until this side ends what is still open.
        """
        if self.state is not State.TERMINATED:
            payload = _DRAIN.pack(reason, round(delay * 1000), round(grace * 1000))
            self._queue_sequenced(encode_frame(FrameType.DRAIN, payload))

    def terminate(
        self, code: GoawayCode, reason: str = "", *, retry_after: float | None = None
    ) -> None:
        """End the session: every stream is over, GOAWAY is the last frame."""
        if self.state is State.TERMINATED:
            return
        retry = _NO_RETRY if retry_after is None else round(retry_after * 1000)
        payload = _GOAWAY.pack(code, self._last_id, retry) + cut_text(reason, MAX_REASON_SIZE)
        attached = self.state is State.ACTIVE
        self._end(SessionTerminated(code, reason, False, retry_after, self._last_id))
        if attached:
            self._control.append(encode_frame(FrameType.GOAWAY, payload))

    def data_to_send(self, budget: int = FLUSH_BUDGET) -> bytes:
        """Return frames for the transport; empty when there is nothing to send.

        Args:
            budget: Bytes after which no further frame is started.

        What is returned can no longer be overtaken, so ask only when the transport has room.
        """
        if self.state is State.SUSPENDED:
            return b""
        if self._is_ack_due():
            self._control.append(encode_frame(FrameType.ACK, _ACK.pack(self._count_ack())))
        control = b"".join(self._control)
        self._control.clear()
        if self._resend:
            return control + self._resend.pop()
        if self._heads:
            self._queue_heads()
        frames = len(self._sequenced)
        parts: list[Buffer] = list(self._sequenced)
        self._sequenced.clear()
        budget -= self._sequenced_size
        self._sequenced_size = 0
        if budget > 0 and self._scheduler and self._replay.size < REPLAY_LIMIT:
            sent: list[Stream] = []
            count, _ = self._scheduler.fill(parts, budget, sent)
            frames += count
            for stream in sent:
                self._look_after(stream)
        if not frames:
            return control
        chunk = b"".join(parts)
        if self._resumable:
            self._replay.append(chunk, frames)
        return control + chunk if control else chunk

    @property
    def queued_frames(self) -> int:
        """Frames for :meth:`early_data_to_send`: small exchanges, windows, resets."""
        return len(self._sequenced)

    @property
    def is_early_due(self) -> bool:
        """Whether :meth:`early_data_to_send` is worth a message of its own."""
        return len(self._sequenced) >= EARLY_FRAMES

    def early_data_to_send(self) -> bytes:
        """Return the small exchanges queued so far, in the middle of a turn.

        What waits for a body, for its turn or for room stays for :meth:`data_to_send`.
        """
        if self.state is not State.ACTIVE or self._resend:
            return b""
        frames = len(self._sequenced)
        chunk = b"".join(self._sequenced)
        self._sequenced.clear()
        self._sequenced_size = 0
        if frames and self._resumable:
            self._replay.append(chunk, frames)
        return chunk

    # -- the transport -----------------------------------------------------------------------

    def transport_lost(self, now: float) -> None:
        """Say that the transport is gone.  The session stays for the resume window."""
        if self.state is not State.ACTIVE:
            return
        self._decoder.clear()
        self._control.clear()
        self._resend.clear()
        self._ping_sent.clear()
        self._lost_at = now
        self.state = State.SUSPENDED
        if not self._resumable:
            self._end_here(GoawayCode.NO_ERROR, "the connection was lost")

    def resume(self, peer_received: int, now: float) -> bool:
        """Go on over a new transport.

        Args:
            peer_received: Sequenced frames that the peer has, from its HELLO or WELCOME.
            now: Monotonic seconds.

        Returns:
            False when the count is impossible; the session is then over.
        """
        if self.state is State.ACTIVE:
            self.transport_lost(now)
        if self.state is not State.SUSPENDED:
            return False
        if not self._replay.acknowledge(peer_received):
            self._end_here(
                GoawayCode.RESUME_FAILED,
                f"the peer has {peer_received} frames of {self._replay.sent}",
            )
            return False
        self.state = State.ACTIVE
        self._resend = self._replay.remaining()[::-1]
        self._acknowledged = self._received
        self._unacked_bytes = 0
        self._last_receive = now
        self._ping(now)
        return True

    # -- time --------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when :meth:`handle_deadline` has something to do, in monotonic seconds."""
        if self.state is State.TERMINATED:
            return None
        if self.state is State.SUSPENDED:
            return self._lost_at + self._timing.resume_window
        timing = self._timing
        last = self._last_receive
        if self._ping_sent:
            sent = next(iter(self._ping_sent.values()))
            return min(max(sent, last) + timing.heartbeat_interval, last + timing.heartbeat_timeout)
        return last + timing.heartbeat_interval

    def handle_deadline(self, now: float) -> None:
        """Send the PING, report the silence or end the session that is due at ``now``."""
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return
        if self.state is State.SUSPENDED:
            self._end_here(
                GoawayCode.NO_ERROR,
                f"the connection was lost for {self._timing.resume_window:g} seconds",
            )
        elif now - self._last_receive >= self._timing.heartbeat_timeout:
            self._events.append(TransportSilent(now - self._last_receive))
        else:
            self._ping(now)

    # -- receiving ---------------------------------------------------------------------------

    def receive_data(self, data: Buffer, now: float) -> None:
        """Take bytes from the transport, cut anywhere; see :meth:`events` for what they meant.

        Nothing the peer sends raises: a violation ends the session with a coded GOAWAY.
        """
        if self.state is not State.ACTIVE:
            return
        self._last_receive = self._windows.now = now
        try:
            for frame in self._decoder.feed(data):
                self._receive_frame(frame)
                if self._is_over:
                    return
            if self._sequenced_size + self._replay.size > REPLAY_LIMIT + CONTROL_LIMIT:
                raise ProtocolError(GoawayCode.OVERLOAD, "the peer does not read what it asks for")
        except ProtocolError as error:
            self.terminate(GoawayCode(error.code), str(error))

    def _receive_frame(self, frame: Frame) -> None:
        kind, flags, stream_id, payload = frame
        if self._trace is not None:
            self._trace("<", kind, flags, stream_id, len(payload))
        if kind < FIRST_UNSEQUENCED:
            self._received += 1
            self._unacked_bytes += FRAME_HEADER_SIZE + len(payload)
        receive = _FRAMES.get(kind)
        if receive is None:
            raise FrameError(GoawayCode.FRAME_ERROR, f"frame type {kind} is unknown here")
        if flags & UNDEFINED_FLAGS[kind]:
            raise FrameError(
                GoawayCode.FRAME_ERROR, f"frame type {kind} has undefined flags: {flags:#04x}"
            )
        receive(self, flags, stream_id, payload)

    def _receive_ack(self, flags: int, stream_id: int, payload: Payload) -> None:
        self._take_ack(unpack(_ACK, payload)[0])

    def _receive_ping(self, flags: int, stream_id: int, payload: Payload) -> None:
        opaque, received = unpack(_PING, payload)
        self._take_ack(received)
        pong = _PING.pack(opaque, self._count_ack())
        # One PONG at most waits: the last PING is the one that matters.
        self._control = [one for one in self._control if one[3] != FrameType.PONG]
        self._control.append(encode_frame(FrameType.PONG, pong))

    def _receive_pong(self, flags: int, stream_id: int, payload: Payload) -> None:
        opaque, received = unpack(_PING, payload)
        self._take_ack(received)
        sent = self._ping_sent.pop(opaque, None)
        if sent is not None:
            self.round_trip = self._last_receive - sent

    def _receive_drain(self, flags: int, stream_id: int, payload: Payload) -> None:
        reason, delay, grace = unpack(_DRAIN, payload)
        self._events.append(DrainReceived(reason, delay / 1000, grace / 1000))

    def _receive_goaway(self, flags: int, stream_id: int, payload: Payload) -> None:
        if len(payload) < _GOAWAY.size:
            raise FrameError(GoawayCode.FRAME_ERROR, f"GOAWAY of {len(payload)} bytes")
        code, last_id, retry = _GOAWAY.unpack_from(payload)
        reason = read_sentence(payload[_GOAWAY.size :])
        after = None if retry == _NO_RETRY else retry / 1000
        self._end(SessionTerminated(code, reason, True, after, last_id))

    # -- inside ------------------------------------------------------------------------------

    def _is_ack_due(self) -> bool:
        return self._resumable and (
            self._unacked_bytes >= ACK_BYTES or self._received - self._acknowledged >= ACK_FRAMES
        )

    def _count_ack(self) -> int:
        self._unacked_bytes = 0
        self._acknowledged = self._received
        return self._received

    def _take_ack(self, received: int) -> None:
        if self._resumable and not self._replay.acknowledge(received):
            raise FlowControlError(
                GoawayCode.PROTOCOL_ERROR,
                f"the peer acknowledges {received} frames of {self._replay.sent}",
            )

    def _ping(self, now: float) -> None:
        self._ping_id += 1
        self._ping_sent = {self._ping_id: now}
        payload = _PING.pack(self._ping_id, self._count_ack())
        self._control.append(encode_frame(FrameType.PING, payload))

    def _end(self, event: SessionTerminated) -> None:
        self.state = State.TERMINATED
        self._clear()
        self._control.clear()
        self._resend.clear()
        self._replay = ReplayBuffer()
        self._resumable = False
        self._events.append(event)

    def _end_here(self, code: GoawayCode, reason: str) -> None:
        self._end(SessionTerminated(code, reason, False, None, self._last_id))


_FRAMES: Final[dict[int, Receive]] = {
    **STREAM_FRAMES,
    FrameType.ACK: Connection._receive_ack,  # noqa: SLF001 - its own table
    FrameType.PING: Connection._receive_ping,  # noqa: SLF001 - its own table
    FrameType.PONG: Connection._receive_pong,  # noqa: SLF001 - its own table
    FrameType.DRAIN: Connection._receive_drain,  # noqa: SLF001 - its own table
    FrameType.GOAWAY: Connection._receive_goaway,  # noqa: SLF001 - its own table
}
