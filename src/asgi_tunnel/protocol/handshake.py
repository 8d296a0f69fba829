"""HELLO, WELCOME and REFUSE: the first frame of each side (docs/protocol.md section 6).

JSON, because they are rare and grow: unknown keys are ignored, known ones are checked.  What
they agree on becomes a :class:`.connection.Connection`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeVar

from ..errors import FrameError
from .codes import GoawayCode
from .frames import FrameType, encode_frame, unpack_header
from .limits import (
    FRAME_HEADER_SIZE,
    MAX_HANDSHAKE_SIZE,
    MAX_PINS,
    OLDEST_VERSION,
    PROTOCOL_VERSION,
    SETTING_BOUNDS,
    Settings,
    Timing,
)
from .policy import PolicyRule, read_routes, read_rules
from .text import is_pin

SUBPROTOCOL: Final = "asgi-tunnel.v1"
"""WebSocket subprotocol of a tunnel."""

TUNNEL_PATH: Final = "/.well-known/asgi-tunnel"
"""Path of the WebSocket handshake that opens a tunnel."""

PROBE: Final = "probe"
"""Capability of a HELLO that wants no session, only to hear what WELCOME would say."""

DURATION: Final = "duration"
"""Capability of a connector that says how long its app took, where a request asks for it."""

INBOX: Final = "inbox"
"""Capability of a WELCOME whose edge keeps requests to the routes that HELLO has marked."""

VISITOR: Final = "visitor"
"""Capability of a connector that understands the line which says who a visitor is."""

INSPECT: Final = "inspect"
"""Capability of a connector that has an inspector, for requests with the line ``:inspect``."""

_LATER: Final = (
    "group",
    "shared",
    "end_to_end",
    "pins",
    "time",
    "services",
    "policy",
    "routes",
    "notes",
    "inbox",
)
"""Keys that came after the format was frozen; absent while they are empty."""

_MAX_NAMES: Final = 256
_MAX_TEXT: Final = 256

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a connector says first."""

    version: int = PROTOCOL_VERSION  # highest version it speaks
    oldest: int = OLDEST_VERSION  # lowest version it speaks
    instance: str  # one process of the app; random, stays for its life
    slot: int = 0  # which of the instance's connections this is
    group: str = ""  # the same in processes that were started together; empty: not known
    agent: str = ""  # "asgi-tunnel/0.1.0", for logs
    hostnames: tuple[str, ...] = ()  # wanted; empty for all the token's names
    # Names and wildcards that it has something behind, the token's or not; empty: behind all
    services: tuple[str, ...] = ()
    # Routes whose requests the edge keeps while the app is away: ``POST /hooks/*``
    inbox: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    policy: tuple[PolicyRule, ...] = ()  # what the edge is to refuse, the first that fits holds
    routes: tuple[str, ...] = ()  # patterns of all paths that the app serves; empty: not said
    settings: Settings = field(default_factory=Settings)
    session: str = ""  # the session to resume, or empty
    received: int = 0  # sequenced frames of that session that arrived


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """The edge's reply to a HELLO that it takes."""

    version: int = PROTOCOL_VERSION  # the one both will speak
    session: str  # unguessable; names the session when it resumes
    resumed: bool = False
    received: int = 0  # sequenced frames of the resumed session that arrived
    agent: str = ""
    hostnames: tuple[str, ...] = ()  # granted
    urls: tuple[str, ...] = ()  # where visitors find them
    end_to_end: tuple[str, ...] = ()  # those of the hostnames whose bytes are passed on unread
    shared: tuple[str, ...] = ()  # those of the hostnames that processes of other groups serve too
    capabilities: tuple[str, ...] = ()
    settings: Settings = field(default_factory=Settings)
    timing: Timing = field(default_factory=Timing)
    edges: tuple[str, ...] = ()  # URLs of other edges that serve the same hostnames
    # ``sha256:<hex>`` of the certificates that the edge shows, now and next; empty: a CA vouches
    pins: tuple[str, ...] = ()
    time: int = 0  # of the edge's clock, seconds since 1970; only in the reply to a probe
    notes: tuple[str, ...] = ()  # what of the policy holds in another way than HELLO says


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Why an edge does not want the connector."""

    code: int  # a RefuseCode, or a number this version does not know
    reason: str  # one sentence for a person
    retry_after: float | None = None  # seconds; None for "not without a change"


def encode_handshake(message: Hello | Welcome | Refuse) -> bytes:
    """Return the frame of a handshake message."""
    kind = {Hello: FrameType.HELLO, Welcome: FrameType.WELCOME, Refuse: FrameType.REFUSE}
    values = asdict(message)
    if isinstance(message, Hello):
        values["policy"] = [rule.to_json() for rule in message.policy]
    for key in _LATER:
        if not values.get(key, True):
            del values[key]
    payload = json.dumps(values, separators=(",", ":")).encode()
    return encode_frame(kind[type(message)], payload)


def decode_handshake(kind: int, payload: bytes) -> Hello | Welcome | Refuse:
    """Return the message of a handshake frame.

    Raises:
        FrameError: The type is another one, or a value has the wrong form; names the key.
    """
    decoders: dict[int, Callable[[dict[str, Any]], Hello | Welcome | Refuse]] = {
        FrameType.HELLO: _hello,
        FrameType.WELCOME: _welcome,
        FrameType.REFUSE: _refuse,
    }
    decode = decoders.get(kind)
    if decode is None:
        raise FrameError(GoawayCode.FRAME_ERROR, f"frame type {kind} is not a handshake")
    try:
        values = json.loads(payload)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise FrameError(GoawayCode.FRAME_ERROR, "handshake payload is not a JSON object")
    return decode(values)


class HandshakeReader:
    """Waits for the one handshake frame of the peer; keeps what follows it."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> tuple[Hello | Welcome | Refuse, bytes] | None:
        """Return the message and the bytes after it, or None while it is incomplete.

        Raises:
            FrameError: What came is not a handshake frame, or a too large one.
        """
        self._data += data
        if len(self._data) < FRAME_HEADER_SIZE:
            return None
        word, flags, _ = unpack_header(self._data)
        kind, size = word & 0xFF, word >> 8
        if size > MAX_HANDSHAKE_SIZE or not FrameType.HELLO <= kind <= FrameType.REFUSE:
            raise FrameError(
                GoawayCode.FRAME_ERROR, f"frame type {kind} of {size} bytes is not a handshake"
            )
        if flags:
            raise FrameError(GoawayCode.FRAME_ERROR, f"a handshake has flags: {flags:#04x}")
        end = FRAME_HEADER_SIZE + size
        if len(self._data) < end:
            return None
        return decode_handshake(kind, self._data[FRAME_HEADER_SIZE:end]), self._data[end:]


