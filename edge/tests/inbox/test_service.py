from __future__ import annotations

import asyncio
import json
import logging
import threading
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from edge.tests.live import SHOP, Answer, Live, live_edge
from edge.tests.quick_password import quick_hash
from msgspec.structs import replace

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel.inbox import delivery
from asgi_tunnel.protocol.codes import GoawayCode
from asgi_tunnel_edge.access.passwords import Outcome, PasswordChecker
from asgi_tunnel_edge.accounts import UserRecord
from asgi_tunnel_edge.inbox import book, service
from asgi_tunnel_edge.inbox.book import ATTEMPT_FIELD, ID_FIELD
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.storage.inbox import InboxStore
from asgi_tunnel_edge.tokens import Snapshot

RULE = "POST /hooks/pay"


class App:
    """Notes what it gets, in order.

    Attributes:
        got: Body, id and attempt of each delivery.
        statuses: Of the next responses; then 200.
        gate: Cleared: responses wait for it.
    """

    def __init__(self) -> None:
        self.got: list[tuple[bytes, str, int]] = []
        self.heads: list[list[tuple[bytes, bytes]]] = []
        self.statuses: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Serve one call."""
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        found = delivery(scope)
        self.heads.append(scope["headers"])
        self.got.append((body, found.id if found else "", found.attempt if found else 0))
        await self.gate.wait()
        status = self.statuses.pop(0) if self.statuses else 200
        fields = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": b"ok"})

    @property
    def bodies(self) -> list[bytes]:
        """What came, in order."""
        return [body for body, _, _ in self.got]


async def connect(live: Live, app: App, *rules: str) -> Connector:
    """Open a tunnel whose HELLO marks routes."""
    settings = TunnelConfig(token=live.token, text=live.token.format(), grace=2.0, connections=1)
    connector = live.connector = Connector(settings, Origin(app), inbox=rules or (RULE,))
    connector.start()
    await connector.wait_connected()
    return connector


async def post(
    live: Live, body: bytes, *fields: str, path: str = "/hooks/pay", host: str = SHOP
) -> Answer:
    """Send a webhook over a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", live.edge.address.port)
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Connection: close", *fields]
    lines += [f"Content-Length: {len(body)}", "", ""]
    writer.write("\r\n".join(lines).encode() + body)
    head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    first, *lines = head.decode("latin-1").split("\r\n")
    found = [(name.lower(), value) for name, _, value in (one.partition(": ") for one in lines)]
    return Answer(int(first.split()[1]), found, rest)


async def until(condition: Any, what: str = "") -> None:
    """Return when something is true."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for is in other threads, too
            await asyncio.sleep(0.01)


@asynccontextmanager
async def marked(folder: Path, **settings: Any) -> AsyncIterator[tuple[Live, App]]:
    """An edge with an app that has marked its route, and may pass requests on."""
    async with live_edge(folder, **settings) as live:
        app = App()
        await connect(live, app)
        await until(lambda: live.edge.inbox.book.may_pass_on, "the inbox is open")
        yield live, app


def kept(folder: Path) -> list[tuple[str, int, str]]:
    """State, attempts and outcome of what is in the store."""
    store = InboxStore(folder / "inbox.sqlite3", folder / "tls" / "store.key")
    store.open()
    found = [(row.state, row.attempts, row.outcome) for row in store.rows()]
    store.close()
    return found


async def test_passed_on_while_the_app_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its sender gets the app's own response, and nothing is stored."""
    async with marked(tmp_path) as (live, app):
        app.statuses = [418]
        answer = await post(live, b"one", "x-asgi-tunnel-inbox-id: forged", "X-Sign: a")
        assert (answer.status, answer.body) == (418, b"ok")
        [(body, request_id, attempt)] = app.got
        assert (body, attempt) == (b"one", 1)
        assert len(request_id) == 32
        names = [name for name, _ in app.heads[0]]
        assert names.count(ID_FIELD) == 1
        assert (b"x-sign", b"a") in app.heads[0]
        caplog.set_level(logging.INFO)
        for entry in live.edge.directory.entries:
            entry.session.drop_transport()  # and the session resumes
        await until(lambda: "connected again and resumed" in caplog.text)
    assert kept(tmp_path) == []
    assert "keeps no requests" not in caplog.text


