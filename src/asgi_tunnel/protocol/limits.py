"""Every bound of the wire protocol, each with its unit and its reason.

Both sides announce what they are willing to receive as :class:`Settings` in HELLO and WELCOME;
the constants are the defaults and the hard bounds that no announcement may exceed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PROTOCOL_VERSION: Final = 1
"""The version this code speaks; docs/protocol.md describes it."""

OLDEST_VERSION: Final = 1
"""The oldest version an edge of this release still accepts."""

FRAME_HEADER_SIZE: Final = 9
"""Bytes before each payload: 3 length, 1 type, 1 flags, 4 stream id."""

MAX_FRAME_SIZE: Final = 128 * 1024
"""Payload bytes of one frame: a 64 KiB request head and a first piece of body fit in one frame."""

DATA_QUANTUM: Final = 32 * 1024
"""Bytes a stream may send before the next one's turn: 13 ms of a 20 Mbit/s home uplink."""

DATA_PIECE: Final = 64 * 1024
"""Bytes of one DATA frame where the transport takes as many now: half the work of two frames. What
is handed over can no longer be overtaken, whatever its frames; most files of web pages fit."""

MAX_HEAD_SIZE: Final = 96 * 1024
"""Bytes of one encoded head: the edge takes 64 KiB, the rest is request line and addresses."""

MAX_FIELDS: Final = 1024
"""Header fields of one head: far above any limit of the edge, far below a quadratic surprise."""

MAX_REASON_SIZE: Final = 512
"""UTF-8 bytes of the sentence in RESET and GOAWAY: one log line."""

MAX_CLOSE_REASON_SIZE: Final = 123
"""UTF-8 bytes of a WebSocket close reason (RFC 6455 section 5.5: 125 less the code)."""

MAX_HANDSHAKE_SIZE: Final = 16 * 1024
"""Payload bytes of HELLO, WELCOME and REFUSE: some hundred hostnames of 64 bytes."""

MAX_PINS: Final = 4
"""Certificates that a WELCOME names: the one shown, the next one, and as many again for an edge
that takes the place of another."""

MAX_RULES: Final = 128
"""Rules of an app's policy in one HELLO."""

MAX_ROUTES: Final = 512
"""Patterns of an app's routes in one HELLO."""

MAX_POLICY_SIZE: Final = 6 * 1024
"""Bytes of JSON of both in one HELLO: what the names of a long table leave free of it."""

MAX_PATTERN: Final = 256
"""Characters of one pattern."""

MAX_SEGMENTS: Final = 16
"""Segments of one pattern: how deep the edge looks into a path."""

MAX_ASK_SIZE: Final = 1024
"""Bytes of JSON in ASK and REPLY: an address and a reason."""

ASK_COST: Final = 100
"""Frames without content that one ASK counts as: each is replied to, and 200 a second are a few
milliseconds."""

MAX_STREAM_ID: Final = 2**31 - 1
"""Largest stream id. The edge drains the session long before (STREAM_ID_DRAIN)."""

STREAM_ID_DRAIN: Final = 2**30
"""Stream id at which the edge asks for a fresh session: half the space is left for the wait."""

INITIAL_STREAM_WINDOW: Final = 64 * 1024
"""Bytes a stream may send unread at first, where a peer does not announce another number."""

STREAM_WINDOW: Final = 128 * 1024
"""What this side announces for it: most files of a web page, whole. With 64 KiB, one of 64 KiB
waited for a second round trip."""

MAX_STREAM_WINDOW: Final = 4 * 1024 * 1024
"""Bytes a window may grow to: 100 Mbit/s at 320 ms round trip."""

WINDOW_FLOOR: Final = 16 * 1024
"""Bytes of each stream that never count against the session window, so that any number of
stalled streams leaves room for a small exchange on another one."""

SESSION_WINDOW: Final = 16 * 1024 * 1024
"""Bytes, over all streams and above their floors, that one side buffers unread for the other."""

MAX_STREAMS: Final = 16_384
"""Streams open at one time in one session; 10,000 visitor WebSockets fit in one tunnel."""

