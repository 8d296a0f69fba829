from __future__ import annotations

import json
import time
from typing import Any

import pytest

from asgi_tunnel.inspector.diff import MAX_CHANGES, MAX_LINES, diff

from .details import body, exchange, message


def changes(a: dict[str, Any], b: dict[str, Any]) -> list[tuple[str, str, Any, Any]]:
    """What differs: part, place and the two values; the form survives JSON."""
    found = json.loads(json.dumps(diff(a, b)))
    return [(one["part"], one["at"], one["a"], one["b"]) for one in found["changes"]]


def answered(data: bytes | str) -> dict[str, Any]:
    """An exchange with this response."""
    return exchange(received=body(data))


def test_the_same() -> None:
    """Two alike differ in nothing; a date makes no difference, but is shown."""
    a = exchange(response_fields=[("date", "now"), ("server", "x")])
    b = exchange(response_fields=[("date", "then"), ("server", "x")], started=5.0, id="b")
    assert diff(a, a)["changes"] == []
    found = diff(a, b)
    assert (found["a"], found["b"], found["is_same"]) == (a["id"], "b", True)
    assert [one["at"] for one in found["changes"]] == ["field date"]


def test_heads() -> None:
    """Target, status, error and each field, with all of its values."""
    a = exchange("GET", "/a", fields=[("X-One", "1"), ("x-two", "1")], status=500, error="KeyError")
    b = exchange("POST", "/b", fields=[("x-two", "1"), ("x-two", "2")], status=200)
    assert changes(a, b) == [
        ("request", "method", "GET", "POST"),
        ("request", "path", "/a", "/b"),
        ("request", "field x-one", "1", None),
        ("request", "field x-two", "1", "1, 2"),
        ("response", "status", 500, 200),
        ("response", "error", "KeyError", None),
    ]
    assert not diff(a, b)["is_same"]


def test_json_by_key() -> None:
    """Each value with its place; order and spaces of JSON say nothing."""
    a = '{"items": [{"n": 1}, true], "a b": null, "same": {"x": 1, "y": 2}}'
    b = '{ "same": {"y": 2, "x": 1}, "items": [{"n": 2}, 1, "new"], "a b": "null"}'
    assert changes(answered(a), answered(b)) == [
        ("response", "body.items[0].n", "1", "2"),
        ("response", "body.items[1]", "true", "1"),
        ("response", "body.items[2]", None, '"new"'),
        ("response", 'body["a b"]', "null", '"null"'),
    ]


def test_text_by_line() -> None:
    """In the form that everybody knows, with three lines around a change."""
    a = "".join(f"line {number}\n" for number in range(20))
    (found,) = diff(answered(a), answered(a.replace("line 9\n", "other\n")))["changes"]
    assert found["lines"] == [
        "@@ -7,7 +7,7 @@",
        " line 6",
        " line 7",
        " line 8",
        "-line 9",
        "+other",
        " line 10",
        " line 11",
        " line 12",
    ]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (b"\0\1", b"\0\2"),
        (b"\xff", b"\xfe\xff"),
        ("x\n" * (MAX_LINES + 1), "y"),
        ('{"a": 1}', '{"a":  1}'),
        ("", "new"),
    ],
)
def test_other_bodies(a: bytes | str, b: bytes | str) -> None:
    """Bytes, long texts and other spellings of one JSON are different, and said to be."""
    ((part, at, *shown),) = changes(answered(a), answered(b))
    assert (part, at) == ("response", "body")
    assert shown[0] != shown[1]


def test_what_was_not_kept() -> None:
    """Bodies that are alike as far as they were kept, and have other lengths, are not the same."""
    a, b = (exchange("POST", sent=body("abc", size=size)) for size in (10, 20))
    assert changes(a, b) == [("request", "bytes of the body that were not kept", 7, 17)]


def test_messages() -> None:
    """What an app sent on a WebSocket, one by one."""
    asked = message("visitor", "hi")
    a = exchange(exchange_messages=[asked, message("app", "1"), message("app", "2")])
    b = exchange(exchange_messages=[asked, message("app", "1")])
    assert changes(a, b) == [("response", "message 2", "1 bytes: 2", None)]


def test_no_response() -> None:
    """One that got none can be compared."""
    found = changes(exchange(status=None, state="cut"), answered("a"))
    assert ("response", "status", None, 200) in found


def test_bounds() -> None:
    """Named differences, compared lines and with them the time have a bound."""
    numbers = json.dumps(list(range(10_000))), json.dumps(list(range(1, 10_001)))
    found = diff(answered(numbers[0]), answered(numbers[1]))
    assert (len(found["changes"]), found["is_cut"]) == (MAX_CHANGES, True)
    worst = "\n".join(["a"] * MAX_LINES), "\n".join(["b", "a"] * (MAX_LINES // 2))
    began = time.thread_time()
    diff(answered(worst[0]), answered(worst[1]))
    for depth in (100, 900, 50_000):
        deep = ["[" * depth + one + "]" * depth for one in "12"]
        assert changes(answered(deep[0]), answered(deep[1]))
    assert time.thread_time() - began < 2
