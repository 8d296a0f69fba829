from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_tunnel.errors import FrameError
from asgi_tunnel.protocol.codes import GoawayCode, RefuseCode
from asgi_tunnel.protocol.frames import FrameType, encode_frame
from asgi_tunnel.protocol.handshake import (
    HandshakeReader,
    Hello,
    Refuse,
    Welcome,
    agree_version,
    decode_handshake,
    encode_handshake,
)
from asgi_tunnel.protocol.limits import (
    MAX_HANDSHAKE_SIZE,
    PROTOCOL_VERSION,
    SETTING_BOUNDS,
    Settings,
    Timing,
)
from asgi_tunnel.protocol.policy import PolicyRule

from .pair import examples

VECTORS = json.loads((Path(__file__).parent / "vectors" / "handshakes.json").read_text())
HELLO, WELCOME, REFUSE = FrameType.HELLO, FrameType.WELCOME, FrameType.REFUSE
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
KEYS = sorted(
    {
        key
        for form in (Hello, Welcome, Refuse, Settings, Timing)
        for key in form.__dataclass_fields__
    }
)


def decode(kind: int, values: object) -> Hello | Welcome | Refuse:
    """Decode a payload given as a value."""
    return decode_handshake(kind, json.dumps(values).encode())


def as_message(kind: str, values: dict[str, Any]) -> Hello | Welcome | Refuse:
    """The message of a vector."""
    nested: dict[str, type[Settings | Timing]] = {"settings": Settings, "timing": Timing}
    values = {
        key: nested[key](**value)
        if key in nested
        else tuple(value)
        if isinstance(value, list)
        else value
        for key, value in values.items()
    }
    forms: dict[str, type[Hello | Welcome | Refuse]] = {
        "HELLO": Hello,
        "WELCOME": Welcome,
        "REFUSE": Refuse,
    }
    return forms[kind](**values)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vectors(vector: dict[str, Any]) -> None:
    """Handshake frames are what they were when the format was frozen."""
    message = as_message(vector["type"], vector["values"])
    wire = bytes.fromhex(vector["wire"])
    assert encode_handshake(message) == wire
    assert HandshakeReader().feed(wire) == (message, b"")


def test_defaults() -> None:
    """Keys that are absent have their defaults, unknown ones are ignored."""
    assert decode(HELLO, {"instance": "i", "new": [1]}) == Hello(version=0, oldest=0, instance="i")
    assert decode(WELCOME, {"session": "s", "settings": {"new": 1}, "timing": {"new": 1}}) == (
        Welcome(version=0, session="s")
    )
    assert decode(REFUSE, {}) == Refuse(code=0, reason="")


@pytest.mark.parametrize(
    ("kind", "values", "key"),
    [
        (HELLO, {"version": "1"}, "version"),
        (HELLO, {"version": True}, "version"),
        (HELLO, {"version": 1.0}, "version"),
        (HELLO, {"version": -1}, "version"),
        (HELLO, {"received": 2**63}, "received"),
        (HELLO, {"received": None}, "received"),
        (HELLO, {"instance": 1}, "instance"),
        (HELLO, {"hostnames": "app.test"}, "hostnames"),
        (HELLO, {"hostnames": [1]}, "hostnames"),
        (HELLO, {"hostnames": ["a"] * 257}, "hostnames"),
        (HELLO, {"hostnames": ["a" * 257]}, "hostnames"),
        (HELLO, {"settings": []}, "settings"),
        (HELLO, {"settings": {"stream_window": -1}}, "stream_window"),
        (HELLO, {"settings": {"stream_window": 16_383}}, "stream_window"),
        (HELLO, {"settings": {"max_frame_size": 131_071}}, "max_frame_size"),
        (HELLO, {"settings": {"max_streams": 0}}, "max_streams"),
        (WELCOME, {"resumed": 1}, "resumed"),
        (WELCOME, {"timing": {"heartbeat_interval": "4"}}, "heartbeat_interval"),
        (WELCOME, {"timing": {"heartbeat_interval": 0}}, "timing"),
        (WELCOME, {"timing": {"heartbeat_interval": 10}}, "timing"),
        (WELCOME, {"timing": {"heartbeat_timeout": 3601}}, "timing"),
        (WELCOME, {"timing": {"resume_window": -1}}, "timing"),
        (WELCOME, {"timing": {"resume_window": float("nan")}}, "timing"),
        (WELCOME, {"timing": {"resume_window": 10**400}}, "resume_window"),
        (REFUSE, {"retry_after": "soon"}, "retry_after"),
        (REFUSE, {"retry_after": 10**400}, "retry_after"),
    ],
)
def test_wrong_values(kind: FrameType, values: dict[str, object], key: str) -> None:
    """A value of the wrong form is a FRAME_ERROR that names its key."""
    with pytest.raises(FrameError, match=repr(key)) as error:
        decode(kind, values)
    assert error.value.code == GoawayCode.FRAME_ERROR


