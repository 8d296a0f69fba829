"""The dashboard as people see and use it, in Chromium: what it shows, and what comes by itself."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from edge.tests.dashboard.house import BLOG, PASSWORD, SHOP, House, hello, house
from tests.pages.chromium import (
    BROWSER,
    PHONE,
    PICTURES,
    browser,
    complaints_of,
    look_at,
    needs_axe,
    violations,
)

from asgi_tunnel_edge.history.file import HistoryFile
from asgi_tunnel_edge.history.tally import Tally
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import TokenRecord

pytestmark = BROWSER

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


async def drawn(page: Any) -> None:
    """Wait for what comes by itself: numbers of the last seconds, and charts."""
    if await page.query_selector("h1:text('Overview')"):
        await page.wait_for_selector("th:text('Requests/s')")
    if await page.query_selector("[data-chart]"):
        await page.wait_for_selector("[data-drawn] canvas")


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
        for name, path in PAGES.items():
            picture = f"dashboard-{name}"
            wrong += await look_at(
                page, picture, url(one, path), drawn, desk=DESK, is_whole=name != "logs"
            )
        going.cancel()
        await asyncio.wait({going})
    assert wrong == []
    assert complaints == []


async def test_a_tunnel_comes_online_before_ones_eyes(tmp_path: Path) -> None:
    """Logged in, with the list open: the app connects, and its row says so by itself."""
    settings = {"hostname": ADMIN, "operators": ["anna"]}
    async with house(tmp_path, None, dashboard=settings) as one, browser() as context:
        page = await context.new_page()
        complaints = complaints_of(page)
        await log_in(page, one)
        await page.click("nav a:text-is('Tunnels')")
        await page.wait_for_selector("tr:has-text('shop') .state:text('offline')")
        await one.live.connect(hello)
        await page.wait_for_selector("tr:has-text('shop') .state:text('online')")
        await page.click("a:text-is('shop')")
        await page.wait_for_selector("dd .state.good:text('online')")
        assert await page.evaluate("document.querySelector('.qr img').naturalWidth") > 0
        old = set(one.edge.directory.entries)
        await page.click("summary:text-is('End sessions')")
        await page.click("form button:text-is('End sessions')")
        await page.wait_for_selector("[role=status]:text('have ended')")
        async with asyncio.timeout(20):
            while not set(one.edge.directory.entries) - old:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await page.wait_for_selector("dd .state.good:text('online')")
        await page.goto(url(one, "/audit"))
        await page.wait_for_selector("tr:has-text('tunnel.kick'):has-text('user:anna')")
        await page.click("text=Sign out")
        await page.wait_for_selector("h1:text('You are signed out')")
        await page.goto(url(one))
        await page.wait_for_selector("#password")
    assert complaints == []


async def focused(page: Any) -> str:
    """What has the focus, as somebody hears it; and that it can be seen there."""
    return str(
        await page.evaluate(
            """() => {
                const one = document.activeElement, box = one.getBoundingClientRect();
                const ring = getComputedStyle(one).outlineStyle !== "none";
                const seen = box.width > 0 && box.left >= 0 && ring;
                const name = one.innerText || one.ariaLabel || one.tagName;
                return (seen ? "" : "UNSEEN ") + name.trim();
            }"""
        )
    )


async def test_all_can_be_done_with_the_keyboard(tmp_path: Path) -> None:
    """From the first key on: the focus is always seen, and in the order of the page."""
    async with dashboard(tmp_path) as one, browser(viewport=DESK) as context:
        page = await context.new_page()
        await log_in(page, one)
        await page.goto(url(one, "/tunnels/shop"))
        await page.wait_for_selector("[data-drawn]")
        walked = []
        for _ in range(60):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement === document.body"):
                break  # the end of the page
            walked.append(await focused(page))
        assert not [one for one in walked if one.startswith("UNSEEN")], walked
        order = ["Skip to content", "example.test", "Overview", "Tunnels", "Hostnames"]
        assert walked[:5] == order
        for name in ("Sign out", "Drain", "End sessions", "shop.example.test", "Hour", "60 days"):
            assert name in walked
        await page.goto(url(one, "/tunnels/shop"))
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")  # past the navigation
        await page.keyboard.press("Tab")
        assert await focused(page) == "Drain"
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("[role=status]:text('take nothing new')")


@needs_axe
async def test_a_phone_has_a_menu(tmp_path: Path) -> None:
    """Which opens and closes without a script, and can be read by everybody."""
    async with dashboard(tmp_path) as one, browser(viewport=PHONE) as context:
        page = await context.new_page()
        await log_in(page, one)
        assert not await page.is_visible("nav")
        await page.click("text=Menu")
        await page.wait_for_selector("nav a:text-is('Audit log')")
        await page.screenshot(path=PICTURES / "dashboard-menu-phone.png")
        assert await violations(page) == []
        await page.click("text=Close")
        await page.wait_for_selector("nav", state="hidden")
        await page.click("text=Menu")
        await page.click("nav a:text-is('Logs')")
        await page.wait_for_selector("h1:text('Logs')")
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


async def test_everything_can_be_read_without_scripts(tmp_path: Path) -> None:
    """Tables, numbers over time, the log; and what changes something works, too."""
    async with dashboard(tmp_path) as one, browser(java_script_enabled=False) as context:
        await one.live.get("/", host=SHOP)
        page = await context.new_page()
        await log_in(page, one)
        await page.goto(url(one, "/hosts?span=day"))
        assert await page.is_visible(f".totals td:text('{SHOP}')")
        await page.goto(url(one, "/logs"))
        assert await page.is_visible(".log div:has-text('GET /')")
        await page.goto(url(one, "/tunnels?q=wik"))
        assert await page.is_visible("td a:text-is('wiki')")
        assert not await page.is_visible("td a:text-is('docs')")
        await page.goto(url(one, "/tunnels/shop"))
        await page.click("summary:text-is('Drain')")
        await page.click("form button:text-is('Drain')")
        await page.wait_for_selector("[role=status]")


async def test_what_others_write_runs_nowhere(tmp_path: Path) -> None:
    """In the log that comes by itself, and in what an app's side says of itself."""
    async with dashboard(tmp_path) as one, browser() as context:
        page = await context.new_page()
        complaints = complaints_of(page)
        dialogs: list[str] = []
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        await log_in(page, one)
        await page.goto(url(one, "/logs"))
        for entry in one.edge.directory.entries:
            entry.agent = "<img src=x onerror=alert(1)>"
        target = "/<img/src=x/onerror=alert(1)><script>alert(2)</script>"
        reader, writer = await asyncio.open_connection("127.0.0.1", one.edge.address.port)
        head = f"GET {target} HTTP/1.1\r\nHost: {SHOP}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        await reader.read()
        writer.close()
        await page.wait_for_selector(".log div:has-text('onerror')")
        assert await page.query_selector(".log img, .log script") is None
        await page.goto(url(one, "/tunnels/shop"))
        await page.wait_for_selector("dd:has-text('onerror')")
        assert await page.query_selector("dd img") is None
        assert dialogs == []
    assert complaints == []
