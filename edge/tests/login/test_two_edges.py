"""Doors of two edges that share a store: one login for both, and its end within a second."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from edge.tests.live import SHOP, live_edge

from asgi_tunnel_edge.accounts import LinkRecord
from asgi_tunnel_edge.tokens import secret_digest

from .test_login import ACCESS, SETTINGS, World, door

if TYPE_CHECKING:
    from edge.tests.postgres import PostgresServer

pytestmark = pytest.mark.anyio

WITHIN = 10.0
"""Seconds on a loaded machine; 0.3 s on an idle one."""


@pytest.fixture
async def two(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[tuple[World, World]]:
    """Two edges; the app is behind the first one, the second says 503 to who passes its door."""
    url = postgres.create()
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        (folder / "tls").mkdir(parents=True)
    async with door(first, store=url) as one:
        shutil.copy(first / "tls/store.key", second / "tls/store.key")  # as `cluster join` does
        limits = {"hold_timeout": 0}
        settings = {**SETTINGS, "store": url, "limits": limits}
        async with live_edge(second, token=one.live.token, **settings) as live:
            yield one, World(live, one.store)


async def until(world: World, cookie: str, status: int) -> None:
    """Ask an edge until it gives this response to who has a cookie."""
    async with world.browser(cookie=cookie) as browser, asyncio.timeout(WITHIN):
        while True:
            # The edge ends the connections of whoever is out from now on.
            with suppress(httpx.TransportError):
                if (await browser.get("/album/7")).status_code == status:
                    return
            await asyncio.sleep(0.02)


async def test_one_login_for_both(two: tuple[World, World]) -> None:
    """The second edge knows the cookie of the first, and that it has ended."""
    first, second = two
    async with first.browser() as browser, second.browser() as stranger:
        await first.log_in(browser)
        cookie = browser.headers["cookie"]
        assert (await browser.get("/")).status_code == 200
        assert (await stranger.get("/")).status_code == 303
        stranger.headers["cookie"] = cookie
        assert (await stranger.get("/")).status_code == 503  # there is no app here
        (session,) = first.store.sessions()
        await asyncio.to_thread(first.store.end_sessions, [session.id])
        for world in two:
            await until(world, cookie, 303)


async def test_a_link_for_one_visitor(two: tuple[World, World]) -> None:
    """Whoever opens it second is refused, at whichever edge."""
    first, second = two
    link = LinkRecord(
        id="link_1",
        secret_sha256=secret_digest("sesame"),
        hostname=SHOP,
        path="/album/7",
        max_uses=1,
    )
    first.store.create_link(link)
    for world in two:
        await world.follow()

    async def opened(world: World) -> httpx.Response:
        async with world.browser() as browser:
            return await browser.post(f"{ACCESS}link/sesame")

    responses = await asyncio.gather(opened(first), opened(second))
    assert sorted(one.status_code for one in responses) == [303, 404]
    (good,) = [one for one in responses if one.status_code == 303]
    cookie = good.headers["set-cookie"].partition(";")[0]
    await until(first, cookie, 200)
    await until(second, cookie, 503)
    await asyncio.to_thread(first.store.revoke_link, "link_1")
    for world in two:
        await until(world, cookie, 303)
