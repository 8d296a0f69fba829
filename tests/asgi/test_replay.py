from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest
from tests.asgi.memory import body, rest, start, until
from tests.inspector.world import Inspected

from asgi_tunnel.asgi import replay
from asgi_tunnel.asgi.lifespan import IS_TUNNELLED
from asgi_tunnel.asgi.replay import MAX_REPLAYS
from asgi_tunnel.inspector.settings import Inspect

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def scope_of(**changes: Any) -> dict[str, Any]:
    """A request as who repeats it makes it."""
    return {
        "type": "http",
        "method": "POST",
        "raw_path": b"/a%20b",
        "query_string": b"c=d",
        "headers": [(b"Host", b"shop.example.test"), (b"x-a", b"1")],
        "scheme": "https",
        "client": ("192.0.2.7", 50_000),
        "server": ("192.0.2.1", 443),
        **changes,
    }


class App:
    """Keeps its scopes and bodies, and replies with what it is told."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self.bodies: list[bytes] = []
        self.seen: list[tuple[bool, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Reply with 201."""
        self.scopes.append(scope)
        self.seen.append((IS_TUNNELLED.get(), VARIABLE.get()))
        self.bodies.append((await receive())["body"])
        await send(start(201, (b"content-type", b"text/plain")))
        await send(body(b"done"))


async def test_the_app_is_called_as_by_a_visitor() -> None:
    """The same scope, the state and the context of the tunnel, and the mark of a replay."""
    app = App()
    VARIABLE.set("tunnel")
    tunnel = Inspected(app, state={"a": 1})
    VARIABLE.set("later")
    await tunnel.get()
    first = tunnel.recorder.id_of(1)
    name = await tunnel.recorder.call(scope_of(), b"again", replay_of=first)
    scope = app.scopes[1]
    assert (scope["path"], scope["query_string"], scope["method"]) == ("/a b", b"c=d", "POST")
    assert scope["extensions"]["asgi_tunnel"]["replay_of"] == first
    assert "replay_of" not in app.scopes[0]["extensions"]["asgi_tunnel"]
    assert scope["extensions"].keys() == app.scopes[0]["extensions"].keys()
    assert scope["state"] == {"a": 1}
    assert (b"host", b"shop.example.test") in scope["headers"]
    assert app.bodies[1] == b"again"
    assert app.seen == [(True, "tunnel")] * 2
    found = tunnel.recorder.detail(name)
    assert found is not None
    assert (found["replay_of"], found["status"], found["state"]) == (first, 201, "done")
    assert found["response"]["body"]["text"] == "done"
    assert found["host"] == "shop.example.test"


async def test_what_is_end_to_end_stays_so() -> None:
    """The replay of what the edge must not see is not for the edge either."""
    tunnel = Inspected(App())
    tunnel.connector.on_stream = tunnel.origin.serve_end_to_end
    await tunnel.get()
    name = await tunnel.recorder.call(scope_of(), b"", replay_of=tunnel.recorder.id_of(1))
    found = tunnel.recorder.detail(name)
    assert found is not None
    assert found["end_to_end"] is True


async def test_a_response_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks gets the id of what is open; the visitor who is not there leaves after a while."""
    monkeypatch.setattr(replay, "REPLAY_WAIT", 0.01)
    monkeypatch.setattr(replay, "REPLAY_TIMEOUT", 0.05)

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, (b"content-type", b"text/event-stream")))
        while True:
            await send(body(b"data: x\n\n", more=True))
            await asyncio.sleep(0.001)

    tunnel = Inspected(endless)
    name = await tunnel.recorder.call(scope_of(), b"", replay_of="")
    await until(lambda: not tunnel.origin.in_flight, "it went on for ever")
    found = tunnel.recorder.detail(name)
    assert found is not None
    assert (found["state"], found["error"]) == ("cut", None)


async def test_there_is_a_most_of_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused, and a place that is free is given again; the app's end ends them."""
    monkeypatch.setattr(replay, "REPLAY_WAIT", 0.0)
    go_on = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await go_on.wait()
        await App()(scope, receive, send)

    tunnel = Inspected(slow)
    for _ in range(MAX_REPLAYS):
        await tunnel.recorder.call(scope_of(), b"", replay_of="")
    with pytest.raises(RuntimeError, match="replays are in progress"):
        await tunnel.recorder.call(scope_of(), b"", replay_of="")
    go_on.set()
    await until(lambda: not tunnel.origin.in_flight, "they did not end")
    await rest()
    await tunnel.recorder.call(scope_of(), b"", replay_of="")
    await tunnel.origin.finish(0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"raw_path": b"/a\nb"},
        {"headers": [(b"x", b"a\r\nb")]},
        {"headers": [(b"x\0", b"a")]},
        {"client": ("a b", 1)},
        {"client": ("a", 70_000)},
    ],
)
async def test_what_no_request_has_is_refused(wrong: dict[str, Any]) -> None:
    """A line end in a field would become another field; the app is not called."""
    app = App()
    tunnel = Inspected(app)
    with pytest.raises(ValueError, match=r"holds|is not"):
        await tunnel.recorder.call(scope_of(**wrong), b"", replay_of="")
    assert not app.scopes


async def test_nothing_is_repeated_while_nothing_is_recorded() -> None:
    """There would be no record to look at."""
    tunnel = Inspected(App(), Inspect())
    tunnel.recorder.level = "off"
    with pytest.raises(RuntimeError, match="nothing is recorded"):
        await tunnel.recorder.call(scope_of(), b"", replay_of="")
