from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.protocol.pair import examples

from asgi_tunnel_edge.errors import ProxyHeaderError
from asgi_tunnel_edge.identity.proxy_protocol import (
    MAX_HEADER,
    MAX_LINE,
    End,
    Preamble,
    read_preamble,
)

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"


def binary(command: int, family: int, rest: bytes) -> bytes:
    """A version 2 header."""
    return SIGNATURE + bytes((command, family)) + struct.pack(">H", len(rest)) + rest


def addresses(source: str, destination: str, *ports: int) -> bytes:
    """The addresses of a version 2 header."""
    hosts = b"".join(ipaddress.ip_address(one).packed for one in (source, destination))
    return hosts + struct.pack(">HH", *ports)


FOUR = addresses("192.0.2.1", "198.51.100.7", 56324, 443)
SIX = addresses("2001:db8::1", "2001:db8::7", 1, 65535)
TLS = b"\x20\x00\x05\x01\x00\x00\x00\x00"
NO_TLS = b"\x20\x00\x05\x00\x00\x00\x00\x00"
AUTHORITY = b"\x02\x00\x06a.test"
ENDS4 = (End("192.0.2.1", 56324), End("198.51.100.7", 443))
ENDS6 = (End("2001:db8::1", 1), End("2001:db8::7", 65535))

GOOD = {
    "line, IPv4": (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", (*ENDS4, None)),
    "line, IPv6": (b"PROXY TCP6 2001:DB8:0::1 2001:db8::7 1 65535\r\n", (*ENDS6, None)),
    "line, mapped": (
        b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.7 56324 443\r\n",
        (*ENDS4, None),
    ),
    "line, unknown": (b"PROXY UNKNOWN\r\n", (None, None, None)),
    "line, unknown and more": (b"PROXY UNKNOWN ff:: x 1 2\r\n", (None, None, None)),
    "longest line": (
        b"PROXY UNKNOWN " + b"f" * (MAX_LINE - 16) + b"\r\n",
        (None, None, None),
    ),
    "binary, IPv4": (binary(0x21, 0x11, FOUR), (*ENDS4, None)),
    "binary, IPv6": (binary(0x21, 0x21, SIX), (*ENDS6, None)),
    "binary, mapped": (
        binary(0x21, 0x21, addresses("::ffff:192.0.2.1", "::ffff:198.51.100.7", 56324, 443)),
        (*ENDS4, None),
    ),
    "binary, TLS": (binary(0x21, 0x11, FOUR + AUTHORITY + TLS), (*ENDS4, True)),
    "binary, no TLS": (binary(0x21, 0x21, SIX + NO_TLS + AUTHORITY), (*ENDS6, False)),
    "binary, other values": (binary(0x21, 0x11, FOUR + AUTHORITY), (*ENDS4, None)),
    "local": (binary(0x20, 0x00, b""), (None, None, None)),
    "local, with what is not read": (binary(0x20, 0xFF, b"x" * 99), (None, None, None)),
    "unspecified": (binary(0x21, 0x00, b"x"), (None, None, None)),
    "longest binary": (binary(0x20, 0x00, bytes(MAX_HEADER - 16)), (None, None, None)),
}

BAD = {
    "a request": REQUEST,
    "TLS": b"\x16\x03\x01\x02\x00",
    "an empty line": b"\r\nGET",
    "PROXY and nothing": b"PROXY\r\n",
    "POST": b"POST / HTTP/1.1\r\n",
    "lower case": b"proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "no carriage return": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
    "two spaces": b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
    "a port too large": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
    "a port with a zero before": b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
    "a negative port": b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
    "a missing port": b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
    "the wrong family": b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
    "the other wrong family": b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
    "no address": b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
    "an octal address": b"PROXY TCP4 192.0.02.1 192.0.2.2 1 2\r\n",
    "a zone": b"PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n",
    "UDP": b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "a carriage return inside": b"PROXY UNKNOWN a\rb\r\n",
    "a long line": b"PROXY UNKNOWN " + b"x" * MAX_LINE,
    "a line one byte too long": b"PROXY UNKNOWN " + b"f" * (MAX_LINE - 15) + b"\r\n",
    "version 1 in binary": binary(0x11, 0x11, FOUR),
    "an unknown command": binary(0x22, 0x11, FOUR),
    "UDP in binary": binary(0x21, 0x12, FOUR),
    "a UNIX socket": binary(0x21, 0x31, bytes(216)),
    "too short for IPv4": binary(0x21, 0x11, FOUR[:-1]),
    "too short for IPv6": binary(0x21, 0x21, FOUR),
    "an announcement of 64 KiB": SIGNATURE + b"\x20\x00\xff\xff",
    "one byte too long": binary(0x20, 0x00, bytes(MAX_HEADER - 15)),
    "a value that is cut": binary(0x21, 0x11, FOUR + b"\x02\x00\x06a.tes"),
    "half a value's head": binary(0x21, 0x11, FOUR + b"\x02\x00"),
    "too little about TLS": binary(0x21, 0x11, FOUR + b"\x20\x00\x04\x01\x00\x00\x00"),
}

Result = Preamble | str | None


def read(data: bytes) -> Result:
    """What is read, or why nothing is."""
    try:
        return read_preamble(data)
    except ProxyHeaderError as error:
        return str(error)


@pytest.mark.parametrize("name", GOOD)
def test_reads_a_header_cut_anywhere(name: str) -> None:
    """Nothing is said before its last byte; then all of it, whatever comes behind."""
    data, (source, destination, is_secure) = GOOD[name]
    for end in range(len(data)):
        assert read(data[:end]) is None
    expected = Preamble(source, destination, is_secure, len(data))
    assert read(data) == expected
    assert read(data + REQUEST) == expected


@pytest.mark.parametrize("name", BAD)
def test_refuses_what_is_no_header(name: str) -> None:
    """Garbage, oversize and contradictions are errors, and stay errors with more bytes."""
    data = BAD[name]
    refusals = [one for end in range(len(data) + 1) if (one := read(data[:end])) is not None]
    assert refusals
    assert all(isinstance(one, str) for one in refusals)
    assert isinstance(read(data + REQUEST), str)


@examples(60)
@given(
    st.sampled_from([data for data, _ in GOOD.values()] + list(BAD.values())),
    st.integers(0, 200),
    st.binary(max_size=3),
    st.integers(0, 200),
)
@example(SIGNATURE, 12, b"\x20", 12)
def test_any_change_is_read_or_refused_alike(data: bytes, at: int, new: bytes, end: int) -> None:
    """Nothing but ProxyHeaderError comes out, and what a start decides its continuation keeps."""
    data = data[:at] + new + data[at + len(new) :]
    early, late = read(data[:end]), read(data)
    assert early is None or early == late or isinstance(early, str) is isinstance(late, str)
    if isinstance(early, Preamble):
        assert early == late
