from __future__ import annotations

import gzip
import zlib

import pytest

from asgi_tunnel.inspector import recorded
from asgi_tunnel.inspector.recorded import (
    body_bytes,
    decoded,
    is_complete,
    redactions,
    request_body,
    request_fields,
    value_of,
    values_of,
)

from .details import body, exchange, message

UTF_16 = {"size": 4, "kept": 4, "type": "text/plain; charset=utf-16-le", "text": "ab"}


def test_bodies() -> None:
    """Text has the bytes of its own charset; what cannot be read is empty, not an error."""
    assert body_bytes(None) == b""
    assert body_bytes(body(b"\xff")) == b"\xff"
    assert body_bytes(body("\u00fc")) == "\u00fc".encode()
    assert body_bytes(UTF_16) == b"a\0b\0"
    for unknown in ("x-none", "base64", "ascii"):
        kept = body("\u00fc", kind=f"text/plain; charset={unknown}")
        assert body_bytes(kept) == "\u00fc".encode()
    assert body_bytes({"size": 1, "kept": 1, "type": "", "base64": "?"}) == b""


def test_complete() -> None:
    """All of it was kept, or not."""
    assert is_complete(body("abc"))
    assert not is_complete(body("abc", size=4))
    assert not is_complete(None)


@pytest.mark.plain
def test_codings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gzip and deflate are undone; what is none, cut or too large stays as it is."""
    gzipped, deflated = gzip.compress(b"plain"), zlib.compress(b"plain")
    assert decoded(gzipped, [("Content-Encoding", "gzip")]) == b"plain"
    assert decoded(deflated, [("content-encoding", "deflate")]) == b"plain"
    for raw in (b"plain", gzipped[:-3], b""):
        assert decoded(raw, [("content-encoding", "gzip")]) == raw
    assert decoded(gzipped, [("content-encoding", "br")]) == gzipped
    assert decoded(gzipped, []) == gzipped
    monkeypatch.setattr(recorded, "MAX_DECODED", 4)
    assert decoded(gzipped, [("content-encoding", "gzip")]) == gzipped


def test_a_body_that_was_unpacked() -> None:
    """Its field is not there any more; that of one that is packed still is."""
    fields = [("content-encoding", "gzip"), ("x", "1")]
    detail = exchange("POST", fields=fields, sent=body("plain"))
    assert request_fields(detail) == [("x", "1")]
    packed = exchange("POST", fields=fields, sent=body(gzip.compress(b"plain")))
    assert request_fields(packed) == fields
    assert request_body(detail) == b"plain"


def test_redactions() -> None:
    """Each is named by where it stands, once."""
    detail = exchange(
        path="/a?token=[redacted]&b=1&token=[redacted]",
        fields=[("X-Key", "[redacted]"), ("x-uri", "https://[redacted]@a/?sig=[redacted]")],
        sent=body('{"a": {"pass word": "[redacted]"}, "pin":[redacted]} key=[redacted] [redacted]'),
    )
    socket = exchange(exchange_messages=[message("visitor", "[redacted]"), message("app", "x")])
    assert redactions(socket) == ["message"]
    assert redactions(detail) == [
        "query: token",
        "x-key",
        "x-uri",
        "x-uri: sig",
        "body: pass word",
        "body: pin",
        "body: key",
        "body",
    ]


def test_values() -> None:
    """Names have no case."""
    fields = [("A", "1"), ("b", "2"), ("a", "3")]
    assert (value_of(fields, "a"), values_of(fields, "a")) == ("1", ["1", "3"])
    assert value_of(fields, "c") is None