def agree_version(hello: Hello) -> int | None:
    """Return the highest version that both sides speak, or None."""
    version = min(hello.version, PROTOCOL_VERSION)
    return version if version >= max(hello.oldest, OLDEST_VERSION) else None


def _get(values: dict[str, Any], key: str, kind: type[T], default: T) -> T:
    value = values.get(key, default)
    if kind is float and type(value) is int and abs(value) < 2**63:
        value = float(value)
    if type(value) is not kind:
        raise FrameError(
            GoawayCode.FRAME_ERROR, f"handshake key {key!r} is not of type {kind.__name__}"
        )
    return value


def _count(values: dict[str, Any], key: str, default: int = 0) -> int:
    value = _get(values, key, int, default)
    if not 0 <= value < 2**63:
        raise FrameError(GoawayCode.FRAME_ERROR, f"handshake key {key!r} is out of range")
    return value


def _text(values: dict[str, Any], key: str) -> str:
    """Return a text that is fit for a log: no control characters, no surrogates."""
    text = _get(values, key, str, "")[:_MAX_TEXT]
    return "".join(one if one.isprintable() else "?" for one in text)


def _names(values: dict[str, Any], key: str) -> tuple[str, ...]:
    names = _get(values, key, list, [])
    if len(names) > _MAX_NAMES or not all(
        isinstance(name, str) and len(name) <= _MAX_TEXT for name in names
    ):
        raise FrameError(GoawayCode.FRAME_ERROR, f"handshake key {key!r} is not a list of names")
    return tuple(names)


