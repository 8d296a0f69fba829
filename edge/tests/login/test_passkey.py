"""Passkeys step by step, with an authenticator in software that can lie."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from edge.tests.login.authenticator import Authenticator, Key
from edge.tests.login.rooms import ACCESS, HOST, OTHER, Browser, Rooms
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import AuthenticatorData

from asgi_tunnel_edge.access.cookies import SESSION_COOKIE
from asgi_tunnel_edge.accounts import UserRecord
from asgi_tunnel_edge.login import attempt as attempt_module

pytestmark = pytest.mark.anyio

_COOKIE = SESSION_COOKIE.decode()


async def key_of(rooms: Rooms, browser: Browser, user: str = "anna") -> Key:
    """A passkey that a user has just made by invitation; the browser is logged out again."""
    key, response = await browser.make_passkey(rooms.invite(user))
    assert response.status_code == 200, response.text
    browser.client.cookies.clear()
    rooms.follow()
    return key


async def test_an_invited_user_makes_a_passkey_and_logs_in_with_it(tmp_path: Path) -> None:
    """Nobody types a name, and the login leads to where it began."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        options = await browser.options("options", invitation=rooms.invite("ben").split("/")[-1])
        assert options["rp"] == {"id": HOST, "name": HOST}
        assert options["authenticatorSelection"]["residentKey"] == "required"
        assert options["authenticatorSelection"]["userVerification"] == "required"
        assert options["attestation"] == "none"
        key, done = await browser.make_passkey(rooms.invite("ben"), label="  My \n phone ")
        assert done.json() == {"location": f"{ACCESS}?done=passkey"}
        assert browser.is_in
        page = (await browser.get(f"{ACCESS}?done=passkey")).text
        assert "You have a passkey for this site" in page
        assert "My phone" in page
        browser.client.cookies.clear()
        used = await browser.use_passkey(key, "/photos?size=9")
        assert used.json() == {"location": "/photos?size=9"}
        assert browser.is_in
        [record] = rooms.store.sessions(subject="user:ben")[1:]
        assert record.method == "passkey"
        assert "last used <time" in (await browser.get()).text


async def test_an_attempt_is_asked_for_in_a_cookie_for_this_hostname_only(tmp_path: Path) -> None:
    """It cannot be read by scripts, and is gone in five minutes."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        response = await browser.script("challenge")
        cookie = response.headers["set-cookie"]
        assert cookie.startswith("__Host-asgi-tunnel-passkey=")
        for one in ("Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=300"):
            assert one in cookie
        assert response.headers["cache-control"] == "no-store"
        options = response.json()["options"]
        assert options["rpId"] == HOST
        assert options["userVerification"] == "required"
        assert "allowCredentials" not in options


@pytest.mark.parametrize(
    "lie",
    [
        {"origin": "https://evil.test"},
        {"origin": f"https://sub.{HOST}"},
        {"origin": f"http://{HOST}"},
        {"origin": f"https://{HOST}:8443"},
        {"challenge": websafe_encode(b"x" * 32)},
        {"cross_origin": True},
        {"flags": AuthenticatorData.FLAG.UP},
        {"flags": AuthenticatorData.FLAG.UV},
        {"handle": b"somebody else"},
    ],
)
async def test_an_assertion_for_something_else_is_refused(
    tmp_path: Path, lie: dict[str, Any]
) -> None:
    """Another origin, challenge, frame or person, or nobody at the device."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        key = await key_of(rooms, browser)
        response = await browser.use_passkey(key, **lie)
        assert response.status_code == 403
        assert "problem" in response.json()
        assert not browser.is_in
        assert (await browser.use_passkey(key)).status_code == 200


