"""Who serves a request: decided without a socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from edge.tests.exchange.fakes import ARRIVAL, HOSTNAME, ListWriter, context_of, request_of

from asgi_tunnel.protocol.head import Arrival
from asgi_tunnel_edge.directory import LocalDirectory
from asgi_tunnel_edge.dispatch import Dispatcher, is_tunnel
from asgi_tunnel_edge.endpoints.endpoint import MAX_BODY, PathEndpoint
from asgi_tunnel_edge.exchange.http import HTTPExchange
from asgi_tunnel_edge.exchange.websocket import WebSocketExchange
from asgi_tunnel_edge.guards import Guards
from asgi_tunnel_edge.replies import Reply
from asgi_tunnel_edge.route import Route
from asgi_tunnel_edge.settings.config import EdgeConfig, TlsConfig
from asgi_tunnel_edge.settings.guards import HostnameConfig, Pace
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

pytestmark = pytest.mark.plain  # a stand-in for the writer

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
RECORD = TokenRecord(id="t", name="shop", secret_sha256="", hostnames=(HOSTNAME,), created_at=0)


class Stage:
    """A dispatcher with one hostname, one page of its own, and no session."""

    def __init__(self, folder: Path, config: EdgeConfig | None = None) -> None:
        self.context = context_of()
        config = config or EdgeConfig(data_dir=folder, domain="example.test", listen="127.0.0.1:0")
        snapshot = Snapshot.of(1, [RECORD])
        self.guards = Guards(config, lambda: 0.0)
        self.guards.apply(snapshot)
        self.dispatcher = Dispatcher(
            self.context,
            LocalDirectory(snapshot),
            self.guards,
            [PathEndpoint("/page", Route("-", ""))],
        )

    def ask(self, **request: Any) -> Any:
        """Decide about a request."""
        visitor = self.guards.visitor_address("192.0.2.7")
        return self.dispatcher.dispatch(request_of(**request), ARRIVAL, visitor, ListWriter())


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A new one."""
    return Stage(tmp_path)


def test_an_app_gets_its_requests(stage: Stage) -> None:
    """HTTP and WebSockets become exchanges with the bounds of their hostname."""
    exchange = stage.ask()
    assert isinstance(exchange, HTTPExchange)
    assert (exchange.max_body, exchange.max_time) == (0, 0)
    assert exchange.pace == Pace.of(0, 60.0)
    channel = stage.ask(websocket_key=KEY)
    assert isinstance(channel, WebSocketExchange)
    assert channel.pace == Pace.of(0, 60.0)


def test_browsers_are_told_to_keep_to_https_over_https_only(tmp_path: Path) -> None:
    """As long as the settings say; over plain HTTP the field means nothing (RFC 6797 7.2)."""
    config = EdgeConfig(
        data_dir=tmp_path,
        domain="example.test",
        listen="127.0.0.1:0",
        tls=TlsConfig(mode="off", hsts=60.0),
        hostnames={HOSTNAME: HostnameConfig(hsts=600.0)},
    )
    stage = Stage(tmp_path, config)
    visitor = stage.guards.visitor_address("192.0.2.7")
    secure = Arrival(b"https", b"1.1", b"192.0.2.7", 50_000, b"192.0.2.1", 443)
    for arrival, calls in ((secure, [("keep_to_https", 600)]), (ARRIVAL, [])):
        writer = ListWriter()
        stage.dispatcher.dispatch(request_of(), arrival, visitor, writer)
        assert writer.calls == calls


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"hostname": "other.example.test"}, 404),
        ({"websocket_error": 426}, 426),
        ({"websocket_error": 400}, 400),
        ({"hostname": None}, 400),
        ({"target": b"/.env"}, 404),
    ],
)
def test_what_no_app_gets(stage: Stage, request_: dict[str, Any], status: int) -> None:
    """A reply says why; an unknown name alone keeps the connection."""
    reply = stage.ask(**request_)
    assert isinstance(reply, Reply)
    assert reply.status == status
    assert reply.closes is (status != 404 or "target" in request_)


def test_an_overloaded_edge_serves_its_own_pages(stage: Stage) -> None:
    """New work is refused, health is not."""
    stage.context.is_overloaded = True
    assert stage.ask().status == 503
    assert isinstance(stage.ask(target=b"/page"), HTTPExchange)


def test_pages_of_the_edge_come_before_guards_and_hosts(stage: Stage) -> None:
    """On every host, and with a bound for what they take."""
    assert isinstance(stage.ask(target=b"/page?a", hostname=None), HTTPExchange)
    assert stage.ask(target=b"/page", length=None).max_body == MAX_BODY
    assert stage.ask(target=b"/page", length=MAX_BODY + 1).status == 413


def test_tunnels_are_told_apart_by_path_and_subprotocol() -> None:
    """A visitor's WebSocket on the same path is no tunnel."""
    offered = [(b"sec-websocket-protocol", b"asgi-tunnel.v1")]
    from asgi_tunnel.protocol.handshake import TUNNEL_PATH

    path = TUNNEL_PATH.encode()
    assert is_tunnel(request_of(target=path, fields=offered, websocket_key=KEY))
    assert not is_tunnel(request_of(target=path, websocket_key=KEY))
    assert not is_tunnel(request_of(target=b"/", fields=offered, websocket_key=KEY))
    assert not is_tunnel(request_of(target=path, fields=offered))
