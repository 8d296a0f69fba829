from __future__ import annotations

import json
import re
from dataclasses import MISSING, fields
from enum import IntEnum
from functools import cache
from inspect import signature
from pathlib import Path
from typing import get_type_hints

import pytest

from asgi_tunnel.identity import Visitor
from asgi_tunnel.protocol import limits
from asgi_tunnel.protocol.codes import DrainReason, GoawayCode, RefuseCode, ResetCode
from asgi_tunnel.protocol.frames import (
    DEFINED_FLAGS,
    FIRST_UNSEQUENCED,
    FRAME_HEADER,
    Flag,
    FrameType,
    StreamKind,
    encode_frame,
)
from asgi_tunnel.protocol.halves import TRANSITIONS, Half, Step
from asgi_tunnel.protocol.handshake import (
    SUBPROTOCOL,
    TUNNEL_PATH,
    Hello,
    Refuse,
    Welcome,
    decode_handshake,
)
from asgi_tunnel.protocol.head import (
    Arrival,
    RequestHead,
    ResponseHead,
    encode_request,
    encode_response,
)
from asgi_tunnel.protocol.limits import SETTING_BOUNDS, Settings, Timing

from .pair import REQUEST

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
TEXT = PAGE.read_text()
JSON_TYPES = {
    "int": "integer",
    "str": "text",
    "bool": "boolean",
    "tuple[str, ...]": "list",
    "tuple[asgi_tunnel.protocol.policy.PolicyRule, ...]": "list",
    "Settings": "object",
    "Timing": "object",
    "float | None": "number or null",
}


def cells(line: str) -> tuple[str, ...]:
    """Cells of one table line."""
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


@cache
def tables() -> dict[str, list[tuple[str, ...]]]:
    """Every table of the page: its rows, by the text of its first head cell."""
    found: dict[str, list[tuple[str, ...]]] = {}
    rows: list[tuple[str, ...]] | None = None
    for line in TEXT.splitlines():
        if not line.startswith("|"):
            rows = None
        elif rows is None:
            name = cells(line)[0]
            assert name not in found, f"two tables start with {name!r}"
            rows = found[name] = []
        elif not line.startswith("|---"):
            rows.append(cells(line))
    return found


def table(name: str) -> list[tuple[str, ...]]:
    """Rows of a table."""
    return tables()[name]


def half_state_table() -> list[str]:
    """The table of section 4 as the code has it."""
    lines = ["| state | " + " | ".join(step.name for step in Step) + " |"]
    lines.append("|---" * (1 + len(Step)) + "|")
    for half in Half:
        after = (TRANSITIONS.get((half, step)) for step in Step)
        row = [half.name, *("" if state is None else state.name for state in after)]
        lines.append("|" + "|".join(f" {cell} " if cell else " " for cell in row) + "|")
    return lines


@pytest.mark.parametrize(
    ("name", "enum"),
    [
        ("type", FrameType),
        ("kind", StreamKind),
        ("RESET code", ResetCode),
        ("GOAWAY code", GoawayCode),
        ("DRAIN reason", DrainReason),
        ("REFUSE code", RefuseCode),
    ],
)
def test_numbers(name: str, enum: type[IntEnum]) -> None:
    """A table of numbers has the members of its enum, each once, in order."""
    rows = [(int(row[0]), row[1]) for row in table(name)]
    assert rows == [(member.value, member.name) for member in enum]


def test_flags() -> None:
    """The table of flags has the bits of the code."""
    bits = {name: value for name, value in vars(Flag).items() if name.isupper()}
    assert {row[1]: int(row[0]) for row in table("flag")} == bits
    defined = dict.fromkeys(FrameType, 0)
    for bit, _, types, _ in table("flag"):
        for name in types.removesuffix(" of a WebSocket").split(", "):
            defined[FrameType[name]] |= int(bit)
    assert defined == dict.fromkeys(FrameType, 0) | DEFINED_FLAGS


def test_sequenced() -> None:
    """The page says yes for the types that the code counts."""
    sequenced = {int(row[0]) for row in table("type") if row[2] == "yes"}
    assert sequenced == {kind.value for kind in FrameType if kind < FIRST_UNSEQUENCED}


def test_frame_header() -> None:
    """The frame header of the page adds up to the code's."""
    rows = table("offset")
    assert sum(int(row[1]) for row in rows[:-1]) == FRAME_HEADER.size == int(rows[-1][0])
    offset = 0
    for row in rows[:-1]:
        assert int(row[0]) == offset
        offset += int(row[1])


