"""An edge with a door and real providers, and Debian's Chromium in front of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from edge.tests.live import live_edge
from edge.tests.login.test_login import app

from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.tokens import TokenRecord, secret_digest

CHROMIUM: Final = shutil.which("chromium")
NODE: Final = shutil.which("node")
MODULES: Final = Path(sys.prefix) / "node/node_modules"
MOCK: Final = Path(sys.prefix) / "bin/oidc-provider-mock"
SCRIPT: Final = Path(__file__).parent / "provider.mjs"

#: Browsers keep Secure cookies of names below localhost, over plain http too.
HOST: Final = "photos.localhost"
WAIT: Final = 30_000
"""Milliseconds for one step of the browser, on a loaded machine."""

_MISSING: Final = [
    name
    for name, is_there in {
        "chromium": CHROMIUM is not None,
        "node": NODE is not None,
        "npm's oidc-provider": (MODULES / "oidc-provider").exists(),
        "oidc-provider-mock": MOCK.exists(),
    }.items()
    if not is_there
]


def require() -> None:
    """Skip the tests where something is missing; fail with OIDC_REQUIRED=1."""
    if _MISSING:
        reason = f"not here: {', '.join(_MISSING)}; `make oidc` installs what it can"
        if os.environ.get("OIDC_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)


class NodeProvider:
    """npm's oidc-provider as a process. Its keys are new at each start."""

    def __init__(self, origin: str) -> None:
        self.issuer = ""
        self._origin = origin
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, on the port that it had before."""
        port = self.issuer.rpartition(":")[2] or "0"
        self._process = await asyncio.create_subprocess_exec(
            NODE or "",
            str(SCRIPT),
            str(MODULES),
            self._origin,
            port,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        self.issuer = (await self._process.stdout.readline()).decode().strip()
        assert self.issuer, "node could not start it"

    async def stop(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def mock_provider() -> AsyncIterator[str]:
    """oidc-provider-mock as a process; its issuer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    user = '{"sub": "zoe", "email": "zoe@example.org", "email_verified": true, "name": "Zoe"}'
    process = await asyncio.create_subprocess_exec(
        str(MOCK),
        "--port",
        str(port),
        "--require-nonce",
        "true",
        "--user-claims",
        user,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


class World:
    """Everything together; the port of the edge is known before the providers start."""

    def __init__(self, origin: str, node: NodeProvider, context: Any) -> None:
        self.origin = origin
        self.node = node
        self.context = context

    async def page(self) -> Any:
        """A tab."""
        return await self.context.new_page()


@asynccontextmanager
async def world(folder: Path, *, policy: dict[str, Any] | None = None) -> AsyncIterator[World]:
    """An edge with a door that takes both providers, and a browser without cookies."""
    async with AsyncExitStack() as stack:
        # Providers know where they send people back to, so the edge's port comes first.
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        origin = f"http://{HOST}:{port}"
        node = NodeProvider(origin)
        await node.start()
        stack.push_async_callback(node.stop)
        mock = await stack.enter_async_context(mock_provider())
        names = ("rs256", "ps256", "es256", "es384", "eddsa")
        settings: dict[str, Any] = {
            "listen": f"127.0.0.1:{port}",
            "access": {"family": policy or {"domains": ["example.org"]}},
            "hostnames": {HOST: {"access": "family"}},
            "oidc": {
                **{
                    name: {
                        "issuer": node.issuer,
                        "client_id": name,
                        "client_secret": f"secret of {name}: 100% & more",
                        "scopes": ["openid", "email", "profile", "groups"],
                    }
                    for name in names
                },
                "mock": {"issuer": mock, "client_id": "photos", "client_secret": "any"},
            },
        }
        live = await stack.enter_async_context(live_edge(folder, app, **settings))
        path = live.edge.config.database_path
        record = TokenRecord(
            id=live.token.id,
            name="shop",
            secret_sha256=secret_digest(live.token.secret),
            hostnames=(HOST,),
            created_at=0,
        )
        Store(path).create_token(record)
        generation = Store(AccessStore(path).path).generation()
        async with asyncio.timeout(10):
            while live.edge.directory.snapshot.generation < generation:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        context = await stack.enter_async_context(_browser())
        yield World(origin, node, context)


@asynccontextmanager
async def _browser() -> AsyncIterator[Any]:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        one = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"],
        )
        context = await one.new_context()
        context.set_default_timeout(WAIT)

        async def drop(route: Any) -> None:
            await route.abort()

        # Fonts and styles that the providers' pages load from elsewhere.
        for pattern in ("**://*.googleapis.com/**", "**://*.jsdelivr.net/**"):
            await context.route(pattern, drop)
        try:
            yield context
        finally:
            await one.close()