def test_lenient_values() -> None:
    """Long texts are cut, large settings lowered, whole seconds and hints from the past taken."""
    hello = decode(HELLO, {"agent": "a" * 300, "settings": {"session_window": 2**62}})
    assert isinstance(hello, Hello)
    assert len(hello.agent) == 256
    assert hello.settings.session_window == SETTING_BOUNDS["session_window"][1]
    welcome = decode(WELCOME, {"timing": {"heartbeat_interval": 1, "resume_window": 0}})
    assert isinstance(welcome, Welcome)
    assert welcome.timing == Timing(heartbeat_interval=1.0, resume_window=0.0)
    assert decode(REFUSE, {"retry_after": -5}) == Refuse(code=0, reason="", retry_after=0.0)
    assert decode(REFUSE, {"retry_after": None}) == Refuse(code=0, reason="")


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"1", b"{", b"\xff", b"[" * 10_000, b'{"version":' + b"9" * 5_000]
)
def test_no_object(payload: bytes) -> None:
    """A payload that is no JSON object is a FRAME_ERROR."""
    with pytest.raises(FrameError, match="not a JSON object"):
        decode_handshake(HELLO, payload)


def test_other_types() -> None:
    """Only the three handshake types are decoded."""
    with pytest.raises(FrameError, match="frame type 35 is not a handshake"):
        decode_handshake(FrameType.PING, b"{}")


@examples(200)
@given(
    kind=st.sampled_from([HELLO, WELCOME, REFUSE]),
    values=st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4),
    inner=st.dictionaries(st.sampled_from(KEYS), JSON, max_size=3),
    place=st.sampled_from(["settings", "timing", "other"]),
)
def test_any_json(
    kind: FrameType, values: dict[str, Any], inner: dict[str, Any], place: str
) -> None:
    """T43: whatever JSON comes, it becomes a message in bounds or a FRAME_ERROR."""
    try:
        message = decode(kind, values | {place: inner})
    except FrameError:
        return
    if isinstance(message, Hello | Welcome):
        for key, (low, high) in SETTING_BOUNDS.items():
            assert low <= getattr(message.settings, key) <= high


@pytest.mark.parametrize(
    ("oldest", "version", "agreed"),
    [(1, 1, 1), (1, 99, PROTOCOL_VERSION), (2, 99, None), (0, 0, None), (0, 1, 1)],
)
def test_version(oldest: int, version: int, agreed: int | None) -> None:
    """The highest version of both is chosen, or none."""
    assert agree_version(Hello(version=version, oldest=oldest, instance="i")) == agreed


PIN = f"sha256:{'a' * 64}"


def test_pins() -> None:
    """Four pins at most travel with WELCOME; a message without them is as it always was."""
    pins = tuple(f"sha256:{one * 64}" for one in "abcd")
    wire = encode_handshake(Welcome(session="s", pins=pins))
    assert HandshakeReader().feed(wire) == (Welcome(session="s", pins=pins), b"")
    assert b"pins" not in encode_handshake(Welcome(session="s"))


@pytest.mark.parametrize(
    "pins",
    [
        [PIN] * 5,
        [PIN.upper()],
        [PIN[:-1]],
        [PIN + "a"],
        [PIN[7:]],
        [f"sha256:{'g' * 64}"],
        [""],
        [7],
        [None],
    ],
    ids=repr,
)
def test_malformed_pins(pins: list[object]) -> None:
    """T94: what is not a short list of pins is one clear error, and none of it is taken."""
    with pytest.raises(FrameError, match="'pins' is not a list of at most 4 pins") as caught:
        decode(WELCOME, {"session": "s", "pins": pins})
    assert caught.value.code == GoawayCode.FRAME_ERROR


