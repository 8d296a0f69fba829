"""The allowed hosts of MCP servers, on stand-ins with the attributes of the SDK's and FastMCP's.

What the real packages do is tested in ``tests/mcp_clients`` (``make mcp``).
"""

from __future__ import annotations

import logging
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route

from asgi_tunnel import Services
from asgi_tunnel.loading import load_app
from asgi_tunnel.mcp import allow_public_hosts, make_app

URL = "https://shop.example.test"


@pytest.fixture(autouse=True)
def _sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK counts as imported."""
    monkeypatch.setitem(sys.modules, "mcp", ModuleType("mcp"))


class Settings:
    """As ``TransportSecuritySettings`` of the SDK."""

    def __init__(self, *hosts: str, is_on: bool = True) -> None:
        self.enable_dns_rebinding_protection = is_on
        self.allowed_hosts = list(hosts)
        self.allowed_origins = [f"http://{one}" for one in hosts]


class Endpoint:
    """As the SDK's ``StreamableHTTPASGIApp``."""

    def __init__(self, settings: Settings) -> None:
        self.session_manager = SimpleNamespace(security_settings=settings)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Never called."""
        raise AssertionError


class Guard:
    """As FastMCP's ``HostOriginGuardMiddleware``."""

    def __init__(
        self,
        app: Any,
        *,
        allowed_hosts: list[str] | None = None,
        allowed_origins: list[str] | None = None,
        mode: str = "auto",
    ) -> None:
        self.app = app
        self.allowed_hosts = tuple(allowed_hosts or ())
        self.allowed_origins = tuple(allowed_origins or ())
        self.has_explicit_allowed_hosts = allowed_hosts is not None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Look at nothing."""
        await self.app(scope, receive, send)


def sdk_app(settings: Settings, path: str = "/mcp") -> Starlette:
    """An app as the SDK makes it."""
    return Starlette(routes=[Route(path, endpoint=Endpoint(settings))])


def test_the_public_host_is_added_and_said(caplog: pytest.LogCaptureFixture) -> None:
    """The list gets the host of the URL, origins the URL; one line says so and where clients go."""
    caplog.set_level(logging.INFO)
    settings = Settings("localhost:*")
    allow_public_hosts(sdk_app(settings), [URL])
    assert settings.allowed_hosts == ["localhost:*", "shop.example.test"]
    assert settings.allowed_origins == ["http://localhost:*", URL]
    assert [one.getMessage() for one in caplog.records] == [
        f"MCP clients connect to {URL}/mcp; shop.example.test is among its allowed hosts now"
    ]


def test_a_port_belongs_to_the_host() -> None:
    """Behind another port than 443 clients send it in Host."""
    settings = Settings()
    allow_public_hosts(sdk_app(settings), [f"{URL}:8443"])
    assert settings.allowed_hosts == ["shop.example.test:8443"]


@pytest.mark.parametrize("written", ["shop.example.test", "shop.example.test:*"])
def test_a_list_for_the_tunnel_stays(written: str) -> None:
    """Who has named one of the tunnel's hostnames has chosen among them."""
    settings = Settings(written)
    allow_public_hosts(sdk_app(settings), [URL, "https://other.example.test"])
    assert settings.allowed_hosts == [written]


def test_protection_that_is_off_stays_off() -> None:
    """Nothing is added to a list that is not in force."""
    settings = Settings(is_on=False)
    allow_public_hosts(sdk_app(settings), [URL])
    assert settings.allowed_hosts == []


def test_mounted_and_wrapped(caplog: pytest.LogCaptureFixture) -> None:
    """An app below a path of another one, inside of a wrapper, is found, with its whole path."""
    caplog.set_level(logging.INFO)
    settings = Settings()
    outer = Starlette(routes=[Mount("/tools", app=sdk_app(settings))])
    allow_public_hosts(SimpleNamespace(app=outer), [URL])
    assert settings.allowed_hosts == ["shop.example.test"]
    assert f"{URL}/tools/mcp;" in caplog.text


