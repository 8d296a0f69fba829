"""The edge's own pages as visitors see them, in Debian's Chromium.

Each page is shown in light and dark and on a phone, looked through by axe-core, and kept as a
picture in ``build/pages``. The pages come from an edge, with all of their header fields.
"""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any, Final

from edge.tests.pages.world import SHOP, world
from tests.pages.chromium import (
    BROWSER,
    DESK,
    PHONE,
    PICTURES,
    browser,
    complaints_of,
    needs_axe,
    violations,
)

from asgi_tunnel_edge.maintenance import MaintenanceRecord
from asgi_tunnel_edge.pages import Pages, load_pages, plain_pages
from asgi_tunnel_edge.pages.words import WORDS
from asgi_tunnel_edge.replies import Reply
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.settings.pages import PagesConfig

pytestmark = BROWSER

LOGO: Final = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="9" fill="#7c3aed"/>
<path d="M9 21c0-7 5-11 14-11-1 8-5 12-11 12" fill="none" stroke="#fff" stroke-width="3"
 stroke-linecap="round"/></svg>"""

DETAILS: Final = {
    "offline": "the app behind this name is not connected",
    "unknown-hostname": "no app is served under this name",
    "maintenance": "the app is closed for maintenance",
    "rate-limited": "too many requests come from this address",
    "body-too-large": "the body is larger than 10485760 bytes",
}


async def show(page: Any, pages: Pages, reply: Reply, *, is_get: bool = True) -> None:
    """Open a page as an edge sends it, with its policy."""
    body, lines = pages.render(
        reply, accept=b"text/html", request_id=b"6f0c2b9e41d84a7fb1a5c3d2e8f90716", is_get=is_get
    )
    fields = dict(line.split(": ", 1) for line in lines.decode().split("\r\n") if line)
    fields["x-asgi-tunnel-reason"] = reply.reason

    async def fulfil(route: Any) -> None:
        await route.fulfill(status=reply.status, headers=fields, body=body)

    await page.unroute_all()
    await page.route("**/*", fulfil)
    await page.goto("http://shop.localhost/")


def branded(folder: Path) -> Pages:
    """Pages with everything that an operator can set."""
    (folder / "logo.svg").write_text(LOGO)
    config = EdgeConfig(
        data_dir=folder,
        domain="example.org",
        listen="127.0.0.1:0",
        pages=PagesConfig(
            name="Example Hosting",
            logo="logo.svg",
            accent="#7c3aed",
            help="Write to the operator",
            help_url="mailto:help@example.org",
        ),
    )
    return load_pages(config)


@needs_axe
async def test_each_page_can_be_read_by_everybody(tmp_path: Path) -> None:
    """No violation in light and dark, nothing wider than a phone, nothing against the policy."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    own = branded(tmp_path)
    notice = "We move to new disks. Orders are safe, and nothing is lost."
    shown = [
        (
            reason,
            plain_pages(),
            Reply(words.status, DETAILS.get(reason, "why it is so"), 17, reason=reason),
        )
        for reason, words in WORDS.items()
    ]
    shown += [
        ("branded-offline", own, Reply(503, DETAILS["offline"], 5, reason="offline")),
        (
            "branded-unknown-hostname",
            own,
            Reply(404, DETAILS["unknown-hostname"], reason="unknown-hostname"),
        ),
        (
            "branded-maintenance",
            own,
            Reply(
                503,
                DETAILS["maintenance"],
                5,
                reason="maintenance",
                notice=notice,
                until=1796018400,
            ),
        ),
    ]
    async with browser(timezone_id="Europe/Berlin", locale="en-GB") as context:
        page = await context.new_page()
        complaints = complaints_of(page)
        for name, pages, reply in shown:
            await page.set_viewport_size(DESK)
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme)
                await show(page, pages, reply)
                await page.screenshot(path=PICTURES / f"{name}-{scheme}.png")
                wrong += [f"{name}, {scheme}: {one}" for one in await violations(page)]
            await page.set_viewport_size(PHONE)
            await page.emulate_media(color_scheme="light")
            await show(page, pages, reply)
            await page.screenshot(path=PICTURES / f"{name}-phone.png", full_page=True)
            width = await page.evaluate("document.documentElement.scrollWidth")
            if width > PHONE["width"]:
                wrong.append(f"{name}: {width} pixels wide on a phone")
            if name == "branded-maintenance":
                assert await page.inner_text("time") == "30 November 2026 at 07:00 CET"
    assert wrong == []
    assert complaints == []


