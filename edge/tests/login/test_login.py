"""A visitor at a door: through a real edge, with an app behind it that says what it was sent."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from edge.tests.live import SHOP, Live, live_edge
from edge.tests.quick_password import quick_hash
from tests.e2e.harness import NO_TLS

from asgi_tunnel import Tunnel
from asgi_tunnel.policy import edge
from asgi_tunnel.policy.collect import collect
from asgi_tunnel_edge.accounts import LinkRecord, ServiceTokenRecord, UserRecord
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.tokens import TokenRecord, secret_digest

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery"
HASHED = quick_hash(PASSWORD)
ACCESS = "/.well-known/asgi-tunnel/access/"

SETTINGS: dict[str, Any] = {
    "access": {
        "family": {"users": ["anna"], "methods": ["password", "basic", "token", "link"]},
        "operators": {"groups": ["admin"]},
    },
    "hostnames": {
        SHOP: {
            "access": "family",
            "access_paths": {"/open": "public", "POST /hooks": "public", "/admin": "operators"},
        }
    },
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Say what came."""
    if scope["type"] != "http":
        return
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message["body"])
        if not message.get("more_body"):
            break
    said = {
        "path": scope["path"],
        "body": size,
        "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]],
        "visitor": scope["extensions"]["asgi_tunnel"].get("visitor"),
    }
    fields = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})


