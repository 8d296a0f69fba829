"""A plugin of Litestar: opens the tunnel with the app, and adds the command ``litestar tunnel``.

How to: docs/howto/litestar.md.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click
from litestar.plugins import CLIPlugin, InitPlugin

from asgi_tunnel.middleware import Tunnel
from asgi_tunnel.supervisor import child_command

if TYPE_CHECKING:
    from litestar import Litestar
    from litestar.cli._utils import LitestarEnv
    from litestar.config.app import AppConfig

    from asgi_tunnel.inspector.settings import GivenInspect

__all__ = ["TunnelPlugin"]


class TunnelPlugin(InitPlugin, CLIPlugin):
    """Opens the app's tunnel when its startup is over, and ends it before its shutdown.

    ``Litestar(route_handlers=[...], plugins=[TunnelPlugin()])``.  Where it stands among the plugins
    does not matter, and what is wrapped around the app is passed by visitors of the tunnel, too.

    Args:
        token: As :class:`asgi_tunnel.Tunnel`, and so are all the others.
        enabled: False never opens a tunnel; True opens one under pytest, too.
        required: The app starts when its tunnel is open, or not at all.
        connections: Connections kept to the edge.
        grace: Seconds for requests in progress at the end.
        root_path: Put before each path.
        hostnames: Those of the token's that this process serves.
        inbox: Routes whose requests the edge keeps while the app is away.
        plaintext_host: The one host that may be dialed without TLS.
        inspect: What is recorded of exchanges, to be looked at.
        spec_version: Of ASGI HTTP.
        outermost: Nothing is wrapped around the app, and the server is not known.
    """

    def __init__(  # noqa: PLR0913 - one argument for each setting
        self,
        *,
        token: str | None = None,
        enabled: bool | None = None,
        required: bool = False,
        connections: int | None = None,
        grace: float | None = None,
        root_path: str | None = None,
        hostnames: Sequence[str] | None = None,
        inbox: Sequence[str] | None = None,
        plaintext_host: str | None = None,
        inspect: GivenInspect | None = None,
        spec_version: str = "2.3",
        outermost: bool = False,
    ) -> None:
        def wrap(app: Litestar) -> Tunnel:
            return Tunnel(
                app,
                token=token,
                enabled=enabled,
                required=required,
                connections=connections,
                grace=grace,
                root_path=root_path,
                hostnames=hostnames,
                inbox=inbox,
                plaintext_host=plaintext_host,
                inspect=inspect,
                spec_version=spec_version,
                outermost=outermost,
            )

        self._wrap = wrap

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the tunnel to the app's lifespan."""
        managers = app_config.lifespan

        @asynccontextmanager
        async def follow_app(app: Litestar) -> AsyncIterator[None]:
            tunnel = self._wrap(app)

            @asynccontextmanager
            async def close_first(_: Litestar) -> AsyncIterator[None]:
                try:
                    yield
                finally:
                    await tunnel.close()

            # Litestar goes through both lists behind this, so what every plugin has added is there:
            # the tunnel opens behind the last hook, and ends before the first manager does.
            managers.append(close_first)
            app.on_startup.append(tunnel.open)
            try:
                yield
            finally:
                managers.remove(close_first)
                app.on_startup.remove(tunnel.open)
                await tunnel.close()  # where a plugin has put a list of its own in the place

        managers.append(follow_app)
        return app_config

    def on_cli_init(self, cli: click.Group) -> None:
        """Add ``litestar tunnel``."""

        @cli.command("tunnel", help="Serve the app through its tunnel alone; no port listens.")
        @click.option("-r", "--reload", is_flag=True, help="Start again when a file changes.")
        @click.option("--workers", type=int, default=1, show_default=True, help="Processes.")
        def tunnel(env: LitestarEnv, *, reload: bool, workers: int) -> None:
            arguments = ["run", env.app_path, "--app-dir", str(env.cwd), "--workers", str(workers)]
            arguments += ["--factory"] if env.is_app_factory else []
            arguments += ["--reload"] if reload else []
            command = child_command(arguments)
            # In the place of this process: signals and the exit code are those of `asgi-tunnel`.
            os.execv(command[0], command)  # noqa: S606 - this program again