OUTBOX_HIGH: Final = 64 * 1024
"""Queued bytes at which a sender has to wait (uvicorn's and asyncio's high-water mark)."""

OUTBOX_LOW: Final = 16 * 1024
"""Queued bytes at which a waiting sender goes on: a quarter, asyncio's own ratio."""

FLUSH_BUDGET: Final = 128 * 1024
"""Bytes handed to the transport at one time; what is handed over cannot be overtaken."""

URGENT_FRAMES: Final = 8
"""Small exchanges that are queued in one turn of the event loop before they leave without waiting
for its end: the peer works on the first ones while this side still reads the last."""

FAST_PATH_LIMIT: Final = 256 * 1024
"""Bytes of small exchanges that go ahead of the scheduler's lines before they queue there too."""

OPEN_LIMIT: Final = 1024 * 1024
"""Bytes of OPEN, WINDOW and RESET not yet handed to the transport at which the edge opens no
further stream: the uplink is too slow for the visitors that come."""

ACK_FRAMES: Final = 256
"""Received sequenced frames after which an ACK is due: bounds the peer's replay by count."""

ACK_BYTES: Final = 256 * 1024
"""Received sequenced bytes after which an ACK is due: 1/64 of the session window."""

REPLAY_LIMIT: Final = SESSION_WINDOW
"""Unacknowledged bytes at which no further stream frame is sent."""

CONTROL_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of WINDOW, RESET and DRAIN that may wait: above it, the peer floods us or is gone."""

TURN_FRAMES: Final = 256
"""Frames of one session that are taken in one turn of the event loop, before others get theirs: a
read holds 29,000 empty ones, up to 20 ms of compiled code; these take 0.3 to 0.6 ms, and are more
than 100 WebSockets that talk have on their way."""

OVERHEAD_RATE: Final = 20_000
"""Frames a second without content or effect that the edge takes of one token: 1 % of a core.  An
ACK is due for 256 KiB, so a download of 5 GB/s sends as many."""

OVERHEAD_BURST: Final = 100_000
"""The same at once: what is on its way when a thousand visitors leave."""

EXPECTED_FRAMES: Final = 512 * 1024
"""Late frames, at the most, that are free because a window or a stream allowed them: one window of
4 MiB in messages of one byte."""

HEARTBEAT_INTERVAL: Final = 4.0
"""Seconds of silence after which a PING is sent: below the 30 s of the strictest NAT seen."""

HEARTBEAT_TIMEOUT: Final = 9.0
"""Seconds of silence after which the transport is lost: two unanswered PINGs, under 10 s."""

SUSPECT_AFTER: Final = 1.0
"""Seconds without a byte after a PING until the edge starts no new stream on the session."""

RESUME_WINDOW: Final = 30.0
"""Seconds both sides keep a session whose transport was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one side of a session is willing to receive, announced in HELLO or WELCOME."""

    stream_window: int = INITIAL_STREAM_WINDOW  # bytes, at the start of each stream
    session_window: int = SESSION_WINDOW  # bytes above the floors of all streams
    max_frame_size: int = MAX_FRAME_SIZE  # bytes of payload
    max_streams: int = MAX_STREAMS  # streams open at one time


OWN_SETTINGS: Final = Settings(stream_window=STREAM_WINDOW)
"""What this side announces."""

SETTING_BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "stream_window": (WINDOW_FLOOR, MAX_STREAM_WINDOW),
    "session_window": (WINDOW_FLOOR, 256 * 1024 * 1024),
    "max_frame_size": (MAX_FRAME_SIZE, MAX_FRAME_SIZE),  # version 1: a head cannot be cut
    "max_streams": (1, 1_000_000),
}
"""Smallest and largest value of each setting that a peer may announce."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Times of a session, decided by the edge and told in WELCOME."""

    heartbeat_interval: float = HEARTBEAT_INTERVAL  # seconds
    heartbeat_timeout: float = HEARTBEAT_TIMEOUT  # seconds
    resume_window: float = RESUME_WINDOW  # seconds; 0 means that sessions do not resume