async def test_another_hostname_takes_neither_the_key_nor_the_attempt(tmp_path: Path) -> None:
    """Each hostname is a relying party of its own, although the user is the same."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser, rooms.browser(OTHER) as other:
        key = await key_of(rooms, browser)
        assert (await other.use_passkey(key)).status_code == 403
        other.authenticator = Authenticator(f"https://{OTHER}", HOST)
        assert (await other.use_passkey(key)).status_code == 403
        # An attempt that began elsewhere, with all else right.
        options = await browser.options("challenge")
        other.authenticator = Authenticator(f"https://{OTHER}", OTHER)
        theirs = await key_of(rooms, other)
        cookie = browser.client.cookies["__Host-asgi-tunnel-passkey"]
        answer = other.authenticator.use(options, theirs)
        refused = await other.client.post(
            f"{ACCESS}passkey/login",
            json={"credential": answer},
            headers={"cookie": f"__Host-asgi-tunnel-passkey={cookie}"},
        )
        assert refused.status_code == 403
        assert "attempt is over" in refused.text


async def test_an_assertion_is_taken_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also by a key that does not count; and a count that goes back is refused and logged."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        key = await key_of(rooms, browser)
        options = await browser.options("challenge")
        attempt = browser.client.cookies["__Host-asgi-tunnel-passkey"]
        credential = browser.authenticator.use(options, key)
        again = {"cookie": f"__Host-asgi-tunnel-passkey={attempt}"}

        async def send() -> int:
            browser.client.cookies.clear()
            path = f"{ACCESS}passkey/login"
            body = {"credential": credential}
            return (await browser.client.post(path, json=body, headers=again)).status_code

        assert [await send(), await send()] == [200, 403]
        browser.client.cookies.clear()
        for count, status in ((5, 200), (6, 200), (6, 403), (4, 403), (0, 403), (7, 200)):
            key.count = count
            with caplog.at_level(logging.WARNING):
                caplog.clear()
                assert (await browser.use_passkey(key)).status_code == status
            assert ("refused" in caplog.text) == (status == 403)


async def test_an_attempt_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After five minutes, or when its cookie is missing, changed, or of another kind."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        key = await key_of(rooms, browser)
        monkeypatch.setattr(attempt_module, "LIFETIME", -1)
        assert (await browser.use_passkey(key)).status_code == 403
        monkeypatch.undo()
        options = await browser.options("challenge")
        value = browser.client.cookies["__Host-asgi-tunnel-passkey"]
        credential = browser.authenticator.use(options, key)
        browser.client.cookies.clear()
        assert (await browser.script("login", credential=credential)).status_code == 403
        payload, _, mac = value.rpartition(".")
        await browser.log_in()
        await browser.options("options")
        other = browser.client.cookies["__Host-asgi-tunnel-passkey"]
        browser.client.cookies.clear()
        for wrong in (f"A{value}", f"x{payload[1:]}.{mac}", payload, ".", other, "x" * 5000):
            headers = {"cookie": f"__Host-asgi-tunnel-passkey={wrong}"}
            response = await browser.client.post(
                f"{ACCESS}passkey/login", json={"credential": credential}, headers=headers
            )
            assert response.status_code == 403, wrong
            assert "set-cookie" not in response.headers


async def test_a_new_passkey_needs_a_right_reply(tmp_path: Path) -> None:
    """Nothing is kept of one for another page, or with a key that nobody asked for."""
    rooms = Rooms(tmp_path)
    key = Key()
    wrong: list[dict[str, Any]] = [
        {"origin": "https://evil.test"},
        {"challenge": websafe_encode(b"x" * 32)},
        {"flags": AuthenticatorData.FLAG.UP},
        {"public": ES256({**key.public, 3: -47})},
        {"public": ES256({**key.public, -9: b"x" * 2000})},
    ]
    async with rooms.browser() as browser:
        await browser.log_in()
        for lie in wrong:
            options = await browser.options("options")
            _, credential = browser.authenticator.make(options, **lie)
            response = await browser.script("new", credential=credential)
            assert response.status_code == 403, lie
        browser.authenticator.hostname = OTHER
        assert (await browser.make_passkey())[1].status_code == 403
        assert rooms.store.passkeys("anna") == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[" * 60000,
        b'{"credential": 1}',
        b'{"credential": {"rawId": "eA", "id": "eA", "response": {"clientDataJSON": "e30"}}}',
        b'{"credential": {"rawId": "\\u00e4", "response": {}}}',
    ],
)
async def test_what_is_no_reply_of_a_browser_is_refused(tmp_path: Path, body: bytes) -> None:
    """In one sentence, whatever it is."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        await browser.log_in()
        for first, second in (("challenge", "login"), ("options", "new")):
            await browser.options(first)
            response = await browser.client.post(f"{ACCESS}passkey/{second}", content=body)
            assert response.status_code in (400, 403)
            assert response.json()["problem"]


