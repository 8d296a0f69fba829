"""What opens a door without a login: share links of hostnames, and service tokens of programs.

Who owns a token shares the paths of its hostnames; service tokens are the operators'.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from ...errors import EdgeError, HostnameNotFoundError
from ...operations import links, service_tokens
from ...operations.links import NewLink, link_view, split_target
from ...operations.service_tokens import NewServiceToken, service_token_view
from ..page import Page
from ..roles import Role
from ..scoped import scope_of, words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from ..serving import Hit, PageRoutes

__all__ = ["PAGE"]

_ROOT: Final = "/sharing"


def _routes(at: PageRoutes) -> Sequence[BaseRoute]:
    return [
        at.view(_ROOT, _show),
        at.form(f"{_ROOT}/links", _create_link),
        at.form(f"{_ROOT}/links/{{link}}/revoke", _revoke_link),
        at.form(f"{_ROOT}/programs", _create_token, role=Role.OPERATOR),
        at.form(f"{_ROOT}/programs/{{id}}/revoke", _revoke_token, role=Role.OPERATOR),
    ]


async def _show(hit: Hit) -> Response:
    return await _page(hit)


async def _page(hit: Hit, problem: str | None = None) -> Response:
    config, now = hit.context.config, time.time()
    scope = await scope_of(hit)
    found = scope.links(await asyncio.to_thread(links.list_links, config))
    programs = []
    if hit.viewer.is_operator:
        programs = await asyncio.to_thread(service_tokens.list_service_tokens, config)
    values = {
        "links": [link_view(one, now) for one in reversed(found)],
        "programs": [service_token_view(one, now) for one in reversed(programs)],
        "policies": [name for name, one in config.policies.items() if "token" in one.methods],
        "problem": problem,
    }
    return hit.render("sharing.html", values, status=200 if problem is None else 422)


async def _create_link(hit: Hit) -> Response:
    form = hit.form
    uses = form.get("uses", "").strip()
    try:
        hostname, _ = split_target(form.get("target", "").strip())
        if not (await scope_of(hit)).sees_hostname(hostname):
            raise HostnameNotFoundError(hostname)
        new = NewLink(
            target=form.get("target", "").strip(),
            expires=form.get("expires", "").strip() or "7d",
            uses=min(int(uses), links.MAX_USES) if uses.isdecimal() and int(uses[:9]) else None,
            note=form.get("note", "").strip(),
        )
        done = await asyncio.to_thread(links.create_link, hit.context.config, new)
    except EdgeError as error:
        return await _page(hit, f"{error}.")
    record = done.record
    values = {
        "title": "The link is made",
        "about": f"Whoever has it sees {record.hostname}{record.path}. This is shown only once.",
        "secrets": [("Address", done.url)],
        "back": _ROOT,
    }
    return hit.render("issued.html", values)


async def _revoke_link(hit: Hit) -> Response:
    config, link_id = hit.context.config, hit.path["link"]
    scope = await scope_of(hit)
    scope.check_link(link_id, await asyncio.to_thread(links.list_links, config))
    await asyncio.to_thread(links.revoke_link, config, link_id)
    return hit.redirect(_ROOT, done="link-revoke")


async def _create_token(hit: Hit) -> Response:
    form = hit.form
    new = NewServiceToken(
        name=form.get("name", "").strip(),
        access=words_of(form.get("access", "")),
        expires=form.get("expires", "").strip() or None,
    )
    try:
        done = await asyncio.to_thread(service_tokens.create_service_token, hit.context.config, new)
    except EdgeError as error:
        return await _page(hit, f"{error}.")
    values = {
        "title": f"Service token {done.record.name} is made",
        "about": "Name and password of HTTP Basic, or two header fields. This is shown only once.",
        "secrets": [("Id", done.record.id), ("Secret", done.secret)],
        "back": _ROOT,
    }
    return hit.render("issued.html", values)


async def _revoke_token(hit: Hit) -> Response:
    config = hit.context.config
    await asyncio.to_thread(service_tokens.revoke_service_token, config, hit.path["id"])
    return hit.redirect(_ROOT, done="program-revoke")


PAGE = Page(
    name="sharing",
    title="Sharing",
    path=_ROOT,
    section="Access",
    order=50,
    role=Role.OWNER,
    routes=_routes,
    done={
        "link-revoke": "The link is revoked; who has opened it is out within a second.",
        "program-revoke": "The service token is revoked within a second.",
    },
)
