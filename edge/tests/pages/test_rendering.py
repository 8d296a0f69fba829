"""The three forms of a reply."""

from __future__ import annotations

import json
import re

import pytest

from asgi_tunnel_edge.pages import Pages, plain_pages
from asgi_tunnel_edge.pages.rendering import shown_time
from asgi_tunnel_edge.pages.words import WORDS
from asgi_tunnel_edge.replies import Reply

OFFLINE = Reply(503, "the app is <away>", 5, reason="offline")
CLOSED = Reply(
    503, "closed", 60, reason="maintenance", notice="New <disks> & more.", until=1796018400
)
ID = b"0123456789abcdef0123456789abcdef"


def render(
    reply: Reply,
    accept: str = "text/html",
    *,
    request_id: bytes = ID,
    is_get: bool = True,
    pages: Pages | None = None,
) -> tuple[str, str]:
    """The body and the lines of the head."""
    body, fields = (pages or plain_pages()).render(
        reply, accept=accept.encode(), request_id=request_id, is_get=is_get
    )
    return body.decode(), fields.decode()


@pytest.mark.parametrize("reason", WORDS)
@pytest.mark.parametrize("is_get", [True, False])
def test_a_page_says_what_happened(reason: str, is_get: bool) -> None:
    """In its own words, with what to quote; what is not there leaves no trace."""
    words = WORDS[reason]
    reply = Reply(words.status, "why <it> is so", 7, reason=reason)
    page, _ = render(reply, is_get=is_get)
    assert f"<h1>{words.title}</h1>" in page
    assert "why &lt;it&gt; is so" in page
    assert ID.decode() in page
    assert '<html lang="en">' in page
    assert "Expected back" not in page
    assert "\x02" not in page
    assert "{" not in page.partition("<main>")[2].partition("<script>")[0]
    without, _ = render(reply, is_get=is_get, request_id=b"")
    assert "Request</dt>" not in without


@pytest.mark.parametrize("reason", WORDS)
def test_only_a_page_of_a_get_loads_itself_again(reason: str) -> None:
    """And only where the app will be back; nothing that was sent is sent a second time."""
    reply = Reply(WORDS[reason].status, "why", 7, reason=reason)
    page, fields = render(reply)
    assert ("<script>" in page) == ("script-src" in fields) == WORDS[reason].reloads
    assert ('http-equiv="refresh"' in page) == WORDS[reason].reloads
    sent, fields = render(reply, is_get=False)
    for text in ("<script>", "refresh", 'href=""'):
        assert text not in sent
    assert "script-src" not in fields
    assert "connect-src" not in fields


def test_the_policy_allows_what_is_there() -> None:
    """Nothing by default, nothing inline but by its hash."""
    _, fields = render(OFFLINE)
    policy = re.search(r"content-security-policy: (.*)\r\n", fields)
    assert policy is not None
    parts = policy[1].split("; ")
    assert parts[0] == "default-src 'none'"
    assert "unsafe" not in policy[1]
    assert [one.split()[0] for one in parts] == [
        "default-src",
        "base-uri",
        "form-action",
        "img-src",
        "style-src",
        "script-src",
        "connect-src",
    ]


def test_what_an_operator_wrote() -> None:
    """A notice takes the place of the page's words, and a time has a form for programs."""
    page, _ = render(CLOSED)
    assert "New &lt;disks&gt; &amp; more." in page
    assert WORDS["maintenance"].text not in page
    assert '<time datetime="2026-11-30T06:00:00Z">30 November 2026, 06:00 UTC</time>' in page
    plain, _ = render(CLOSED._replace(notice="", until=None))
    assert WORDS["maintenance"].text in plain
    assert "<time" not in plain
    text, _ = render(CLOSED, "*/*")
    assert text.splitlines()[1:] == ["New <disks> & more.", "expected until 2026-11-30T06:00:00Z"]
    value = json.loads(render(CLOSED, "application/json")[0])
    assert value["notice"] == "New <disks> & more."
    assert value["until"] == "2026-11-30T06:00:00Z"
    # Of another reason there is no page for it.
    assert "more" not in render(OFFLINE._replace(notice="more"))[0]


def test_seconds_to_wait() -> None:
    """Named where a visitor has to wait for them."""
    page, _ = render(Reply(429, "too many requests come from this address", 17))
    assert "You can try again in 17 s." in page


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/json"),
        ("text/html, application/json;q=0.5", "application/json"),
        ("application/problem+json, application/json", "application/problem+json"),
        ("application/vnd.api+json", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("*/*", "text/plain; charset=utf-8"),
        ("", "text/plain; charset=utf-8"),
    ],
)
def test_the_form_follows_accept(accept: str, kind: str) -> None:
    """JSON first, then a page; programs that say nothing get a line of text."""
    body, fields = render(OFFLINE, accept)
    assert fields.startswith(f"content-type: {kind}\r\n")
    if "json" in kind:
        assert json.loads(body) == {
            "status": 503,
            "error": "Service Unavailable",
            "reason": "offline",
            "detail": "the app is <away>",
            "request_id": ID.decode(),
        }
        assert "request_id" not in json.loads(render(OFFLINE, accept, request_id=b"")[0])
    elif "plain" in kind:
        assert body == "503 Service Unavailable: the app is <away>\n"


def test_a_reason_without_a_page() -> None:
    """A status that nobody thought of has words, too."""
    assert WORDS["refused"].title in render(Reply(418, "no coffee"))[0]


def test_times_in_words() -> None:
    """The same on each machine, whatever its language."""
    assert shown_time(0) == (b"1970-01-01T00:00:00Z", b"1 January 1970, 00:00 UTC")
