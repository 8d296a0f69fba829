"""What :class:`.connection.Connection` tells its caller.

Named tuples: they are immutable and cost a third of a frozen dataclass to make (0.3 against 0.9
microseconds), and a small exchange makes two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .frames import StreamKind, View
from .head import Fields, RequestHead, ResponseHead


class StreamOpened(NamedTuple):
    """The peer started a stream (OPEN)."""

    stream_id: int
    kind: StreamKind
    head: RequestHead
    data: bytes | View  # first bytes of the body, often none
    end: bool  # nothing follows in this direction


class HeadReceived(NamedTuple):
    """The peer sent the head of its response (HEAD)."""

    stream_id: int
    head: ResponseHead
    data: bytes | View
    end: bool


class DataReceived(NamedTuple):
    """The peer sent bytes (DATA), to be given back with ``consume`` once they are used."""

    stream_id: int
    data: bytes | View
    flow_controlled_size: int  # bytes of window: the data and, in DATA, the frame header
    end: bool
    text: bool  # of a WebSocket message
    more: bool  # the WebSocket message goes on


class TrailersReceived(NamedTuple):
    """The peer ended its direction with fields (TRAILERS)."""

    stream_id: int
    fields: Fields


class CloseReceived(NamedTuple):
    """The peer ended its direction of a WebSocket (CLOSE)."""

    stream_id: int
    code: int
    reason: str


class StreamReset(NamedTuple):
    """The stream is over at once: the peer sent RESET."""

    stream_id: int
    code: int  # a ResetCode, or a number this version does not know
    reason: str


class StreamWritable(NamedTuple):
    """A sender that was told to wait may go on."""

    stream_id: int


class DrainReceived(NamedTuple):
    """The peer wants no new streams (DRAIN)."""

    reason: int  # a DrainReason, or a number this version does not know
    delay: float  # seconds to wait before a replacement is opened
    grace: float  # seconds until the peer ends what is still open


class AskReceived(NamedTuple):
    """The app's side wants something of this edge (ASK)."""

    number: int
    values: dict[str, Any]


class ReplyReceived(NamedTuple):
    """What became of an ASK (REPLY)."""

    number: int
    values: dict[str, Any]


class SessionTerminated(NamedTuple):
    """The session is over, and so is every stream.  The last event."""

    code: int  # a GoawayCode, or a number this version does not know
    reason: str
    by_peer: bool
    retry_after: float | None  # seconds
    last_stream_id: int  # no stream above this one was started by whom it was opened for


class TransportSilent(NamedTuple):
    """Nothing was received for the heartbeat timeout: abort the transport, then say it is lost."""

    seconds: float


Event = (
    StreamOpened
    | HeadReceived
    | DataReceived
    | TrailersReceived
    | CloseReceived
    | StreamReset
    | StreamWritable
    | DrainReceived
    | AskReceived
    | ReplyReceived
    | SessionTerminated
    | TransportSilent
)