async def test_stored_and_delivered_in_order(tmp_path: Path) -> None:
    """While the app is away each gets 202; when it is back, all come one after the other."""
    async with marked(tmp_path) as (live, app):
        await live.disconnect()
        answers = [await post(live, b"%d" % number) for number in range(30)]
        assert {one.status for one in answers} == {202}
        ids = [json.loads(one.body)["id"] for one in answers]
        assert [one.values("x-asgi-tunnel-inbox-id") for one in answers] == [[one] for one in ids]
        assert len(kept(tmp_path)) == 30
        await connect(live, app)
        await until(lambda: len(app.got) == 30)
        assert app.bodies == [b"%d" % number for number in range(30)]
        assert [request_id for _, request_id, _ in app.got] == ids
        await until(lambda: not kept(tmp_path))
        assert (await post(live, b"next")).status == 200


async def test_survives_the_edge(tmp_path: Path) -> None:
    """Marks and requests are there for the next process, before any app has come."""
    async with marked(tmp_path) as (live, app):
        await live.disconnect()
        assert (await post(live, b"1")).status == 202
        token = live.token
    async with live_edge(tmp_path, token=token) as live:
        assert (await post(live, b"2")).status == 202
        assert app.got == []
        await connect(live, app)
        await until(lambda: len(app.got) == 2)
        assert app.bodies == [b"1", b"2"]


async def test_errors_of_the_app_are_tried_again(tmp_path: Path) -> None:
    """The route waits, and what comes meanwhile comes after it."""
    async with marked(tmp_path) as (live, app):
        app.statuses = [500, 503, 429]
        assert (await post(live, b"1")).status == 202
        assert (await post(live, b"2")).status == 202
        await until(lambda: len(app.got) == 5)
        assert app.bodies == [b"1", b"1", b"1", b"1", b"2"]
        assert [attempt for _, _, attempt in app.got] == [1, 2, 3, 4, 1]
        assert len({request_id for _, request_id, _ in app.got}) == 2
        await until(lambda: not kept(tmp_path))


async def test_set_aside_after_so_many_attempts(tmp_path: Path) -> None:
    """It stays to be looked at, and the next one is delivered."""
    async with marked(tmp_path, inbox={"max_attempts": 2}) as (live, app):
        app.statuses = [500, 500]
        assert (await post(live, b"1")).status == 202
        assert (await post(live, b"2")).status == 202
        await until(lambda: app.bodies == [b"1", b"1", b"2"])
        await until(lambda: kept(tmp_path) == [("failed", 2, "the app's status was 500")])


async def test_refused_by_the_app(tmp_path: Path) -> None:
    """A stored one that the app refuses is kept, and not delivered again."""
    async with marked(tmp_path) as (live, app):
        await live.disconnect()
        assert (await post(live, b"bad")).status == 202
        app.statuses = [400]
        await connect(live, app)
        await until(lambda: kept(tmp_path) == [("failed", 1, "the app's status was 400")])
        assert app.bodies == [b"bad"]


async def test_an_app_that_takes_long(tmp_path: Path) -> None:
    """Its sender hears 202 in time, and the app gets the request once."""
    async with marked(tmp_path, inbox={"patience": 0.1}) as (live, app):
        app.gate.clear()
        assert (await post(live, b"slow")).status == 202
        second = await post(live, b"next")
        assert second.status == 202
        app.gate.set()
        await until(lambda: app.bodies == [b"slow", b"next"])
        await until(lambda: not kept(tmp_path))


