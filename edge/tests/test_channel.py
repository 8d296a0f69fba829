"""Messages between two processes, over a socket pair in one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from asgi_tunnel_edge.channel import MAX_MESSAGE, Channel

Pair = tuple[Channel, Channel]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Both ends."""
    one, other = (Channel(sock) for sock in socket.socketpair())
    yield one, other
    one.close()
    other.close()


def test_messages(pair: Pair) -> None:
    """They arrive in their order, several at a time; where there is none, none comes."""
    one, other = pair
    assert other.receive() == []
    one.send({"type": "a"})
    one.send({"type": "b", "text": "\n"})
    assert other.receive() == [{"type": "a"}, {"type": "b", "text": "\n"}]


def test_a_large_message(pair: Pair) -> None:
    """What the socket has no room for leaves when it has; nobody waits."""
    one, other = pair
    text = "x" * (MAX_MESSAGE - 100)
    one.send({"text": text})
    assert one.has_output
    found = other.receive()
    while found == []:
        one.flush()
        found = other.receive()
    assert found == [{"text": text}]
    assert not one.has_output


def test_descriptors(pair: Pair) -> None:
    """They come with their message, open, and are not inherited by accident."""
    one, other = pair
    reading, writing = os.pipe()
    one.send({"type": "sockets"}, [reading, writing])
    assert other.receive() == [{"type": "sockets"}]
    (first,) = other.take_descriptors(1)
    (second,) = other.take_descriptors(5)
    os.write(second, b"x")
    assert os.read(first, 1) == b"x"
    assert not os.get_inheritable(first)
    one.send({"type": "sockets"}, [reading])
    assert other.receive() == [{"type": "sockets"}]
    (left,) = other.descriptors
    other.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(left)
    for handle in (reading, writing, first, second):
        os.close(handle)


@pytest.mark.parametrize("data", [b"nonsense\n", b"\xff\n", b"x" * (MAX_MESSAGE + 1)])
def test_nonsense(data: bytes) -> None:
    """What is no message ends the channel, as its end does; what is no object is left out."""
    sock, theirs = socket.socketpair()
    channel = Channel(theirs)
    with sock:
        sock.sendall(b"[]\n")
        assert channel.receive() == []
        sock.setblocking(False)
        found: object = []
        while found == []:
            if data:
                data = data[sock.send(data) :]
            found = channel.receive()
        assert found is None
    channel.close()


def test_the_end(pair: Pair) -> None:
    """The other end is gone."""
    one, other = pair
    one.close()
    assert other.receive() is None
    with pytest.raises(OSError, match="pipe"):
        other.send({})
