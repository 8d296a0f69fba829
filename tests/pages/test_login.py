"""The login's pages as people see and use them: in Chromium, with an authenticator of its own.

A door in front of an app, over http at ``*.localhost``: browsers take that for a safe place, where
passkeys and cookies of ``__Host-`` work.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest
from edge.tests.live import Live, live_edge
from tests.pages.chromium import (
    BROWSER,
    PICTURES,
    browser,
    complaints_of,
    look_at,
    needs_axe,
    violations,
)
from tests.pages.test_browser import LOGO

from asgi_tunnel_edge.access.passwords import hash_password
from asgi_tunnel_edge.accounts import LinkRecord, SessionRecord, UserRecord
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.tokens import TokenRecord, secret_digest

pytestmark = BROWSER

PHOTOS: Final = "photos.localhost"
FILES: Final = "files.localhost"
KEYS: Final = "keys.localhost"
OAUTH: Final = "/.well-known/asgi-tunnel/oauth/"
TOOLS: Final = "tools.localhost"
ACCESS: Final = "/.well-known/asgi-tunnel/access/"
PASSWORD: Final = "correct horse battery"
HASHED: Final = hash_password(PASSWORD)

SETTINGS: Final[dict[str, Any]] = {
    "access": {
        "family": {"users": ["anna", "ben"]},
        "keys": {"users": ["anna", "ben"], "methods": ["passkey"]},
        "programs": {"users": ["anna"], "methods": ["token"]},
        "tools": {"users": ["anna"], "oauth": True},
    },
    "hostnames": {
        PHOTOS: {"access": "family", "access_paths": {"/admin": "programs"}},
        FILES: {"access": "family"},
        KEYS: {"access": "keys"},
        TOOLS: {"access": "tools"},
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
        generation = Store(self.store.location).generation()
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
async def house(folder: Path, **more: Any) -> AsyncIterator[House]:
    """One of them; ``more`` are tables beside ``SETTINGS``."""
    async with live_edge(folder, app, **{**SETTINGS, **more}) as live:
        token = TokenRecord(
            id=live.token.id,
            name="shop",
            secret_sha256=secret_digest(live.token.secret),
            hostnames=(FILES, KEYS, PHOTOS, TOOLS),
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

    async def rename(self, credential: dict[str, Any], hostname: str) -> None:
        """Let a passkey on it say that it is for another hostname."""
        values = {"authenticatorId": self._id, "credentialId": credential["credentialId"]}
        await self._session.send("WebAuthn.removeCredential", values)
        values = {"authenticatorId": self._id, "credential": {**credential, "rpId": hostname}}
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
        wrong = await look_at(page, "login-both", one.url())
        wrong += await look_at(page, "login-wrong", one.url(), fail_password)
        wrong += await look_at(page, "login-passkey", one.url(KEYS))
        key = await Key.plug_in(page)
        wrong += await look_at(page, "login-no-passkey", one.url(KEYS), fail_passkey)
        await key.unplug()
        wrong += await look_at(page, "login-programs", one.url(PHOTOS, "/admin"))
        wrong += await look_at(page, "login-link", one.url(PHOTOS, f"{ACCESS}link/sesame"))
        wrong += await look_at(page, "login-link-over", one.url(PHOTOS, f"{ACCESS}link/gone"))
        wrong += await look_at(page, "login-invitation", invitation)
        wrong += await look_at(page, "login-invitation-wrong", invitation, fail_invitation)
        wrong += await look_at(
            page, "login-invitation-over", one.url(PHOTOS, f"{ACCESS}invite/gone")
        )
        wrong += await look_at(page, "login-missing", one.url(PHOTOS, f"{ACCESS}nothing"))
        assert wrong == []
        assert complaints == []


@needs_axe
async def test_a_page_with_all_ways_to_log_in_and_a_brand(tmp_path: Path) -> None:
    """Passkey, two providers and password, in the operator's colours."""
    (tmp_path / "logo.svg").write_text(LOGO)
    provider = {"issuer": "https://id.example.org", "client_id": "photos", "client_secret": "s"}
    tables = {
        "oidc": {
            "work": {**provider, "label": "Example Works"},
            "school": {**provider, "issuer": "https://school.example.org"},
        },
        "access": {**SETTINGS["access"], "family": {"users": ["anna"], "emails": ["*"]}},
        "pages": {
            "name": "Example Hosting",
            "logo": "logo.svg",
            "accent": "#7c3aed",
            "help": "Write to the operator",
            "help_url": "mailto:help@example.org",
        },
    }
    async with house(tmp_path, **tables) as one, browser() as context:
        page = await context.new_page()
        complaints = complaints_of(page)
        wrong = await look_at(page, "login-branded", one.url())
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
        wrong = await look_at(page, "login-account", one.url(PHOTOS, ACCESS))
        wrong += await look_at(
            page, "login-account-done", one.url(PHOTOS, f"{ACCESS}?done=passkey")
        )
        wrong += await look_at(
            page, "login-account-password", one.url(PHOTOS, ACCESS), open_password
        )
        await page.goto(one.url(PHOTOS, "/admin"))
        await page.click("text=Your login")
        await page.wait_for_selector("h1:text('Your login')")
        await page.goto(one.url(PHOTOS, ACCESS))
        await page.click("button:text-is('Sign out')")
        await page.wait_for_selector("h1:text('You are signed out')")
        await page.screenshot(path=PICTURES / "login-out-phone.png")
        wrong += await violations(page)
        assert wrong == []
        assert complaints == []


