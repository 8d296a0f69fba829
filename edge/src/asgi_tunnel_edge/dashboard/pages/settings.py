"""The settings that hold, read only: from the file or the default, and secrets not at all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ...settings.check import toml_value
from ...settings.survey import effective_settings
from ..page import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from ..serving import Hit, PageRoutes

__all__ = ["PAGE"]

_ADDRESSES: Final = frozenset({"alerts.url", "tracing.endpoint"})
"""Settings that are URLs of others, with secrets in some of them."""


def _routes(at: PageRoutes) -> Sequence[BaseRoute]:
    return [at.view("/settings", _show)]


async def _show(hit: Hit) -> Response:
    context = hit.context
    settings = await asyncio.to_thread(effective_settings, context.config)
    reply = await context.ask("check")
    tables: dict[str, list[tuple[str, str, bool]]] = {}
    for one in settings:
        table, _, name = one.name.rpartition(".")
        value = "-" if one.value is None else toml_value(_shown(one.name, one.value))
        tables.setdefault(table, []).append((name, value, one.source == "file"))
    return hit.render("settings.html", {"tables": tables, "changed": reply["changed"]})


def _shown(name: str, value: object) -> object:
    """Return a value without what a webhook's address lets everybody do who knows it."""
    if name not in _ADDRESSES:
        return value
    url = urlsplit(str(value))
    return f"{url.scheme}://{url.hostname}/(hidden)"


PAGE = Page(
    name="settings",
    title="Settings",
    path="/settings",
    section="Edge",
    order=80,
    routes=_routes,
)
