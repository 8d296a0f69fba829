"""The whole way of somebody with a bug, in a real browser and with a real app's process.

Log in, make a token, see the tunnel come online, see a request fail, look at it, repeat it, change
it, save it as a test, run that red, mend the app, run it green, and take the token back.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from edge.tests.dashboard.house import House, house
from tests.e2e.harness import BIN, Process, spawn
from tests.pages.chromium import BROWSER, PICTURES, browser, complaints_of, look_at, needs_axe
from tests.pages.test_dashboard import ADMIN, DESK, log_in, url

pytestmark = [*BROWSER, needs_axe]

APP: Final = """
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

PRICES = {"tea": 3}


async def order(request: Request) -> JSONResponse:
    wanted = await request.json()
    return JSONResponse({"price": PRICES[wanted["item"]] * wanted["count"]})


app = Starlette(routes=[Route("/orders", order, methods=["POST"])])
"""
MENDED: Final = APP.replace('PRICES[wanted["item"]]', 'PRICES.get(wanted["item"], 0)')


@asynccontextmanager
async def running_app(folder: Path, token: str) -> AsyncIterator[Process]:
    """The app, as its owner starts it."""
    env = {"ASGI_TUNNEL_TOKEN": token, "ASGI_TUNNEL_STATUS": str(folder)}
    command = [str(BIN / "asgi-tunnel"), "run", "--inspect=full", "orders:app"]
    process = await asyncio.to_thread(spawn, command, folder, env=env, cwd=folder)
    try:
        yield process
    finally:
        await asyncio.to_thread(process.stop)


def run_test(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run what was saved, as its owner does."""
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in ("PYTEST_CURRENT_TEST", "PYTEST_VERSION", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
        env.pop(name, None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_bug.py"]
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )


async def order(one: House, item: str) -> int:
    """Order something as a visitor; return the status."""
    body = f'{{"item": "{item}", "count": 2}}'.encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", one.edge.address.port)
    head = (
        "POST /orders HTTP/1.1\r\nHost: orders.example.test\r\nConnection: close\r\n"
        f"Authorization: Bearer a-secret\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    line = await reader.readline()
    await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


async def test_from_a_new_token_to_a_mended_bug(tmp_path: Path) -> None:
    """Each step as a person does it; nothing of the visitor's secret is seen on the way."""
    app_folder = tmp_path / "app"
    app_folder.mkdir()
    (tmp_path / "edge").mkdir()
    (app_folder / "orders.py").write_text(APP)
    settings = {"hostname": ADMIN, "operators": ["anna"], "operator_groups": ["staff"]}
    async with house(tmp_path / "edge", None, dashboard=settings) as one, browser() as context:
        page = await context.new_page()
        await page.set_viewport_size(DESK)
        complaints = complaints_of(page)
        await log_in(page, one)
        token = await make_token(page, one)
        await page.goto(url(one, "/tunnels"))
        row = page.locator("tr", has_text="orders")
        assert "offline" in await row.inner_text()
        async with running_app(app_folder, token):
            await row.get_by_text("online").wait_for(timeout=30_000)  # by itself
            await see_the_request(page, one)
            await look_and_replay(page)
            test = await save(page, app_folder)
            assert await looked_at(page, one) == []
        red = await asyncio.to_thread(run_test, app_folder)
        assert red.returncode == 1, red.stdout
        assert "KeyError: 'coffee'" in red.stdout
        (app_folder / "orders.py").write_text(MENDED)
        green = await asyncio.to_thread(run_test, app_folder)
        assert green.returncode == 0, green.stdout
        await revoke(page, one)
    assert "a-secret" not in test
    assert complaints == []


async def make_token(page: Any, one: House) -> str:
    """Make one for the app; return what is shown once."""
    await page.click("nav >> text=Tokens")
    await page.click("text=New token")
    await page.fill("[name=name]", "orders")
    await page.select_option("[name=owner]", "ben")
    await page.click("button:text('Make the token')")
    secret = str(await page.inner_text("pre.secret")).strip()
    assert re.fullmatch(r"att1\.[\w-]+\.[\w-]+", secret)
    await page.screenshot(path=PICTURES / "story-token.png", full_page=True)
    await one.follow()
    return secret


async def see_the_request(page: Any, one: House) -> None:
    """Open the inspector, and see a request appear within a second."""
    await page.click("nav >> text=Inspector")
    await page.click("main >> text=orders")
    await page.get_by_text("Nothing has passed yet").wait_for()
    status, began = await order(one, "coffee"), time.monotonic()
    await page.get_by_text("/orders").first.wait_for(timeout=5000)
    assert time.monotonic() - began < 1.0
    assert status == 500
    await page.get_by_text("KeyError: 'coffee'").wait_for()
    await page.screenshot(path=PICTURES / "story-inspector.png")


async def look_and_replay(page: Any) -> None:
    """Open it, repeat it, and repeat it with another item."""
    await reach(page, ".exchanges a")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="The app raised").wait_for()
    assert "a-secret" not in await page.content()
    await page.screenshot(path=PICTURES / "story-exchange.png", full_page=True)
    address = page.url
    await reach(page, "form[action$=replay] button")
    await page.keyboard.press("Enter")
    await page.get_by_text("The app was called with it again").wait_for()
    assert "KeyError" in await page.inner_text("main")
    await page.goto(address)
    await page.fill("[name=body]", '{"item": "tea", "count": 2}')
    await page.click("button:text('Replay it so')")
    await page.get_by_text("The app was called with it again").wait_for()
    assert '"price":6' in await page.inner_text("main")
    await page.goto(address)


async def reach(page: Any, selector: str) -> None:
    """Go to something by the keyboard alone."""
    for _ in range(80):
        await page.keyboard.press("Tab")
        if await page.evaluate("which => document.activeElement.matches(which)", selector):
            return
    raise AssertionError(f"{selector} is not reached by Tab")


async def looked_at(page: Any, one: House) -> list[str]:
    """Open each page about exchanges in each look; return what is wrong with them."""
    token = page.url.partition("/inspector/")[2].partition("/")[0]
    listed = f"/inspector/{token}"
    exchange = page.url.partition("/exchanges/")[2].partition("?")[0]
    await page.goto(url(one, listed))
    newest = str(await page.locator(".exchanges a").first.get_attribute("href"))
    other = newest.rpartition("/")[2].partition("?")[0]
    await page.goto(url(one, "/traces"))
    trace = str(await page.locator(".request a").first.get_attribute("href"))
    pages = {
        "inspectors": "/inspector",
        "inspector": listed,
        "exchange": f"{listed}/exchanges/{exchange}",
        "replay": newest,
        "diff": f"{listed}/diff?a={exchange}&b={other}",
        "traces": "/traces",
        "trace": trace,
    }
    wrong: list[str] = []
    for name, path in pages.items():
        wrong += await look_at(page, f"inspector-{name}", url(one, path), desk=DESK)
    await page.set_viewport_size(DESK)
    await page.emulate_media(color_scheme="light")
    return wrong


async def save(page: Any, folder: Path) -> str:
    """Save it as a test beside the app; return its text."""
    async with page.expect_download() as waiting:
        await page.click("text=Save as a test")
    download = await waiting.value
    await download.save_as(folder / "test_bug.py")
    return (folder / "test_bug.py").read_text()


async def revoke(page: Any, one: House) -> None:
    """Take the token back; visitors are told that nobody is there."""
    await page.goto(url(one, "/tokens"))
    await page.click("main >> text=orders")
    await page.click("summary:text('Revoke')")
    await page.click("button:text('Revoke')")
    await page.get_by_text("revoked").first.wait_for()
    await one.follow()
    assert await order(one, "tea") == 404
