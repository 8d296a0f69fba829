from __future__ import annotations

import base64
import contextlib
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_tunnel.inspector import har_reader
from asgi_tunnel.inspector.har_reader import MAX_ENTRIES, MAX_HAR, read_har
from asgi_tunnel.inspector.recorded import request_body, response_body
from asgi_tunnel.inspector.reply import RefusedError

SAMPLE = Path(__file__).parent / "samples/chromium.har"
MINIMAL: dict[str, Any] = {
    "startedDateTime": "2026-11-30T04:00:00Z",
    "request": {"method": "GET", "url": "http://a.test/"},
    "response": {"status": 200},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def har(*entries: Any) -> dict[str, Any]:
    """A HAR of entries."""
    return {"log": {"entries": list(entries)}}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The smallest entry with one value changed."""
    entry = copy.deepcopy(MINIMAL)
    *way, last = path.split(".")
    inner: Any = entry
    for key in way:
        inner = inner.setdefault(key, {})
    inner[last] = value
    return entry


def test_a_file_of_chromium() -> None:
    """All of it is read; what no server was asked for is left out."""
    page, order, live, gone = read_har(SAMPLE.read_bytes())
    assert (page["host"], page["path"], page["http_version"]) == (
        "shop.example.org",
        "/?q=tea%20pot",
        "2",
    )
    assert page["request"]["fields"] == [
        ["accept", "text/html"],
        ["accept-encoding", "gzip, deflate, br, zstd"],
    ]
    assert response_body(page).decode() == "<h1>Gr\u00fc\u00dfe</h1>\n\n\n\n"
    assert (page["seconds"], page["first_byte"]) == (0.08025, 0.07275)
    assert (order["method"], order["status"]) == ("POST", 500)
    assert request_body(order) == b'{"n": 12}'
    assert response_body(order) == bytes(range(4))
    assert (live["kind"], live["scheme"], live["status"]) == ("websocket", "wss", 101)
    assert [(one["from"], one["type"], one["at"]) for one in live["exchange_messages"]] == [
        ("visitor", "text", 0.5),
        ("app", "bytes", 0.75),
    ]
    assert (gone["status"], gone["response"]) == (None, None)


def test_the_least_that_is_read() -> None:
    """What tools leave out, though the format asks for it, has a plain value."""
    (found,) = read_har(har(MINIMAL))
    assert (found["path"], found["seconds"], found["started"]) == ("/", 0.0, 1_796_011_200.0)


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("http://A.test", "a.test", "/"),
        ("http://a.test:81?x=1", "a.test", "/?x=1"),
        ("https://u:p@a.test//b/../c?d#e", "a.test", "//b/../c?d"),
        ("http://[::1]:8000/a", "::1", "/a"),
    ],
)
def test_urls(url: str, host: str, path: str) -> None:
    """The target is kept byte for byte."""
    (found,) = read_har(har(changed("request.url", url)))
    assert (found["host"], found["path"]) == (host, path)


def test_text_in_base64() -> None:
    """It becomes text, so that secrets in it are found; bytes stay what they are."""
    for raw, key in ((b'{"password": "x"}', "text"), (b"\xff", "base64"), (b"a\0", "base64")):
        content = {"text": base64.b64encode(raw).decode(), "encoding": "base64"}
        (found,) = read_har(har(changed("response.content", content)))
        assert key in found["response"]["body"]
        assert response_body(found) == raw


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ([], "log.entries[0] of the HAR is not an object"),
        ({}, "the HAR has no log.entries[0].request;"),
        (changed("request.url", 5), "log.entries[0].request.url of the HAR is not a text"),
        (changed("request.url", "http://"), "request.url of the HAR is not a URL with a host"),
        (changed("request.url", "http://[a/"), "request.url of the HAR is not a URL;"),
        (changed("request.url", "http://a/ b"), "not a URL with a host and without spaces"),
        (changed("request.method", "A B"), "request.method of the HAR is not the name of a method"),
        (changed("request.headers", {}), "request.headers of the HAR is not a list"),
        (changed("request.headers", [{"name": "@/etc"}]), "headers[0].name of the HAR is not the"),
        (
            changed("request.headers", [{"name": "a", "value": "\r\n"}]),
            "value of the HAR is not one",
        ),
        (changed("request.method", "\ud800"), "is not a text that UTF-8 can hold"),
        (changed("response.status", True), "response.status of the HAR is not a number"),
        (changed("response.status", 700), "is not a status from 100 to 599"),
        (
            changed("response.content", {"text": "a", "encoding": "x"}),
            "is not base64, and no other",
        ),
        (changed("response.content", {"text": "?", "encoding": "base64"}), "is not base64, as it"),
        (changed("startedDateTime", "today"), "is not a time such as"),
        (changed("time", 1e300), "log.entries[0].time of the HAR is not a number that means"),
        (changed("_webSocketMessages", [{"type": "x"}]), 'is not "send" or "receive"'),
        (changed("_asgiTunnel", {"error": 1}), "_asgiTunnel.error of the HAR is not a text"),
    ],
)
def test_what_is_wrong_is_named(entry: Any, sentence: str) -> None:
    """One sentence with the place, and what should be there."""
    with pytest.raises(RefusedError) as refused:
        read_har(har(entry))
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (b"\xff", "the file is no JSON, so it is no HAR: "),
        (b"{", "the file is no JSON, so it is no HAR: "),
        (b"[" * 100_000, "the file nests its JSON deeper than any HAR"),
        (b"[]", "the file of the HAR is not an object"),
        (b"{}", "the HAR has no log; export it again"),
        (b'{"log": {"entries": 1}}', "log.entries of the HAR is not a list"),
    ],
)
def test_no_har(source: bytes, sentence: str) -> None:
    """Another file is refused in one sentence."""
    with pytest.raises(RefusedError) as refused:
        read_har(source)
    assert str(refused.value).startswith(sentence)


@pytest.mark.plain
def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes and entries are counted before anything is looked at."""
    with pytest.raises(RefusedError, match="and 5000 are read at most") as refused:
        read_har(har(*[0] * (MAX_ENTRIES + 1)))
    assert refused.value.status == 413
    assert MAX_HAR == 32 * 1024 * 1024
    monkeypatch.setattr(har_reader, "MAX_HAR", 10)
    with pytest.raises(RefusedError, match="the HAR has 11 bytes, and 10 are read at most"):
        read_har(b" " * 11)


@given(
    path=st.sampled_from(
        [
            "request",
            "request.url",
            "request.headers",
            "request.postData",
            "request.postData.text",
            "response",
            "response.content",
            "response.content.size",
            "timings",
            "timings.wait",
            "time",
            "startedDateTime",
            "_webSocketMessages",
            "_asgiTunnel",
        ]
    ),
    value=JSON,
)
def test_any_value_anywhere(path: str, value: Any) -> None:
    """Whatever stands in the file, it is read, or refused with a sentence."""
    with contextlib.suppress(RefusedError):
        json.dumps(read_har(json.dumps(har(changed(path, value)))))
