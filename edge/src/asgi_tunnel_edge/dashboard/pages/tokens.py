"""Tokens: whose each is and when it was used, a new one with what to write into the app, the end.

A secret is on the page that answers the form, once, and nowhere else.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ...errors import EdgeError
from ...operations import tokens, users
from ...operations.tokens import NewToken, TokenView
from ...quotas import QUOTA_NAMES, TokenQuotas, parse_quota
from ...settings.check import settings_of
from ..page import Page
from ..roles import Role
from ..scoped import scope_of, words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from asgi_tunnel.token import Token

    from ..serving import Hit, PageRoutes

__all__ = ["PAGE"]

_EMPTY: Final = {"name": "", "hostnames": "", "expires": "", "owner": "", "end_to_end": ""}


def _routes(at: PageRoutes) -> Sequence[BaseRoute]:
    return [
        at.view("/tokens", _list),
        at.view("/tokens/new", _ask, role=Role.OPERATOR),
        at.form("/tokens/new", _create, role=Role.OPERATOR),
        at.view("/tokens/{token}", _show),
        at.form("/tokens/{token}/rotate", _rotate),
        at.form("/tokens/{token}/revoke", _revoke),
        at.form("/tokens/{token}/owner", _give, role=Role.OPERATOR),
        at.form("/tokens/{token}/limits", _limit, role=Role.OPERATOR),
    ]


async def _list(hit: Hit) -> Response:
    wanted = hit.query.get("q", "").strip().lower()
    ids = [one.id for one in (await scope_of(hit)).tokens()]
    views = await asyncio.to_thread(_views, hit, ids)
    found = [one for one in views if _matches(one, wanted)]
    found.sort(key=lambda one: (one.state == "revoked", one.name))
    return hit.render("tokens.html", {"tokens": found, "wanted": wanted})


async def _ask(hit: Hit) -> Response:
    return await _form(hit, _EMPTY)


async def _form(hit: Hit, values: dict[str, str], problem: str | None = None) -> Response:
    names = [one.name for one in await asyncio.to_thread(users.list_users, hit.context.config)]
    shown = {"values": values, "users": names, "problem": problem}
    return hit.render("token_new.html", shown, status=200 if problem is None else 422)


async def _create(hit: Hit) -> Response:
    form = hit.form
    new = NewToken(
        name=form.get("name", "").strip(),
        hostnames=words_of(form.get("hostnames", "")),
        expires=form.get("expires", "").strip() or None,
        end_to_end=form.get("end_to_end") == "on",
        owner=form.get("owner", ""),
    )
    try:
        done = await asyncio.to_thread(tokens.create_token, hit.context.config, new)
    except EdgeError as error:
        return await _form(hit, {**_EMPTY, **form}, f"{error}.")
    return _issued(hit, done.token, done.record.name, done.record.hostnames, is_new=True)


async def _show(hit: Hit) -> Response:
    record = (await scope_of(hit)).token(hit.path["token"])
    [view] = await asyncio.to_thread(_views, hit, [record.id])
    config = hit.context.config
    names: list[str] = []
    if hit.viewer.is_operator:
        names = [one.name for one in await asyncio.to_thread(users.list_users, config)]
    titles = {name: setting.title for name, setting in settings_of(TokenQuotas).items()}
    values = {
        "token": view,
        "urls": tokens.token_urls(config, view.hostnames) or [],
        "users": names,
        "quotas": [(name, titles[name], view.limits[name]) for name in QUOTA_NAMES],
    }
    return hit.render("token.html", values)


async def _rotate(hit: Hit) -> Response:
    record = (await scope_of(hit)).token(hit.path["token"])
    overlap = hit.form.get("overlap", tokens.OVERLAP)
    config = hit.context.config
    done = await asyncio.to_thread(tokens.rotate_token, config, record.id, overlap=overlap)
    return _issued(hit, done.token, record.name, record.hostnames, is_new=False)


async def _revoke(hit: Hit) -> Response:
    record = (await scope_of(hit)).token(hit.path["token"])
    await asyncio.to_thread(tokens.revoke_tokens, hit.context.config, [record.id])
    return hit.redirect("/tokens", done="token-revoke")


async def _give(hit: Hit) -> Response:
    record = (await scope_of(hit)).token(hit.path["token"])
    owner = hit.form.get("owner", "")
    await asyncio.to_thread(tokens.give_token, hit.context.config, record.id, owner)
    return hit.redirect(f"/tokens/{record.id}", done="token-owner")


async def _limit(hit: Hit) -> Response:
    record = (await scope_of(hit)).token(hit.path["token"])
    changes = {
        name: parse_quota(name, hit.form.get(name, "").strip() or "default") for name in QUOTA_NAMES
    }
    await asyncio.to_thread(tokens.limit_token, hit.context.config, record.id, changes)
    return hit.redirect(f"/tokens/{record.id}", done="token-limits")


def _issued(
    hit: Hit, token: Token, name: str, hostnames: Sequence[str], *, is_new: bool
) -> Response:
    values = {
        "secret": token.format(),
        "name": name,
        "hostnames": hostnames,
        "urls": [hit.context.visitor_url(one) for one in hostnames],
        "is_new": is_new,
    }
    return hit.render("token_issued.html", values)


def _views(hit: Hit, ids: Sequence[str]) -> list[TokenView]:
    return tokens.list_tokens(hit.context.config, ids) if ids else []


def _matches(one: TokenView, wanted: str) -> bool:
    words = (one.name.lower(), one.id, one.owner, *one.hostnames)
    return not wanted or any(wanted in word for word in words)


PAGE = Page(
    name="tokens",
    title="Tokens",
    path="/tokens",
    section="Access",
    order=30,
    role=Role.OWNER,
    routes=_routes,
    done={
        "token-revoke": "The token is revoked: its app is away within a second.",
        "token-owner": "The token belongs to somebody else now.",
        "token-limits": "The limits hold within a second.",
    },
)
