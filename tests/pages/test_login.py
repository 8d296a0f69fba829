"""The login's pages as people see and use them: in Chromium, with an authenticator of its own.

A door in front of an app, over http at ``*.localhost``: browsers take that for a safe place, where
passkeys and cookies of ``__Host-`` work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from edge.tests.live import Live, live_edge
from tests.pages.test_browser import (
    AXE,
    CHROMIUM,
    DESK,
    PHONE,
    PICTURES,
    browser,
    complaints_of,
    violations,
)

from asgi_tunnel_edge.access.passwords import hash_password
from asgi_tunnel_edge.accounts import LinkRecord, SessionRecord, UserRecord
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.tokens import TokenRecord, secret_digest

pytest.importorskip("playwright", reason="`make pages` installs it")

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
]

needs_axe = pytest.mark.skipif(
    not AXE.exists(), reason="axe-core is not installed; `make pages` does that"
)

PHOTOS: Final = "photos.localhost"
FILES: Final = "files.localhost"
KEYS: Final = "keys.localhost"
ACCESS: Final = "/.well-known/asgi-tunnel/access/"
PASSWORD: Final = "correct horse battery"
HASHED: Final = hash_password(PASSWORD)

SETTINGS: Final[dict[str, Any]] = {
    "access": {
        "family": {"users": ["anna", "ben"]},
        "keys": {"users": ["anna", "ben"], "methods": ["passkey"]},
        "programs": {"users": ["anna"], "methods": ["token"]},
    },
    "hostnames": {
        PHOTOS: {"access": "family", "access_paths": {"/admin": "programs"}},
        FILES: {"access": "family"},
        KEYS: {"access": "keys"},
    },
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Say who came, in a page for which a browser asks for nothing else."""
    if scope["type"] != "http":
        return
    fields = [(b"content-type", b"text/html")]
    text = f'<link rel="icon" href="data:,"><h1>Photos</h1><p>{scope["path"]}</p>'
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": text.encode()})


class House:
    """A live edge with doors, and two users: anna with a password, and ben with nothing."""

    def __init__(self, live: Live, store: AccessStore) -> None:
        self.live = live
        self.store = store

    def url(self, hostname: str = PHOTOS, path: str = "/") -> str:
        """Return an address for a browser."""
        return f"http://{hostname}:{self.live.edge.address.port}{path}"

    async def follow(self) -> None:
        """Wait until the edge has what the store has."""
        generation = Store(self.store.path).generation()
        async with asyncio.timeout(10):
            while self.live.edge.directory.snapshot.generation < generation:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def invite(self, name: str, hostname: str = PHOTOS) -> str:
        """Return the address of an invitation."""
        secret = f"welcome-{time.monotonic_ns()}"
        self.store.invite(name, secret_digest(secret), expires_at=int(time.time()) + 3600)
        await self.follow()
        return self.url(hostname, f"{ACCESS}invite/{secret}")


@asynccontextmanager
async def house(folder: Path) -> AsyncIterator[House]:
    """One of them."""
    async with live_edge(folder, app, **SETTINGS) as live:
        token = TokenRecord(
            id=live.token.id,
            name="shop",
            secret_sha256=secret_digest(live.token.secret),
            hostnames=(FILES, KEYS, PHOTOS),
            created_at=0,
        )
        Store(live.edge.config.database_path).create_token(token)
        store = AccessStore(live.edge.config.database_path)
        store.create_user(UserRecord(name="anna", email="anna@example.org"), password=HASHED)
        store.create_user(UserRecord(name="ben"))
        one = House(live, store)
        await one.follow()
        yield one


class Key:
    """An authenticator in one page's browser."""

    def __init__(self, session: Any, identity: str) -> None:
        self._session = session
        self._id = identity

    @classmethod
    async def plug_in(cls, page: Any, **options: Any) -> Key:
        """Let a page have a new one."""
        session = await page.context.new_cdp_session(page)
        await session.send("WebAuthn.enable")
        values = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
            **options,
        }
        made = await session.send("WebAuthn.addVirtualAuthenticator", {"options": values})
        return cls(session, made["authenticatorId"])

    async def credentials(self) -> list[dict[str, Any]]:
        """What is on it."""
        values = {"authenticatorId": self._id}
        found = await self._session.send("WebAuthn.getCredentials", values)
        return list(found["credentials"])

    async def add(self, credential: dict[str, Any]) -> None:
        """Put a passkey on it."""
        values = {"authenticatorId": self._id, "credential": credential}
        await self._session.send("WebAuthn.addCredential", values)

    async def set_verified(self, is_verified: bool) -> None:
        """Whether the finger or PIN of the person is right."""
        values = {"authenticatorId": self._id, "isUserVerified": is_verified}
        await self._session.send("WebAuthn.setUserVerified", values)

    async def unplug(self) -> None:
        """Take it away."""
        values = {"authenticatorId": self._id}
        await self._session.send("WebAuthn.removeVirtualAuthenticator", values)


async def log_in(page: Any, user: str = "anna", password: str = PASSWORD) -> None:
    """By password, on the login's page."""
    await page.fill("#user", user)
    await page.fill("#password", password)
    await page.click("button:text-is('Log in')")