async def test_a_sender_that_leaves(tmp_path: Path) -> None:
    """What it has sent whole reaches the app, once."""
    async with marked(tmp_path) as (live, app):
        app.gate.clear()
        _, writer = await asyncio.open_connection("127.0.0.1", live.edge.address.port)
        writer.write(
            f"POST /hooks/pay HTTP/1.1\r\nHost: {SHOP}\r\nContent-Length: 1\r\n\r\nx".encode()
        )
        await until(lambda: app.got)
        writer.transport.abort()
        await until(lambda: len(kept(tmp_path)) == 1)
        app.gate.set()
        await until(lambda: not kept(tmp_path))
        assert app.bodies == [b"x"]


async def test_quota(tmp_path: Path) -> None:
    """Above it: an honest 503, and a 2xx again once there is room."""
    async with marked(tmp_path, inbox={"max_requests": 2}) as (live, app):
        await live.disconnect()
        statuses = [(await post(live, b"%d" % number)).status for number in range(4)]
        assert statuses == [202, 202, 503, 503]
        answer = await post(live, b"x")
        assert answer.values("x-asgi-tunnel-reason") == ["inbox-full"]
        assert answer.values("retry-after") == ["60"]
        await connect(live, app)
        await until(lambda: len(app.got) == 2)
        await until(lambda: not kept(tmp_path))
        await live.disconnect()
        assert (await post(live, b"again")).status == 202


async def test_a_look_at_the_store_before_a_delivery_is_noted(tmp_path: Path) -> None:
    """What it still shows takes no room for ever."""
    async with marked(tmp_path) as (live, app):
        await live.disconnect()
        assert (await post(live, b"1")).status == 202
        app.gate.clear()
        await connect(live, app)
        await until(lambda: app.got)
        inbox, may_read = live.edge.inbox, threading.Event()
        inbox._journal._worker.submit(may_read.wait)
        inbox._version = -1  # as when the app has changed its marks
        await until(lambda: inbox._is_looking)
        app.gate.set()
        await until(lambda: inbox.book.delivered == 1)
        may_read.set()
        await until(lambda: not inbox._lanes)
        assert kept(tmp_path) == []
        assert inbox.book.waiting == 0


async def test_a_full_file(tmp_path: Path) -> None:
    """What cannot be written gets 503; what was acknowledged is there."""
    async with marked(tmp_path, inbox={"max_file": 1048576}) as (live, app):
        await live.disconnect()
        statuses = [(await post(live, bytes(60_000))).status for _ in range(24)]
        taken = statuses.count(202)
        assert 10 < taken < 20
        assert statuses == [202] * taken + [503] * (24 - taken)
        await connect(live, app)
        await until(lambda: len(app.got) == taken)
        await until(lambda: not kept(tmp_path))
        await live.disconnect()
        assert (await post(live, bytes(60_000))).status == 202


async def test_large_bodies(tmp_path: Path) -> None:
    """413 above the limit; below it byte for byte, whether passed on or stored."""
    async with marked(tmp_path, inbox={"max_body": 300_000}) as (live, app):
        body = bytes(range(256)) * 1000
        assert (await post(live, body)).status == 200
        await live.disconnect()
        assert (await post(live, body)).status == 202
        assert (await post(live, bytes(300_001))).status == 413
        await connect(live, app)
        await until(lambda: len(app.got) == 2)
        assert app.bodies == [body, body]


async def test_what_a_sender_repeats_has_the_same_id(tmp_path: Path) -> None:
    """Where it names the event; while the first one waits it is not stored twice."""
    async with marked(tmp_path) as (live, app):
        await live.disconnect()
        first = await post(live, b"a", "Webhook-Id: msg_1")
        again = await post(live, b"a", "Webhook-Id: msg_1")
        other = await post(live, b"b", "Webhook-Id: msg_1")
        unnamed = [await post(live, b"a"), await post(live, b"a")]
        assert first.body == again.body
        assert len({one.body for one in (first, other, *unnamed)}) == 4
        await connect(live, app)
        await until(lambda: len(app.got) == 4)
        assert app.bodies == [b"a", b"b", b"a", b"a"]


