"""Security: who is banned and why, who was turned away lately, and how to take a ban back.

Who owns a token sees, and takes back, the bans from its hostnames; those of the operators are for
operators.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ...errors import EdgeError
from ...operations import bans
from ...operations.bans import NewBan
from ..page import Page
from ..roles import Role
from ..scoped import scope_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from ..serving import Hit, PageRoutes

__all__ = ["PAGE"]

MAX_SHOWN: Final = 100
"""Visitors that were turned away, and bans, of one page; the API has all bans."""

_ROOT: Final = "/security"


def _routes(at: PageRoutes) -> Sequence[BaseRoute]:
    return [
        at.view(_ROOT, _show),
        at.form(f"{_ROOT}/ban", _ban, role=Role.OPERATOR),
        at.form(f"{_ROOT}/undo", _undo),
    ]


async def _show(hit: Hit) -> Response:
    return await _page(hit)


async def _page(hit: Hit, problem: str | None = None, warnings: Sequence[str] = ()) -> Response:
    scope = await scope_of(hit)
    found = scope.bans(await asyncio.to_thread(bans.list_bans, hit.context.config))
    limited = [one for one in hit.context.limited.newest() if scope.sees_hostname(one.hostname)]
    values = {
        "bans": list(reversed(found))[:MAX_SHOWN],
        "more": max(len(found) - MAX_SHOWN, 0),
        "limited": limited[:MAX_SHOWN],
        "address": hit.query.get("address", ""),
        "warnings": warnings,
        "problem": problem,
    }
    return hit.render("security.html", values, status=200 if problem is None else 422)


async def _ban(hit: Hit) -> Response:
    form, client = hit.form, hit.request.client
    new = NewBan(
        address=form.get("address", "").strip(),
        lifetime=form.get("for", "").strip() or None,
        reason=form.get("reason", "").strip(),
    )
    asked_from = None if client is None else client.host
    try:
        done = await asyncio.to_thread(bans.add_ban, hit.context.config, new, asked_from=asked_from)
    except EdgeError as error:
        return await _page(hit, f"{error}.")
    if done.warnings:
        return await _page(hit, warnings=done.warnings)
    return hit.redirect(_ROOT, done="ban-add")


async def _undo(hit: Hit) -> Response:
    scope = await scope_of(hit)
    address = hit.form.get("address", "")
    try:
        await asyncio.to_thread(
            bans.remove_bans, hit.context.config, [address], token_ids=scope.token_ids
        )
    except EdgeError as error:
        return await _page(hit, f"{error}.")
    return hit.redirect(_ROOT, done="ban-undo")


PAGE = Page(
    name="security",
    title="Security",
    path=_ROOT,
    section="Access",
    order=55,
    role=Role.OWNER,
    routes=_routes,
    done={
        "ban-add": "The address is banned within a second.",
        "ban-undo": "The address is not banned any more.",
    },
)
