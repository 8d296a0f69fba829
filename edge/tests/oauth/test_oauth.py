"""A program that asks for access, step by step, at a real edge with a door in front of an app."""

from __future__ import annotations

import hashlib
import html
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from edge.tests.live import SHOP, live_edge
from edge.tests.login.test_login import HASHED, World, app
from tests.e2e.harness import NO_TLS

from asgi_tunnel_edge.accounts import UserRecord
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.tokens import TokenRecord, secret_digest

pytestmark = pytest.mark.anyio

ORIGIN = f"http://{SHOP}"
OAUTH = "/.well-known/asgi-tunnel/oauth/"
REDIRECT = "http://127.0.0.1:5005/callback"
SETTINGS: dict[str, Any] = {
    "access": {
        "tools": {"users": ["anna"], "methods": ["password", "basic", "token"], "oauth": True},
        "people": {"users": ["*"]},
    },
    "hostnames": {
        SHOP: {"access": "tools", "access_paths": {"/photos": "people", "/open": "public"}}
    },
}


class Program:
    """A client: what it knows, and what it asks."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.http = httpx.AsyncClient(base_url=world.url, headers={"host": SHOP}, verify=NO_TLS)
        self.browser = world.browser()
        self.verifier = secrets.token_urlsafe(40)
        self.client_id = ""
        self.tokens: dict[str, Any] = {}

    async def register(self, *redirects: str) -> httpx.Response:
        """Register; remember the id."""
        body = {"client_name": "Assistant <b>", "redirect_uris": redirects or [REDIRECT]}
        response = await self.http.post(f"{OAUTH}register", json=body)
        self.client_id = response.json().get("client_id", "")
        return response

    def parameters(self, **changes: str) -> dict[str, str]:
        """Of the authorization request."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": REDIRECT,
            "code_challenge": urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "state": "s1",
            "resource": f"{ORIGIN}/mcp",
            **changes,
        }

    async def ask(self, **changes: str) -> httpx.Response:
        """Open the consent page in the browser."""
        return await self.browser.get(f"{OAUTH}authorize", params=self.parameters(**changes))

    async def decide(self, page: httpx.Response, decision: str = "allow") -> dict[str, str]:
        """Press a button; return what the client is told."""
        found = re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', page.text)
        form = {name: html.unescape(value) for name, value in found}
        form["decision"] = decision
        response = await self.browser.post(f"{OAUTH}authorize", data=form)
        assert response.status_code == 303, response.text
        where = urlsplit(response.headers["location"])
        assert response.headers["location"].startswith(f"{REDIRECT}?")
        return {name: values[0] for name, values in parse_qs(where.query).items()}

    async def code(self, **changes: str) -> str:
        """Log in where that is needed, say yes, and return the code."""
        if "cookie" not in self.browser.headers:
            await self.world.log_in(self.browser)
        page = await self.ask(**changes)
        assert page.status_code == 200, page.text
        told = await self.decide(page)
        assert (told["state"], told["iss"]) == ("s1", ORIGIN)
        return told["code"]

    async def token(self, **form: str) -> httpx.Response:
        """Ask the token endpoint; remember what it gives."""
        response = await self.http.post(f"{OAUTH}token", data={"client_id": self.client_id, **form})
        if response.status_code == 200:
            self.tokens = response.json()
        return response

    async def redeem(self, code: str, /, **changes: str) -> httpx.Response:
        """Use a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT,
            "code_verifier": self.verifier,
            "resource": f"{ORIGIN}/mcp",
        }
        return await self.token(**{**form, **changes})

    async def refresh(self, token: str = "", **changes: str) -> httpx.Response:
        """Use a refresh token."""
        shown = token or self.tokens["refresh_token"]
        return await self.token(grant_type="refresh_token", refresh_token=shown, **changes)

    async def call(self, path: str = "/mcp", token: str = "") -> httpx.Response:
        """Call the app."""
        bearer = f"Bearer {token or self.tokens['access_token']}"
        return await self.http.post(path, headers={"authorization": bearer}, content=b"{}")


@asynccontextmanager
async def program(folder: Path) -> AsyncIterator[Program]:
    """A registered program, and an edge with a door for it."""
    async with live_edge(folder, app, **SETTINGS) as live:
        token = TokenRecord(
            id=live.token.id,
            name="shop",
            secret_sha256=secret_digest(live.token.secret),
            hostnames=(SHOP,),
            created_at=0,
        )
        Store(live.edge.config.database_path).create_token(token)
        store = AccessStore(live.edge.config.database_path)
        store.create_user(UserRecord(name="anna", email="a@example.org"), password=HASHED)
        store.create_user(UserRecord(name="ben"), password=HASHED)
        world = World(live, store)
        await world.follow()
        one = Program(world)
        async with one.http, one.browser:
            await one.register()
            yield one


async def test_the_whole_way(tmp_path: Path) -> None:
    """From a 401 through the metadata, a login and a consent to a call, and on with a refresh."""
    async with program(tmp_path) as one:
        refused = await one.http.post("/mcp", content=b"{}")
        assert refused.status_code == 401
        where = f"{ORIGIN}/.well-known/oauth-protected-resource/mcp"
        assert refused.headers["www-authenticate"] == f'Bearer resource_metadata="{where}"'
        resource = (await one.http.get(urlsplit(where).path)).json()
        assert resource["resource"] == f"{ORIGIN}/mcp"
        assert resource["authorization_servers"] == [ORIGIN]
        server = (await one.http.get("/.well-known/oauth-authorization-server")).json()
        assert server["issuer"] == ORIGIN
        assert server["code_challenge_methods_supported"] == ["S256"]
        login = await one.ask()
        assert login.status_code == 303
        page = await one.browser.get(login.headers["location"])
        [back] = re.findall(r'name="to" value="([^"]*)"', page.text)
        done = await one.world.log_in(one.browser, html.unescape(back))
        consent = await one.browser.get(done.headers["location"])
        assert "Assistant &lt;b&gt;" in consent.text
        assert f"{SHOP}/mcp" in consent.text
        assert (
            "form-action 'self' http://127.0.0.1:5005;"
            in consent.headers["content-security-policy"]
        )
        told = await one.decide(consent)
        given = await one.redeem(told["code"])
        assert given.status_code == 200
        assert given.headers["cache-control"] == "no-store"
        assert given.json()["token_type"] == "Bearer"
        said = (await one.call()).json()
        assert said["visitor"]["subject"] == "user:anna"
        assert said["visitor"]["policy"] == "tools"
        assert "authorization" not in dict(said["headers"])
        first = one.tokens
        assert (await one.refresh()).status_code == 200
        assert one.tokens["refresh_token"] != first["refresh_token"]
        assert (await one.call("/mcp/x?y=1")).status_code == 200


async def test_a_code_holds_once(tmp_path: Path) -> None:
    """The second use ends what came of the first."""
    async with program(tmp_path) as one:
        code = await one.code()
        assert (await one.redeem(code)).status_code == 200
        assert (await one.call()).status_code == 200
        again = await one.redeem(code)
        assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
        assert (await one.call()).status_code == 401
        assert (await one.refresh()).status_code == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"code_verifier": "w" * 50},
        {"redirect_uri": "http://127.0.0.1:5006/callback"},
        {"client_id": "c1.x.y"},
        {"resource": f"{ORIGIN}/photos"},
        {"grant_type": "password"},
        {"code": ""},
        {"code": "x" * 43},
    ],
)
async def test_a_code_of_somebody_else(tmp_path: Path, wrong: dict[str, str]) -> None:
    """Without its verifier, its client and its redirect URI it is worth nothing."""
    async with program(tmp_path) as one:
        code = await one.code()
        response = await one.redeem(code, **wrong)
        assert response.status_code == 400
        assert response.json()["error"] in {
            "invalid_grant",
            "invalid_target",
            "invalid_request",
            "unsupported_grant_type",
        }
        assert not one.tokens


async def test_a_refresh_token_that_comes_twice(tmp_path: Path) -> None:
    """Somebody else has it: the grant ends, with its access tokens."""
    async with program(tmp_path) as one:
        await one.redeem(await one.code())
        stolen = one.tokens["refresh_token"]
        assert (await one.refresh()).status_code == 200
        assert (await one.refresh(stolen)).status_code == 400
        assert (await one.call()).status_code == 401
        assert (await one.refresh()).status_code == 400


async def test_a_token_is_for_its_resource(tmp_path: Path) -> None:
    """Not for another path or hostname, not as a cookie; and a cookie is no token."""
    async with program(tmp_path) as one:
        await one.redeem(await one.code())
        access = one.tokens["access_token"]
        assert (await one.call("/photos")).status_code == 401
        for path in ("/mcpx", "/mcp/../photos", "/mcp%2f..%2fphotos", "//mcp", "/photos;/mcp"):
            assert (await one.call(path)).status_code in (401, 400), path
        cookie = {"cookie": f"__Host-asgi-tunnel={access}"}
        assert (await one.http.post("/mcp", headers=cookie)).status_code == 401
        session = one.browser.headers["cookie"].partition("=")[2].partition(";")[0]
        assert (await one.call(token=session)).status_code == 401
        for wrong in ("x", access[:-2], access + "A"):
            response = await one.call(token=wrong)
            assert response.status_code == 401
            assert 'error="invalid_token"' in response.headers["www-authenticate"]
        twice = [("authorization", f"Bearer {access}")] * 2
        assert (await one.http.post("/mcp", headers=twice)).status_code == 401


async def test_who_signs_out_takes_programs_along(tmp_path: Path) -> None:
    """Signing out everywhere, a removed user, and the list of logins end a grant."""
    async with program(tmp_path) as one:
        await one.redeem(await one.code())
        listed = [row for row in one.world.store.sessions() if row.method == "oauth"]
        assert [row.name for row in listed] == ["anna: Assistant <b>"]
        one.world.store.end_sessions([listed[0].id])
        await one.world.follow()
        assert (await one.call()).status_code == 401
        assert (await one.refresh()).status_code == 400
        await one.redeem(await one.code())
        assert (await one.call()).status_code == 200
        one.world.store.end_sessions_of("anna")
        await one.world.follow()
        assert (await one.call()).status_code == 401
        assert (await one.refresh()).status_code == 400


async def test_a_program_may_give_its_token_back(tmp_path: Path) -> None:
    """Either token ends the grant; one that is not known is no error."""
    async with program(tmp_path) as one:
        for name in ("access_token", "refresh_token"):
            await one.redeem(await one.code())
            done = await one.http.post(f"{OAUTH}revoke", data={"token": one.tokens[name]})
            assert done.status_code == 200
            assert (await one.call()).status_code == 401
            assert (await one.refresh()).status_code == 400
        unknown = await one.http.post(f"{OAUTH}revoke", data={"token": "x.y"})
        assert unknown.status_code == 200


async def test_the_visitor_decides(tmp_path: Path) -> None:
    """No is told to the client; another site's form and a bad request lead nowhere."""
    async with program(tmp_path) as one:
        await one.world.log_in(one.browser)
        page = await one.ask()
        told = await one.decide(page, "deny")
        assert told == {
            "error": "access_denied",
            "error_description": "the visitor said no",
            "state": "s1",
            "iss": ORIGIN,
        }
        form = {**one.parameters(), "decision": "allow"}
        evil = await one.browser.post(
            f"{OAUTH}authorize", data=form, headers={"origin": "https://evil.example"}
        )
        assert evil.status_code == 403
        lost = await one.ask(redirect_uri="https://evil.example/")
        assert lost.status_code == 400
        assert "location" not in lost.headers
        other = await one.ask(resource=f"{ORIGIN}/photos")
        assert other.status_code == 303
        assert "error=invalid_target" in other.headers["location"]
        twice = await one.browser.get(f"{OAUTH}authorize?client_id=a&client_id=b")
        assert twice.status_code == 400