async def test_repeated_under_another_rule(tmp_path: Path) -> None:
    """What the app had refused is delivered when its sender repeats it, whatever is marked now."""
    async with marked(tmp_path) as (live, app):
        await live.disconnect()
        assert (await post(live, b"a", "Webhook-Id: msg_1")).status == 202
        app.statuses = [400]
        await connect(live, app)
        await until(lambda: [state for state, _, _ in kept(tmp_path)] == ["failed"])
        await live.disconnect()
        await connect(live, app, "POST /hooks/*")
        await live.disconnect()
        assert (await post(live, b"a", "Webhook-Id: msg_1")).status == 202
        await connect(live, app, "POST /hooks/*")
        await until(lambda: app.bodies == [b"a", b"a"])
        await until(lambda: not kept(tmp_path))


async def test_other_requests_are_not_kept(tmp_path: Path) -> None:
    """Another path, method or hostname waits for the app, and is told that it is away."""
    async with marked(tmp_path, limits={"hold_timeout": 0.05}) as (live, _):
        await live.disconnect()
        assert (await post(live, b"", path="/hooks/other")).status == 503
        assert (await live.get("/hooks/pay")).status == 503
        assert (await post(live, b"", path="/hooks/pay?x=1")).status == 202


async def test_an_app_that_marks_no_longer(tmp_path: Path) -> None:
    """What was stored is delivered all the same."""
    async with marked(tmp_path, limits={"hold_timeout": 0.05}) as (live, app):
        await live.disconnect()
        assert (await post(live, b"1")).status == 202
        await connect(live, app, "POST /other")
        await until(lambda: app.bodies == [b"1"])
        await live.disconnect()
        assert (await post(live, b"2")).status == 503


async def test_switched_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Then nothing is kept, no file is made, and both sides say so."""
    limits = {"hold_timeout": 0.05}
    async with live_edge(tmp_path, inbox={"enabled": False}, limits=limits) as live:
        await connect(live, App())
        await live.disconnect()
        assert (await post(live, b"1")).status == 503
    assert not (tmp_path / "inbox.sqlite3").exists()
    said = [one for one in caplog.messages if "routes" in one]
    assert said == [
        "the app of token shop marks routes, and inbox.enabled is false: nothing is kept",
        (
            "the edge keeps no requests for this app while it is away (it is of an older version, "
            "or inbox.enabled is false there), and routes are marked: POST /hooks/pay"
        ),
    ]


async def test_at_rest_it_is_encrypted(tmp_path: Path) -> None:
    """No file of the edge but the key's tells what was sent."""
    async with marked(tmp_path) as (live, _):
        await live.disconnect()
        await post(
            live, b"secret-body", "Authorization: secret-field", path="/hooks/pay?secret-q=1"
        )
        for path in [*tmp_path.rglob("inbox*")]:  # noqa: ASYNC240 - four files
            assert b"secret-" not in path.read_bytes(), path
            assert path.stat().st_mode & 0o77 == 0, path


@pytest.mark.parametrize("name", [ID_FIELD, ATTEMPT_FIELD])
async def test_a_visitor_cannot_send_its_fields(tmp_path: Path, name: bytes) -> None:
    """On no route."""
    async with marked(tmp_path) as (live, app):
        await post(
            live, b"", f"{name.decode().replace('-', '_')}: x", f"{name.decode()}: x", path="/"
        )
        assert not [one for one, _ in app.heads[0] if b"inbox" in one]


