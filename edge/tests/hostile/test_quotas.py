"""What one token may take, changed while the edge runs; and who comes to resume comes first."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.e2e.harness import Edge, running_edge, wait_until

from asgi_tunnel.protocol.codes import RefuseCode
from asgi_tunnel.protocol.handshake import Refuse, Welcome
from asgi_tunnel.token import Token
from asgi_tunnel_edge.admission.tunnels import MAX_PENDING_HANDSHAKES
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord, secret_digest

from .dialer import Dialer, known_token

pytestmark = pytest.mark.e2e


def status(edge: Edge, token: str) -> int:
    """What a connection of a token gets, before its HELLO."""
    with Dialer(edge.port, token) as one:
        return one.answer.status


def test_tunnels_of_one_token(tmp_path: Path) -> None:
    """A lower number ends nothing that is open, and takes nothing new; no restart is needed."""
    with running_edge(tmp_path) as edge, ExitStack() as stack:
        token, other = known_token(edge, "one"), known_token(edge, "other")
        dialers = [stack.enter_context(Dialer(edge.port, token)) for _ in range(3)]
        for number in range(2):
            # Of one group, as the workers of one app: others are told of each other, by a renewal.
            assert isinstance(dialers[number].hello(instance=str(number), group="g"), Welcome)
        edge.command("token", "limit", "one", "--max-tunnels", "2")
        wait_until(lambda: status(edge, token) == 503, what="the edge knows the limit")
        refused = dialers[2].hello(instance="2")
        assert isinstance(refused, Refuse)
        assert refused.code == RefuseCode.OVERLOAD
        edge.command("token", "limit", "one", "--max-tunnels", "1")
        assert status(edge, other) == 101
        edge.command("token", "limit", "one", "--max-tunnels", "default")
        wait_until(lambda: status(edge, token) == 101, what="the edge knows that it is gone")
        assert "has ended" not in edge.running.output


def test_greetings_of_one_token(tmp_path: Path) -> None:
    """Its oldest connection without a HELLO is ended for its newest, at the number of its own."""
    with running_edge(tmp_path) as edge, ExitStack() as stack:
        token = edge.create_token("one", "--max-pending", "2").token
        first, second, third = (stack.enter_context(Dialer(edge.port, token)) for _ in range(3))
        assert first.wire.sock.recv(1) == b""
        for number, dialer in enumerate((second, third)):
            assert isinstance(dialer.hello(instance=str(number)), Welcome)


def test_who_comes_to_resume_comes_first(tmp_path: Path) -> None:
    """More new tokens than there are places before HELLO take no place of one that resumes."""
    with running_edge(tmp_path) as edge, ExitStack() as stack:
        others = many_tokens(edge, MAX_PENDING_HANDSHAKES + 8)
        token = known_token(edge, "shop")
        with Dialer(edge.port, token) as first:
            welcome = first.hello()
            assert isinstance(welcome, Welcome)
        edge.running.wait_for("has lost its connection")
        again = stack.enter_context(Dialer(edge.port, token))
        for other in others:
            dialer = stack.enter_context(Dialer(edge.port, other))
            assert dialer.answer.status == 101
        resumed = again.hello(session=welcome.session)
        assert isinstance(resumed, Welcome)
        assert resumed.resumed


def many_tokens(edge: Edge, count: int) -> list[str]:
    """Make tokens in one change of the store; return once the edge knows them."""
    url = f"ws://127.0.0.1:{edge.port}"
    tokens = [Token(edge=url, id=f"tok_{number:04}", secret="a" * 43) for number in range(count)]
    records = [
        TokenRecord(
            id=token.id,
            name=f"t{number}",
            secret_sha256=secret_digest(token.secret),
            hostnames=(f"t{number}.test",),
            created_at=1,
        )
        for number, token in enumerate(tokens)
    ]
    Store(edge.folder / "edge.sqlite3").restore(Snapshot.of(1, records))
    snapshot = edge.folder / "snapshot.json"
    wait_until(lambda: tokens[-1].id in snapshot.read_text(), what="the edge knows them")
    return [token.format() for token in tokens]