async def test_who_may_not_come_in_lets_nobody_in(tmp_path: Path) -> None:
    """A user of another door is asked nothing, and no code is made."""
    async with program(tmp_path) as one:
        await one.world.log_in(one.browser, "/photos", user="ben")
        page = await one.ask()
        assert page.status_code == 403
        posted = await one.browser.post(
            f"{OAUTH}authorize", data={**one.parameters(), "decision": "allow"}
        )
        assert posted.status_code == 403


async def test_scripts_of_other_origins_may_read_the_endpoints(tmp_path: Path) -> None:
    """A client in a browser asks first (CORS); a registration that cannot be used says why."""
    async with program(tmp_path) as one:
        asked = await one.http.options(f"{OAUTH}token", headers={"origin": "https://a.example"})
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-origin"] == "*"
        bad = await one.register("http://evil.example/")
        assert (bad.status_code, bad.json()["error"]) == (400, "invalid_redirect_uri")
        body = await one.http.post(f"{OAUTH}register", content=b"{")
        assert body.status_code == 400


async def test_doors_without_oauth_are_as_before(tmp_path: Path) -> None:
    """Their 401 names no metadata, there is none, and the app has its own Authorization."""
    async with program(tmp_path) as one:
        refused = await one.http.post("/photos", headers={"accept": "application/json"})
        assert "resource_metadata" not in refused.headers.get("www-authenticate", "")
        missing = await one.http.get("/.well-known/oauth-protected-resource/photos")
        assert missing.status_code == 404
        public = await one.http.get("/open", headers={"authorization": "Bearer own"})
        assert dict(public.json()["headers"])["authorization"] == "Bearer own"


async def test_tokens_outlive_a_restart_of_the_edge(tmp_path: Path) -> None:
    """An access token is signed, and a refresh token in the store: the next process has both."""
    async with program(tmp_path) as one:
        await one.redeem(await one.code())
        tokens, client_id, token = one.tokens, one.client_id, one.world.live.token
    async with live_edge(tmp_path, app, token=token, **SETTINGS) as live:
        again = Program(World(live, AccessStore(live.edge.config.database_path)))
        again.tokens, again.client_id = tokens, client_id
        async with again.http, again.browser:
            assert (await again.call()).status_code == 200
            assert (await again.refresh()).status_code == 200
            assert (await again.call()).status_code == 200
