"""Which ASGI application of a project is served, and by whom."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, cast

from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.utils.autoreload import file_changed
from django.utils.module_loading import import_string

from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.errors import ConfigError, TunnelError
from asgi_tunnel.middleware import open_beside_daphne
from asgi_tunnel.thread import start_with

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgi_tunnel.asgi.types import ASGIApp
    from asgi_tunnel.thread import ThreadHandle

__all__ = ["application", "open_beside_runserver", "open_in_thread", "title"]

_log = logging.getLogger("asgi_tunnel.contrib.django")

_STATIC: Final = "django.contrib.staticfiles"


def application() -> ASGIApp:
    """The project's: that of ``ASGI_APPLICATION``, or Django alone.

    With ``DEBUG`` and the app ``staticfiles`` it serves static files too, as ``runserver`` does.

    Raises:
        ImportError: ``ASGI_APPLICATION`` names nothing.
    """
    name = getattr(settings, "ASGI_APPLICATION", None)
    if name:
        return cast("ASGIApp", import_string(name))
    app: Any = get_asgi_application()
    if settings.DEBUG and apps.is_installed(_STATIC):
        app = ASGIStaticFilesHandler(app)
    return cast("ASGIApp", app)


def title() -> str:
    """What the log calls the app."""
    return getattr(settings, "ASGI_APPLICATION", None) or str(settings.SETTINGS_MODULE)


def open_in_thread(**given: Any) -> ThreadHandle:
    """Open the project's tunnel on an event loop of its own; it ends with the process.

    Args:
        given: As :meth:`asgi_tunnel.config.TunnelConfig.from_env`.

    Raises:
        ConfigError: A setting is wrong, or there is no token.
    """
    config = TunnelConfig.from_env(**given)
    if config is None:
        raise ConfigError(
            "ASGI_TUNNEL_TOKEN",
            "is not set",
            "make a token with `asgi-tunnel-edge token create` and export it",
        )
    app = application()
    return _start(lambda: app, config)


def open_beside_runserver() -> None:
    """Open the tunnel once the project is loaded; without a token nothing happens.

    Django's own ``runserver`` serves WSGI, and the tunnel beside it the project's ASGI application.
    Daphne's serves that one, and the tunnel what Daphne serves.
    """
    try:
        config = TunnelConfig.from_env()
    except (ConfigError, TunnelError) as error:
        _log.error("no tunnel: %s", error)
        return
    if config is None:
        return
    if apps.is_installed("daphne"):
        open_beside_daphne(config, title())
    else:
        _start(lambda: application() if apps.ready else None, config)


def _start(find: Callable[[], ASGIApp | None], config: TunnelConfig) -> ThreadHandle:
    """Start the thread; before the reloader starts the process again, it ends."""
    handle = start_with(find, config, title())

    def end(**_: Any) -> None:
        handle.stop()

    # Not left to the end of the process: no thread for a view can be started there.
    file_changed.connect(end, weak=False)
    return handle
