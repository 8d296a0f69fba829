"""Whether strangers can tell a hostname whose app is offline from one that no token has."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge.tests.exchange.fakes import ARRIVAL, HOSTNAME, ListWriter, context_of, request_of
from tests.e2e.harness import Edge, running_app, running_edge

from asgi_tunnel_edge.directory import LocalDirectory
from asgi_tunnel_edge.dispatch import Dispatcher
from asgi_tunnel_edge.exchange.http import HTTPExchange
from asgi_tunnel_edge.guards import Guards
from asgi_tunnel_edge.guards.scanner import BAN_AFTER
from asgi_tunnel_edge.replies import Reply
from asgi_tunnel_edge.route import Route, Upstream, Waiter
from asgi_tunnel_edge.settings.config import EdgeConfig, GuardsConfig
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

HOLD = 0.6
OFFLINE, UNKNOWN = "shop.example.test", "none.example.test"
REQUESTS = {
    "GET": "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "HEAD": "HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "page": "GET /a?b HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n",
    "JSON": "GET / HTTP/1.1\r\nHost: {host}:80\r\nAccept: application/json\r\n\r\n",
    "HTTP/1.0": "GET / HTTP/1.0\r\nHost: {host}\r\n\r\n",
    "POST": "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\nhello",
    "chunked": "POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "half": "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\nhe",
    "WebSocket": (
        "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ),
    "probe": "GET /.env HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "CONNECT": "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n",
}


def ask(edge: Edge, kind: str, host: str) -> tuple[bytes, float, bool]:
    """What one request gets, without what is new in each response; seconds; is it kept open?"""
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as sock:
        start = time.monotonic()
        sock.sendall(REQUESTS[kind].format(host=host).encode())
        data = sock.recv(65536)
        seconds = time.monotonic() - start
        sock.settimeout(1.0)
        try:
            is_open = bool(more := sock.recv(65536))
            data += more
        except TimeoutError:
            is_open = True
    head, _, body = data.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"date:")]
    identifier = next((line[14:] for line in lines if line.startswith(b"x-request-id: ")), b"?")
    return b"\r\n".join([*lines, body]).replace(identifier, b"ID"), seconds, is_open


@pytest.fixture(scope="module")
def hiding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge that hides, with a token that is offline."""
    folder = tmp_path_factory.mktemp("hiding")
    limits, guards = f"hold_timeout = {HOLD}", "hide_offline = true"
    with running_edge(folder, limits=limits, guards=guards) as edge:
        edge.create_token("shop")
        yield edge


@pytest.mark.e2e
@pytest.mark.parametrize("kind", REQUESTS)
def test_they_are_told_the_same(hiding: Edge, kind: str) -> None:
    """Status, fields, body, what becomes of the connection, and the time that it takes."""
    offline, unknown = (ask(hiding, kind, host) for host in (OFFLINE, UNKNOWN))
    assert offline[0] == unknown[0]
    assert offline[2] == unknown[2]
    if kind not in ("probe", "CONNECT"):
        assert b" 503 " in offline[0]
        for seconds in (offline[1], unknown[1]):
            assert seconds >= HOLD - 0.3


@pytest.mark.e2e
def test_an_unknown_name_is_404_by_default(tmp_path: Path) -> None:
    """At once, and an offline one waits for its app; both values serve an app that is there."""
    with running_edge(tmp_path, limits=f"hold_timeout = {HOLD}") as edge:
        edge.create_token("shop")
        text, seconds, _ = ask(edge, "GET", UNKNOWN)
        assert text.startswith(b"HTTP/1.1 404 ")
        offline, longer, _ = ask(edge, "GET", OFFLINE)
        assert offline.startswith(b"HTTP/1.1 503 ")
        assert longer > seconds


@pytest.mark.e2e
def test_an_app_that_is_there_is_served(hiding: Edge, tmp_path: Path) -> None:
    """Also to who has begun to wait before it came."""
    token = hiding.create_token("blog")
    (tmp_path / "hello.py").write_text(
        "async def app(scope, receive, send):\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b'hello'})\n"
    )
    with running_app(tmp_path, token, "hello:app", "--lifespan", "off"):
        text, _, _ = ask(hiding, "GET", "blog.example.test")
        assert text.startswith(b"HTTP/1.1 200 ")


class Stage:
    """A dispatcher that hides, with one offline hostname; no sockets."""

    def __init__(self, folder: Path) -> None:
        guards = GuardsConfig(hide_offline=True, hostname_rate=1.0, hostname_burst=20)
        config = EdgeConfig(data_dir=folder, domain="a.test", listen="127.0.0.1:0", guards=guards)
        record = TokenRecord(
            id="t", name="shop", secret_sha256="", hostnames=(HOSTNAME,), created_at=0
        )
        snapshot = Snapshot.of(1, [record])
        self.guards = Guards(config, lambda: 0.0)
        self.guards.apply(snapshot)
        self.directory = LocalDirectory(snapshot, hides_offline=True)
        self.dispatcher = Dispatcher(context_of(), self.directory, self.guards)

    def status(self, hostname: str, target: bytes = b"/", address: str = "203.0.113.7") -> int:
        """The status of a reply at once; 0 where the request waits."""
        visitor = self.guards.visitor_address(address)
        request = request_of(hostname=hostname, target=target)
        decision = self.dispatcher.dispatch(request, ARRIVAL, visitor, ListWriter())
        if isinstance(decision, Reply):
            return decision.status
        assert isinstance(decision, HTTPExchange)
        return 0


@pytest.mark.plain
@pytest.mark.parametrize("probed", [HOSTNAME, "other.test"])
def test_a_ban_does_not_tell_them_apart(tmp_path: Path, probed: str) -> None:
    """Who was banned for its probes of either is banned from both, as long as nobody serves."""
    stage = Stage(tmp_path)
    for number in range(BAN_AFTER):
        assert (
            stage.status(
                probed, b"/%s.env" % (b"", b"api/", b"app/", b"cms/", b"old/", b"web/")[number]
            )
            == 404
        )
    assert stage.status(HOSTNAME) == stage.status("other.test") == 403
    assert stage.status(HOSTNAME, address="203.0.113.8") == 0


@pytest.mark.plain
def test_a_rate_does_not_tell_them_apart(tmp_path: Path) -> None:
    """The rate of a hostname counts for an app that is there."""
    stage = Stage(tmp_path)
    for host in (HOSTNAME, "other.test"):
        assert {stage.status(host) for _ in range(40)} == {0}


class Nobody(Waiter):
    """Waits."""

    gave_way = False

    def resume(self, session: Upstream) -> None:
        """Nobody serves it."""

    def refuse(self, reply: Reply) -> None:
        """Nothing is checked here."""

    def give_way(self) -> None:
        """Note it."""
        self.gave_way = True


@pytest.mark.plain  # a waiter of the test's own
def test_waiting_places_do_not_tell_them_apart(tmp_path: Path) -> None:
    """An unknown name has places of its own, as many, for as long as somebody waits for it."""
    directory = Stage(tmp_path).directory

    def route_of(host: str) -> Route:
        route = directory.find(host)
        assert route is not None
        return route

    counts = set()
    for host in (HOSTNAME, "other.test", "third.test"):
        waiters = [Nobody() for _ in range(600)]
        for waiter in waiters:
            route_of(host).wait(waiter, ("203.0.113.7",))
        counts.add(sum(waiter.gave_way for waiter in waiters))
        before = route_of(host)
        directory.wake_all()
        assert route_of(host) is before
        for waiter in waiters:
            before.give_up(waiter)
    assert len(counts) == 1
    directory.wake_all()
    assert not directory._unknown