def _sentences(values: dict[str, Any], key: str) -> tuple[str, ...]:
    """Return texts that are fit for a log."""
    return tuple(
        "".join(one if one.isprintable() else "?" for one in text) for text in _names(values, key)
    )


def _pins(values: dict[str, Any]) -> tuple[str, ...]:
    pins = _get(values, "pins", list, [])
    if len(pins) > MAX_PINS or not all(isinstance(one, str) and is_pin(one) for one in pins):
        raise FrameError(
            GoawayCode.FRAME_ERROR,
            f"handshake key 'pins' is not a list of at most {MAX_PINS} pins, "
            "each sha256: and 64 lower-case hex digits",
        )
    return tuple(pins)


def _settings(values: dict[str, Any]) -> Settings:
    given = _get(values, "settings", dict, {})
    found: dict[str, int] = {}
    for key, (low, high) in SETTING_BOUNDS.items():
        if key in given:
            value = _count(given, key)
            if not low <= value:
                raise FrameError(GoawayCode.FRAME_ERROR, f"setting {key!r} is below {low}")
            found[key] = min(value, high)
    return Settings(**found)


def _timing(values: dict[str, Any]) -> Timing:
    given = _get(values, "timing", dict, {})
    standard = Timing()
    interval = _get(given, "heartbeat_interval", float, standard.heartbeat_interval)
    timeout = _get(given, "heartbeat_timeout", float, standard.heartbeat_timeout)
    resume = _get(given, "resume_window", float, standard.resume_window)
    if not (0.01 <= interval <= timeout <= 3600 and 0 <= resume <= 3600):
        raise FrameError(GoawayCode.FRAME_ERROR, "handshake key 'timing' is out of range")
    return Timing(heartbeat_interval=interval, heartbeat_timeout=timeout, resume_window=resume)


def _hello(values: dict[str, Any]) -> Hello:
    return Hello(
        version=_count(values, "version"),
        oldest=_count(values, "oldest"),
        instance=_text(values, "instance"),
        slot=_count(values, "slot"),
        group=_text(values, "group"),
        agent=_text(values, "agent"),
        hostnames=_names(values, "hostnames"),
        services=_names(values, "services"),
        inbox=_names(values, "inbox"),
        capabilities=_names(values, "capabilities"),
        policy=read_rules(_get(values, "policy", list, [])),
        routes=read_routes(_get(values, "routes", list, [])),
        settings=_settings(values),
        session=_text(values, "session"),
        received=_count(values, "received"),
    )


def _welcome(values: dict[str, Any]) -> Welcome:
    return Welcome(
        version=_count(values, "version"),
        session=_text(values, "session"),
        resumed=_get(values, "resumed", bool, False),
        received=_count(values, "received"),
        agent=_text(values, "agent"),
        hostnames=_names(values, "hostnames"),
        urls=_names(values, "urls"),
        end_to_end=_names(values, "end_to_end"),
        shared=_names(values, "shared"),
        capabilities=_names(values, "capabilities"),
        settings=_settings(values),
        timing=_timing(values),
        edges=_names(values, "edges"),
        pins=_pins(values),
        time=_count(values, "time"),
        notes=_sentences(values, "notes"),
    )


def _refuse(values: dict[str, Any]) -> Refuse:
    retry = values.get("retry_after")
    return Refuse(
        code=_count(values, "code"),
        reason=_text(values, "reason"),
        retry_after=None
        if retry is None
        else min(max(0.0, _get(values, "retry_after", float, 0.0)), 3600.0),
    )
