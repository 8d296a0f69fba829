"""``await share(app)``: a tunnel in a notebook's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from asgi_tunnel import ConfigError, Tunnel, TunnelError, share

from .e2e.harness import Edge, running_edge

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge for all."""
    with running_edge(tmp_path_factory.mktemp("edge")) as running:
        yield running


class App:
    """Says its name, and notes its lifespan."""

    def __init__(self, name: str, *, fails: bool = False) -> None:
        self.name = name
        self.fails = fails
        self.events: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one call."""
        if scope["type"] == "lifespan":
            await receive()
            if self.fails:
                await send({"type": "lifespan.startup.failed", "message": "no database"})
                return
            self.events.append("started")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.events.append("stopped")
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.name.encode()})


async def ask(edge: Edge, hostname: str) -> str:
    """What a visitor gets."""
    headers = {"host": f"{hostname}:{edge.port}"}
    async with httpx.AsyncClient(base_url=edge.url(""), headers=headers) as web:
        return (await web.get("/")).text


async def test_a_cell_that_is_run_again_replaces_what_it_shared(edge: Edge) -> None:
    """With the same token; the URL is the handle's, and its link what a notebook shows."""
    token = edge.create_token("cells")
    first, second = App("first"), App("second")
    before = await share(first, token=token.token)
    url = f"http://{token.hostnames[0]}:{edge.port}"
    assert before.url == url
    assert before.urls == (url,)
    assert repr(before) == f"<asgi-tunnel: {url}>"
    link = f'<a href="{url}" target="_blank" rel="noopener">{url}</a>'
    assert before._repr_html_() == f"asgi-tunnel: {link}"
    assert await ask(edge, token.hostnames[0]) == "first"

    async with await share(Tunnel(second), token=token.token) as after:
        assert not before.is_open
        assert first.events == ["started", "stopped"]
        assert await ask(edge, token.hostnames[0]) == "second"
        assert after.url == url
        await before.aclose()  # nothing is left to close
        assert after.is_open
    assert second.events == ["started", "stopped"]
    assert repr(after) == f"<asgi-tunnel: {url} (closed)>"
    assert after._repr_html_() == f"&lt;asgi-tunnel: {url} (closed)&gt;"


async def test_two_tokens_are_two_shares(edge: Edge) -> None:
    """And of a wildcard the handle shows a name that can be opened."""
    one = edge.create_token("one")
    two = edge.create_token("two", "--hostname", "*.two.example.test")
    async with await share(App("one"), token=one.token) as left:
        async with await share(App("two"), token=two.token) as right:
            assert right.url == f"http://demo.two.example.test:{edge.port}"
            assert await ask(edge, "demo.two.example.test") == "two"
            assert await ask(edge, one.hostnames[0]) == "one"
        assert left.is_open


async def test_what_cannot_be_shared(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence; and nothing of the app stays behind."""
    monkeypatch.delenv("ASGI_TUNNEL_TOKEN", raising=False)
    app = App("app")
    with pytest.raises(ConfigError, match="ASGI_TUNNEL_TOKEN is not set; create a token"):
        await share(app)
    token = edge.create_token("wrong").token
    with pytest.raises(TunnelError, match="the app did not start: no database"):
        await share(App("app", fails=True), token=token)
    with pytest.raises(TunnelError, match=r"does not serve nobody\.example\.test; on the edge"):
        await share(app, token=token, hostnames=["nobody.example.test"])
    assert app.events == ["started", "stopped"]


def test_an_event_loop_that_is_gone_is_no_obstacle(edge: Edge) -> None:
    """A program that runs one loop after another shares anew."""
    token = edge.create_token("loops")

    async def once(name: str) -> str:
        await share(App(name), token=token.token, grace=0)
        return await ask(edge, token.hostnames[0])

    assert [asyncio.run(once(name)) for name in ("first", "second")] == ["first", "second"]
