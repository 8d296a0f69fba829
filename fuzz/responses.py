"""What a local service sends: only ResponseError comes out, and any cut is the same response.

The first byte says which request was sent, the second one how the rest is cut.
"""

import shlex
import sys
from typing import NamedTuple

import atheris

with atheris.instrument_imports(include=["asgi_tunnel.services.proxy.response"]):
    from asgi_tunnel.services.proxy.errors import ResponseError
    from asgi_tunnel.services.proxy.response import (
        MAX_FIELD_LINES,
        MAX_INTERIM,
        FieldLines,
        ResponseHead,
        ResponseReader,
    )

LINES = FieldLines()
"""Of all inputs: what is remembered changes nothing."""


class Response(NamedTuple):
    """What a visitor gets of it."""

    interim: list[ResponseHead]
    head: ResponseHead | None
    body: bytes
    trailers: list[tuple[bytes, bytes]]
    is_complete: bool
    is_reusable: bool


def read(reader: ResponseReader, data: bytes, step: int) -> Response | None:
    """The response up to where the data ends; None where it is refused."""
    body = b""
    try:
        for at in range(0, len(data), step):
            reader.feed(data[at : at + step])
            assert reader.size == sum(map(len, reader.pieces))
            body += reader.take()
        found = Response(
            reader.interim,
            reader.head,
            body,
            reader.trailers,
            reader.is_complete,
            reader.is_reusable,
        )
        if reader.head is not None:
            reader.feed_eof()
            assert reader.is_complete or reader.is_upgraded
            assert not reader.is_reusable
    except ResponseError:
        return None
    return found


def check(found: Response, method: str) -> None:
    """See that nothing in it could be read in another way."""
    assert len(found.interim) <= MAX_INTERIM
    for head in [*found.interim, *([found.head] if found.head else [])]:
        assert 100 <= head.status <= 599
        assert len(head.fields) <= MAX_FIELD_LINES
    if found.head is None:
        assert not found.body
        return
    lengths = [value for name, value in found.head.fields if name == b"content-length"]
    codings = [value for name, value in found.head.fields if name == b"transfer-encoding"]
    if found.head.status == 101:
        assert not found.is_complete
    elif method == "HEAD" or found.head.status in (204, 304):
        assert found.is_complete
        assert not found.body
    elif lengths:
        assert len(found.body) == int(lengths[0])
    assert found.head.status == 101 or len(lengths) + len(codings) <= 1
    for pair in [*found.head.fields, *found.trailers]:
        assert not {0, 10, 13} & set(b"".join(pair))


def run(data: bytes) -> None:
    """One input."""
    if len(data) < 3:
        return
    which, step, rest = data[0], data[1] + 1, data[2:]
    method, upgrade = ("GET", "HEAD")[which & 1], bool(which & 2)
    whole = read(ResponseReader(method, upgrade=upgrade), rest, len(rest))
    assert read(ResponseReader(method, upgrade=upgrade, lines=LINES), rest, step) == whole
    if whole is not None:
        check(whole, method)


# The first word is how a merge starts itself again, in a shell.
atheris.Setup([shlex.join([sys.executable, sys.argv[0]]), *sys.argv[1:]], run)
atheris.Fuzz()