async def until_in(page: Any) -> None:
    """Wait for the app's page."""
    await page.wait_for_selector("h1:text('Photos')")


async def show(page: Any, name: str, url: str, then: Any = None) -> list[str]:
    """Take pictures of a page in light, dark and on a phone; return what is wrong with it.

    Args:
        page: Of the browser.
        name: Of the pictures.
        url: Of the page.
        then: Brings it into its state.
    """
    PICTURES.mkdir(parents=True, exist_ok=True)
    wrong = []
    for look, scheme, size in (
        ("light", "light", DESK),
        ("dark", "dark", DESK),
        ("phone", "light", PHONE),
    ):
        await page.set_viewport_size(size)
        await page.emulate_media(color_scheme=scheme)
        await page.goto(url)
        if then is not None:
            await then(page)
        await page.screenshot(path=PICTURES / f"login-{name}-{look}.png", full_page=True)
        wrong += [f"{name}, {look}: {one}" for one in await violations(page)]
        width = await page.evaluate("document.documentElement.scrollWidth")
        if width > size["width"]:
            wrong.append(f"{name}, {look}: {width} pixels wide")
    return wrong


async def fail_password(page: Any) -> None:
    """Type a wrong one."""
    await log_in(page, password="wrong but long")
    await page.wait_for_selector("[role=alert]:not(:empty)")


async def fail_passkey(page: Any) -> None:
    """Use one, where there is none."""
    await page.click("text=Use a passkey")
    await page.wait_for_selector("#passkey-problem:not(:empty)")


async def fail_invitation(page: Any) -> None:
    """Type two passwords."""
    await page.fill("#new", "correct horse")
    await page.fill("#repeated", "another horse")
    await page.click("text=Set the password")
    await page.wait_for_selector("[role=alert]:not(:empty)")


async def open_password(page: Any) -> None:
    """Open the form on the account's page."""
    await page.click("summary")


def fill_account(store: AccessStore) -> None:
    """Let anna have two more sessions, and two passkeys."""
    now = int(time.time())
    agents = (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0) Version/19.0 Safari/604.1",
        "Mozilla/5.0 (Android 16; Tablet; rv:140.0) Gecko/140.0 Firefox/140.0",
    )
    for index, agent in enumerate(agents):
        record = SessionRecord(
            id=f"other-{index}",
            subject="user:anna",
            name="anna",
            hostname=(PHOTOS, FILES)[index],
            method="passkey",
            created_at=now - 7000 * (index + 1) ** 4,
            expires_at=now + 100000,
            address=("203.0.113.7", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff")[index],
            agent=agent,
        )
        store.add_session(record)
    for key, label in (("a", "Safari on iPhone"), ("b", "The blue security key")):
        store.add_passkey("anna", key, b"", hostname=PHOTOS, sign_count=0, label=label)


@needs_axe
async def test_each_page_before_a_login_can_be_used_by_everybody(tmp_path: Path) -> None:
    """No violation in light and dark, nothing wider than a phone, nothing against the policy."""
    async with house(tmp_path) as one, browser() as context:
        page = await context.new_page()
        complaints = complaints_of(page)
        link = LinkRecord(
            id="link_1", secret_sha256=secret_digest("sesame"), hostname=PHOTOS, path="/album/7"
        )
        one.store.create_link(link)
        invitation = await one.invite("ben")
        wrong = await show(page, "both", one.url())
        wrong += await show(page, "wrong", one.url(), fail_password)
        wrong += await show(page, "passkey", one.url(KEYS))
        key = await Key.plug_in(page)
        wrong += await show(page, "no-passkey", one.url(KEYS), fail_passkey)
        await key.unplug()
        wrong += await show(page, "programs", one.url(PHOTOS, "/admin"))
        wrong += await show(page, "link", one.url(PHOTOS, f"{ACCESS}link/sesame"))
        wrong += await show(page, "link-over", one.url(PHOTOS, f"{ACCESS}link/gone"))
        wrong += await show(page, "invitation", invitation)
        wrong += await show(page, "invitation-wrong", invitation, fail_invitation)
        wrong += await show(page, "invitation-over", one.url(PHOTOS, f"{ACCESS}invite/gone"))
        wrong += await show(page, "missing", one.url(PHOTOS, f"{ACCESS}nothing"))
        assert wrong == []
        assert complaints == []


@needs_axe
async def test_each_page_after_a_login_can_be_used_by_everybody(tmp_path: Path) -> None:
    """Likewise."""
    async with house(tmp_path) as one, browser() as context:
        page = await context.new_page()
        complaints = complaints_of(page)
        fill_account(one.store)
        await page.goto(one.url())
        await log_in(page)
        await until_in(page)
        wrong = await show(page, "account", one.url(PHOTOS, ACCESS))
        wrong += await show(page, "account-done", one.url(PHOTOS, f"{ACCESS}?done=passkey"))
        wrong += await show(page, "account-password", one.url(PHOTOS, ACCESS), open_password)
        await page.goto(one.url(PHOTOS, ACCESS))
        await page.click("button:text-is('Sign out')")
        await page.wait_for_selector("h1:text('You are signed out')")
        await page.screenshot(path=PICTURES / "login-out-phone.png")
        wrong += await violations(page)
        assert wrong == []
        assert complaints == []
