"""Frames of the whole session: their payloads, and those without a number that wait to leave.

PING, PONG, ACK and GOAWAY belong to one transport (docs/protocol.md section 7): they are not
replayed on the next one.  DRAIN, ASK and REPLY are replayed, so :mod:`.connection` queues them
among the others.
"""

from __future__ import annotations

import json
from struct import Struct
from typing import Any, Final, NamedTuple

from ..errors import FrameError, LocalProtocolError
from .codes import GoawayCode
from .frames import FrameType, Payload, encode_frame
from .heartbeat import Heartbeat
from .limits import MAX_ASK_SIZE, MAX_REASON_SIZE
from .receiving import FrameReceiver
from .replay import Sequence
from .text import cut_text, read_sentence, unpack

_PING: Final = Struct(">QQ")  # opaque number, sequenced frames received
_ACK: Final = Struct(">Q")  # sequenced frames received
_GOAWAY: Final = Struct(">HII")  # code, last stream id, retry after in ms
_DRAIN: Final = Struct(">BII")  # reason, delay in ms, grace in ms
_NUMBER: Final = Struct(">I")  # of an ASK, for its REPLY
_NO_RETRY: Final = 0xFFFFFFFF  # "retry after" that is not given


class Goaway(NamedTuple):
    """What GOAWAY says."""

    code: int
    last_id: int
    retry_after: float | None  # seconds
    reason: str


class ControlFrames:
    """PING, PONG, ACK and GOAWAY that the transport has not got yet.

    Args:
        sequence: Of the session: all of them but GOAWAY tell the peer what was received.
        heartbeat: Numbers each PING, and waits for its PONG.

    Attributes:
        by_type: The method for each type of frame that the peer sends.
    """

    __slots__ = ("_frames", "_heartbeat", "_pong", "_sequence", "by_type")

    def __init__(self, sequence: Sequence, heartbeat: Heartbeat) -> None:
        self._sequence = sequence
        self._heartbeat = heartbeat
        self._frames: list[bytes] = []
        self._pong: int | None = None  # one at most waits: the last PING is the one that matters
        self.by_type: dict[int, FrameReceiver] = {
            FrameType.ACK: self.on_ack,
            FrameType.PING: self.on_ping,
            FrameType.PONG: self.on_pong,
        }

    def __bool__(self) -> bool:
        return bool(self._frames) or self._pong is not None

    def on_ack(self, flags: int, stream_id: int, payload: Payload) -> None:
        """Take the peer's count."""
        self._sequence.acknowledge(unpack(_ACK, payload)[0])

    def on_ping(self, flags: int, stream_id: int, payload: Payload) -> None:
        """Take the peer's count, and queue a PONG in place of one that waits."""
        number, received = unpack(_PING, payload)
        self._sequence.acknowledge(received)
        self._pong = number

    def on_pong(self, flags: int, stream_id: int, payload: Payload) -> None:
        """Take the peer's count, and measure the round trip."""
        number, received = unpack(_PING, payload)
        self._sequence.acknowledge(received)
        self._heartbeat.pong(number)

    def ack(self) -> None:
        """Queue an ACK."""
        payload = _ACK.pack(self._sequence.received.acknowledge())
        self._frames.append(encode_frame(FrameType.ACK, payload))

    def ping(self, now: float) -> None:
        """Queue a PING."""
        self._frames.append(self._encode(FrameType.PING, self._heartbeat.ping(now)))

    def goaway(self, goaway: Goaway) -> None:
        """Queue a GOAWAY, after which nothing else may be queued."""
        after = goaway.retry_after
        payload = _GOAWAY.pack(
            goaway.code, goaway.last_id, _NO_RETRY if after is None else round(after * 1000)
        )
        payload += cut_text(goaway.reason, MAX_REASON_SIZE)
        self._frames.append(encode_frame(FrameType.GOAWAY, payload))

    def take(self) -> bytes:
        """Return the frames, and keep none."""
        if self._pong is not None:
            # The last one, with the count of now: counts may not fall.
            self._frames.append(self._encode(FrameType.PONG, self._pong))
        data = b"".join(self._frames)
        self.clear()
        return data

    def clear(self) -> None:
        """Drop the frames: their transport is gone."""
        self._frames.clear()
        self._pong = None

    def _encode(self, kind: FrameType, number: int) -> bytes:
        return encode_frame(kind, _PING.pack(number, self._sequence.received.acknowledge()))


def read_goaway(payload: Payload) -> Goaway:
    """Return what GOAWAY says."""
    if len(payload) < _GOAWAY.size:
        raise FrameError(GoawayCode.FRAME_ERROR, f"GOAWAY of {len(payload)} bytes")
    code, last_id, retry = _GOAWAY.unpack_from(payload)
    after = None if retry == _NO_RETRY else retry / 1000
    return Goaway(code, last_id, after, read_sentence(payload[_GOAWAY.size :]))


def encode_drain(reason: int, delay: float, grace: float) -> bytes:
    """Return a DRAIN frame; ``delay`` and ``grace`` in seconds."""
    payload = _DRAIN.pack(reason, round(delay * 1000), round(grace * 1000))
    return encode_frame(FrameType.DRAIN, payload)


def read_drain(payload: Payload) -> tuple[int, float, float]:
    """Return the reason, and delay and grace in seconds."""
    reason, delay, grace = unpack(_DRAIN, payload)
    return reason, delay / 1000, grace / 1000


def encode_ask(kind: FrameType, number: int, values: dict[str, Any]) -> bytes:
    """Return an ASK or REPLY frame.

    Raises:
        LocalProtocolError: It is larger than allowed.
    """
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    content = text.encode("utf-8", "replace")
    if len(content) > MAX_ASK_SIZE:
        raise LocalProtocolError(f"{kind.name} of {len(content)} bytes, above {MAX_ASK_SIZE}")
    return encode_frame(kind, _NUMBER.pack(number) + content)


def read_ask(payload: Payload) -> tuple[int, dict[str, Any]]:
    """Return the number and the content of ASK or REPLY."""
    if not _NUMBER.size < len(payload) <= _NUMBER.size + MAX_ASK_SIZE:
        raise FrameError(GoawayCode.FRAME_ERROR, f"ASK or REPLY of {len(payload)} bytes")
    try:
        values = json.loads(bytes(payload[_NUMBER.size :]))
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise FrameError(GoawayCode.FRAME_ERROR, "ASK or REPLY is not a JSON object")
    return _NUMBER.unpack_from(payload)[0], values
