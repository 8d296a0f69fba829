"""The dashboard as people see and use it, in Chromium: what it shows, and what comes by itself."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from edge.tests.dashboard.house import BLOG, PASSWORD, SHOP, House, hello, house
from tests.pages.test_browser import (
    AXE,
    CHROMIUM,
    PHONE,
    PICTURES,
    browser,
    complaints_of,
    violations,
)

from asgi_tunnel_edge.history.file import HistoryFile
from asgi_tunnel_edge.history.tally import Tally
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import TokenRecord

pytest.importorskip("playwright", reason="`make pages` installs it")

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
]

needs_axe = pytest.mark.skipif(
    not AXE.exists(), reason="axe-core is not installed; `make pages` does that"
)

ADMIN: Final = "admin.localhost"
DESK: Final = {"width": 1280, "height": 800}
PAGES: Final = {
    "overview": "/",
    "tunnels": "/tunnels",
    "tunnel": "/tunnels/shop",
    "hosts": "/hosts?span=day",
    "certificates": "/certificates",
    "logs": "/logs",
    "settings": "/settings",
    "audit": "/audit",
    "missing": "/nowhere",
}


def remember(folder: Path) -> None:
    """Write a day of numbers, as an edge that has run for so long has them."""
    file, chance = HistoryFile(folder / "history.sqlite3"), random.Random(7)
    now = int(time.time()) // 60 * 60
    for minute in range(now - 86400, now, 600):
        busy = 40 + 30 * (1 - abs(minute % 86400 - 43200) / 43200)
        tallies = {}
        for name, share in ((SHOP, 1.0), (BLOG, 0.3)):
            tally = tallies[name] = Tally()
            for _ in range(int(busy * share)):
                status = chance.choice([200] * 40 + [404, 304, 500])
                tally.count(status, chance.randrange(500, 40_000), chance.expovariate(12))
        file.add(minute, tallies)


@asynccontextmanager
async def dashboard(folder: Path, **more: Any) -> AsyncIterator[House]:
    """One with a day behind it, some tunnels, and traffic."""
    await asyncio.to_thread(remember, folder)
    settings = {"hostname": ADMIN, "operators": ["anna"], "operator_groups": ["staff"]}
    async with house(folder, hello, dashboard=settings, **more) as one:
        for number, name in enumerate(("api", "docs", "wiki", "photos")):
            record = TokenRecord(
                id=f"tok_00000000000000a{number}",
                name=name,
                secret_sha256="0" * 64,
                hostnames=(f"{name}.example.test", f"*.{name}.example.test"),
                created_at=int(time.time()) - 86400 * number,
                owner="ben" if number % 2 else "",
            )
            Store(one.path).create_token(record)
        await one.follow()
        yield one


def url(one: House, path: str = "/") -> str:
    """Return an address for a browser."""
    return f"http://{ADMIN}:{one.edge.address.port}{path}"


async def log_in(page: Any, one: House, user: str = "anna") -> None:
    """Go to the dashboard, and through its door."""
    await page.goto(url(one))
    await page.fill("#user", user)
    await page.fill("#password", PASSWORD)
    await page.click("button:text-is('Log in')")
    await page.wait_for_selector("h1")


async def traffic(one: House, seconds: float) -> None:
    """Ask for pages of the app for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await one.live.get("/fail" if random.random() < 0.05 else "/", host=SHOP)
        await asyncio.sleep(0.02)


@needs_axe
async def test_each_page_can_be_read_by_everybody(tmp_path: Path) -> None:
    """No violation in light and dark, nothing wider than a phone, nothing against the policy."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    async with dashboard(tmp_path) as one, browser() as context:
        page = await context.new_page()
        complaints = complaints_of(page)
        await log_in(page, one)
        await page.wait_for_selector("h1:text('Overview')")
        going = asyncio.ensure_future(traffic(one, 60))
        for look, scheme, size in (
            ("light", "light", DESK),
            ("dark", "dark", DESK),
            ("phone", "light", PHONE),
        ):
            await page.set_viewport_size(size)
            await page.emulate_media(color_scheme=scheme)
            for name, path in PAGES.items():
                await page.goto(url(one, path))
                if name == "overview":
                    await page.wait_for_selector("th:text('Requests/s')")
                if await page.query_selector("[data-chart]"):
                    await page.wait_for_selector("[data-drawn] canvas")
                await page.screenshot(
                    path=PICTURES / f"dashboard-{name}-{look}.png", full_page=name != "logs"
                )
                wrong += [f"{name}, {look}: {each}" for each in await violations(page)]
                width = await page.evaluate("document.documentElement.scrollWidth")
                if width > size["width"]:
                    wrong.append(f"{name}, {look}: {width} pixels wide")
        going.cancel()
        await asyncio.wait({going})
    assert wrong == []
    assert complaints == []