def register(house: House, redirect: str) -> str:
    """Let a program register; return its id."""
    port = house.live.edge.address.port
    connection = HTTPConnection("127.0.0.1", port)
    body = json.dumps({"client_name": "Example Assistant", "redirect_uris": [redirect]})
    fields = {"host": f"{TOOLS}:{port}", "content-type": "application/json"}
    connection.request("POST", f"{OAUTH}register", body, fields)
    response = connection.getresponse()
    said = json.loads(response.read())
    connection.close()
    return str(said["client_id"])


@needs_axe
async def test_a_person_is_asked_before_a_program_comes_in(tmp_path: Path) -> None:
    """By a page that everybody can use; what they press is what the program hears."""
    redirect = "http://127.0.0.1:5005/callback"
    async with house(tmp_path) as one, browser() as context:
        page = await context.new_page()
        complaints = complaints_of(page)
        heard: list[str] = []

        async def listen(route: Any) -> None:
            heard.append(route.request.url)
            await route.fulfill(body="<link rel=icon href='data:,'>Back in the program")

        await page.route(f"{redirect}**", listen)
        asked = {
            "response_type": "code",
            "client_id": await asyncio.to_thread(register, one, redirect),
            "redirect_uri": redirect,
            "code_challenge": "x" * 43,
            "code_challenge_method": "S256",
            "state": "s1",
            "resource": one.url(TOOLS, "/mcp"),
        }
        address = one.url(TOOLS, f"{OAUTH}authorize?{urlencode(asked)}")
        await page.goto(one.url(TOOLS))
        await log_in(page)
        await until_in(page)
        assert await look_at(page, "login-consent", address) == []
        for button, said in (("Do not", "error=access_denied"), ("Let it in", "code=")):
            await page.goto(address)
            await page.click(f"text={button}")
            await page.wait_for_selector("text=Back in the program")
            assert said in heard[-1]
        assert complaints == []


async def make_by_invitation(page: Any, address: str) -> None:
    """Make a passkey on the page of an invitation."""
    await page.goto(address)
    await page.click("text=Make a passkey")
    await page.wait_for_selector("text=You have a passkey for this site")


async def add_passkey(page: Any, house: House, label: str) -> None:
    """Log anna in by password and make a passkey on the account's page."""
    await page.goto(house.url(PHOTOS, ACCESS))
    await log_in(page)
    await page.fill("#label", label)
    await page.click("text=Add a passkey")
    await page.wait_for_selector("text=You have a passkey for this site")


async def sign_out(page: Any, house: House) -> None:
    """On the account's page."""
    await page.goto(house.url(PHOTOS, ACCESS))
    await page.click("button:text-is('Sign out')")
    await page.wait_for_selector("h1:text('You are signed out')")


async def use_passkey(page: Any, address: str) -> None:
    """Open a page behind the door, and press the login's button."""
    await page.goto(address)
    await page.click("text=Use a passkey")


async def test_an_invited_person_makes_a_passkey_and_logs_in_with_it(tmp_path: Path) -> None:
    """From the link in a message to the page that was wanted, and nothing is typed."""
    async with house(tmp_path) as one, browser() as context:
        page = await context.new_page()
        complaints = complaints_of(page)
        key = await Key.plug_in(page)
        await make_by_invitation(page, await one.invite("ben", KEYS))
        [credential] = await key.credentials()
        assert credential["rpId"] == KEYS
        assert credential["isResidentCredential"]
        assert credential["userName"] == "ben"
        await page.click(f"text=Go to {KEYS}")
        await until_in(page)
        await page.goto(one.url(KEYS, ACCESS))
        await page.click("button:text-is('Sign out')")
        await use_passkey(page, one.url(KEYS, "/photos/7"))
        await page.wait_for_selector("p:text('/photos/7')")
        assert complaints == []


async def test_a_browser_offers_passkeys_at_the_name_without_a_press(tmp_path: Path) -> None:
    """The request that lists them beside saved passwords is enough; the button is not needed."""
    async with house(tmp_path) as one, browser() as context:
        page = await context.new_page()
        await Key.plug_in(page)
        await make_by_invitation(page, await one.invite("ben"))
        await sign_out(page, one)
        await page.goto(one.url())
        await until_in(page)


