"""A real edge with a dashboard, and people who use it over real sockets."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx2 as httpx
from edge.tests.live import Live, live_edge
from edge.tests.quick_password import quick_hash
from tests.e2e.harness import NO_TLS

from asgi_tunnel.token import Token
from asgi_tunnel_edge.accounts import ServiceTokenRecord, UserRecord
from asgi_tunnel_edge.settings.check import toml_value
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.tokens import TokenRecord, new_secret, new_token_id, secret_digest

ADMIN: Final = "admin.example.test"
ACCESS: Final = "/.well-known/asgi-tunnel/access/"
PASSWORD: Final = "correct horse battery"
SECRET: Final = "a-secret-of-a-program"
SETTINGS: Final[Mapping[str, Any]] = {
    "hostname": ADMIN,
    "operators": ["anna"],
    "operator_groups": ["staff"],
}

LOCAL: Final[Mapping[str, Any]] = {**SETTINGS, "listen": "127.0.0.1:0"}

SHOP: Final = "shop.example.test"
BLOG: Final = "blog.example.test"
BLOG_ID: Final = "tok_0000000000000b10"


_SHOP_TOKEN: Final = Token(edge="ws://127.0.0.1", id=new_token_id(), secret=new_secret())


@cache
def _people() -> bytes:
    """The database of a house, made once in a test process: 0.2 s for each of a hundred tests."""
    with TemporaryDirectory() as folder:
        made, copy = Path(folder) / "made.sqlite3", Path(folder) / "copy.sqlite3"
        _settle(made)
        with closing(sqlite3.connect(made)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = WAL")  # as every database of an edge
        return copy.read_bytes()


def _settle(path: Path) -> None:
    store, access, hashed = Store(path), AccessStore(path), quick_hash(PASSWORD)
    store.migrate()
    for user in ("anna", "ben", "cleo", "dora", "stan"):
        groups = ("staff",) if user == "stan" else ()
        access.create_user(UserRecord(name=user, created_at=1, groups=groups), password=hashed)
    for token_id, secret, name, hostname, owner in (
        (_SHOP_TOKEN.id, _SHOP_TOKEN.secret, "shop", SHOP, "ben"),
        (BLOG_ID, "another", "blog", BLOG, "cleo"),
    ):
        store.create_token(
            TokenRecord(
                id=token_id,
                name=name,
                secret_sha256=secret_digest(secret),
                hostnames=(hostname,),
                owner=owner,
                created_at=int(time.time()),
            )
        )
    access.create_service_token(
        ServiceTokenRecord(
            id="svc_0000000000000001",
            name="ci",
            secret_sha256=secret_digest(SECRET),
            policies=("dashboard",),
            created_at=1,
        )
    )


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Say hello, or fail where the path says so."""
    if scope["type"] != "http":
        return
    status = 500 if scope["path"] == "/fail" else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


class Person:
    """Somebody with a browser of their own, at one address of the dashboard."""

    def __init__(self, port: int, host: str) -> None:
        self.origin = f"http://{host}:{port}"
        self.host = f"{host}:{port}"
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"host": self.host, "accept": "text/html"},
            timeout=20,
            verify=NO_TLS,
        )
        self.cookie = ""
        self.fields: dict[str, str] = {}  # more of each request

    async def get(self, path: str, **fields: str) -> httpx.Response:
        """Open a page."""
        return await self.client.get(path, headers=self._with(fields))

    async def post(
        self, path: str, form: Mapping[str, str] | None = None, **fields: str
    ) -> httpx.Response:
        """Send a form as a page of the dashboard does, with the token of one of its pages."""
        token = re.search(r'"x-csrf-token": "([^"]+)"', (await self.get("/")).text)
        found = {"csrf": token[1]} if token else {}
        return await self.bare_post(path, {**found, **(form or {})}, **fields)

    async def bare_post(
        self, path: str, form: Mapping[str, str] | None = None, **fields: str
    ) -> httpx.Response:
        """Send a form without a token."""
        given = {"origin": self.origin, **{k.replace("_", "-"): v for k, v in fields.items()}}
        return await self.client.post(path, data=dict(form or {}), headers=self._with(given))

    async def log_in(self, user: str, password: str = PASSWORD) -> httpx.Response:
        """By password."""
        values = {"user": user, "password": password, "to": "/"}
        response = await self.bare_post(f"{ACCESS}password", values)
        found = re.search(r"__Host-asgi-tunnel=([^;]+)", response.headers.get("set-cookie", ""))
        assert found, response.text
        self.cookie = found[1]
        return response

    def _with(self, fields: Mapping[str, str]) -> dict[str, str]:
        cookie = {"cookie": f"__Host-asgi-tunnel={self.cookie}"} if self.cookie else {}
        return {**cookie, **self.fields, **{k.replace("_", "-"): v for k, v in fields.items()}}


class House:
    """See the module.

    anna is an operator by her name, and stan by his group; ben owns the token ``shop`` and cleo
    the token ``blog``; dora has a login and nothing else.
    """

    def __init__(self, live: Live) -> None:
        self.live = live
        self.edge = live.edge
        self.path = live.edge.config.database_path
        self.people: list[Person] = []

    def person(self, *, local: bool = False, host: str | None = None) -> Person:
        """Return a new browser."""
        address = self.edge.dashboard_address if local else self.edge.address
        assert address is not None
        one = Person(address.port, host or ("localhost" if local else ADMIN))
        self.people.append(one)
        return one

    async def somebody(self, user: str, *, local: bool = False) -> Person:
        """Return a browser in which somebody is logged in."""
        one = self.person(local=local)
        await one.log_in(user)
        return one

    def program(self) -> Person:
        """Return a client with a service token for the dashboard."""
        one = self.person()
        one.fields = {
            "asgi-tunnel-token-id": "svc_0000000000000001",
            "asgi-tunnel-token-secret": SECRET,
        }
        return one

    async def follow(self) -> None:
        """Wait until the edge has what the store has."""
        generation = Store(self.path).generation()
        async with asyncio.timeout(10):
            while self.edge.directory.snapshot.generation < generation:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@asynccontextmanager
async def house(folder: Path, app: Any = hello, **settings: Any) -> AsyncIterator[House]:
    """One of them; ``settings`` are tables beside ``[dashboard]``, or in its place."""
    tables = {"dashboard": dict(SETTINGS), **settings}
    tables = {"tls": {"mode": "off"}, **tables}
    lines = ['domain = "example.test"', 'listen = "127.0.0.1:0"']
    for table, values in tables.items():
        lines += [f"[{table}]", *(f"{key} = {toml_value(one)}" for key, one in values.items())]
    (folder / "edge.toml").write_text("\n".join(lines))  # the page of settings reads it again
    whole = {"domain": "example.test", "listen": "127.0.0.1:0", **tables}
    EdgeConfig.from_table(whole, folder).database_path.write_bytes(_people())
    async with live_edge(folder, None, token=_SHOP_TOKEN, **tables) as live:
        one = House(live)
        live.edge._apply(Store(one.path).snapshot())
        if app is not None:
            await live.connect(app)
        try:
            yield one
        finally:
            for person in one.people:
                await person.client.aclose()