async def test_what_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is dropped, the log says how many, and its room is free."""
    monkeypatch.setattr(service, "CLEAN_EVERY", 0.05)
    async with marked(tmp_path, inbox={"max_age": 0.3, "max_requests": 2}) as (live, app):
        await live.disconnect()
        assert [(await post(live, b"x")).status for _ in range(3)] == [202, 202, 503]
        await until(lambda: not kept(tmp_path))
        await until(lambda: "no app took them" in caplog.text)
        await until(lambda: live.edge.inbox.book.waiting == 0)
        assert (await post(live, b"y")).status == 202
        assert app.got == []


async def test_a_token_that_is_revoked(tmp_path: Path) -> None:
    """What was kept for it is forgotten, and its hostnames keep nothing for the next one."""
    async with marked(tmp_path) as (live, _):
        await live.disconnect()
        assert (await post(live, b"x")).status == 202
        assert len(kept(tmp_path)) == 1
        [record] = live.edge.directory.snapshot.tokens.values()
        other = replace(record, id="tok_other")
        gone = replace(record, revoked_at=1, hostnames=())
        live.edge._apply(Snapshot.of(2, [gone, other]))
        await until(lambda: not kept(tmp_path))
        route = live.edge.directory.find(SHOP)
        assert route is not None
        assert route.marks is None


async def test_retry_by_a_command(tmp_path: Path) -> None:
    """The running edge sees what another process has changed, and delivers it."""
    async with marked(tmp_path, inbox={"max_attempts": 2}) as (live, app):
        app.statuses = [500, 500]
        assert (await post(live, b"x")).status == 202
        await until(lambda: [state for state, _, _ in kept(tmp_path)] == ["failed"])
        store = InboxStore(tmp_path / "inbox.sqlite3", tmp_path / "tls" / "store.key")
        store.open()
        with store.transaction():
            assert store.retry(store.rows()[0].id) == 1
        store.close()
        await until(lambda: len(app.got) == 3)
        await until(lambda: not kept(tmp_path))


async def test_two_processes_of_one_edge(tmp_path: Path) -> None:
    """The second one stores, and the first one delivers that, until it leaves; then they change."""
    async with marked(tmp_path) as (first, app):
        async with live_edge(tmp_path, token=first.token) as second:
            assert second.edge.inbox.book.is_leading is False
            await until(lambda: not first.edge.inbox.book.may_pass_on)
            assert (await post(second, b"1")).status == 202
            await until(lambda: app.bodies == [b"1"])
            assert (await post(first, b"2")).status == 202
            await until(lambda: app.bodies == [b"1", b"2"])
            await until(lambda: not kept(tmp_path))
            other = App()
            await connect(second, other)
            first.edge.inbox.retire()
            assert (await post(first, b"3")).status == 202
            await until(lambda: other.bodies == [b"3"])
            assert second.edge.inbox.book.may_pass_on is False  # the first one is still there
            await first.edge.inbox.stop()
            await until(lambda: second.edge.inbox.book.may_pass_on)
            assert (await post(second, b"4")).status == 200
        assert app.bodies == [b"1", b"2"]
        assert other.bodies == [b"3", b"4"]


async def test_an_app_that_dies_with_a_request(tmp_path: Path) -> None:
    """Its sender gets 202 once that is seen, and another process of the app gets the request."""
    async with marked(tmp_path) as (live, app):
        app.gate.clear()
        sending = asyncio.ensure_future(post(live, b"x"))
        await until(lambda: app.got)
        assert live.connector is not None
        for slot in live.connector._slots.values():
            assert slot.session is not None
            slot.session.terminate(GoawayCode.SHUTDOWN, "it died")
        assert (await sending).status == 202
        live.connector.abort()
        other = App()
        await connect(live, other)
        await until(lambda: other.bodies == [b"x"])
        assert other.got[0][1] == app.got[0][1]
        assert other.got[0][2] == 2


async def test_a_large_response(tmp_path: Path) -> None:
    """Both in pieces; the response is passed on as it comes."""
    size = 3_000_000

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        for _ in range(30):
            piece = bytes(size // 30)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async with marked(tmp_path) as (live, _):
        await live.disconnect()
        await connect(live, app)  # type: ignore[arg-type]
        reader, writer = await asyncio.open_connection("127.0.0.1", live.edge.address.port)
        writer.write(
            f"POST /hooks/pay HTTP/1.0\r\nHost: {SHOP}\r\nContent-Length: 5\r\n\r\n".encode()
        )
        writer.write(b"he")
        await asyncio.sleep(0.05)
        writer.write(b"llo")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert b" 200 " in head
        assert body == b"hello" + bytes(size)
    assert kept(tmp_path) == []


async def test_slow_bodies_for_one_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take memory from its own routes only, and give it back."""
    monkeypatch.setattr(book, "MAX_HELD", 1000)
    async with marked(tmp_path, inbox={"max_body": 500}) as (live, _):
        writers = []
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", live.edge.address.port)
            head = f"POST /hooks/pay HTTP/1.1\r\nHost: {SHOP}\r\nContent-Length: 400\r\n\r\n"
            writer.write(head.encode() + bytes(320))
            writers.append(writer)
        held = live.edge.inbox.book
        await until(lambda: held.held == 960)
        answer = await post(live, bytes(100))
        assert (answer.status, answer.values("x-asgi-tunnel-reason")) == (503, ["overloaded"])
        assert held.hold("tok_other", 1000)
        held.let_go("tok_other", 1000)
        for writer in writers:
            writer.close()
        await until(lambda: held.held == 0)
        assert (await post(live, bytes(100))).status == 200


