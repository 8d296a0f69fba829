"""Routes of Django Channels: one app for each kind of connection, and consumers by URL."""

from __future__ import annotations

import sys
from typing import Any

from ...protocol.policy import WEBSOCKET
from .django import walk
from .found import EVERYTHING, Found

__all__ = ["read"]


def read(app: Any) -> list[Found] | None:
    """Return the routes of a router; None: it is none of Channels."""
    routing = sys.modules["channels.routing"]
    if isinstance(app, routing.ProtocolTypeRouter):
        found: list[Found] = []
        for kind in ("http", "websocket"):
            if kind in app.application_mapping:
                found += _inside(app.application_mapping[kind])
        return found
    if isinstance(app, routing.URLRouter):
        return [one._replace(methods=(WEBSOCKET,)) for one in walk(app.routes, "/", None)]
    return None


def _inside(app: Any) -> list[Found]:
    from . import read_routes, unwrapped

    for one in unwrapped(app):
        found = read_routes(one)
        if found is not None:
            return found
    return [EVERYTHING]
