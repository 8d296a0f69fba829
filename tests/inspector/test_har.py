from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from asgi_tunnel.inspector.har import make_har
from asgi_tunnel.inspector.har_reader import read_har

from .details import body, exchange, message

REQUEST_KEYS = {
    "method",
    "url",
    "httpVersion",
    "cookies",
    "headers",
    "queryString",
    "headersSize",
    "bodySize",
}
RESPONSE_KEYS = {
    "status",
    "statusText",
    "httpVersion",
    "cookies",
    "headers",
    "content",
    "redirectURL",
    "headersSize",
    "bodySize",
}
ORDER = exchange(
    "POST",
    "/orders?page=1&q=a%20b",
    fields=[("host", "shop.example.org"), ("cookie", "a=1; b=2"), ("x-two", "1"), ("x-two", "2")],
    sent=body('{"n": 1}', kind="application/json"),
    status=500,
    response_fields=[("content-type", "text/plain"), ("set-cookie", "s=1; Path=/; Secure")],
    received=body(b"\x00\xff", size=9, kind="text/plain"),
    error="KeyError: 'total'",
    traceback="Traceback (most recent call last):\n",
    state="cut",
    visitor="anna",
)
SOCKET = exchange(
    path="/live",
    kind="websocket",
    scheme="wss",
    status=101,
    started=1_796_011_300.5,
    messages=2,
    exchange_messages=[
        message("visitor", "hello", at=0.125),
        {**message("app", b"\x00\x01", at=0.25), "size": 7},
    ],
)


def entry(detail: dict[str, Any]) -> dict[str, Any]:
    """The one entry of an exchange's HAR, through JSON."""
    document = json.loads(json.dumps(make_har([detail])))
    assert document["log"]["version"] == "1.2"
    (found,) = document["log"]["entries"]
    assert isinstance(found, dict)
    return found


def test_an_entry_is_what_the_format_says() -> None:
    """Every key that HAR 1.2 requires is there, and times are milliseconds that add up."""
    found = entry(ORDER)
    request, response = found["request"], found["response"]
    assert found["startedDateTime"] == "2026-11-30T04:00:00.250000Z"
    timings = found["timings"]
    assert found["time"] == 250.0 == sum(max(one, 0) for one in timings.values())
    assert (timings["wait"], timings["receive"]) == (200.0, 50.0)
    assert set(request) - {"postData"} == REQUEST_KEYS
    assert set(response) == RESPONSE_KEYS
    assert request["url"] == "https://shop.example.org/orders?page=1&q=a%20b"
    assert request["queryString"] == [
        {"name": "page", "value": "1"},
        {"name": "q", "value": "a b"},
    ]
    assert request["cookies"] == [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]
    assert request["postData"]["text"] == '{"n": 1}'
    assert (response["status"], response["statusText"]) == (500, "Internal Server Error")
    assert response["cookies"] == [{"name": "s", "value": "1"}]
    assert response["content"] == {
        "size": 9,
        "mimeType": "text/plain",
        "text": "AP8=",
        "encoding": "base64",
    }


def test_no_response_is_status_0() -> None:
    """As browsers write it."""
    found = entry(exchange(status=None, first_byte=None, state="cut"))
    assert found["response"]["status"] == 0
    assert found["timings"]["wait"] == 250.0


@pytest.mark.parametrize("text", ["<h1>Gr\u00fc\u00dfe</h1>", None])
def test_a_coded_body_is_readable(text: str | None) -> None:
    """A response is shown without gzip, as a browser does; with its size as it was sent, too."""
    plain = b"\xff\x00" if text is None else text.encode()
    packed = gzip.compress(plain)
    found = entry(exchange(response_fields=[("content-encoding", "gzip")], received=body(packed)))
    content = found["response"]["content"]
    assert content["size"] == len(plain)
    assert content["compression"] == len(plain) - len(packed)
    assert content["text"] == (text or base64.b64encode(plain).decode())
    assert content.get("encoding") == (None if text else "base64")


def test_several_in_the_order_of_their_begin() -> None:
    """Whatever the order that they are given in."""
    entries = make_har([SOCKET, ORDER])["log"]["entries"]
    assert [one["request"]["method"] for one in entries] == ["POST", "GET"]


def test_a_websocket_has_its_messages() -> None:
    """In Chromium's form: who sent it, when since 1970, and base64 for bytes."""
    found = entry(SOCKET)
    assert found["_resourceType"] == "websocket"
    assert found["request"]["url"] == "wss://shop.example.org/live"
    assert found["_webSocketMessages"] == [
        {"type": "send", "time": 1_796_011_300.625, "opcode": 1, "data": "hello"},
        {"type": "receive", "time": 1_796_011_300.75, "opcode": 2, "data": "AAE=", "_size": 7},
    ]


def test_an_event_stream_has_its_events() -> None:
    """With name, id and data of each."""
    event = {**message("app", "event: tick\nid: 7\ndata: a\ndata: b\n\n", at=0.5), "type": "event"}
    found = entry(exchange(exchange_messages=[event]))
    assert found["_eventSourceMessages"] == [
        {"time": 1_796_011_200.75, "eventName": "tick", "eventId": "7", "data": "a\nb"}
    ]


@pytest.mark.parametrize("detail", [ORDER, SOCKET, exchange(level="metadata", path="/?a=\u2026")])
def test_what_is_written_is_read_again(detail: dict[str, Any]) -> None:
    """Nothing but the names of the recording process is lost."""
    text = json.dumps(make_har([detail]))
    (found,) = read_har(text)
    lost = {"id", "seq"}
    assert found == {key: value for key, value in detail.items() if key not in lost}
