from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import anyio
import pytest
from tests.asgi.memory import body, start, until
from tests.inspector.world import READER, Inspected

from asgi_tunnel.inspector import actions
from asgi_tunnel.inspector.actions import Actions
from asgi_tunnel.inspector.app import InspectorApp
from asgi_tunnel.inspector.har import make_har
from asgi_tunnel.inspector.settings import Inspect

from .details import exchange

SECRET = "whsec_a_secret_of_the_sender"


class Shop:
    """An app that fails for orders without a customer, and keeps the scopes and bodies."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one exchange."""
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await self._talk(receive, send)
            return
        data = b""
        while (message := await receive())["type"] == "http.request":
            data += message["body"]
            if not message.get("more_body", False):
                break
        self.bodies.append(data)
        if data.startswith(b"{"):
            data = json.loads(data)["customer"].encode()
        await send(start(200, (b"content-type", b"text/plain")))
        await send(body(data))

    async def _talk(self, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "welcome"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": f"you said {message['text']}"})


class World(Inspected):
    """The app behind a tunnel, with all that the inspector does."""

    def __init__(self, settings: Inspect | None = None) -> None:
        self.shop = Shop()
        super().__init__(self.shop, settings)
        act = Actions(lambda: "shop.main:app")
        self.origin.inspector = InspectorApp(self.recorder, dict, act)

    async def order(self, data: bytes = b'{"customer": null}', *fields: Any) -> str:
        """Send an order; return its id."""
        await self.ask("POST", "/orders", *fields, body=data).over()
        return str((await self.newest())["id"])

    async def replay(self, name: str, edits: Any = None) -> Any:
        """Replay an exchange; return the new one."""
        given = b"" if edits is None else json.dumps(edits).encode()
        visitor = self.question("POST", f"/exchanges/{name}/replay", given)
        with anyio.fail_after(20):
            while not visitor.is_over:  # noqa: ASYNC110 - a replay takes real time
                await anyio.sleep(0.005)
        assert visitor.status == 201, visitor.body
        return await self.look(f"/exchanges/{json.loads(visitor.body)['id']}")


async def refused(world: World, method: str, target: str, data: Any = b"", **more: Any) -> str:
    """Return status and sentence of what is refused."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    visitor = await world.put(method, target, raw, **more)
    return f"{visitor.status} {json.loads(visitor.body)['error']}"


async def test_a_replay_is_a_call_of_the_app() -> None:
    """It fails as the first one did, is recorded, and the app may know what it is."""
    world = World()
    name = await world.order()
    found = await world.replay(name)
    assert found["error"] == "AttributeError: 'NoneType' object has no attribute 'encode'"
    assert (found["status"], found["replay_of"]) == (500, name)
    first, second = world.shop.scopes
    assert second["extensions"]["asgi_tunnel"]["replay_of"] == name
    assert "replay_of" not in first["extensions"]["asgi_tunnel"]
    for key in ("method", "path", "raw_path", "query_string", "scheme", "http_version"):
        assert first[key] == second[key]
    own = {b"x-request-id"}
    assert [one for one in first["headers"] if one[0] not in own] == [
        one for one in second["headers"] if one[0] not in own
    ]


async def test_an_edited_replay() -> None:
    """With another body the same request is answered."""
    world = World()
    name = await world.order()
    found = await world.replay(
        name, {"body": {"text": '{"customer": "anna"}'}, "path": "/orders?again=1"}
    )
    assert (found["status"], found["path"]) == (200, "/orders?again=1")
    assert found["response"]["body"]["text"] == "anna"


async def test_a_webhook_is_signed_again_and_the_secret_is_nowhere() -> None:
    """The app gets a signature of the new body; the recorder holds nothing of the secret."""
    world = World()
    name = await world.order(b"[]", (b"x-hub-signature-256", b"sha256=old"))
    edits = {"body": {"text": "[1]"}, "resign": {"secret": SECRET}}
    found = await world.replay(name, edits)
    signature = "sha256=" + hmac.new(SECRET.encode(), b"[1]", hashlib.sha256).hexdigest()
    assert (b"x-hub-signature-256", signature.encode()) in world.shop.scopes[1]["headers"]
    listed = await world.look("/exchanges")
    everything = [await world.look(f"/exchanges/{one['id']}") for one in listed["exchanges"]]
    assert found in everything
    assert SECRET not in json.dumps(everything)


async def test_a_websocket_is_replayed() -> None:
    """Its visitor's messages go to the app in their order, each after what the app had sent."""
    world = World()
    socket = await world.connect("/live").started()
    for number, text in enumerate(("one", "two")):
        await until(lambda: len(socket.messages) == number + 1)  # noqa: B023 - awaited here
        socket.say(text)
    await until(lambda: len(socket.messages) == 3)
    socket.close(1000)
    await world.returned()
    first = await world.newest()
    found = await world.replay(first["id"])
    assert (found["kind"], found["status"], found["state"]) == ("websocket", 101, "done")
    said = [(one["from"], one["text"]) for one in found["exchange_messages"]]
    assert said == [
        ("app", "welcome"),
        ("visitor", "one"),
        ("app", "you said one"),
        ("visitor", "two"),
        ("app", "you said two"),
    ]
    assert world.shop.scopes[1]["extensions"]["asgi_tunnel"]["replay_of"] == first["id"]


async def test_exports() -> None:
    """As a curl command, a test and a HAR."""
    world = World()
    name = await world.order()
    visitor = await world.put("GET", f"/exchanges/{name}/curl")
    assert visitor.body.startswith(b"curl \\\n  'https://shop.example.test/orders'")
    visitor = await world.put("GET", f"/exchanges/{name}/test")
    assert b"from shop.main import app\n" in visitor.body
    one = await world.look(f"/exchanges/{name}/har")
    assert one == await world.look(f"/har?ids={name}") == await world.look("/har")
    assert one["log"]["entries"][0]["request"]["postData"]["text"] == '{"customer": null}'


async def test_an_import_is_there_to_be_replayed() -> None:
    """A HAR of another program becomes exchanges, without their secrets."""
    world = World()
    fields = [("host", "shop.example.test"), ("authorization", "Bearer abcdefgh")]
    document = make_har([exchange("DELETE", "/orders/1", fields=fields)])
    visitor = await world.put("POST", "/har", json.dumps(document).encode())
    assert visitor.status == 201
    (name,) = json.loads(visitor.body)["ids"]
    kept = await world.look(f"/exchanges/{name}")
    assert ["authorization", "[redacted]"] in kept["request"]["fields"]
    found = await world.replay(name, {"values": {"authorization": "Bearer new"}})
    assert (found["method"], found["status"]) == ("DELETE", 200)
    assert (b"authorization", b"Bearer new") in world.shop.scopes[0]["headers"]
    assert world.shop.scopes[0]["server"] is not None


async def test_a_diff() -> None:
    """What an edit changed, in the request and in the response."""
    world = World()
    name = await world.order(b"one")
    other = (await world.replay(name, {"body": {"text": "two"}}))["id"]
    found = await world.look(f"/diff?a={name}&b={other}")
    assert not found["is_same"]
    assert [(one["part"], one["at"]) for one in found["changes"]] == [
        ("request", "field content-length"),
        ("request", "body"),
        ("response", "body"),
    ]


async def test_refusals() -> None:
    """Each has a status and one sentence; who may only look changes nothing."""
    world = World()
    name = await world.order()
    replay = f"/exchanges/{name}/replay"
    none = "404 there is no exchange of this id, or it has given way to newer ones"
    assert await refused(world, "GET", "/exchanges/0123456789abcdef/curl") == none
    assert await refused(world, "GET", f"/diff?a={name}") == none
    assert await refused(world, "GET", f"/har?ids={name},x") == none
    assert await refused(world, "POST", "/exchanges/x/replay", {}) == none
    readers = "403 you may look, and not change anything"
    assert await refused(world, "POST", replay, {}, line=READER) == readers
    assert await refused(world, "POST", "/har", {}, line=READER) == readers
    assert (await refused(world, "POST", replay, {"path": 1})).startswith("400 path is not a path")
    assert await refused(world, "POST", replay, b"{") == "400 the body is no JSON"
    assert (await refused(world, "POST", "/har", {})).startswith("400 the HAR has no log;")
    assert (await refused(world, "POST", replay, {"resign": {"secret": "x"}})).startswith("409 ")
    assert (await refused(world, "GET", "/exchanges/x/nothing")).startswith("404 the inspector has")
    assert (await refused(world, "DELETE", "/har")).startswith("404 the inspector has nothing")
    assert (await refused(world, "GET", f"/exchanges/{name}/curl?a=1")).startswith("400 the query")
    assert len(world.shop.scopes) == 1


async def test_level_metadata() -> None:
    """There is nothing to replay, and the sentence says what to do."""
    world = World(Inspect(level="metadata"))
    name = await world.order()
    assert (await refused(world, "POST", f"/exchanges/{name}/replay")).startswith(
        "409 only numbers were recorded of it, so there is nothing to replay; set the level to full"
    )


@pytest.mark.plain
async def test_bounds_of_an_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exchanges and bytes of one reply are bounded; the sentence says what to do."""
    world = World()
    names = [await world.order(b"x" * 100) for _ in range(2)]
    monkeypatch.setattr(actions, "MAX_EXPORTED", 1)
    assert (await refused(world, "GET", "/har")).startswith("413 there are more than 1 exchanges")
    monkeypatch.setattr(actions, "MAX_EXPORT", 300)
    assert await world.look(f"/har?ids={names[0]}")
    found = await refused(world, "GET", f"/har?ids={','.join(names)}")
    assert found.startswith("413 these exchanges hold more than 300 bytes; ask for fewer")