async def test_only_this_hostnames_own_pages_may_ask(tmp_path: Path) -> None:
    """A script of another site gets neither a challenge nor a passkey made."""
    rooms = Rooms(tmp_path)
    async with rooms.browser(origin="https://evil.test") as browser:
        for page in ("challenge", "login", "options", "new"):
            assert (await browser.script(page)).status_code == 403


async def test_a_passkey_is_made_soon_after_a_login_only(tmp_path: Path) -> None:
    """Who finds a browser open, or has taken a cookie, cannot make a key for later."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        assert (await browser.script("options")).status_code == 403
        await browser.log_in()
        key, done = await browser.make_passkey()
        assert done.status_code == 200
        old = rooms.doors.signer.read(browser.client.cookies[_COOKIE].encode())
        assert old is not None
        stale = msgspec.structs.replace(old, since=int(time.time()) - 901)
        browser.client.cookies.clear()
        cookie = f"{_COOKIE}={rooms.doors.signer.sign(stale).decode()}"
        browser.client.headers["cookie"] = cookie
        assert "Log in once more" in (await browser.script("options")).json()["problem"]
        removed = await browser.form("account/passkey", id=websafe_encode(key.id))
        assert removed.status_code == 403
        assert "again=1" in removed.text
        page = (await browser.get()).text
        assert "Log in again" in page
        assert "Remove" not in page


async def test_two_devices_and_one_that_is_lost(tmp_path: Path) -> None:
    """A second passkey works beside the first; a removed one does not, and its sessions end."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as phone, rooms.browser() as laptop:
        first, _ = await phone.make_passkey(rooms.invite("ben"))
        await laptop.use_passkey(first)
        known = await laptop.options("options")
        assert [one["id"] for one in known["excludeCredentials"]] == [websafe_encode(first.id)]
        second, done = await laptop.make_passkey()
        assert done.status_code == 200
        removed = await laptop.form("account/passkey", id=websafe_encode(first.id))
        assert removed.headers["location"] == f"{ACCESS}?done=removed"
        for _ in range(2):
            assert (await laptop.get()).status_code == 200
            assert (await phone.get()).status_code == 303
            assert (await phone.use_passkey(first)).status_code == 403
            assert (await phone.use_passkey(second)).status_code == 200
            phone.client.cookies.clear()
            rooms.follow()


async def test_the_only_way_in_is_not_removed(tmp_path: Path) -> None:
    """Nor somebody else's key; with a password beside it, it is."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser, rooms.browser() as other:
        key, _ = await browser.make_passkey(rooms.invite("ben"))
        refused = await browser.form("account/passkey", id=websafe_encode(key.id))
        assert refused.status_code == 409
        assert "only way in" in refused.text
        await other.log_in()
        assert (await other.form("account/passkey", id=websafe_encode(key.id))).status_code == 409
        assert len(rooms.store.passkeys("ben")) == 1
        mine, _ = await other.make_passkey()
        assert (await other.form("account/passkey", id=websafe_encode(mine.id))).status_code == 303


async def test_who_was_removed_cannot_log_in(tmp_path: Path) -> None:
    """Nor a user of the same name who comes later, with the key of the first one."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        key = await key_of(rooms, browser)
        rooms.store.change_user("anna", disabled=True)
        rooms.follow()
        assert (await browser.use_passkey(key)).status_code == 403
        rooms.store.change_user("anna", disabled=False)
        rooms.follow()
        assert (await browser.use_passkey(key)).status_code == 200
        rooms.store.remove_user("anna")
        rooms.store.create_user(UserRecord(name="anna", created_at=99))
        rooms.follow()
        browser.client.cookies.clear()
        assert (await browser.use_passkey(key)).status_code == 403


async def test_a_known_passkey_cannot_be_made_again(tmp_path: Path) -> None:
    """An id that another user has would be theirs from then on."""
    rooms = Rooms(tmp_path)
    async with rooms.browser() as browser:
        key = await key_of(rooms, browser)
        await browser.log_in()
        options = await browser.options("options")
        _, credential = browser.authenticator.make(options, key=key)
        assert (await browser.script("new", credential=credential)).status_code == 403
