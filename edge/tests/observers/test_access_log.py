from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel_edge.observers.access_log import AccessLog, Entry

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = b'/a"b\\c\x1b[2J\x9b2J\x00\r\n\x7f\xff' + b"x" * 2000


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_a_visitor_sends_is_one_printable_line(form: str, tmp_path: Path) -> None:
    """T38: no byte of a request ends a line or a quoted text, or steers a terminal."""
    path = tmp_path / "access.log"
    log = AccessLog(form=form, path=path)
    log.start()
    log.closed(Entry(b"r1", b"192.0.2.7", b"G\nT", "-", HOSTILE, 404, 0, 0.0, "why\n"))
    log.stop()
    data = path.read_bytes()
    assert data.count(b"\n") == 1
    assert data.endswith(b"\n")
    assert data[:-1].decode("utf-8").isprintable()
    assert len(data) < 1500
    if form == "json":
        row = json.loads(data)
        assert row["target"] == HOSTILE[:1024].decode("latin-1")
    else:
        assert data.count(b'"') == 2
        assert b"x22b" in data
