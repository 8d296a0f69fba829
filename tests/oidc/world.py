"""An edge with a door and real providers, and Debian's Chromium in front of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from edge.tests.live import live_edge
from edge.tests.login.test_login import app

from asgi_tunnel_edge.storage import Store
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
    """npm's oidc-provider as a process. Its keys are new at each start.

    Args:
        origin: Where it sends people back to.
    """

    def __init__(self, origin: str) -> None:
        self.issuer = ""
        self._origin = origin
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, on the port that it had before; again, where it runs, it stays as it is."""
        if self._process is not None:
            return
        port = self.issuer.rpartition(":")[2] or "0"
        self._process = subprocess.Popen(
            [NODE or "", SCRIPT, MODULES, self._origin, port],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.issuer = self._process.stdout.readline().strip()
        assert self.issuer, "node could not start it"

    def stop(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


@contextmanager
def mock_provider() -> Iterator[str]:
    """oidc-provider-mock as a process; its issuer."""
    port = free_port()
    user = '{"sub": "zoe", "email": "zoe@example.org", "email_verified": true, "name": "Zoe"}'
    process = subprocess.Popen(
        [MOCK, "--port", str(port), "--require-nonce", "true", "--user-claims", user],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert time.monotonic() < end, "oidc-provider-mock could not be started"
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port that nobody has: providers are told where they send people back to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Providers(NamedTuple):
    """Two providers, and where the edge has to be that they send people back to."""

    port: int
    node: NodeProvider
    mock: str


@contextmanager
def providers() -> Iterator[Providers]:
    """Both providers."""
    port = free_port()
    node = NodeProvider(f"http://{HOST}:{port}")
    try:
        node.start()
        with mock_provider() as mock:
            yield Providers(port, node, mock)
    finally:
        node.stop()


class World:
    """Everything together."""

    def __init__(self, origin: str, node: NodeProvider, context: Any) -> None:
        self.origin = origin
        self.node = node
        self.context = context

    async def page(self) -> Any:
        """A tab."""
        return await self.context.new_page()


@asynccontextmanager
async def world(
    folder: Path, both: Providers, *, policy: dict[str, Any] | None = None
) -> AsyncIterator[World]:
    """An edge with a door that takes both providers, and a browser without cookies."""
    port, node, mock = both
    node.start()
    async with AsyncExitStack() as stack:
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
        generation = Store(path).generation()
        async with asyncio.timeout(10):
            while live.edge.directory.snapshot.generation < generation:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        context = await stack.enter_async_context(_browser())
        yield World(f"http://{HOST}:{port}", node, context)


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
