from __future__ import annotations

import pytest

from asgi_tunnel_edge.commands.logs import read_line
from asgi_tunnel_edge.observers.access_log import AccessLog, Entry


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    ("target", "outcome"), [(b"/", ""), (b'/a b"\\\x1b[2J\n', "the visitor left")]
)
def test_lines_are_read(form: str, target: bytes, outcome: str) -> None:
    """As the log makes them, in both forms; nothing in them moves a cursor (T38)."""
    log = AccessLog(form=form)
    entry = Entry(b"b36c", b"203.0.113.7", b"GET", "a.test", target, 404, 94, 0.012, outcome)
    log.closed(entry)
    log.flush()
    (line,) = log.recent.after(0)["lines"]
    assert line.isprintable()
    fields = read_line(line)
    assert fields is not None
    assert (fields["request_id"], fields["peer"], fields["hostname"], fields["method"]) == (
        "b36c",
        "203.0.113.7",
        "a.test",
        "GET",
    )
    assert (fields["status"], fields["sent"], fields["seconds"]) == (404, 94, 0.012)
    assert fields.get("outcome", "") == outcome
    assert fields["target"].startswith("/")


@pytest.mark.parametrize("line", ["", "{", "{}", "[]", "hello", 'a b c d "GET /" x 1 1ms'])
def test_other_lines(line: str) -> None:
    """What is none of the log's lines is no line."""
    assert read_line(line) is None
