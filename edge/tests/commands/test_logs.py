from __future__ import annotations

from asgi_tunnel_edge.commands.logs import text_line

ENTRY = {
    "time": "2026-11-23T08:14:07Z",
    "request_id": "b36c",
    "peer": "203.0.113.7",
    "hostname": "shop.example.org",
    "method": "GET",
    "target": "/",
    "status": 200,
    "sent": 94,
    "seconds": 0.012,
}


def test_a_line() -> None:
    """As the text form of the access log has it."""
    assert text_line(ENTRY) == (
        '2026-11-23T08:14:07Z b36c 203.0.113.7 shop.example.org "GET /" 200 94 12.0ms'
    )
    assert text_line({**ENTRY, "outcome": "the visitor left"}).endswith(" 12.0ms the visitor left")


def test_what_a_visitor_sends_moves_no_cursor() -> None:
    """T38: quotes, escapes and line ends are written as text."""
    line = text_line({**ENTRY, "target": '/"\x1b[2J\n\\', "method": "G\x9bT"})
    assert '"G\\x9bT /\\x22\\x1b[2J\\n\\\\" 200' in line
