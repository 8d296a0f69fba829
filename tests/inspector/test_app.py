from __future__ import annotations

import json
from typing import Any

import pytest
from tests.asgi.memory import Recorder as RecordingApp
from tests.asgi.memory import body, start
from tests.inspector.world import READER, Inspected

from asgi_tunnel.inspector.settings import Inspect
from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.head import INSPECT


async def paths(scope: Any, receive: Any, send: Any) -> None:
    """Reply to /missing with 404, to all else with 200."""
    await send(start(404 if scope["path"] == "/missing" else 200))
    await send(body(b"hello"))


async def test_an_exchange_is_kept_and_found() -> None:
    """A request that has passed is in the list, and all of it under its id."""
    tunnel = Inspected(paths)
    await tunnel.get("/photos?page=2")
    (one,) = (await tunnel.look("/exchanges"))["exchanges"]
    assert one["path"] == "/photos?page=2"
    assert (one["status"], one["state"], one["sent"], one["client"]) == (
        200,
        "done",
        5,
        "192.0.2.7",
    )
    found = await tunnel.look(f"/exchanges/{one['id']}")
    assert found["response"]["body"]["text"] == "hello"
    assert ["host", "shop.example.test"] in found["request"]["fields"]


async def test_the_inspector_never_reaches_the_app() -> None:
    """A request with the line goes to the inspector, whatever it asks for, and is not recorded."""
    app = RecordingApp()
    tunnel = Inspected(app)
    for target in ("/state", "/", "/exchanges", "/nothing"):
        await tunnel.put("GET", target)
    assert not app.scopes
    assert (await tunnel.look("/state"))["exchanges"] == 0


async def test_the_state_says_what_is_kept() -> None:
    """Level, numbers and bytes are those of the recorder."""
    tunnel = Inspected(paths, Inspect(level="metadata", max_bytes=100_000))
    await tunnel.get("/")
    state = await tunnel.look("/state")
    assert (state["level"], state["exchanges"], state["max_bytes"]) == ("metadata", 1, 100_000)
    assert 0 < state["bytes"] <= 2000
    assert state["app"] == "main:app"


async def test_the_level_is_changed_by_who_may_write() -> None:
    """PUT /state changes what is recorded from then on; a reader gets 403."""
    tunnel = Inspected(paths, Inspect())
    assert (await tunnel.put("PUT", "/state", b'{"level":"full"}', line=READER)).status == 403
    assert (await tunnel.put("PUT", "/state", b'{"level":"full"}')).status == 200
    await tunnel.get("/")
    assert (await tunnel.newest())["level"] == "full"
    await tunnel.put("PUT", "/state", b'{"level":"off"}')
    await tunnel.get("/")
    assert (await tunnel.look("/state"))["exchanges"] == 1


async def test_everything_is_forgotten_by_who_may_write() -> None:
    """DELETE /exchanges empties, and is 403 for a reader."""
    tunnel = Inspected(paths)
    await tunnel.get("/")
    assert (await tunnel.put("DELETE", "/exchanges", line=READER)).status == 403
    assert (await tunnel.look("/state"))["exchanges"] == 1
    assert (await tunnel.put("DELETE", "/exchanges")).status == 204
    assert (await tunnel.look("/exchanges"))["exchanges"] == []


async def test_the_list_is_filtered_and_paged() -> None:
    """Each filter leaves out what does not fit, and ``next`` leads on to what is older."""
    tunnel = Inspected(paths)
    for target in ("/", "/missing", "/a", "/b"):
        await tunnel.get(target)
    await tunnel.ask("POST", "/a").over()

    async def found(query: str) -> list[str]:
        reply = await tunnel.look(f"/exchanges?{query}")
        return [f"{one['method']} {one['path']}" for one in reply["exchanges"]]

    assert await found("method=post") == ["POST /a"]
    assert await found("status=404") == await found("status=4xx") == ["GET /missing"]
    assert await found("q=/A") == ["POST /a", "GET /a"]
    assert await found("host=SHOP.example.test&kind=http&limit=1") == ["POST /a"]
    assert await found("kind=websocket") == await found("host=other.test") == []
    assert await found("id=r1&after=4") == ["POST /a"]
    first = await tunnel.look("/exchanges?limit=2")
    rest = await tunnel.look(f"/exchanges?limit=2&before={first['next']}")
    last = await tunnel.look(f"/exchanges?limit=2&before={rest['next']}")
    assert [one["path"] for one in rest["exchanges"]] == ["/a", "/missing"]
    assert ([one["path"] for one in last["exchanges"]], last["next"]) == (["/"], None)