async def test_the_end_of_an_edge_with_much_to_deliver(tmp_path: Path) -> None:
    """It does not wait for all of it: the next process delivers the rest, in order."""

    class Slow(App):
        async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
            await asyncio.sleep(0.02)
            await super().__call__(scope, receive, send)

    async with marked(tmp_path) as (live, _):
        await live.disconnect()
        for number in range(40):
            assert (await post(live, b"%d" % number)).status == 202
        app = Slow()
        await connect(live, app)
        await until(lambda: len(app.got) > 3)
        token = live.token
        began = asyncio.get_running_loop().time()
        await live.edge.stop()
        assert asyncio.get_running_loop().time() - began < 5
        assert len(app.got) < 40
    async with live_edge(tmp_path, token=token) as live:
        await connect(live, app)
        await until(lambda: not kept(tmp_path))
        first = list(dict.fromkeys(app.bodies))
        assert first == [b"%d" % number for number in range(40)]


DOOR: dict[str, Any] = {
    "access": {"hooks": {"users": ["stripe"], "methods": ["basic"]}},
    "hostnames": {SHOP: {"access": "hooks"}},
}


def settle(folder: Path) -> None:
    """Have the user whom the door lets in, before the edge starts."""
    database = folder / "edge.sqlite3"
    Store(database).migrate()
    AccessStore(database).create_user(
        UserRecord(name="stripe", created_at=1), password=quick_hash("right")
    )


def login(password: str) -> str:
    """The field of a request with a name and a password."""
    return f"Authorization: Basic {b64encode(f'stripe:{password}'.encode()).decode()}"


async def test_a_sender_whose_password_has_to_be_checked(tmp_path: Path) -> None:
    """It is stored behind the check, in its order; one with a wrong password is not read."""
    settle(tmp_path)
    async with marked(tmp_path, **DOOR) as (live, app):
        await live.disconnect()
        assert (await post(live, b"x" * 100_000, login("wrong"))).status == 401
        assert (await post(live, b"", login("wrong"))).status == 401
        found = [await post(live, body, login("right")) for body in (b"", b"one", b"two")]
        assert [one.status for one in found] == [202] * 3
        assert live.edge.directory.shares.of(live.token.id).visitors == 0
        await connect(live, app)
        await until(lambda: len(app.got) == 3, "all are delivered")
        assert app.bodies == [b"", b"one", b"two"]


async def test_a_password_that_is_not_checked_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender is told to come again; a check that ends later changes nothing."""
    is_checked = asyncio.Event()

    async def check(*_: object) -> Outcome:
        await is_checked.wait()
        return Outcome.RIGHT

    monkeypatch.setattr(PasswordChecker, "check", check)
    settle(tmp_path)
    async with marked(tmp_path, **DOOR, limits={"hold_timeout": 0.3}) as (live, app):
        answer = await post(live, b"one", login("right"))
        assert (answer.status, answer.values("retry-after")) == (503, ["5"])
        is_checked.set()
        await asyncio.sleep(0)
        assert app.got == []
