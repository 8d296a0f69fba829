"""Asking an edge about a token: what it says, and that nobody notices."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.commands.worlds import World, answering, world

from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.errors import AuthenticationError, VersionMismatchError
from asgi_tunnel.probe import probe
from asgi_tunnel.protocol.handshake import Hello
from asgi_tunnel.token import Token
from asgi_tunnel_edge.tokens import secret_digest


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An edge."""
    with world(tmp_path_factory.mktemp("probe") / "edge", tls=True) as made:
        yield made


def settings(token: Token) -> TunnelConfig:
    """Of an app with this token."""
    return TunnelConfig(token=token, text=token.format())


def test_what_the_edge_says(here: World) -> None:
    """Hostnames and URLs of the token, its clock, and no session."""
    token = here.token("one", "one.example.test", "*.one.example.test")
    welcome = asyncio.run(probe(settings(token)))
    port = here.edge.address.port
    assert welcome.session == ""
    assert welcome.hostnames == ("*.one.example.test", "one.example.test")
    assert welcome.urls[1] == f"https://one.example.test:{port}"
    assert welcome.time > 1_700_000_000
    assert welcome.shared == ()
    assert len(here.edge.directory) == 0


def test_a_tunnel_that_runs_stays(here: World) -> None:
    """Many questions, also where the token may have no further tunnel: the session goes on."""
    token = here.token("two", "two.example.test")
    here.store.limit_token("two", {"max_tunnels": 3})
    here.follow()
    with here.connected(token, answering(200)) as connector:
        before = {entry.session for entry in here.edge.directory.entries}
        assert before
        for _ in range(5):
            welcome = asyncio.run(probe(settings(token)))
            assert welcome.shared == ("two.example.test",)
        assert {entry.session for entry in here.edge.directory.entries} == before
        assert connector.is_connected


def test_refusals(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those that a tunnel gets."""
    token = here.token("three", "three.example.test")
    with pytest.raises(AuthenticationError, match="does not know the token"):
        asyncio.run(probe(settings(replace(token, secret="wrong"))))
    monkeypatch.setattr(
        "asgi_tunnel.probe.Hello", lambda **keys: Hello(version=9, oldest=9, **keys)
    )
    with pytest.raises(VersionMismatchError, match="upgrade the edge"):
        asyncio.run(probe(settings(token)))
    here.store.revoke_tokens(["three"])
    here.follow()
    with pytest.raises(AuthenticationError, match="was revoked"):
        asyncio.run(probe(settings(token)))


def test_which_secret_a_session_came_with(here: World) -> None:
    """An app that connects with the old one in the overlap is taken off when that one ends."""
    token = here.token("four", "four.example.test")
    second = secret_digest("second")
    here.store.rotate_token("four", second, overlap=3600)
    here.follow()
    with here.connected(token, answering(200)):
        (session,) = [
            entry.session for entry in here.edge.directory.entries if entry.token.id == token.id
        ]
        # The second one is the old one now, and is taken still; the first is not.
        here.store.rotate_token("four", secret_digest("third"), overlap=3600)
        here.follow()
        assert session.is_over
    with here.connected(replace(token, secret="second"), answering(200)):
        assert asyncio.run(probe(settings(replace(token, secret="third")))).shared