class World:
    """A live edge with a door, and its store."""

    def __init__(self, live: Live, store: AccessStore) -> None:
        self.live = live
        self.store = store
        self.url = f"http://127.0.0.1:{live.edge.address.port}"

    def browser(self, **fields: str) -> httpx.AsyncClient:
        """A visitor's browser; each has cookies of its own."""
        headers = {"host": SHOP, "origin": f"http://{SHOP}", "accept": "text/html", **fields}
        return httpx.AsyncClient(base_url=self.url, headers=headers, verify=NO_TLS)

    async def follow(self) -> None:
        """Wait until the edge has what the store has."""
        generation = Store(self.store.location).generation()
        async with asyncio.timeout(5):
            while self.live.edge.directory.snapshot.generation < generation:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def log_in(self, browser: httpx.AsyncClient, to: str = "/", **more: str) -> Any:
        """Send the form of the login page."""
        form = {"user": "anna", "password": PASSWORD, "to": to, **more}
        response = await browser.post(f"{ACCESS}password", data=form)
        for cookie in response.headers.get_list("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            browser.headers["cookie"] = f"{name}={value}; other=1"
        return response


@asynccontextmanager
async def door(folder: Path, **more: Any) -> AsyncIterator[World]:
    """An edge with a door in front of the app, and one user; ``more`` are tables of settings."""
    async with live_edge(folder, app, **SETTINGS, **more) as live:
        token = TokenRecord(
            id=live.token.id,
            name="shop",
            secret_sha256=secret_digest(live.token.secret),
            hostnames=(SHOP,),
            created_at=0,
        )
        Store(live.edge.config.database).create_token(token)
        store = AccessStore(live.edge.config.database)
        store.create_user(UserRecord(name="anna", email="a@example.org"), password=HASHED)
        store.create_user(UserRecord(name="ben", groups=("admin",)), password=HASHED)
        world = World(live, store)
        await world.follow()
        yield world


async def test_a_browser_is_led_to_the_login_and_back(tmp_path: Path) -> None:
    """Then the app sees who it is, and none of the edge's cookie."""
    async with door(tmp_path) as world, world.browser() as browser:
        first = await browser.get("/photos/1?size=9")
        assert first.status_code == 303
        assert first.headers["location"] == f"{ACCESS}login?to=%2Fphotos%2F1%3Fsize%3D9"
        page = await browser.get(first.headers["location"])
        assert page.status_code == 200
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        [back] = re.findall(r'name="to" value="([^"]*)"', page.text)
        done = await world.log_in(browser, back)
        assert (done.status_code, done.headers["location"]) == (303, "/photos/1?size=9")
        cookie = done.headers["set-cookie"]
        assert cookie.startswith("__Host-asgi-tunnel=")
        for attribute in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
            assert attribute in cookie
        seen = (await browser.get("/photos/1?size=9")).json()
        assert dict(seen["headers"])["cookie"] == "other=1"
        assert seen["visitor"]["subject"] == "user:anna"
        assert seen["visitor"]["email"] == "a@example.org"
        assert (seen["visitor"]["method"], seen["visitor"]["policy"]) == ("password", "family")


async def test_programs_hear_what_is_missing(tmp_path: Path) -> None:
    """401 in JSON, with a challenge; a script of a page gets none, which would open a window."""
    async with door(tmp_path) as world, world.browser(accept="application/json") as program:
        response = await program.get("/api")
        assert response.status_code == 401
        assert response.json()["reason"] == "login-required"
        assert response.headers["www-authenticate"].startswith("Basic ")
        script = await program.get("/api", headers={"sec-fetch-mode": "cors"})
        assert script.status_code == 401
        assert "www-authenticate" not in script.headers
        sent = await program.post("/api", headers={"accept": "text/html"}, content=b"x")
        assert sent.status_code == 401


async def test_paths_may_be_public_or_for_others(tmp_path: Path) -> None:
    """An exception holds for its path and method; a stricter door is no way around."""
    async with door(tmp_path) as world, world.browser() as browser:
        assert (await browser.get("/open/day")).status_code == 200
        assert (await browser.post("/hooks", content=b"12")).json()["body"] == 2
        assert (await browser.get("/hooks")).status_code == 303
        assert (await browser.get("/opened")).status_code == 303
        await world.log_in(browser)
        assert (await browser.get("/any")).status_code == 200
        assert (await browser.get("/admin/users")).status_code == 403
        assert (await browser.get("/ADMIN/users")).status_code == 403


async def test_a_wrong_password_is_slowed_down(tmp_path: Path) -> None:
    """A few tries are taken; then this address waits, and others do not."""
    async with door(tmp_path) as world, world.browser() as browser:
        statuses = [
            (await world.log_in(browser, password="wrong but long")).status_code for _ in range(10)
        ]
        assert statuses[:8] == [403] * 8
        assert statuses[-1] == 429
        assert "__Host-asgi-tunnel" not in browser.headers.get("cookie", "")


async def test_a_form_of_another_site_is_refused(tmp_path: Path) -> None:
    """Nobody is logged in or out by a page that is not this hostname's."""
    async with door(tmp_path) as world, world.browser(origin="https://evil.test") as browser:
        response = await world.log_in(browser)
        assert response.status_code == 403
        assert "set-cookie" not in response.headers


@pytest.mark.parametrize("to", ["//evil.test/", "https://evil.test", "/\\evil.test", "/\t/e", ""])
async def test_a_login_leads_to_this_hostname_only(tmp_path: Path, to: str) -> None:
    """Whatever stands in `to`."""
    async with door(tmp_path) as world, world.browser() as browser:
        assert (await world.log_in(browser, to)).headers["location"] == "/"


async def test_signing_out_ends_the_session_at_once(tmp_path: Path) -> None:
    """The cookie is worth nothing after that, and everywhere means every one of the user's."""
    async with door(tmp_path) as world, world.browser() as one, world.browser() as other:
        await world.log_in(one)
        await world.log_in(other)
        response = await one.post(f"{ACCESS}logout")
        assert "Max-Age=0" in response.headers["set-cookie"]
        assert (await one.get("/")).status_code == 303
        assert (await other.get("/")).status_code == 200
        await other.post(f"{ACCESS}logout", data={"everywhere": "1"})
        await world.follow()
        assert (await other.get("/")).status_code == 303
        assert world.store.sessions() == []


async def test_a_removed_user_is_out(tmp_path: Path) -> None:
    """And one of the same name who comes later gets none of the old sessions."""
    async with door(tmp_path) as world, world.browser() as browser:
        await world.log_in(browser)
        assert (await browser.get("/")).status_code == 200
        world.store.remove_user("anna")
        world.store.create_user(UserRecord(name="anna", created_at=7), password=HASHED)
        await world.follow()
        assert (await browser.get("/")).status_code == 303


async def test_a_session_survives_a_restart_of_the_edge(tmp_path: Path) -> None:
    """It is signed, and the key is in the folder."""
    async with door(tmp_path) as world, world.browser() as browser:
        await world.log_in(browser)
        cookie = browser.headers["cookie"]
    async with live_edge(tmp_path, app, token=world.live.token, **SETTINGS) as live:
        world = World(live, AccessStore(live.edge.config.database))
        async with world.browser(cookie=cookie) as browser:
            assert (await browser.get("/")).status_code == 200


async def test_a_service_token_passes_by_fields_and_as_a_password(tmp_path: Path) -> None:
    """The app gets neither of them; a wrong or a revoked one is refused, whatever else is sent."""
    async with door(tmp_path) as world, world.browser(accept="*/*") as program:
        record = ServiceTokenRecord(
            id="svc_1", name="phone", secret_sha256=secret_digest("s3cret"), policies=("family",)
        )
        world.store.create_service_token(record)
        await world.follow()
        pair = {"asgi-tunnel-token-id": "svc_1", "asgi-tunnel-token-secret": "s3cret"}
        basic = {"authorization": f"Basic {b64encode(b'svc_1:s3cret').decode()}"}
        for fields in (pair, basic):
            seen = (await program.get("/dav", headers=fields)).json()
            assert not {name for name, _ in seen["headers"]} & {*pair, *basic}
            assert (seen["visitor"]["subject"], seen["visitor"]["method"]) == (
                "token:svc_1",
                "token",
            )
            assert (await program.get("/admin", headers=fields)).status_code == 403
        wrong = {**pair, "asgi-tunnel-token-secret": "other"}
        assert (await program.get("/dav", headers=wrong)).status_code == 401
        half = {"asgi-tunnel-token-id": "svc_1"}
        assert (await program.get("/dav", headers=half)).status_code == 401
        world.store.revoke_service_token("phone")
        await world.follow()
        assert (await program.get("/dav", headers=pair)).status_code == 401


async def test_basic_authentication_waits_for_the_password_once(tmp_path: Path) -> None:
    """The body of the first request waits with it and comes whole; wrong ones get 401."""
    async with door(tmp_path) as world, world.browser(accept="*/*") as program:
        right = {"authorization": f"Basic {b64encode(f'anna:{PASSWORD}'.encode()).decode()}"}
        for _ in range(2):
            sent = await program.put("/dav/file", headers=right, content=b"x" * 300_000)
            assert sent.json()["body"] == 300_000
            assert sent.json()["visitor"]["method"] == "basic"
        wrong = {"authorization": f"Basic {b64encode(b'anna:something else').decode()}"}
        refused = await program.put("/dav/file", headers=wrong, content=b"x" * 300_000)
        assert refused.status_code == 401


async def test_a_share_link_opens_one_path_as_often_as_it_may(tmp_path: Path) -> None:
    """A look at it counts nothing; who has opened it sees what is below, until it is revoked."""
    async with door(tmp_path) as world:
        link = LinkRecord(
            id="link_1",
            secret_sha256=secret_digest("sesame"),
            hostname=SHOP,
            path="/album/7",
            max_uses=1,
        )
        world.store.create_link(link)
        await world.follow()
        async with world.browser() as browser, world.browser() as second:
            page = await browser.get(f"{ACCESS}link/sesame")
            assert "/album/7" in page.text
            opened = await browser.post(f"{ACCESS}link/sesame")
            assert (opened.status_code, opened.headers["location"]) == (303, "/album/7")
            browser.headers["cookie"] = opened.headers["set-cookie"].partition(";")[0]
            seen = await browser.get("/album/7/1.jpg")
            assert seen.json()["visitor"]["subject"] == "link:link_1"
            for path in ("/album/70", "/album/7/../8", "/album/7%2f..%2f8", "/"):
                url = httpx.URL(world.url).copy_with(raw_path=path.encode())
                assert (await browser.get(url)).status_code == 303, path
            assert (await second.post(f"{ACCESS}link/sesame")).status_code == 404
            world.store.revoke_link("link_1")
            await world.follow()
            assert (await browser.get("/album/7/1.jpg")).status_code == 303


async def test_behind_a_proxy_the_origin_is_the_visitors(tmp_path: Path) -> None:
    """Which speaks TLS with them; what came to it over http is refused."""
    proxies = {"trusted": ["127.0.0.1/32"]}
    origin = {"origin": f"https://{SHOP}", "x-forwarded-for": "203.0.113.7"}
    async with door(tmp_path, proxies=proxies) as world:
        for scheme, status in (("https", 303), ("http", 403)):
            fields = {**origin, "x-forwarded-proto": scheme}
            async with world.browser(**fields) as browser:
                assert (await world.log_in(browser)).status_code == status
                assert (await browser.get(f"{ACCESS}login")).status_code == status


async def test_who_is_in_needs_no_share_link(tmp_path: Path) -> None:
    """It leads on, uses nothing up, and takes nobody's own session."""
    async with door(tmp_path) as world, world.browser() as browser:
        link = LinkRecord(
            id="link_1",
            secret_sha256=secret_digest("sesame"),
            hostname=SHOP,
            path="/album/7",
            max_uses=1,
        )
        world.store.create_link(link)
        await world.follow()
        await world.log_in(browser)
        for ask in (browser.get, browser.post):
            led = await ask(f"{ACCESS}link/sesame")
            assert (led.status_code, led.headers["location"]) == (303, "/album/7")
            assert "set-cookie" not in led.headers
        assert [one.uses for one in world.store.links()] == [0]


async def test_nobody_logs_in_while_the_store_is_away(tmp_path: Path) -> None:
    """And who is in stays in."""
    async with door(tmp_path) as world, world.browser() as one, world.browser() as other:
        await world.log_in(one)
        database = world.live.edge.config.database_path
        database.rename(database.with_suffix(".away"))
        assert (await world.log_in(other)).status_code == 503
        assert (await one.get("/")).status_code == 200


async def test_an_app_asks_for_a_login_in_its_own_code(tmp_path: Path) -> None:
    """Where `edge.toml` has no door; its pages are there then, and a door of both is two."""
    table = {"/mine/**": edge(access="family"), "/open/all": edge(access="operators")}
    rules = collect(Tunnel(app, policy=table))
    async with door(tmp_path) as world:
        await world.live.disconnect()
        await world.live.connect(app, policy=rules)
        async with world.browser() as browser:
            assert (await browser.get("/open/day")).status_code == 200
            assert (await browser.get("/open/all")).status_code == 303
            await world.log_in(browser, "/mine/1")
            assert (await browser.get("/mine/1")).json()["visitor"]["subject"] == "user:anna"
            assert (await browser.get("/open/all")).status_code == 403
