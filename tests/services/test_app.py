from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.services.scripted import OK, Call, answering, scripted

from asgi_tunnel import Services, Tunnel
from asgi_tunnel.errors import ConfigError
from asgi_tunnel.services import app as services_app
from asgi_tunnel.testing import LocalEdge, WebSocketDeniedError


class App:
    """An app with a lifespan; it answers with its name and what it was asked.

    Attributes:
        log: Its startups and shutdowns.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.log: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one call."""
        if scope["type"] == "lifespan":
            await receive()
            self.log.append("startup")
            scope["state"]["name"] = self.name
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.log.append("shutdown")
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["path"].endswith("/raise"):
            raise RuntimeError("broken")
        keys = [scope["state"]["name"], scope["root_path"], scope["path"]]
        body = "|".join([*keys, scope["raw_path"].decode()]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


async def ask(edge: LocalEdge, host: str, path: str) -> str:
    """The body of a response, or its status."""
    response = await edge.get(path, headers={"host": host})
    return response.text if response.status == 200 else str(response.status)


async def test_each_hostname_and_path_has_its_own_app() -> None:
    """With its own state, and paths as the table says."""
    services = Services(
        {
            "a.test/api": {"to": App("api"), "strip": True},
            "a.test/v1": {"to": App("v1"), "replace": "/v2"},
            "a.test/whole": App("whole"),
            "a.test": App("a"),
            "*.b.test": App("b"),
        },
        default=App("default"),
    )
    async with LocalEdge(services) as edge:
        assert await ask(edge, "a.test", "/%61pi/x%2fy") == "api|/api|/api/x/y|/api/x%2fy"
        assert await ask(edge, "A.test:8443", "/api") == "api|/api|/api|/api"
        assert await ask(edge, "a.test.", "/v1/x") == "v1||/v2/x|/v2/x"
        assert await ask(edge, "a.test", "/whole/x") == "whole||/whole/x|/whole/x"
        assert await ask(edge, "a.test", "/x%20y") == "a||/x y|/x%20y"
        assert await ask(edge, "x.b.test", "/") == "b||/|/"
        assert await ask(edge, "c.test", "/") == "default||/|/"
        assert await ask(edge, "a.test", "/api/../x") == "400"
        assert await ask(edge, "a.test", "/api/raise") == "500"
        assert await ask(edge, "a.test", "/") == "a||/|/"


async def test_a_name_that_no_service_has() -> None:
    """404, for a WebSocket too; two Hosts are refused."""
    async with LocalEdge(Services({"a.test": App("a")})) as edge:
        assert await ask(edge, "b.test", "/") == "404"
        with pytest.raises(WebSocketDeniedError) as caught:
            async with edge.websocket("/"):
                pass
        assert caught.value.status == 404
        two = [("host", "a.test"), ("host", "b.test")]
        assert (await edge.get("/", headers=two)).status in (400, 404)


async def test_lifespans_run_once_each() -> None:
    """Startup before the first request, shutdown after the last."""
    one, two = App("one"), App("two")
    async with LocalEdge(Services({"a.test": one, "b.test": two})) as edge:
        assert (one.log, two.log) == (["startup"], ["startup"])
        await edge.restart_app()
        assert one.log == ["startup", "shutdown", "startup"]
    assert two.log == ["startup", "shutdown"] * 2


async def test_an_app_that_does_not_start_answers_503_while_others_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is tried again by itself, and serves as soon as it starts."""
    from asgi_tunnel.services import hosted

    monkeypatch.setattr(hosted, "RESTART_DELAY", 0.02)
    is_ready = asyncio.Event()
    good = App("bad")

    async def bad(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" and not is_ready.is_set():
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        await good(scope, receive, send)

    async with LocalEdge(Services({"a.test": bad, "b.test": App("b")})) as edge:
        response = await edge.get("/", headers={"host": "a.test"})
        assert (response.status, response.headers.get("retry-after")) == (503, "5")
        assert await ask(edge, "b.test", "/") == "b||/|/"
        is_ready.set()
        async with asyncio.timeout(10):
            while await ask(edge, "a.test", "/") == "503":  # noqa: ASYNC110 - as a visitor sees it
                await asyncio.sleep(0.01)
        assert await ask(edge, "a.test", "/") == "bad||/|/"


async def test_a_slow_startup_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the others serve; it takes requests when it is ready."""
    monkeypatch.setattr(services_app, "STARTUP_TIMEOUT", 0.02)
    go = asyncio.Event()
    app = App("slow")

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await go.wait()
        await app(scope, receive, send)

    async with LocalEdge(Services({"a.test": slow, "b.test": App("b")})) as edge:
        assert await ask(edge, "b.test", "/") == "b||/|/"
        waiting = asyncio.ensure_future(ask(edge, "a.test", "/"))
        await asyncio.sleep(0)
        go.set()
        assert await waiting == "slow||/|/"


async def test_a_change_starts_what_is_new_and_keeps_what_is_equal() -> None:
    """What is gone gets its shutdown when its last request is over, on the old table."""
    kept, gone, new = App("kept"), App("gone"), App("new")
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            asked.set()
            await go.wait()
        await gone(scope, receive, send)

    services = Services({"a.test": kept, "b.test": slow})
    async with LocalEdge(services) as edge:
        waiting = asyncio.ensure_future(ask(edge, "b.test", "/"))
        await asked.wait()
        await services.replace({"a.test": kept, "c.test": new})
        assert await ask(edge, "a.test", "/") == "kept||/|/"
        assert await ask(edge, "b.test", "/") == "404"
        assert await ask(edge, "c.test", "/") == "new||/|/"
        assert (kept.log, gone.log, new.log) == (["startup"], ["startup"], ["startup"])
        go.set()
        assert await waiting == "gone||/|/"
        async with asyncio.timeout(10):
            while gone.log != ["startup", "shutdown"]:  # noqa: ASYNC110 - the app's own log
                await asyncio.sleep(0.005)
        with pytest.raises(ConfigError):
            await services.replace({"a b": kept})
        assert await ask(edge, "a.test", "/") == "kept||/|/"


async def test_a_thousand_changes_under_load_drop_nothing() -> None:
    """Requests to services that are there before and after, while the table changes."""

    async def slow(call: Call) -> None:
        while True:
            await call.head()
            await asyncio.sleep(0.001)
            await call.say(OK)

    app = App("a")
    statuses: dict[str, int] = {}
    async with scripted(slow) as service:
        services = Services({"a.test": app, "b.test": service.url})

        async def load(host: str) -> None:
            while not done.is_set():
                response = await edge.get("/", headers={"host": host})
                key = f"{host} {response.status}"
                statuses[key] = statuses.get(key, 0) + 1

        done = asyncio.Event()
        async with LocalEdge(services) as edge:
            loads = [asyncio.ensure_future(load(host)) for host in ("a.test", "b.test")]
            for number in range(1000):
                # The proxy's own settings change each time: its connections are replaced too.
                proxy = {"to": service.url, "max_connections": 100 + number % 2}
                await services.replace(
                    {"a.test": app, "b.test": proxy, f"n{number}.test": {"status": 200}}
                )
                await asyncio.sleep(0)
            done.set()
            await asyncio.gather(*loads)
    assert set(statuses) == {"a.test 200", "b.test 200"}
    assert app.log == ["startup", "shutdown"]


async def test_the_tunnel_takes_services() -> None:
    """With an app for what none takes; without both there is nothing to serve."""
    tunnel = Tunnel(App("rest"), services={"a.test/x": {"status": 410}}, enabled=False)
    async with LocalEdge(tunnel) as edge:
        assert await ask(edge, "a.test", "/x") == "410"
        assert await ask(edge, "a.test", "/") == "rest||/|/"
    with pytest.raises(ConfigError, match="has nothing to serve"):
        Tunnel()


async def test_a_server_without_a_lifespan_starts_the_apps_late() -> None:
    """With the first request."""
    app = App("a")
    services = Services({"*": app})
    async with LocalEdge(services, lifespan="off") as edge:
        assert await ask(edge, "a.test", "/") == "a||/|/"
    assert app.log == ["startup"]
    await services._stop()  # nothing else ends it here
    assert app.log == ["startup", "shutdown"]


async def test_a_service_that_ends_and_comes_back_disturbs_nobody() -> None:
    """503 with Retry-After while it is away; the others go on."""
    async with scripted(answering(OK)) as service:
        port = service.port
        url = service.url
    services = Services({"a.test": url, "b.test": App("b")})
    async with LocalEdge(services) as edge:
        for _ in range(3):
            async with scripted(answering(OK), port=port):
                assert await ask(edge, "a.test", "/") == "ok"
            response = await edge.get("/", headers={"host": "a.test"})
            assert (response.status, response.headers.get("retry-after")) == (503, "5")
            assert await ask(edge, "b.test", "/") == "b||/|/"


async def test_a_first_call_that_is_cancelled_stops_no_other() -> None:
    """A visitor who leaves while an app starts: it goes on starting, for those behind."""
    goes_on = asyncio.Event()
    served = App("a")

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await goes_on.wait()
        await served(scope, receive, send)

    services = Services({"*": slow})
    async with LocalEdge(services, lifespan="off") as edge:
        await edge.wait_connected()
        scope = {"type": "http", "headers": [(b"host", b"a.test")], "path": "/", "raw_path": b"/"}
        first = asyncio.ensure_future(services(scope, asyncio.Event().wait, asyncio.sleep))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        second = asyncio.ensure_future(ask(edge, "a.test", "/"))
        await asyncio.sleep(0)
        goes_on.set()
        async with asyncio.timeout(10):
            assert await second == "a||/|/"
    await services._stop()
    assert served.log == ["startup", "shutdown"]
