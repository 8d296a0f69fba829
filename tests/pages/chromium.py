"""Debian's Chromium for tests, and how each page is looked at: three looks, and axe-core.

Pictures are kept in ``build/pages``.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

pytest.importorskip("playwright", reason="`make pages` installs it")

CHROMIUM: Final = shutil.which("chromium")
AXE: Final = Path(sys.prefix) / "node/node_modules/axe-core/axe.min.js"
PICTURES: Final = Path(__file__).parents[2] / "build/pages"

BROWSER: Final = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
]
"""The marks of a file whose tests need it."""

needs_axe = pytest.mark.skipif(
    not AXE.exists(), reason="axe-core is not installed; `make pages` does that"
)

DESK: Final = {"width": 1100, "height": 720}
PHONE: Final = {"width": 360, "height": 740}
WAIT: Final = 30_000
"""Milliseconds for one step of the browser, on a loaded machine."""

Then = Callable[[Any], Awaitable[object]]


@asynccontextmanager
async def browser(**options: Any) -> AsyncIterator[Any]:
    """A context of the browser in which pages open; what it complains about fails the test."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        one = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"],
        )
        context = await one.new_context(**options)
        context.set_default_timeout(WAIT)
        try:
            yield context
        finally:
            await one.close()


def complaints_of(page: Any) -> list[str]:
    """A list that gets what a page's console says, but for the status of what it loads."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on(
        "console",
        lambda message: (
            None if "Failed to load resource" in message.text else found.append(message.text)
        ),
    )
    return found


async def violations(page: Any) -> list[str]:
    """What axe-core finds."""
    await page.evaluate(AXE.read_text())
    found = await page.evaluate("axe.run().then(result => result.violations)")
    return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html']}" for one in found]


async def look_at(
    page: Any,
    picture: str,
    url: str,
    then: Then | None = None,
    *,
    desk: Mapping[str, int] = DESK,
    is_whole: bool = True,
) -> list[str]:
    """Take pictures of a page in light, dark and on a phone; return what is wrong with it.

    Args:
        page: Of the browser.
        picture: Its name.
        url: Of the page.
        then: Brings it into its state.
        desk: Width and height where it is no phone.
        is_whole: The picture has what is further down, too.
    """
    PICTURES.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    for look, scheme, size in (
        ("light", "light", desk),
        ("dark", "dark", desk),
        ("phone", "light", PHONE),
    ):
        await page.set_viewport_size(size)
        await page.emulate_media(color_scheme=scheme)
        await page.goto(url)
        if then is not None:
            await then(page)
        await page.screenshot(path=PICTURES / f"{picture}-{look}.png", full_page=is_whole)
        wrong += [f"{picture}, {look}: {one}" for one in await violations(page)]
        width = await page.evaluate("document.documentElement.scrollWidth")
        if width > size["width"]:
            wrong.append(f"{picture}, {look}: {width} pixels wide")
    return wrong
