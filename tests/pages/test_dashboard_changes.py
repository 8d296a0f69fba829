"""What people change at the dashboard, in Chromium: a token for a real app, bans, links, people."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from edge.tests.dashboard.house import SHOP, House
from edge.tests.dashboard.test_changes import keep_request
from tests.pages.chromium import (
    AXE,
    BROWSER,
    PHONE,
    PICTURES,
    browser,
    complaints_of,
    look_at,
    needs_axe,
    violations,
)
from tests.pages.test_dashboard import DESK, dashboard, log_in, url

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel.token import Token
from asgi_tunnel_edge.accounts import LinkRecord, ServiceTokenRecord
from asgi_tunnel_edge.ban import BanRecord, ScannerBan
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore

pytestmark = BROWSER

PAGES: Final = {
    "tokens": "/tokens",
    "token": "/tokens/shop",
    "token-new": "/tokens/new",
    "people": "/people",
    "sharing": "/sharing",
    "security": "/security",
    "inbox": "/inbox",
    "inbox-request": "/inbox/req_1",
    "api": "/api",
}
OWNED: Final = {"tokens": "/tokens", "token": "/tokens/shop", "security": "/security"}

XSS: Final = '"><img src=x onerror=alert(1)><script>alert(2)</script>'


def fill(one: House) -> None:
    """Give each page something to show, some of it from strangers."""
    store, access = Store(one.path), AccessStore(one.path)
    store.add_ban(BanRecord(address="203.0.113.0/24", created_at=1_790_000_000, reason=XSS))
    store.add_scanner_bans(
        [
            ScannerBan(
                address=f"198.51.100.{number}",
                owner=one.live.token.id,
                created_at=1_790_000_000 + number,
                expires_at=4_000_000_000,
                reason="12 probes in 60 s",
            )
            for number in range(3)
        ]
    )
    for number, note in enumerate(("for aunt Zoe", XSS)):
        access.create_link(
            LinkRecord(
                id=f"lnk_{number}",
                secret_sha256=str(number),
                hostname=SHOP,
                path="/album/7",
                created_at=1_790_000_000,
                max_uses=5,
                uses=number,
                note=note,
            )
        )
    access.create_service_token(
        ServiceTokenRecord(
            id="svc_2", name="phone", secret_sha256="x", policies=("dashboard",), revoked_at=None
        )
    )
    for number in range(1, 4):
        keep_request(one, f"req_{number}", one.live.token.id, f"/hooks/{number}")


@needs_axe
async def test_each_page_can_be_read_by_everybody(tmp_path: Path) -> None:
    """No violation in light and dark, nothing wider than a phone, no payload runs."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    async with dashboard(tmp_path) as one, browser() as context:
        fill(one)
        await one.follow()
        page = await context.new_page()
        complaints = complaints_of(page)
        dialogs: list[str] = []
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        for user, pages in (("anna", PAGES), ("ben", OWNED)):
            await context.clear_cookies()
            await log_in(page, one, user)
            for name, path in pages.items():
                picture = f"dashboard-{user}-{name}"
                wrong += await look_at(page, picture, url(one, path), desk=DESK)
    assert wrong == []
    assert dialogs == []
    assert complaints == []


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """A new app."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello from the new app"})


async def test_a_token_is_made_used_and_revoked(tmp_path: Path) -> None:
    """An operator makes it in the browser, a real app connects with it, and it is taken back."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    async with dashboard(tmp_path) as one, browser() as context:
        page = await context.new_page()
        complaints = complaints_of(page)
        await log_in(page, one)
        await page.goto(url(one, "/tokens"))
        await page.click("text=New token")
        await page.fill("[name=name]", "cafe")
        await page.select_option("[name=owner]", "cleo")
        await page.click("button:text-is('Make the token')")
        text = await page.inner_text("pre.secret")
        await page.screenshot(path=PICTURES / "dashboard-token-issued.png", full_page=True)
        if AXE.exists():
            assert await violations(page) == []
        assert text in await page.inner_text("details[open] pre")
        await one.follow()
        token = Token.parse(text, setting="the page")
        settings = TunnelConfig(token=token, text=text, grace=1.0)
        connector = Connector(settings, Origin(hello))
        connector.start()
        await connector.wait_connected()
        response = await one.live.get(host="cafe.example.test")
        assert b"hello from the new app" in response.body
        await page.goto(url(one, "/tokens/cafe"))
        await page.click("summary:text-is('Revoke')")
        await page.click("button:text-is('Revoke')")
        await page.wait_for_selector(".done")
        assert "is revoked" in await page.inner_text(".done")
        await one.follow()
        response = await one.live.get(host="cafe.example.test")
        assert response.status == 404
        await connector.stop()
    assert complaints == []


async def test_a_ban_and_its_undo_on_a_phone(tmp_path: Path) -> None:
    """A visitor who was turned away is banned from the list, and let in again."""
    async with dashboard(tmp_path, guards={"deny": ["203.0.113.5"]}) as one, browser() as context:
        page = await context.new_page()
        await page.set_viewport_size(PHONE)
        await log_in(page, one)
        await page.goto(url(one, "/security?address=203.0.113.5"))
        await page.fill("[name=reason]", XSS)
        await page.click("button:text-is('Ban')")
        await page.wait_for_selector(".done")
        assert XSS in await page.inner_text("table")
        await page.click("button:text-is('Undo')")
        await page.wait_for_selector("text=Nobody is banned.")
        assert Store(one.path).bans() == []