async def test_a_second_device_stays_when_the_first_is_lost(tmp_path: Path) -> None:
    """Removed on the second one, the first one's passkey logs nobody in, and its session ends."""
    async with house(tmp_path) as one, browser() as phone, browser() as laptop:
        first, second = await phone.new_page(), await laptop.new_page()
        phone_key = await Key.plug_in(first)
        await add_passkey(first, one, "My phone")
        await Key.plug_in(second)
        await add_passkey(second, one, "My laptop")
        rows = second.locator("section[aria-labelledby=passkeys] li")
        assert await rows.count() == 2
        await rows.filter(has_text="My phone").get_by_role("button").click()
        await second.wait_for_selector("text=The passkey is removed")
        assert await rows.count() == 1
        await first.goto(one.url())  # the browser uses it without a press
        await first.wait_for_selector("[role=alert]:text('not known here')")
        assert await phone_key.credentials() == []  # the browser has heard that it is gone
        await sign_out(second, one)
        await second.goto(one.url())
        await until_in(second)


async def test_a_lost_key_is_replaced_with_an_invitation(tmp_path: Path) -> None:
    """Who has no other way in gets a new one, and then removes the old one."""
    async with house(tmp_path) as one, browser() as context:
        page = await context.new_page()
        lost = await Key.plug_in(page)
        await make_by_invitation(page, await one.invite("ben"))
        await sign_out(page, one)
        await lost.unplug()
        await Key.plug_in(page)
        await page.goto(one.url())
        await page.click("text=Use a passkey")
        await page.wait_for_selector("#passkey-problem:not(:empty)")
        await make_by_invitation(page, await one.invite("ben"))
        rows = page.locator("section[aria-labelledby=passkeys] li")
        assert await rows.count() == 2
        await rows.first.get_by_role("button").click()
        await page.wait_for_selector("text=The passkey is removed")
        assert await rows.count() == 1


async def test_a_passkey_is_worth_nothing_at_another_hostname(tmp_path: Path) -> None:
    """The browser does not offer it there; and a copy that says it is for there is not known."""
    async with house(tmp_path) as one, browser() as context:
        page = await context.new_page()
        key = await Key.plug_in(page)
        await make_by_invitation(page, await one.invite("ben", PHOTOS))
        [credential] = await key.credentials()
        await page.goto(one.url(FILES))
        await page.click("text=Use a passkey")
        await page.wait_for_selector("[role=alert]:text('No passkey was used')")
        await key.rename(credential, FILES)
        await page.goto(one.url(FILES))  # the browser uses it without a press
        await page.wait_for_selector("[role=alert]:text('not known here')")
        assert [record.hostname for record in one.store.sessions()] == [PHOTOS]


def send_again(house: House, body: bytes, fields: dict[str, str]) -> tuple[int, str]:
    """Send what a browser has sent, without one."""
    port = house.live.edge.address.port
    connection = HTTPConnection("127.0.0.1", port)
    kept = {name: fields[name] for name in ("origin", "cookie", "content-type")}
    connection.request("POST", f"{ACCESS}passkey/login", body, {**kept, "host": f"{KEYS}:{port}"})
    response = connection.getresponse()
    said = response.read().decode()
    connection.close()
    return response.status, said


async def test_a_login_that_was_overheard_is_taken_once(tmp_path: Path) -> None:
    """The same bytes and cookies again, from a real authenticator's reply."""
    async with house(tmp_path) as one, browser() as context:
        page = await context.new_page()
        await Key.plug_in(page)
        await make_by_invitation(page, await one.invite("ben", KEYS))
        await page.goto(one.url(KEYS, ACCESS))
        await page.click("button:text-is('Sign out')")
        overheard: list[tuple[bytes, dict[str, str]]] = []

        async def listen(route: Any) -> None:
            request = route.request
            overheard.append((request.post_data_buffer, await request.all_headers()))
            await route.continue_()

        await page.route("**/passkey/login", listen)
        await use_passkey(page, one.url(KEYS))
        await until_in(page)
        [(body, fields)] = overheard
        cookies = await context.cookies()
        status, said = await asyncio.to_thread(send_again, one, body, fields)
        assert status == 403
        assert "This attempt is over" in said
        assert [one["name"] for one in cookies] == ["__Host-asgi-tunnel"]
        assert cookies[0]["httpOnly"]
        assert cookies[0]["sameSite"] == "Lax"


