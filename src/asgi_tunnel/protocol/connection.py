"""One session, either side of it, without input or output (docs/protocol.md sections 3 to 8).

Bytes go in with :meth:`Connection.receive_data`, events come out with :meth:`Connection.events`;
calls go in, bytes come out with :meth:`Connection.pieces_to_send`.  Time is an argument.  The
session outlives its transport: after :meth:`Connection.transport_lost` the state stays, and
:meth:`Connection.resume` goes on where the peer stopped receiving.

HELLO and WELCOME come before a connection exists: see :mod:`.handshake`.

Large because it holds one class, which says why.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from ..errors import FrameError, ProtocolError
from .codes import DrainReason, GoawayCode, ResetCode
from .control import (
    ControlFrames,
    Goaway,
    encode_ask,
    encode_drain,
    read_ask,
    read_drain,
    read_goaway,
)
from .events import (
    AskReceived,
    DrainReceived,
    Event,
    ReplyReceived,
    SessionTerminated,
    TransportSilent,
)
from .frames import (
    FIRST_UNSEQUENCED,
    UNDEFINED_FLAGS,
    Buffer,
    Frame,
    FrameDecoder,
    FrameType,
    Payload,
    StreamKind,
)
from .head import Fields, RequestHead, ResponseHead
from .heartbeat import Heartbeat
from .limits import (
    ASK_COST,
    CONTROL_LIMIT,
    FLUSH_BUDGET,
    FRAME_HEADER_SIZE,
    REPLAY_LIMIT,
    Settings,
    Timing,
)
from .output import Output, join_small
from .overhead import OverheadCount
from .receiving import FrameReceiver, Role
from .replay import Sequence
from .streams import Streams

__all__ = ["Connection", "Role", "State", "Trace"]

Trace = Callable[[str, int, int, int, int], None]
"""Called with direction ("<" or ">"), type, flags, stream id and payload size of each frame."""


class State(Enum):
    """Where the session is."""

    ACTIVE = "active"  # a transport carries it
    SUSPENDED = "suspended"  # its transport was lost; it may resume
    TERMINATED = "terminated"  # over; nothing but a GOAWAY may still leave


class Connection:
    """The protocol core of one session.

    Large because everything that happens to a session passes here once, and does little.

    What concerns one stream is held in :attr:`streams`, whose methods are offered here as well.

    Args:
        role: Which end this is.
        local: What this side announced that it receives.
        peer: What the other side announced.
        timing: What the edge decided in WELCOME.
        now: Monotonic seconds.
        trace: Called for each frame received; None costs nothing.

    Attributes:
        overhead: How many frames without content or effect the peer may send.
        sequence: What the peer has of what was sent.
        state: Where the session is.
        streams: What this side sends on streams.
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
        self.state = State.ACTIVE
        self._output = Output()
        self._heartbeat = Heartbeat(timing, now)
        self.streams = Streams(
            role, local=local, peer=peer, output=self._output, heartbeat=self._heartbeat
        )
        self._trace = trace
        self.overhead = OverheadCount()
        self._resume_window = timing.resume_window  # seconds
        self._decoder = FrameDecoder(local.max_frame_size)
        self.sequence = Sequence(is_resumable=timing.resume_window > 0)
        self._control = ControlFrames(self.sequence, self._heartbeat)
        self._receivers: dict[int, FrameReceiver] = {
            **self.streams.receiver.by_type,
            **self._control.by_type,
            FrameType.DRAIN: self._receive_drain,
            FrameType.ASK: self._receive_ask,
            FrameType.REPLY: self._receive_reply,
            FrameType.GOAWAY: self._receive_goaway,
        }
        self._began = self._lost_at = now
        self._control.ping(now)

    # -- looking at it -----------------------------------------------------------------------

    @property
    def role(self) -> Role:
        """Which end this is."""
        return self.streams.role

    @property
    def round_trip(self) -> float:
        """Seconds, as the last PONG measured."""
        return self._heartbeat.round_trip

    @property
    def open_streams(self) -> int:
        """Streams that are not closed in both directions."""
        return self.streams.open_streams

    @property
    def last_stream_id(self) -> int:
        """The highest stream id opened so far."""
        return self.streams.last_stream_id

    @property
    def can_open(self) -> bool:
        """Whether the edge may open one more stream."""
        return self.streams.can_open

    @property
    def received_frames(self) -> int:
        """Sequenced frames received: what a resuming HELLO or WELCOME tells the peer."""
        return self.sequence.received.count

    @property
    def sent_frames(self) -> int:
        """Sequenced frames sent: a peer cannot have received more."""
        return self.sequence.replay.sent

    def is_suspect(self, now: float) -> bool:
        """Whether a PING waits for so long that no new stream should start here."""
        return self._heartbeat.is_suspect(now)

    @property
    def last_receive(self) -> float:
        """When the peer was heard last, in monotonic seconds."""
        return self._heartbeat.last_receive

    @property
    def has_output(self) -> bool:
        """Whether :meth:`data_to_send` has anything to give."""
        if self.state is State.SUSPENDED:
            return False
        return bool(
            self._output.frames
            or self._control
            or self.sequence.resend
            or self.streams.has_queued(is_held=self.sequence.is_full)
            or self.sequence.is_ack_due
        )

    @property
    def buffered(self) -> int:
        """Bytes kept: unacknowledged ones, those in outboxes, and the start of a frame."""
        return (
            self.sequence.replay.size
            + self._output.size
            + self._decoder.buffered
            + self.streams.queued
        )

    @property
    def is_behind(self) -> bool:
        """Whether :meth:`read_on` has something to read: nothing more should be received."""
        return self._decoder.is_behind and self.state is State.ACTIVE

    def events(self) -> list[Event]:
        """Return the events since the last call, oldest first."""
        return self._output.take_events()

    # -- one stream, as :class:`.streams.Streams` describes each method ----------------------

    def open_stream(
        self, kind: StreamKind, head: RequestHead, *, now: float, data: Buffer = b"", end: bool
    ) -> int:
        """Start a stream toward the app; return its id."""
        return self.streams.open_stream(kind, head, now=now, data=data, end=end)

    def send_head(self, stream_id: int, head: ResponseHead) -> bool:
        """Queue a response head."""
        return self.streams.send_head(stream_id, head)

    def send_data(
        self,
        stream_id: int,
        data: Buffer,
        *,
        end: bool = False,
        text: bool = False,
        more: bool = False,
    ) -> bool:
        """Queue bytes of a body or of a WebSocket message."""
        return self.streams.send_data(stream_id, data, end=end, text=text, more=more)

    def send_trailers(self, stream_id: int, fields: Fields) -> None:
        """Queue trailers, which end this direction."""
        self.streams.send_trailers(stream_id, fields)

    def send_close(self, stream_id: int, code: int, reason: str = "") -> None:
        """Queue a WebSocket close, which ends this direction."""
        self.streams.send_close(stream_id, code, reason)

    def reset_stream(self, stream_id: int, code: ResetCode, reason: str = "") -> None:
        """End both directions of a stream at once."""
        self.streams.reset_stream(stream_id, code, reason)

    def consume(self, stream_id: int, size: int, now: float) -> None:
        """Let the peer send ``size`` more bytes."""
        self.streams.consume(stream_id, size, now)

    # -- the session, sending ----------------------------------------------------------------

    def drain(self, reason: DrainReason, *, delay: float = 0.0, grace: float = 0.0) -> None:
        """Ask the peer for no new streams.

        Args:
            reason: What comes after.
            delay: Seconds the peer should wait before it opens a replacement.
            grace: Seconds until this side ends what is still open.
        """
        if self.state is not State.TERMINATED:
            self._output.put(encode_drain(reason, delay, grace))

    def ask(self, number: int, values: dict[str, Any]) -> None:
        """Ask the edge for something (connector), or say what became of it (edge).

        Args:
            number: What an ASK and its REPLY have in common.
            values: As JSON at most ``MAX_ASK_SIZE`` bytes.
        """
        if self.state is not State.TERMINATED:
            kind = FrameType.REPLY if self.role is Role.EDGE else FrameType.ASK
            self._output.put(encode_ask(kind, number, values))

    def terminate(
        self, code: GoawayCode, reason: str = "", *, retry_after: float | None = None
    ) -> None:
        """End the session: every stream is over, GOAWAY is the last frame."""
        self._terminate(code, reason, retry_after, self.streams.last_stream_id)

    def give_up_place(self, now: float) -> None:
        """End the session for a newer one of the same slot, whose HELLO did not name it.

        The peer of one that was never heard has not had WELCOME: it has started no stream, so each
        may be opened on the newer session. A peer that has dropped the session is as silent, but
        not before the resume window is over.
        """
        is_unknown = not self._heartbeat.was_heard and now - self._began < self._resume_window
        last_id = 0 if is_unknown else self.streams.last_stream_id
        self._terminate(GoawayCode.REPLACED, "a newer session took its place", None, last_id)

    def _terminate(
        self, code: GoawayCode, reason: str, retry_after: float | None, last_id: int
    ) -> None:
        if self.state is State.TERMINATED:
            return
        attached = self.state is State.ACTIVE
        self._end(SessionTerminated(code, reason, False, retry_after, last_id))
        if attached:
            self._control.goaway(Goaway(code, last_id, retry_after, reason))

    def data_to_send(self, budget: int = FLUSH_BUDGET) -> bytes:
        """Return :meth:`pieces_to_send` in one."""
        return b"".join(self.pieces_to_send(budget))

    def pieces_to_send(self, budget: int = FLUSH_BUDGET) -> list[Buffer]:
        """Return frames for the transport; none when there is nothing to send.

        Args:
            budget: Bytes after which no further frame is started.

        What is returned can no longer be overtaken, so ask only when the transport has room.  A
        large payload is a piece of its own, as its sender gave it; all else is joined.
        """
        if self.state is State.SUSPENDED:
            return []
        sequence = self.sequence
        if sequence.is_ack_due:
            self._control.ack()
        control = self._control.take() if self._control else b""
        if sequence.resend:
            return [control + sequence.resend.pop()]
        self.streams.queue_heads()
        output = self._output
        budget -= output.size
        parts = output.take()
        small = len(parts)
        frames = small
        if budget > 0 and not sequence.is_full:
            frames += self.streams.fill(parts, budget)
        if not frames:
            return [control] if control else []
        if frames == small:
            chunk = b"".join(parts)
            sequence.keep(chunk, frames)
            return [control + chunk if control else chunk]
        pieces = join_small(parts)
        sequence.keep(pieces, frames)
        return [control, *pieces] if control else pieces

    @property
    def queued_frames(self) -> int:
        """Frames for :meth:`urgent_data_to_send`: small exchanges, windows, resets."""
        return len(self._output.frames)

    def urgent_data_to_send(self) -> bytes:
        """Return the small exchanges queued so far, in the middle of a turn.

        What waits for a body, for its turn or for room stays for :meth:`data_to_send`.
        """
        if not self._output.frames or self.state is not State.ACTIVE or self.sequence.resend:
            return b""
        parts = self._output.take()
        chunk = b"".join(parts)
        self.sequence.keep(chunk, len(parts))
        return chunk

    # -- the transport -----------------------------------------------------------------------

    def transport_lost(self, now: float) -> None:
        """Say that the transport is gone.  The session stays for the resume window."""
        if self.state is not State.ACTIVE:
            return
        self._decoder.clear()
        self._control.clear()
        self.sequence.resend.clear()
        self._heartbeat.stop()
        self._lost_at = now
        self.state = State.SUSPENDED
        if not self.sequence.is_resumable:
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
        if not self.sequence.resume(peer_received):
            self._end_here(
                GoawayCode.RESUME_FAILED,
                f"the peer has {peer_received} frames of {self.sequence.replay.sent}",
            )
            return False
        self.state = State.ACTIVE
        self._heartbeat.last_receive = now
        self._heartbeat.was_heard = True
        self._control.ping(now)
        return True

    # -- time --------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when :meth:`handle_deadline` has something to do, in monotonic seconds."""
        if self.state is State.TERMINATED:
            return None
        if self.state is State.SUSPENDED:
            return self._lost_at + self._resume_window
        return self._heartbeat.next_deadline()

    def handle_deadline(self, now: float) -> None:
        """Send the PING, report the silence or end the session that is due at ``now``."""
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return
        if self.state is State.SUSPENDED:
            seconds = f"{self._resume_window:g} seconds"
            self._end_here(GoawayCode.NO_ERROR, f"the connection was lost for {seconds}")
        elif self._heartbeat.is_silent(now):
            self._output.events.append(TransportSilent(now - self._heartbeat.last_receive))
        else:
            self._control.ping(now)

    # -- receiving ---------------------------------------------------------------------------

    def receive_data(self, data: Buffer, now: float) -> None:
        """Take bytes from the transport, cut anywhere; see :meth:`events` for what they meant.

        Nothing the peer sends raises: a violation ends the session with a coded GOAWAY.  Of many
        small frames a part is left for the next turns, see :attr:`is_behind`.
        """
        if self.state is not State.ACTIVE:
            return
        self._heartbeat.last_receive = now
        self.streams.heard(now)
        try:
            self._receive_frames(self._decoder.feed(data), now)
        except ProtocolError as error:
            self.terminate(GoawayCode(error.code), str(error))

    def read_on(self, now: float) -> None:
        """Take more of what :meth:`receive_data` left."""
        if not self.is_behind:
            return
        self.streams.heard(now)
        try:
            self._receive_frames(self._decoder.read_on(), now)
        except ProtocolError as error:
            self.terminate(GoawayCode(error.code), str(error))

    def note_overhead(self, units: int, now: float) -> None:
        """Count what the transport found without content: see ``overhead``."""
        if self.state is State.ACTIVE:
            self._output.overhead += units
            self._count_overhead(now)

    def _receive_frames(self, frames: list[Frame], now: float) -> None:
        for frame in frames:
            self._receive_frame(frame)
            if self.streams.is_over:
                return
        if self._output.overhead:
            self._count_overhead(now)
        if self._output.size + self.sequence.replay.size > REPLAY_LIMIT + CONTROL_LIMIT:
            raise ProtocolError(GoawayCode.OVERLOAD, "the peer does not read what it asks for")

    def _count_overhead(self, now: float) -> None:
        """End the session of a peer that sends too much without content or effect."""
        why = self.overhead.exceeded(self._output, self.streams.last_stream_id, now)
        if why is not None:
            retry_after = self.overhead.wait(now)
            self.terminate(GoawayCode.OVERLOAD, why, retry_after=retry_after)

    def _receive_frame(self, frame: Frame) -> None:
        kind, flags, stream_id, payload = frame
        if self._trace is not None:
            self._trace("<", kind, flags, stream_id, len(payload))
        if kind < FIRST_UNSEQUENCED:
            self.sequence.received.add(FRAME_HEADER_SIZE + len(payload))
        else:
            self._output.overhead += 1
        receive = self._receivers.get(kind)
        if receive is None:
            raise FrameError(GoawayCode.FRAME_ERROR, f"frame type {kind} is unknown here")
        if flags & UNDEFINED_FLAGS[kind]:
            raise FrameError(
                GoawayCode.FRAME_ERROR, f"frame type {kind} has undefined flags: {flags:#04x}"
            )
        receive(flags, stream_id, payload)

    def _receive_drain(self, flags: int, stream_id: int, payload: Payload) -> None:
        self._output.overhead += 1
        self._output.events.append(DrainReceived(*read_drain(payload)))

    def _receive_ask(self, flags: int, stream_id: int, payload: Payload) -> None:
        if self.role is not Role.EDGE:
            raise FrameError(GoawayCode.FRAME_ERROR, "ASK is for the edge")
        self._output.overhead += ASK_COST
        self._output.events.append(AskReceived(*read_ask(payload)))

    def _receive_reply(self, flags: int, stream_id: int, payload: Payload) -> None:
        if self.role is Role.EDGE:
            raise FrameError(GoawayCode.FRAME_ERROR, "REPLY is for the connector")
        self._output.events.append(ReplyReceived(*read_ask(payload)))

    def _receive_goaway(self, flags: int, stream_id: int, payload: Payload) -> None:
        code, last_id, retry_after, reason = read_goaway(payload)
        self._end(SessionTerminated(code, reason, True, retry_after, last_id))

    # -- inside ------------------------------------------------------------------------------

    def _end(self, event: SessionTerminated) -> None:
        self.state = State.TERMINATED
        self.streams.end()
        self._control.clear()
        self.sequence.end()
        self._output.events.append(event)

    def _end_here(self, code: GoawayCode, reason: str) -> None:
        self._end(SessionTerminated(code, reason, False, None, self.streams.last_stream_id))
