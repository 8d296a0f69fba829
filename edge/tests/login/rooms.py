"""The login's pages without an edge around them: what a test of one page needs."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
from edge.tests.login.authenticator import Authenticator, Key
from edge.tests.quick_password import quick_hash

from asgi_tunnel_edge.access.doors import Doors
from asgi_tunnel_edge.access.passwords import PasswordChecker
from asgi_tunnel_edge.access.paths import Door
from asgi_tunnel_edge.access.session import SessionSigner
from asgi_tunnel_edge.accounts import UserRecord
from asgi_tunnel_edge.login.account import AccountPages
from asgi_tunnel_edge.login.app import LoginApp
from asgi_tunnel_edge.login.invitation import Invitations
from asgi_tunnel_edge.login.link import LinkLogin
from asgi_tunnel_edge.login.passkey import PasskeyLogin
from asgi_tunnel_edge.login.password import PasswordLogin
from asgi_tunnel_edge.login.sessions import Sessions
from asgi_tunnel_edge.login.site import Site
from asgi_tunnel_edge.pages.brand import DARK, LIGHT, Brand
from asgi_tunnel_edge.pages.colour import readable
from asgi_tunnel_edge.settings.access import AccessConfig
from asgi_tunnel_edge.settings.guards import HostnameConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.tokens import secret_digest

HOST: Final = "photos.example.org"
OTHER: Final = "files.example.org"
ACCESS: Final = "/.well-known/asgi-tunnel/access/"
PASSWORD: Final = "correct horse battery"
HASHED: Final = quick_hash(PASSWORD)

POLICIES: Final = {
    "family": AccessConfig(users=("anna", "ben")),
    "keys": AccessConfig(users=("anna",), methods=("passkey",)),
    "programs": AccessConfig(users=("anna",), methods=("basic", "token")),
}
HOSTNAMES: Final = {
    HOST: HostnameConfig(access="family"),
    OTHER: HostnameConfig(access="keys"),
    "dav.example.org": HostnameConfig(access="programs"),
}
BRAND: Final = Brand("", False, "", readable("#0b57d0", LIGHT), readable("#0b57d0", DARK), "", "")


@cache
def _empty_database() -> bytes:
    """Migrating takes half a second."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "edge.db"
        Store(path).migrate()
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
        connection.close()
        return path.read_bytes()


class Rooms:
    """See the module.

    Attributes:
        store: With anna, who has a password, and ben, who has none.
    """

    def __init__(self, folder: Path) -> None:
        (folder / "edge.db").write_bytes(_empty_database())
        self.store = AccessStore(folder / "edge.db")
        self.store.create_user(UserRecord(name="anna", created_at=1), password=HASHED)
        self.store.create_user(UserRecord(name="ben", created_at=2))
        self.doors = Doors(POLICIES, SessionSigner(b"s" * 32))
        doors = {name: Door.of(one, self.doors.policies) for name, one in HOSTNAMES.items()}
        self.checker = PasswordChecker(self.store.password_of, time.monotonic)
        account, invitations = AccountPages(self.checker), Invitations(self.checker)
        methods = [
            PasskeyLogin(b"p" * 32, account, invitations),
            PasswordLogin(self.checker),
            LinkLogin(),
            invitations,
            account,
        ]
        sessions = Sessions(self.doors, self.store)
        self.app = LoginApp(doors.get, sessions, Site(BRAND), methods)
        self.follow()

    def follow(self) -> None:
        """Let the doors have what is in the store now."""
        self.doors.apply(Store(self.store.location).snapshot().access)

    def invite(self, name: str, *, lifetime: int = 3600) -> str:
        """Invite a user; return the page's path."""
        secret = f"secret-{time.monotonic_ns()}"
        expires = int(time.time()) + lifetime
        self.store.invite(name, secret_digest(secret), expires_at=expires)
        return f"{ACCESS}invite/{secret}"

    @asynccontextmanager
    async def browser(
        self, hostname: str = HOST, *, scheme: str = "https", **fields: str
    ) -> AsyncIterator[Browser]:
        """A browser with cookies of its own, at one hostname."""
        transport = httpx.ASGITransport(self.app.asgi, client=("203.0.113.7", 40000))
        headers = {"origin": f"{scheme}://{hostname}", "accept": "text/html", **fields}
        async with httpx.AsyncClient(
            transport=transport, base_url=f"{scheme}://{hostname}", headers=headers
        ) as client:
            yield Browser(client, hostname)


class Browser:
    """One visitor, who has an authenticator."""

    def __init__(self, client: httpx.AsyncClient, hostname: str) -> None:
        self.client = client
        self.authenticator = Authenticator(f"https://{hostname}", hostname)

    @property
    def is_in(self) -> bool:
        """Whether there is a session's cookie; not, whether it holds."""
        return "__Host-asgi-tunnel" in self.client.cookies

    async def get(self, path: str = ACCESS) -> httpx.Response:
        """Open a page."""
        return await self.client.get(path)

    async def form(self, path: str, **fields: str) -> httpx.Response:
        """Send a form; a path begins at the login's pages."""
        where = path if path.startswith("/") else ACCESS + path
        return await self.client.post(where, data=fields)

    async def script(self, page: str, **values: Any) -> httpx.Response:
        """Do what the script does."""
        return await self.client.post(f"{ACCESS}passkey/{page}", json=values)

    async def options(self, page: str, **values: Any) -> Any:
        """The first step: what the browser is to ask an authenticator for."""
        response = await self.script(page, **values)
        assert response.status_code == 200, response.text
        return response.json()["options"]

    async def log_in(self, user: str = "anna", password: str = PASSWORD) -> httpx.Response:
        """By password."""
        return await self.form("password", user=user, password=password, to="/")

    async def make_passkey(self, invitation: str = "", label: str = "") -> tuple[Key, Any]:
        """Make one; return it and the edge's last response."""
        secret = invitation.rpartition("/")[2]
        options = await self.options("options", invitation=secret)
        key, credential = self.authenticator.make(options)
        return key, await self.script("new", credential=credential, label=label)

    async def use_passkey(self, key: Key, to: str = "/", **more: Any) -> httpx.Response:
        """Log in with one."""
        options = await self.options("challenge")
        credential = self.authenticator.use(options, key, **more)
        return await self.script("login", to=to, credential=credential)