async def test_a_person_who_is_not_the_owner_is_refused(tmp_path: Path) -> None:
    """A wrong finger: the page says what happened, keeps its button, and tries again."""
    async with house(tmp_path) as one, browser() as context:
        page = await context.new_page()
        key = await Key.plug_in(page)
        await make_by_invitation(page, await one.invite("ben", KEYS))
        await page.goto(one.url(KEYS, ACCESS))
        await page.click("button:text-is('Sign out')")
        await key.set_verified(False)
        await use_passkey(page, one.url(KEYS))
        await page.wait_for_selector("[role=alert]:text('No passkey was used')")
        assert await page.evaluate("document.activeElement.textContent") == "Use a passkey"
        await key.set_verified(True)
        await page.keyboard.press("Enter")
        await until_in(page)


async def press_until(page: Any, text: str) -> None:
    """Press Tab until what has this text, or is named so, has the focus."""
    script = """() => {
        const one = document.activeElement;
        return [one.textContent.trim(), one.labels && one.labels[0] && one.labels[0].textContent];
    }"""
    for _ in range(30):
        await page.keyboard.press("Tab")
        if text in await page.evaluate(script):
            return
    pytest.fail(f"Tab does not lead to {text}")


async def test_a_keyboard_is_enough(tmp_path: Path) -> None:
    """Log in, look at one's login, change the password, sign out, open a link: no mouse."""
    async with house(tmp_path) as one, browser() as context:
        link = LinkRecord(
            id="link_1", secret_sha256=secret_digest("sesame"), hostname=PHOTOS, path="/album/7"
        )
        one.store.create_link(link)
        await one.follow()
        page = await context.new_page()
        keys = page.keyboard
        await page.goto(one.url())
        await press_until(page, "Name")
        await keys.type("anna")
        await press_until(page, "Password")
        await keys.type(PASSWORD)
        await keys.press("Enter")
        await until_in(page)
        await page.goto(one.url(PHOTOS, ACCESS))
        await press_until(page, "Change the password")
        await keys.press("Enter")
        for label, text in (
            ("Old password", PASSWORD),
            ("New password", "another horse battery"),
            ("The same again", "another horse battery"),
        ):
            await press_until(page, label)
            await keys.type(text)
        await keys.press("Enter")
        await page.wait_for_selector("[role=status]:text('Your password is changed')")
        await press_until(page, "Sign out")
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert await page.evaluate(outline) == "solid"
        await keys.press("Enter")
        await page.wait_for_selector("h1:text('You are signed out')")
        await page.goto(one.url(PHOTOS, f"{ACCESS}link/sesame"))
        await press_until(page, "Open it")
        await keys.press("Enter")
        await page.wait_for_selector("p:text('/album/7')")


async def test_a_browser_without_javascript_can_do_all_but_passkeys(tmp_path: Path) -> None:
    """There is no button that does nothing, and a sentence says why."""
    async with house(tmp_path) as one, browser(java_script_enabled=False) as context:
        page = await context.new_page()
        await page.goto(one.url())
        assert not await page.is_visible("text=Use a passkey")
        assert await page.is_visible("text=switch JavaScript on")
        await log_in(page)
        await until_in(page)
        await page.goto(one.url(PHOTOS, ACCESS))
        assert not await page.is_visible("text=Add a passkey")
        await page.click("button:text-is('Sign out')")
        await page.wait_for_selector("h1:text('You are signed out')")
        await page.goto(await one.invite("ben"))
        assert not await page.is_visible("text=Make a passkey")
        await page.fill("#new", "four or five words")
        await page.fill("#repeated", "four or five words")
        await page.click("text=Set the password")
        await page.wait_for_selector("text=as ben")


async def test_a_browser_without_passkeys_has_no_button_for_them(tmp_path: Path) -> None:
    """It is told to take another one, and the rest is as ever."""
    async with house(tmp_path) as one, browser() as context:
        page = await context.new_page()
        complaints = complaints_of(page)
        await page.add_init_script("delete window.PublicKeyCredential")
        await page.goto(one.url())
        await page.wait_for_selector("text=use a browser that has passkeys")
        assert not await page.is_visible("text=Use a passkey")
        await log_in(page)
        await until_in(page)
        assert complaints == []


async def test_password_managers_know_the_fields(tmp_path: Path) -> None:
    """By their `autocomplete`; each form with a new password names whose it is."""
    async with house(tmp_path) as one, browser() as context:
        page = await context.new_page()

        async def fields() -> list[str]:
            script = "all => all.map(one => one.autocomplete)"
            return list(await page.eval_on_selector_all("form input[autocomplete]", script))

        await page.goto(one.url())
        assert await fields() == ["username webauthn", "current-password"]
        await page.goto(await one.invite("ben"))
        assert await fields() == ["username", "new-password", "new-password"]
        await page.goto(one.url(PHOTOS, ACCESS))
        await log_in(page)
        await page.wait_for_selector("h1:text('Your login')")
        new = ["username", "current-password", "new-password", "new-password"]
        assert [one for one in await fields() if one != "off"] == new