def test_fastmcp_before_and_after_its_start() -> None:
    """Its guard is changed where it is made, and where it will be made with the first request."""
    strict = Middleware(Guard, allowed_hosts=None, allowed_origins=None, mode="strict")
    app = Starlette(middleware=[strict])
    allow_public_hosts(app, [URL])
    assert strict.kwargs["allowed_hosts"] == ["shop.example.test"]
    app.middleware_stack = app.build_middleware_stack()
    allow_public_hosts(app, ["https://*.example.test"])
    guard: Any = app.middleware_stack.app  # type: ignore[attr-defined]
    assert guard.allowed_hosts == ["shop.example.test", "*.example.test"]
    assert guard.allowed_origins == [URL, "https://*.example.test"]


def test_fastmcp_that_looks_at_local_servers_only_stays() -> None:
    """A list in the place of none would make its guard look at every request."""
    auto = Middleware(Guard, allowed_hosts=None, allowed_origins=None, mode="auto")
    allow_public_hosts(Starlette(middleware=[auto]), [URL])
    assert auto.kwargs["allowed_hosts"] is None


def test_a_wildcard_for_the_sdk(caplog: pytest.LogCaptureFixture) -> None:
    """The SDK takes none: the log says what to write."""
    settings = Settings()
    allow_public_hosts(sdk_app(settings), ["https://*.example.test", URL])
    assert settings.allowed_hosts == ["shop.example.test"]
    assert "refuses requests for *.example.test; write Transport" in caplog.text


def test_settings_that_are_frozen(caplog: pytest.LogCaptureFixture) -> None:
    """A list that cannot be changed is a line with what to write, and no error."""

    class Frozen(Settings):
        def __setattr__(self, name: str, value: object) -> None:
            if hasattr(self, "allowed_origins"):
                raise AttributeError(name)
            super().__setattr__(name, value)

    allow_public_hosts(sdk_app(Frozen()), [URL])
    assert "name the host in allowed_hosts" in caplog.text


def test_odd_apps_are_no_trouble() -> None:
    """A property that raises, a circle, and Starlette's own list of hosts are passed by."""

    class Odd:
        @property
        def routes(self) -> object:
            raise RuntimeError

        @property
        def session_manager(self) -> object:
            raise RuntimeError

    odd: Any = Odd()
    odd.app = odd
    trusted = Middleware(Guard, allowed_hosts=["a"])
    allow_public_hosts(SimpleNamespace(app=[odd, lambda: None, trusted]), [URL])
    assert trusted.kwargs["allowed_hosts"] == ["a"]


def test_nothing_is_looked_at_without_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the SDK has not been imported, no server of it can be there."""
    monkeypatch.delitem(sys.modules, "mcp")
    settings = Settings()
    allow_public_hosts(sdk_app(settings), [URL])
    assert settings.allowed_hosts == []


class Server:
    """As ``MCPServer`` and ``FastMCP``: no app, but it makes one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def streamable_http_app(self) -> Starlette:
        """Make it."""
        return sdk_app(self.settings)


server = Server(Settings())


def test_a_server_object_is_asked_for_its_app() -> None:
    """``asgi-tunnel run server:mcp`` takes the server itself; what is an app stays as it is."""
    assert isinstance(load_app("tests.test_mcp:server"), Starlette)
    app = sdk_app(Settings())
    assert make_app(app) is app
    assert make_app(Server) is Server


async def test_services_are_looked_into() -> None:
    """A server behind the table gets the public host, also one that is added while it serves."""
    first, second = Settings(), Settings()
    services = Services({"shop.example.test": {"to": sdk_app(first)}})
    served = services.served_names
    served.on_apps = lambda: allow_public_hosts(services, [URL])
    await services._start()
    served.on_apps()
    assert first.allowed_hosts == ["shop.example.test"]
    await services.replace({"shop.example.test": {"to": sdk_app(second)}})
    assert second.allowed_hosts == ["shop.example.test"]
    await services._stop()
