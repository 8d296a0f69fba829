from __future__ import annotations

from typing import Any

import pytest
from tests.asgi.memory import request_head

from asgi_tunnel.inspector.recorder import Recorder, without_values
from asgi_tunnel.inspector.settings import Inspect


def recorder(**settings: Any) -> Recorder:
    """One of level "full"."""
    return Recorder(Inspect(level="full", **settings))


def test_ids_are_of_one_process() -> None:
    """An id is found in the process that made it, while its exchange is kept."""
    one, other = recorder(), recorder()
    one.begin(request_head("GET", "/a"))
    other.begin(request_head("GET", "/b"))
    name = one.id_of(1)
    assert len(name) == 16
    assert name != other.id_of(1)
    assert one.detail(name) is not None
    assert other.detail(name) is None
    one.clear()
    assert one.detail(name) is None
    for wrong in ("", "x", name[:-1], name[:8] + "-0000001", name + "0", name[:8] + "zzzzzzzz"):
        assert one.find(wrong) is None


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/?a=1&b=2", b"/?a=...&b=..."),
        (b"/?secret", b"/?..."),
        (b"/?", b"/?..."),
        (b"/", b"/"),
        (b"/?a=1=2?3", b"/?a=..."),
    ],
)
def test_values_of_a_query_are_left_out(target: bytes, expected: bytes) -> None:
    """Level "metadata" has names alone; what has no name may be a value."""
    assert without_values(target) == expected


DETAIL: dict[str, Any] = {
    "id": "not ours",
    "seq": 7,
    "method": "POST",
    "path": "/a?token=MARKER",
    "host": "shop.example.test",
    "status": 500,
    "error": "ValueError: password=MARKER",
    "request": {
        "fields": [["Authorization", "Bearer MARKER"], ["Content-Type", "application/json"]],
        "body": {"size": 9, "kept": 9, "type": "application/json", "text": '{"code":"MARKER"}'},
    },
    "response": {
        "fields": [["set-cookie", "a=MARKER"]],
        "body": {
            "size": 9,
            "kept": 9,
            "type": "application/x-www-form-urlencoded",
            "text": "code=MARKER",
        },
    },
    "exchange_messages": [{"at": 0.1, "text": '{"token":"MARKER"}'}, "nonsense"],
    "trailers": [["x-secret", "MARKER"]],
    "traceback": "{'password': 'MARKER'}",
    "unknown": "MARKER",
}


def test_what_was_recorded_elsewhere_is_kept() -> None:
    """It gets an id of its own, loses its secrets, and stands among the others."""
    one = recorder()
    name = one.add(DETAIL)
    found = one.detail(name)
    assert found is not None
    assert (found["id"], found["seq"], found["status"]) == (name, 1, 500)
    assert ["content-type", "application/json"] in found["request"]["fields"]
    assert "MARKER" not in repr(found)
    (summary,) = [one.summary(x) for x in one.newest(10)]
    assert summary.keys() < found.keys()
    assert summary["path"] == "/a?token=[redacted]"
    assert one.add({}) != name
    assert one.detail(one.id_of(2)) is not None


def test_what_was_imported_is_counted() -> None:
    """It takes of the same bytes as all else, and gives way as all else."""
    one = recorder(max_bytes=64 * 1024)
    body = {"size": 9000, "kept": 9000, "type": "text/plain", "text": 9000 * "x"}
    for _ in range(10):
        one.add({"request": {"fields": [], "body": body}})
    assert one.ring.held <= 64 * 1024
    assert one.ring.lost > 5


async def test_nothing_is_repeated_without_an_app() -> None:
    """A recorder that has no app to call says so."""
    with pytest.raises(RuntimeError, match="nothing is recorded now"):
        await recorder().call({}, b"", replay_of="")
