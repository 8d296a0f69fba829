"""Heads cut from what comes, however it comes."""

from __future__ import annotations

import pytest

from asgi_tunnel_edge.errors import RequestError
from asgi_tunnel_edge.http1.reader import RequestReader
from asgi_tunnel_edge.settings.config import Limits

HEAD = b"GET /a HTTP/1.1\r\nHost: shop.example.test\r\n\r\n"


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_pipelined_heads_in_pieces(step: int) -> None:
    """Each head is found once its last byte is there, and what follows stays."""
    reader = RequestReader(Limits())
    data = b"\r\n" + HEAD + HEAD.replace(b"/a", b"/b") + b"rest"
    targets = []
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
        while reader.heads < 2 and (request := reader.read_head(keeps_raw=True)) is not None:
            targets.append(request.target)
            assert reader.raw_head.startswith(b"GET " + request.target)
    assert targets == [b"/a", b"/b"]
    assert reader.head_size == len(HEAD)
    assert reader.take() == b"rest"
    assert not reader.buffer


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01", 400),
        (b"\r\n\r\n\r\nGET", 400),
        (b"GET / HTTP/1.1\nHost: a\n", 400),
        (b"GET /" + b"a" * 40_000, 414),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 40_000, 431),
        (b"GET / HTTP/3.0\r\n", 505),
    ],
)
def test_what_cannot_become_a_head_is_refused_early(data: bytes, status: int) -> None:
    """Before its end has come."""
    reader = RequestReader(Limits())
    reader.feed(data)
    with pytest.raises(RequestError) as caught:
        reader.read_head(keeps_raw=False)
    assert caught.value.status == status


@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_empty_lines_are_counted_however_they_are_cut(step: int) -> None:
    """Two in front of each request are skipped, a third is refused, in one read or in many."""
    reader = RequestReader(Limits())

    def read(data: bytes) -> None:
        for start in range(0, len(data), step):
            reader.feed(data[start : start + step])
            while reader.read_head(keeps_raw=False) is not None:
                pass

    read((b"\r\n\r\n" + HEAD) * 2)
    assert reader.heads == 2
    with pytest.raises(RequestError) as caught:
        read(b"\r\n" * 3 + HEAD)
    assert caught.value.status == 400
