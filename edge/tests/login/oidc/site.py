"""The login's pages in memory, with providers; and a browser that keeps cookies as browsers do."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from asgi_tunnel_edge.access.cookies import SESSION_COOKIE
from asgi_tunnel_edge.access.doors import ACCESS_PATH, Doors
from asgi_tunnel_edge.access.paths import Door
from asgi_tunnel_edge.access.session import Claims, SessionSigner
from asgi_tunnel_edge.login.app import LoginApp
from asgi_tunnel_edge.login.oidc.login import OidcLogin
from asgi_tunnel_edge.login.sessions import Sessions
from asgi_tunnel_edge.login.site import Site
from asgi_tunnel_edge.pages.brand import Brand
from asgi_tunnel_edge.settings.access import AccessConfig
from asgi_tunnel_edge.settings.guards import HostnameConfig
from asgi_tunnel_edge.settings.oidc import OidcConfig
from asgi_tunnel_edge.settings.pages import PagesConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore

from .evil import CLIENT, SECRET, EvilProvider

HOST = "photos.example.test"
OTHER = "other.example.test"
START = f"{ACCESS_PATH}oidc/start/"
CALLBACK = f"{ACCESS_PATH}oidc/callback/"


@cache
def _empty_store() -> sqlite3.Connection:
    """A store without rows; made once, which takes half a second."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "edge.sqlite3"
        Store(path).migrate()
        kept = sqlite3.connect(":memory:")
        source = sqlite3.connect(path)
        source.backup(kept)
        source.close()
        return kept


def _copy_store(path: Path) -> None:
    target = sqlite3.connect(path)
    _empty_store().backup(target)
    target.close()


class LoginSite:
    """Pages of one edge with two hostnames, without the edge.

    Args:
        folder: For the store.
        providers: By name.
        policy: Who is let in, in place of all of example.org.
        settings: More of each provider's table.
    """

    def __init__(
        self,
        folder: Path,
        providers: dict[str, EvilProvider],
        *,
        policy: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        path = folder / "edge.sqlite3"
        _copy_store(path)
        config = AccessConfig(**(policy or {"domains": ("example.org",)}))
        issuers = {name: one.issuer for name, one in providers.items()}
        self.doors = Doors({"family": config}, SessionSigner(bytes(32)), issuers=issuers)
        door = Door.of(HostnameConfig(access="family"), self.doors.policies)
        tables = {
            name: OidcConfig(
                **{
                    "issuer": one.issuer,
                    "client_id": CLIENT,
                    "client_secret": SECRET,
                    **settings,
                }
            )
            for name, one in providers.items()
        }
        self.wall = 0.0  # seconds that its clock is ahead
        self.login = OidcLogin(
            tables, folder, bytes(range(32)), wall=lambda: time.time() + self.wall
        )
        self.providers = providers
        sessions = Sessions(self.doors, AccessStore(path))
        site = Site(Brand.of(PagesConfig(), folder))
        self._asgi = LoginApp(
            lambda name: door if name in (HOST, OTHER) else None, sessions, site, [self.login]
        ).asgi

    async def __aenter__(self) -> LoginSite:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.login.aclose()

    def browser(self, host: str = HOST, address: str = "127.0.0.1") -> Browser:
        """A browser of somebody."""
        return Browser(self, self._asgi, host, address)


@asynccontextmanager
async def one_provider(
    folder: Path, **options: Any
) -> AsyncIterator[tuple[EvilProvider, LoginSite]]:
    """A provider, and pages that offer it as ``idp``."""
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(EvilProvider().serve())
        site = LoginSite(folder, {"idp": provider}, **options)
        yield provider, await stack.enter_async_context(site)


class Browser:
    """One browser, at one hostname."""

    def __init__(self, site: LoginSite, app: Any, host: str, address: str) -> None:
        self._address = address
        self._site = site
        self._host = host
        self._app = app
        self.cookies: dict[str, str] = {}

    async def get(self, url: str | httpx.URL, *, origin: str = "") -> httpx.Response:
        """Ask for a page."""
        transport = httpx.ASGITransport(app=self._app, client=(self._address, 9))
        base = origin or f"https://{self._host}"
        fields = {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            response = await client.get(url, headers=fields if self.cookies else {})
        for line in response.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            assert "; Path=/; Secure; HttpOnly; SameSite=Lax" in line
            self.cookies.pop(name, None)
            if "Max-Age=0" not in line:
                self.cookies[name] = value
        return response

    async def start(self, name: str = "idp", to: str = "/album?n=1") -> dict[str, str]:
        """Press the button of a provider; return what it is sent."""
        response = await self.get(httpx.URL(f"{START}{name}", params={"to": to}))
        assert response.status_code == 303, response.text
        parts = urlsplit(response.headers["location"])
        issuer = self._site.providers[name].issuer
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{issuer}/authorize"
        return dict(parse_qsl(parts.query))

    async def come_back(
        self, query: dict[str, str], name: str = "idp", **more: str | None
    ) -> httpx.Response:
        """Log in at the provider, and follow it back."""
        code = self._site.providers[name].approve(query)
        values = {"code": code, "state": query["state"], **more}
        back = {key: value for key, value in values.items() if value is not None}
        return await self.get(httpx.URL(f"{CALLBACK}{name}", params=back))

    async def log_in(self, name: str = "idp", **more: str | None) -> httpx.Response:
        """Both."""
        return await self.come_back(await self.start(name), name, **more)

    @property
    def claims(self) -> Claims | None:
        """Who is logged in."""
        value = self.cookies.get(SESSION_COOKIE.decode(), "")
        return self._site.doors.identify(value.encode(), self._host, time.time())

    @property
    def attempts(self) -> list[str]:
        """The cookies of logins on their way."""
        return [name for name in self.cookies if "-login-" in name]
