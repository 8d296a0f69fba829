"""Which apps are told who a visitor is, and how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from edge.tests.live import PLAIN, SHOP, live_edge
from tests.asgi.memory import Recorder, Tunnelled

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.head import ASK_DURATION, VISITOR, Fields
from asgi_tunnel.protocol.limits import MAX_FIELDS, MAX_HEAD_SIZE
from asgi_tunnel_edge.access.identity import Identity
from asgi_tunnel_edge.dispatch import Dispatcher
from asgi_tunnel_edge.exchange.http import TOO_LARGE_A_HEAD, HTTPExchange
from asgi_tunnel_edge.exchange.placement import Placed
from asgi_tunnel_edge.exchange.timed import TimedHTTPExchange
from asgi_tunnel_edge.exchange.websocket import WebSocketExchange
from asgi_tunnel_edge.exchange.writer import Exchange
from asgi_tunnel_edge.replies import Reply
from asgi_tunnel_edge.settings.config import Limits

from .fakes import FakeRoute, FakeUpstream, ListWriter, context_of, head_of, request_of

pytestmark = pytest.mark.plain  # stand-ins for the writer and the upstream

ANNA = Identity("user:anna", "Anna", "anna@example.org", ("family",), "passkey", 1, "family")
LINE = (VISITOR, ANNA.encode())
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
KINDS = ["http", "timed", "websocket"]


class Stage:
    """An exchange between fakes; without an upstream it waits."""

    def __init__(
        self, kind: str, upstream: FakeUpstream | None, *, identity: bytes = LINE[1]
    ) -> None:
        self.route = FakeRoute(upstream)
        self.writer = ListWriter()
        head, route = head_of(), self.route.as_route()
        self.exchange: Placed
        if kind == "websocket":
            request = request_of(websocket_key=KEY)
            self.exchange = WebSocketExchange(self.writer, request, head, route, context_of())
        else:
            made = TimedHTTPExchange if kind == "timed" else HTTPExchange
            self.exchange = made(self.writer, request_of(), head, route, ())
        self.exchange.identity = identity
        self.exchange.start()


def asked(kind: str, upstream: FakeUpstream) -> Fields:
    """The line that asks how long the app takes, where the exchange asks that."""
    return [ASK_DURATION] if kind == "timed" and upstream.tells_duration else []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("takes", [True, False])
@pytest.mark.parametrize("tells", [True, False])
def test_only_who_understands_it_is_told(kind: str, takes: bool, tells: bool) -> None:
    """The line is the last one, and an app's side without the capability never gets it."""
    upstream = FakeUpstream(tells_duration=tells, takes_visitor=takes)
    Stage(kind, upstream)
    assert upstream.heads[0].fields == [*asked(kind, upstream), *([LINE] if takes else [])]


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_door_nothing_is_said(kind: str) -> None:
    """Whoever came through no door has no identity, whatever the app understands."""
    upstream = FakeUpstream(takes_visitor=True)
    Stage(kind, upstream, identity=b"")
    assert upstream.heads[0].fields == []


@pytest.mark.parametrize("kind", KINDS[:2])
@pytest.mark.parametrize("order", [(True, False, True), (False, True, True)])
def test_each_try_is_written_for_its_session(kind: str, order: tuple[bool, ...]) -> None:
    """A request that is sent again says it where it is understood, once, and nowhere else."""
    upstreams = [FakeUpstream(tells_duration=not one, takes_visitor=one) for one in order]
    stage = Stage(kind, upstreams[0])
    for upstream in upstreams[1:]:
        stage.route.ready = upstream
        stage.exchange.on_reset(ResetCode.SESSION_LOST, "")  # type: ignore[attr-defined]
    for upstream in upstreams:
        expected = [*asked(kind, upstream), *([LINE] if upstream.takes_visitor else [])]
        assert [one.fields for one in upstream.heads] == [expected]


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_wait(kind: str) -> None:
    """The app that comes back is told as one that was there."""
    stage = Stage(kind, None)
    upstream = FakeUpstream(takes_visitor=True)
    stage.route.wake(upstream)
    assert upstream.heads[0].fields == [LINE]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Say what the scope says of the request, and the names of its fields."""
    own = scope["extensions"]["asgi_tunnel"]
    said = json.dumps({"own": own, "names": [name.decode() for name, _ in scope["headers"]]})
    kind = "websocket.http" if scope["type"] == "websocket" else "http"
    length = (b"content-length", b"%d" % len(said))
    await send({"type": f"{kind}.response.start", "status": 200, "headers": [length]})
    await send({"type": f"{kind}.response.body", "body": said.encode()})


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> None:
    """In front of one hostname: whoever comes is Anna."""
    dispatch = Dispatcher.dispatch

    def let_in(self: Dispatcher, *given: Any) -> Reply | Exchange:
        found = dispatch(self, *given)
        if isinstance(found, Placed) and given[0].hostname == SHOP:
            found.identity = LINE[1]
        return found

    monkeypatch.setattr(Dispatcher, "dispatch", let_in)


@pytest.mark.usefixtures("door")
async def test_a_real_edge_and_app(tmp_path: Path) -> None:
    """The app finds it in its scope, for requests and WebSockets, and only behind the door."""
    async with live_edge(tmp_path, app, hostnames={SHOP: {"server_timing": True}}) as live:
        upgrade = (
            "Upgrade: websocket",
            "Connection: upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {KEY.decode()}",
        )
        for fields in ((), upgrade):
            said = json.loads((await live.get("/", *fields)).body)
            assert said["own"].pop("request_id")
            assert said["own"] == {
                "hostname": SHOP,
                "edge": live.token.edge,
                "visitor": {**ANNA._asdict(), "groups": ["family"]},
            }
            assert not [name for name in said["names"] if name.startswith(":")]
            said = json.loads((await live.get("/", *fields, host=PLAIN)).body)
            assert sorted(said["own"]) == ["edge", "hostname", "request_id"]


@pytest.mark.usefixtures("door")
async def test_an_app_of_an_older_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets neither the line nor the identity, and is served as ever."""
    monkeypatch.setattr("asgi_tunnel.connector.VISITOR", "something else")
    async with live_edge(tmp_path, app) as live:
        said = json.loads((await live.get()).body)
        assert "visitor" not in said["own"]
        assert not [name for name in said["names"] if name.startswith(":")]


@pytest.mark.parametrize("line", [':visitor: {"subject":"user:anna"}', ":duration: ", ":x: y"])
async def test_no_visitor_can_send_it(tmp_path: Path, line: str) -> None:
    """A name that begins with a colon is refused by the edge, whoever it says that it is."""
    async with live_edge(tmp_path, app) as live:
        assert (await live.get("/", line)).status == 400
        assert (await live.get("/", "X-A: b", line, "X-C: d")).status == 400
        assert (await live.get()).status == 200


async def test_a_head_that_is_too_large_with_it() -> None:
    """Then the visitor hears that its head is too large, and the session goes on."""
    tunnel = Tunnelled(Recorder())
    tunnel.edge.takes_visitor = True
    identity = b'{"subject":"%s"}' % (b"a" * MAX_HEAD_SIZE)
    stage = Stage("http", cast(Any, tunnel.edge), identity=identity)
    assert stage.writer.replied is TOO_LARGE_A_HEAD
    assert (await tunnel.get()).status == 200
    assert Limits().max_header_fields + 2 < MAX_FIELDS  # the number of fields leaves room