def test_reader_keeps_what_follows() -> None:
    """T57: the reader takes bytes one by one and gives back what comes after the handshake."""
    refuse = Refuse(code=RefuseCode.OVERLOAD, reason="busy", retry_after=1.0)
    wire = encode_handshake(refuse)
    reader = HandshakeReader()
    assert all(reader.feed(wire[i : i + 1]) is None for i in range(len(wire) - 1))
    assert reader.feed(wire[-1:] + b"rest") == (refuse, b"rest")


@pytest.mark.parametrize(
    ("wire", "sentence"),
    [
        (encode_frame(FrameType.PING, bytes(16)), "type 35 of 16 bytes"),
        (encode_frame(FrameType.DATA, b""), "type 3 of 0 bytes"),
        ((MAX_HANDSHAKE_SIZE + 1).to_bytes(3, "big") + b" " + bytes(5), "of 16385 bytes"),
        (encode_frame(FrameType.HELLO, b"{}", flags=1), "a handshake has flags: 0x01"),
        (b"GET / HTTP/1.1\r\n\r\n", "is not a handshake"),
    ],
)
def test_reader_refuses(wire: bytes, sentence: str) -> None:
    """T43: anything else is refused by its header, before more of it is kept."""
    with pytest.raises(FrameError, match=sentence):
        HandshakeReader().feed(wire)


RULES = [
    {"path": "/login", "methods": ["POST"], "rate": 5, "per": 60.0},
    {"path": "/up/*", "max_body": 7, "timeout": 1.5, "access": "family"},
]


def test_a_policy_survives_the_wire() -> None:
    """Rules and routes come back as they were sent, and say nothing where there are none."""
    hello = Hello(
        instance="i",
        policy=(
            PolicyRule(path="/login", methods=("POST",), rate=5, per=60.0, burst=2),
            PolicyRule(path="/up/**", max_body=7, timeout=1.5, access="family"),
            PolicyRule(path="/x"),
        ),
        routes=("/", "/a/*"),
    )
    wire = encode_handshake(hello)
    found = HandshakeReader().feed(wire)
    assert found is not None
    assert found[0] == hello
    plain = encode_handshake(Hello(instance="i"))
    assert b"policy" not in plain
    assert b"routes" not in plain


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"policy": [1]}, "rule 1 is not an object"),
        ({"policy": [{}]}, "rule 1 has a path that is no text"),
        ({"policy": [*RULES, {"path": "x"}]}, "rule 3 has a path that does not start with a slash"),
        ({"policy": [{"path": "/a//b"}]}, "has an empty segment"),
        ({"policy": [{"path": "/**/b"}]}, "has ** before its last segment"),
        ({"policy": [{"path": "/*a*"}]}, "more than one *"),
        ({"policy": [{"path": "/%61"}]}, "has a character that no decoded path needs"),
        ({"policy": [{"path": "/" + "a" * 256}]}, "more than 256 characters"),
        ({"policy": [{"path": "/a" * 17}]}, "more than 16 segments"),
        ({"policy": [{"path": "/", "rate": 5}]}, "a rate without its time"),
        ({"policy": [{"path": "/", "rate": True, "per": 1}]}, "a rate that is no whole number"),
        ({"policy": [{"path": "/", "timeout": 1e9}]}, "a timeout that is not within a day"),
        ({"policy": [{"path": "/", "max_body": -1}]}, "a max_body that is no whole number"),
        ({"policy": [{"path": "/", "access": "a b"}]}, "an access that is no name"),
        ({"policy": [{"path": "/", "methods": ["get"]}]}, "methods that are none"),
        ({"policy": RULES * 65}, "has 130 rules, and 128 is the most"),
        ({"policy": {}}, "'policy' is not of type list"),
        ({"routes": ["/"] * 513}, "has 513 patterns, and 512 is the most"),
        ({"routes": ["/", 2]}, "number 2 has a path that is no text"),
    ],
)
def test_policies_that_are_refused(values: dict[str, object], sentence: str) -> None:
    """T112: what has another form or is too much ends the handshake, and says where."""
    with pytest.raises(FrameError, match=re.escape(sentence)):
        decode_handshake(FrameType.HELLO, json.dumps(values).encode())


def test_notes_are_fit_for_a_log() -> None:
    """What an edge says of the policy moves no cursor."""
    payload = json.dumps({"notes": ["a\x1b[31m\n"]}).encode()
    welcome = decode_handshake(FrameType.WELCOME, payload)
    assert isinstance(welcome, Welcome)
    assert welcome.notes == ("a?[31m?",)