def test_half_states() -> None:
    """The table of half states is the one generated from the code."""
    assert "\n".join(half_state_table()) in TEXT


@pytest.mark.plain  # a compiled class shows `tuple` for `tuple[str, ...]`
@pytest.mark.parametrize("name", ["HELLO", "WELCOME", "REFUSE"])
def test_handshake_keys(name: str) -> None:
    """Each handshake message has the page's keys, types and defaults."""
    form = {"HELLO": Hello, "WELCOME": Welcome, "REFUSE": Refuse}[name]
    kind = FrameType[name]
    rows = table(f"{name} key")
    assert [row[0] for row in rows] == [one.name for one in fields(form)]
    hints = get_type_hints(form)
    empty = decode_handshake(kind, b"{}")
    for key, type_name, default, _ in rows:
        hint = hints[key]
        assert JSON_TYPES[hint.__name__ if isinstance(hint, type) else str(hint)] == type_name
        stated = json.dumps({key: json.loads(default)}).encode()
        assert getattr(decode_handshake(kind, stated), key) == getattr(empty, key)


def test_settings() -> None:
    """Bounds and defaults of the settings are the code's."""
    rows = {row[0]: tuple(int(cell) for cell in row[1:4]) for row in table("settings key")}
    standard = Settings()
    assert rows == {
        key: (*bounds, getattr(standard, key)) for key, bounds in SETTING_BOUNDS.items()
    }
    assert list(rows) == [one.name for one in fields(Settings)]


def test_timing() -> None:
    """Defaults of the times are the code's."""
    rows = {row[0]: float(row[1]) for row in table("timing key")}
    assert all(one.default is not MISSING for one in fields(Timing))
    assert rows == {one.name: one.default for one in fields(Timing)}


def test_limits() -> None:
    """The table of limits has every number of the module, and no other."""
    numbers = {
        name: value
        for name, value in vars(limits).items()
        if name.isupper() and isinstance(value, int | float) and not name.endswith("_VERSION")
    }
    assert {row[0]: float(row[1]) for row in table("name")} == numbers


def test_versions() -> None:
    """The page is about the version that the code speaks."""
    assert f"# The wire protocol, version {limits.PROTOCOL_VERSION}\n" in TEXT
    assert f"PROTOCOL_VERSION is {limits.PROTOCOL_VERSION}," in TEXT
    assert f"OLDEST_VERSION is {limits.OLDEST_VERSION}." in TEXT


def test_request_lines() -> None:
    """The lines of a request head are the fields of the code's, in order."""
    names = [row[1] for row in table("line")]
    assert [*names, "fields"] == list(RequestHead._fields)
    parts = [row[1] for row in table("part")]
    assert parts == list(signature(Arrival).parameters)


def test_visitor_keys() -> None:
    """What the line about a visitor may say is what apps find in a visitor."""
    assert [row[0] for row in table("Visitor key")] == [one.name for one in fields(Visitor)]


def test_transport() -> None:
    """Path and subprotocol are the code's."""
    assert f"    GET {TUNNEL_PATH} HTTP/1.1\n" in TEXT
    assert f"    Sec-WebSocket-Protocol: {SUBPROTOCOL}\n" in TEXT


def test_hex_examples() -> None:
    """The frames in hex are what the code sends."""
    blocks = [bytes.fromhex(block) for block in re.findall(r"```hex\n(.*?)```", TEXT, re.DOTALL)]
    request = encode_request(StreamKind.HTTP, REQUEST._replace(target=b"/"))
    response = encode_response(ResponseHead(200, [(b"a", b"b")])) + b"ok"
    assert blocks == [
        encode_frame(FrameType.OPEN, request, stream_id=1, flags=Flag.END),
        encode_frame(FrameType.HEAD, response, stream_id=1, flags=Flag.END),
    ]


def test_every_number_in_prose_is_a_limit() -> None:
    """A large number in the prose is one that the tables state."""
    stated = {cell for rows in tables().values() for row in rows for cell in row}
    prose = "\n".join(line for line in TEXT.splitlines() if not line.startswith("|"))
    prose = re.sub(r"```hex.*?```", "", prose, flags=re.DOTALL)
    half_the_floor = str(limits.WINDOW_FLOOR // 2)
    port = "65535"
    for number in re.findall(r"(?<![\w.])\d{5,}(?![\w.]\d)|8192", prose):
        assert number in stated | {half_the_floor, port}, number
