from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import flask
import pytest

from asgi_tunnel import Services
from asgi_tunnel.errors import StreamResetError
from asgi_tunnel.testing import LocalEdge


def make_app() -> flask.Flask:
    """A Flask app."""
    app = flask.Flask("shop")

    @app.route("/where")
    def where() -> dict[str, Any]:
        request = flask.request
        return {
            "url": request.url,
            "root": request.root_path if hasattr(request, "root_path") else "",
            "script": request.environ["SCRIPT_NAME"],
            "path": request.path,
            "address": request.remote_addr,
            "field": request.headers.get("X-A"),
            "cookies": dict(request.cookies),
        }

    @app.post("/echo")
    def echo() -> bytes:
        return flask.request.get_data()

    @app.route("/café")
    def accent() -> str:
        return flask.request.path

    @app.route("/fail")
    def fail() -> str:
        raise RuntimeError("broken")

    return app


async def test_a_flask_app_is_served_below_a_path() -> None:
    """SCRIPT_NAME, PATH_INFO, fields and the body are what PEP 3333 says."""
    services = Services({"*/shop": {"to": make_app(), "strip": True}, "*": {"to": make_app()}})
    async with LocalEdge(services, hostname="a.test") as edge:
        headers = [("x-a", "1"), ("x-a", "2"), ("x_a", "3"), ("cookie", "c=1"), ("cookie", "d=2")]
        found = (await edge.get("/shop/where?q=1", headers=headers)).json()
        assert found["url"] == "https://a.test/shop/where?q=1"
        assert (found["script"], found["path"]) == ("/shop", "/where")
        assert (found["field"], found["address"]) == ("1,2", "192.0.2.1")
        assert found["cookies"] == {"c": "1", "d": "2"}
        assert (await edge.get("/where")).json()["script"] == ""
        assert (await edge.post("/echo", b"x" * 300_000)).body == b"x" * 300_000
        assert (await edge.get("/caf%C3%A9")).text == "/café"
        assert (await edge.get("/fail")).status == 500
        assert (await edge.request("HEAD", "/where")).status == 200


async def test_a_body_is_read_as_it_comes() -> None:
    """An app that reads a line gets it before the visitor has sent the next."""
    lines: list[bytes] = []
    seen = asyncio.Event()
    loop = asyncio.get_running_loop()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        lines.append(environ["wsgi.input"].readline())
        loop.call_soon_threadsafe(seen.set)
        lines.append(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"a", b"", b"b"]

    async def body() -> AsyncIterator[bytes]:
        yield b"one\n"
        await seen.wait()
        yield b"two"
        yield b"three"

    async with LocalEdge(Services({"*": app})) as edge:
        response = await edge.request("POST", "/", body=body())
        assert response.body == b"ab"
    assert lines == [b"one\n", b"twothree"]


async def test_a_visitor_who_leaves_ends_an_endless_response() -> None:
    """The iterable is closed, as PEP 3333 asks, and its thread is free."""
    closed = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.set()

    async with LocalEdge(Services({"*": app})) as edge:
        async with edge.stream("GET", "/") as response:
            assert await anext(response)
        assert await asyncio.to_thread(closed.wait, 10)


async def test_mistakes_of_an_app_are_its_own() -> None:
    """A body without a head is 500; an error in the middle is a cut."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        if environ["PATH_INFO"] == "/late":
            start_response("200 OK", [])
        yield b"x"
        raise RuntimeError("broken")

    async with LocalEdge(Services({"*": app})) as edge:
        assert (await edge.get("/early")).status == 500
        with pytest.raises(StreamResetError):
            await edge.get("/late")
