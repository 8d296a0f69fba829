from __future__ import annotations

import ssl
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_tunnel_edge.listeners.client_hello import (
    MAX_CLIENT_HELLO,
    Alert,
    ClientHello,
    ClientHelloError,
    ClientHelloReader,
)


def hello_of(name: str | None, protocols: list[str] | None = None) -> bytes:
    """What OpenSSL says first."""
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    if protocols:
        context.set_alpn_protocols(protocols)
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def read(data: bytes, sizes: list[int] | None = None) -> ClientHello | None:
    """Feed bytes, cut into pieces of the given sizes, then the rest."""
    reader = ClientHelloReader()
    at = 0
    for size in [*(sizes or []), len(data)]:
        piece, at = data[at : at + size], at + size
        hello = reader.feed(piece) if piece else None
        if hello is not None:
            return hello
    return None


def in_records(data: bytes, size: int) -> bytes:
    """The same handshake message over records of so many bytes."""
    message = data[5:]
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2) + piece for piece in pieces)


@pytest.mark.parametrize("name", ["example.org", "a-b.xn--mnchen-3ya.example.org", "x_y.test"])
def test_the_name_and_the_protocols_are_read(name: str) -> None:
    """What decides about a connection is read as OpenSSL writes it."""
    assert read(hello_of(name, ["h2", "http/1.1"])) == ClientHello(name, (b"h2", b"http/1.1"))


def test_a_client_may_name_no_server() -> None:
    """An address is no name."""
    assert read(hello_of(None)) == ClientHello(None, ())
    assert read(hello_of("192.0.2.1")) == ClientHello(None, ())


def test_names_have_one_spelling() -> None:
    """Names are compared in their normal spelling."""
    data = hello_of("example.org").replace(b"example.org", b"EXAMPLE.org")
    hello = read(data)
    assert hello is not None
    assert hello.server_name == "example.org"


def test_it_may_come_byte_by_byte() -> None:
    """The last byte makes it whole, and all of it is kept."""
    data = hello_of("example.org")
    reader = ClientHelloReader()
    found = [reader.feed(data[at : at + 1]) for at in range(len(data))]
    assert found[:-1] == [None] * (len(data) - 1)
    assert found[-1] == ClientHello("example.org", ())
    assert reader.data == data


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 511])
def test_it_may_come_in_many_records(size: int) -> None:
    """One handshake message over records of any size."""
    data = in_records(hello_of("example.org"), size)
    assert read(data) == ClientHello("example.org", ())
    assert read(data, [1] * len(data)) == ClientHello("example.org", ())


@given(st.lists(st.integers(1, 600), max_size=8), st.integers(1, 700))
def test_how_it_is_cut_makes_no_difference(sizes: list[int], record: int) -> None:
    """Segments and records may be cut anywhere."""
    assert read(in_records(_HELLO, record), sizes) == ClientHello("shop.example.org", (b"h2",))


_HELLO = hello_of("shop.example.org", ["h2"])


def test_what_follows_is_kept() -> None:
    """A client of TLS 1.3 may send data behind its ClientHello at once."""
    reader = ClientHelloReader()
    assert reader.feed(_HELLO + b"more") is not None
    assert reader.data == _HELLO + b"more"


@pytest.mark.parametrize(
    ("data", "alert"),
    [
        (b"\x17\x03\x03\x00\x05hello", Alert.UNEXPECTED_MESSAGE),
        (b"\x16\x02\x00\x00\x05hello", Alert.UNEXPECTED_MESSAGE),
        (b"\x16\x03\x01\x00\x00", Alert.DECODE_ERROR),
        (b"\x16\x03\x01\xff\xff", Alert.DECODE_ERROR),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", Alert.UNEXPECTED_MESSAGE),
        (b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", Alert.DECODE_ERROR),
        (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", Alert.DECODE_ERROR),
        (b"\x80\x2e\x01\x03\x01", Alert.UNEXPECTED_MESSAGE),
        (_HELLO.replace(b"shop.example.org", b"shop example.org"), Alert.UNRECOGNIZED_NAME),
        (_HELLO.replace(b"shop.example.org", b"shop\x00example.org"), Alert.UNRECOGNIZED_NAME),
        (_HELLO.replace(b"shop.example.org", b"shop.ex\xe9mple.org"), Alert.UNRECOGNIZED_NAME),
    ],
    ids=[
        "other content",
        "SSL 2",
        "empty record",
        "long record",
        "other message",
        "long message",
        "empty message",
        "SSL 2 hello",
        "space",
        "zero byte",
        "no ASCII",
    ],
)
def test_what_is_no_client_hello_gets_an_alert(data: bytes, alert: int) -> None:
    """Each with the alert that says what is wrong."""
    with pytest.raises(ClientHelloError) as caught:
        read(data)
    assert caught.value.alert == alert


def test_rubbish_ends_at_the_bound() -> None:
    """A message that never ends is refused, and never kept beyond the bound."""
    reader = ClientHelloReader()
    record = b"\x16\x03\x01\x10\x00" + b"\x01\x00\x40\x00" + bytes(4092)
    for _ in range(3):
        reader.feed(record)
    with pytest.raises(ClientHelloError, match="too long"):
        reader.feed(record)
    assert len(reader.data) <= MAX_CLIENT_HELLO + len(record)


@given(st.binary(max_size=400), st.integers(0, len(_HELLO)), st.integers(0, 40))
def test_nothing_but_its_own_error_escapes(noise: bytes, at: int, cut: int) -> None:
    """Whatever is put in the place of a part of it."""
    data = _HELLO[:at] + noise + _HELLO[at + cut :]
    with suppress(ClientHelloError):
        read(data)
