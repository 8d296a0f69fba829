from __future__ import annotations

from asgi_tunnel_edge.inbox.marks import MAX_RULES, Marks


def test_exact_and_below() -> None:
    """The exact rule comes first; the query is not looked at; methods count."""
    marks = Marks(["POST /hooks/*", "POST /hooks/pay", "PUT /"])
    assert marks.find(b"POST", b"/hooks/pay?x=1") == "POST /hooks/pay"
    assert marks.find(b"POST", b"/hooks/other/x") == "POST /hooks/*"
    assert marks.find(b"POST", b"/hooks/") == "POST /hooks/*"
    assert marks.find(b"POST", b"/hooks") is None
    assert marks.find(b"GET", b"/hooks/pay") is None
    assert marks.find(b"PUT", b"/") == "PUT /"
    assert marks.find(b"PUT", b"*") is None


def test_what_cannot_be_read_is_left_out() -> None:
    """It may be of a newer app; and what HELLO has is not trusted."""
    texts = [
        "post /x",
        "POST x",
        "POST /a\nb",
        "POST /a b",
        "POST /*/b",
        "POST /\u00fc",
        "",
        "POST /",
    ]
    assert Marks(texts).rules == ("POST /",)


def test_no_more_than_so_many() -> None:
    """Those behind are not looked at."""
    marks = Marks([f"POST /{number}" for number in range(100)])
    assert len(marks.rules) == MAX_RULES
    assert marks.find(b"POST", b"/99") is None