@pytest.mark.parametrize(
    "query",
    [
        "limit=501",
        "limit=-1",
        "limit=x",
        "limit=%D9%A1",
        "before=99999999999999999999",
        "status=6xx",
        "status=20",
        "kind=udp",
        "state=old",
        "what=ever",
        "q=" + 201 * "x",
        "limit=1&limit=2",
        "q=%ff",
        "&".join(f"q{number}=" for number in range(40)),
    ],
)
async def test_a_query_that_cannot_be_used_is_refused(query: str) -> None:
    """The reply is 400 with one sentence."""
    reply = await Inspected(paths).put("GET", f"/exchanges?{query}")
    assert reply.status == 400
    assert json.loads(reply.body)["error"]


@pytest.mark.parametrize(
    ("method", "target", "sent", "status"),
    [
        ("GET", "/exchanges/0123456789abcdef", b"", 404),
        ("GET", "/exchanges/%00", b"", 404),
        ("GET", "/", b"", 404),
        ("POST", "/state", b"", 404),
        ("PUT", "/state", b"{", 400),
        ("PUT", "/state", b'{"level":"all"}', 400),
        ("PUT", "/state", b'{"level":["full"]}', 400),
        ("PUT", "/state", 100_000 * b"[", 400),
        ("GET", "/exchanges?" + 4097 * "q", b"", 414),
        ("PUT", "/state", (8 * 1024 * 1024 + 1) * b" ", 413),
    ],
)
async def test_other_requests_are_refused(
    method: str, target: str, sent: bytes, status: int
) -> None:
    """What the interface does not have gets a status and a sentence."""
    tunnel = Inspected(paths)
    visitor = tunnel.question(method, target, sent[:60_000])
    if len(sent) > 60_000:
        visitor = tunnel.ask(method, target, (INSPECT, READER_MAY_WRITE), body=None)
        for at in range(0, len(sent), 60_000):
            visitor.send(sent[at : at + 60_000], end=at + 60_000 >= len(sent))
    await visitor.over()
    assert visitor.status == status
    assert json.loads(visitor.body)["error"]


READER_MAY_WRITE = b'{"by":"anna","may_write":true,"later":1}'


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b'{"by":"anna"}',
        b'{"by":1,"may_write":true}',
        b'{"by":"a","may_write":1}',
    ],
)
async def test_a_line_that_says_nothing_ends_the_stream(line: bytes) -> None:
    """Who asks has to be said as docs/protocol.md section 5.3 has it: else PROTOCOL_ERROR."""
    visitor = await Inspected(paths).question("GET", "/state", line=line).over()
    assert visitor.reset is not None
    assert visitor.reset[0] == ResetCode.PROTOCOL_ERROR


async def test_without_an_inspector_the_line_is_refused() -> None:
    """The app is not called, and the stream is reset with REFUSED; a WebSocket as well."""
    app = RecordingApp()
    tunnel = Inspected(app)
    tunnel.origin.inspector = None
    visitor = await tunnel.question("GET", "/state").over()
    assert visitor.reset is not None
    assert visitor.reset[0] == ResetCode.REFUSED
    tunnel = Inspected(app)
    visitor = await tunnel.connect("/live", (INSPECT, READER)).over()
    assert visitor.reset is not None
    assert visitor.reset[0] == ResetCode.REFUSED
    assert not app.scopes