async def test_it_comes_back_by_itself(tmp_path: Path) -> None:
    """The page loads the app once it is there, and has asked for nothing else."""
    async with world(tmp_path, hold_timeout=2.0, has_app=False) as one, browser() as context:
        page = await context.new_page()
        complaints = complaints_of(page)
        await page.goto(f"http://{SHOP}:{one.edge.address.port}/a?b=c#d")
        assert await page.inner_text("h1") == WORDS["offline"].title
        assert await page.inner_text("#state") == "Waiting for the site"
        await one.start_app()
        await page.wait_for_selector("text=Hello from the app")
        assert page.url.endswith("/a?b=c#d")
        assert one.requests == [("HEAD", "/a"), ("GET", "/a")]
        assert complaints == []


async def test_it_comes_back_from_maintenance(tmp_path: Path) -> None:
    """Also while the app is there all the time."""
    async with world(tmp_path) as one, browser() as context:
        one.store.begin_maintenance([MaintenanceRecord(hostname=SHOP, since=1, message="Disks.")])
        await one.until(503)
        asked = len(one.requests)
        page = await context.new_page()
        await page.goto(f"http://{SHOP}:{one.edge.address.port}/")
        assert await page.inner_text(".text") == "Disks."
        one.store.end_maintenance([SHOP])
        await page.wait_for_selector("text=Hello from the app")
        assert one.requests[asked:] == [("HEAD", "/"), ("GET", "/")]


async def test_what_a_form_sent_is_not_sent_again(tmp_path: Path) -> None:
    """The page of a POST stays as it is when the app comes back."""
    async with world(tmp_path, has_app=False) as one, browser() as context:
        page = await context.new_page()
        form = f'<form method="post" action="http://{SHOP}:{one.edge.address.port}/order"><button>'
        await page.goto("data:text/html;base64," + base64.b64encode(form.encode()).decode())
        await page.click("button")
        await page.wait_for_selector("text=What you sent did not arrive")
        await page.clock.install()
        await one.start_app()
        await page.clock.run_for(600_000)
        assert one.requests == []
        assert await page.inner_text("h1") == WORDS["offline"].title


async def test_it_does_not_hammer_and_rests_in_the_background() -> None:
    """A look a minute, when it lasts; none while the page is not seen."""
    asked: list[str] = []
    async with browser() as context:
        page = await context.new_page()
        await page.add_init_script(
            "Object.defineProperty(document, 'hidden', { get: () => !!window.isHidden });"
        )
        await page.clock.install()
        page.on("request", lambda request: asked.append(request.method))
        await show(page, plain_pages(), Reply(503, "away", 5, reason="offline"))
        assert asked == ["GET"]

        async def pass_time(minutes: int) -> int:
            before = len(asked)
            for _ in range(minutes * 4):
                await page.clock.run_for(15_000)
                await asyncio.sleep(0.01)
            return len(asked) - before

        assert 4 <= await pass_time(5) <= 16
        assert 10 <= await pass_time(20) <= 24
        await page.evaluate(
            "isHidden = true; document.dispatchEvent(new Event('visibilitychange'))"
        )
        assert await pass_time(20) == 0
        await page.evaluate(
            "isHidden = false; document.dispatchEvent(new Event('visibilitychange'))"
        )
        assert 1 <= await pass_time(1) <= 4
        assert set(asked[1:]) == {"HEAD"}
        assert await page.inner_text("#state") == "Waiting for the site"
