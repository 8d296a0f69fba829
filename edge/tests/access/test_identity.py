"""What an app is told of a visitor."""

from __future__ import annotations

import json

from asgi_tunnel_edge.access.identity import Identity


def test_is_one_line_of_ascii_whatever_a_provider_calls_somebody() -> None:
    """A name with line feeds and other scripts stays one value in one line."""
    identity = Identity("oidc:g:1", "Zoë\nAdmin: 1", "z@example.org", ("a",), "oidc", 7, "family")
    line = identity.encode()
    assert line.isascii()
    assert b"\n" not in line
    assert json.loads(line) == {
        "subject": "oidc:g:1",
        "name": "Zoë\nAdmin: 1",
        "email": "z@example.org",
        "groups": ["a"],
        "method": "oidc",
        "since": 7,
        "policy": "family",
    }
