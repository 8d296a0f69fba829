"""The clients' own OAuth against an edge: they find out, register, ask the visitor, and go on."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import fastmcp
import httpx2
import pytest
import tests.e2e.names  # noqa: F401 - names below localhost lead to this machine
from fastmcp.client.auth import OAuth
from fastmcp.client.transports import StreamableHttpTransport
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata
from tests.e2e.harness import running_app, running_edge

from asgi_tunnel_edge.access.passwords import hash_password
from asgi_tunnel_edge.accounts import UserRecord
from asgi_tunnel_edge.storage.access import AccessStore

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse battery"
REDIRECT = "http://127.0.0.1:5005/callback"
DOOR = """
[access.tools]
users = ["anna"]
oauth = true

[hostnames."shop.localhost"]
access = "tools"
"""


@pytest.fixture
def anyio_backend() -> str:
    """The clients' event loop."""
    return "asyncio"


@pytest.fixture(scope="module", params=["sdk", "fast"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server without a login of its own, behind a door."""
    folder = tmp_path_factory.mktemp("oauth")
    with running_edge(folder, domain="localhost", settings=DOOR) as edge:
        store = AccessStore(edge.folder / "edge.sqlite3")
        store.create_user(UserRecord(name="anna"), password=hash_password(PASSWORD))
        token = edge.create_token("shop")
        server = f"tests.mcp_clients.servers:{request.param}"
        with running_app(folder, token, server, app_dir=ROOT):
            yield f"{token.urls[0]}/mcp"


class Storage:
    """Keeps what a client gets."""

    def __init__(self) -> None:
        self.tokens: Any = None
        self.client: Any = None

    async def get_tokens(self) -> Any:
        """What was given."""
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        """Keep it."""
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        """What was registered."""
        return self.client

    async def set_client_info(self, client_info: Any) -> None:
        """Keep it."""
        self.client = client_info


@dataclass
class Browser:
    """The visitor's: logs in with a form, and says yes."""

    where: str = ""

    async def open(self, url: str) -> None:
        """Go the way of a person; remember where the client was sent to."""
        origin = "/".join(url.split("/")[:3])
        async with httpx2.AsyncClient(headers={"origin": origin}) as http:
            # Over plain http, which no browser keeps this cookie for: so by hand.
            first = await http.get(url, headers={"accept": "text/html"})
            assert first.status_code == 303, first.text
            login = await http.get(f"{origin}{first.headers['location']}")
            form = {**_hidden(login.text), "user": "anna", "password": PASSWORD}
            done = await http.post(f"{origin}/.well-known/asgi-tunnel/access/password", data=form)
            assert done.status_code == 303, done.text
            cookie = {"cookie": done.headers["set-cookie"].partition(";")[0]}
            where = f"{origin}{done.headers['location']}"
            consent = await http.get(where, headers=cookie)
            form = {**_hidden(consent.text), "decision": "allow"}
            sent = await http.post(where, data=form, headers=cookie)
            assert sent.status_code == 303, sent.text
            self.where = sent.headers["location"]

    async def result(self) -> AuthorizationCodeResult:
        """What the client reads from where it was sent to."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.where).query).items()}
        return AuthorizationCodeResult(
            code=query["code"], state=query.get("state"), iss=query.get("iss")
        )


def _hidden(text: str) -> dict[str, str]:
    found = re.findall(r'name="([^"]*)" value="([^"]*)"', text)
    return {name: html.unescape(value) for name, value in found if name != "decision"}


def provider(url: str, browser: Browser, storage: Storage) -> OAuthClientProvider:
    """The SDK's own."""
    metadata = OAuthClientMetadata.model_validate(
        {"client_name": "suite", "redirect_uris": [REDIRECT]}
    )
    return OAuthClientProvider(
        url, metadata, storage, redirect_handler=browser.open, callback_handler=browser.result
    )


@asynccontextmanager
async def sdk(url: str, auth: Any) -> Any:
    """The SDK's client."""
    async with (
        httpx2.AsyncClient(auth=auth, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


async def test_the_sdk_comes_in(url: str) -> None:
    """It finds the metadata, registers, asks the visitor, and calls a tool; later it refreshes."""
    browser, storage = Browser(), Storage()
    async with sdk(url, provider(url, browser, storage)) as client:
        result = await client.call_tool("add", {"a": 2, "b": 3})
        assert result.structured_content == {"result": 5}
    first = storage.tokens
    assert first.refresh_token
    # An access token that is over: the client gets another one without the visitor.
    again = provider(url, Browser(), storage)
    await again._initialize()
    again.context.token_expiry_time = 1.0
    async with sdk(url, again) as client:
        assert (await client.call_tool("pid", {})).structured_content["result"] > 0
    assert storage.tokens.refresh_token != first.refresh_token


@pytest.mark.filterwarnings("ignore:Using in-memory token storage")
async def test_fastmcp_comes_in(url: str) -> None:
    """FastMCP's client likewise, with its own handling of the redirect."""
    browser = Browser()

    class Person(OAuth):
        async def redirect_handler(self, authorization_url: str) -> None:
            await browser.open(authorization_url)

        async def callback_handler(self) -> AuthorizationCodeResult:
            return await browser.result()

    transport = StreamableHttpTransport(url, auth=Person(url, callback_port=5005))
    async with fastmcp.Client(transport) as client:
        result = await client.call_tool("add", {"a": 2, "b": 3})
        assert result.structured_content == {"result": 5}


async def test_without_a_token(url: str) -> None:
    """401 with the way to one."""
    async with httpx2.AsyncClient() as http:
        response = await http.post(url, json={})
    assert response.status_code == 401
    assert "/.well-known/oauth-protected-resource/mcp" in response.headers["www-authenticate"]
