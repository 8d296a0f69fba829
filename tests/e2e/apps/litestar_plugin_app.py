"""Litestar with ``TunnelPlugin``, in front of a plugin that has a lifespan of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar, Request, get
from litestar.config.app import AppConfig
from litestar.datastructures import State
from litestar.plugins import InitPlugin

from asgi_tunnel.contrib.litestar import TunnelPlugin

from . import common


class Database(InitPlugin):
    """Says when it is opened and closed."""

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add a manager and a hook, behind those of the tunnel."""
        app_config.lifespan.append(self._lifespan)
        app_config.on_startup.append(self._filled)
        return app_config

    @asynccontextmanager
    async def _lifespan(self, _: Litestar) -> AsyncIterator[None]:
        await common.startup()
        yield
        await common.shutdown()

    def _filled(self) -> None:
        common.say("filled")


@get("/")
async def index(request: Request[None, None, State]) -> str:
    """Say who came."""
    assert request.client is not None
    return f"hello {request.client.host} from {request.url}"


def make_app(plugin: TunnelPlugin) -> Litestar:
    """Return the app with a plugin; in a test it leaves the logging of the process as it is."""
    return Litestar(route_handlers=[index], plugins=[plugin, Database()], logging_config=None)


app = make_app(TunnelPlugin())
