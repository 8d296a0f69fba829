"""People: users of this edge, how they log in, who is logged in now, and the end of all that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ...errors import EdgeError
from ...operations import sessions, users
from ...operations.doors import DoorMap
from ...operations.sessions import session_view
from ...operations.users import ChangedUser, NewUser
from ..page import Page
from ..scoped import words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from ..serving import Hit, PageRoutes

__all__ = ["PAGE"]

_ROOT: Final = "/people"


def _routes(at: PageRoutes) -> Sequence[BaseRoute]:
    return [
        at.view(_ROOT, _show),
        at.form(f"{_ROOT}/users", _create),
        at.form(f"{_ROOT}/users/{{user}}/invite", _invite),
        at.form(f"{_ROOT}/users/{{user}}/sign-out", _sign_out),
        at.form(f"{_ROOT}/users/{{user}}/disable", _disable),
        at.form(f"{_ROOT}/users/{{user}}/enable", _enable),
        at.form(f"{_ROOT}/users/{{user}}/remove", _remove),
        at.form(f"{_ROOT}/sessions/{{session}}/end", _end),
    ]


async def _show(hit: Hit) -> Response:
    return await _page(hit)


async def _page(hit: Hit, problem: str | None = None) -> Response:
    config = hit.context.config
    found = await asyncio.to_thread(users.list_users, config)
    logins = await asyncio.to_thread(sessions.list_sessions, config)
    owned: dict[str, list[str]] = {}
    for one in hit.context.snapshot.tokens.values():
        if one.owner and not one.revoked:
            owned.setdefault(one.owner, []).append(one.name)
    hosts = users.invitation_hosts(await asyncio.to_thread(DoorMap.load, config))
    own = config.dashboard.hostname
    values = {
        "users": found,
        "hosts": sorted(hosts, key=lambda name: (name != own, name)),
        "owned": owned,
        "sessions": [session_view(one) for one in reversed(logins)],
        "problem": problem,
    }
    return hit.render("people.html", values, status=200 if problem is None else 422)


async def _create(hit: Hit) -> Response:
    form = hit.form
    new = NewUser(
        name=form.get("name", "").strip(),
        email=form.get("email", "").strip(),
        groups=words_of(form.get("groups", "")),
    )
    try:
        await asyncio.to_thread(users.create_user, hit.context.config, new)
    except EdgeError as error:
        return await _page(hit, f"{error}.")
    return hit.redirect(_ROOT, done="user-create")


async def _invite(hit: Hit) -> Response:
    name = hit.path["user"]
    try:
        host = hit.form.get("host") or None
        made = await asyncio.to_thread(users.invite_user, hit.context.config, name, hostname=host)
    except EdgeError as error:
        return await _page(hit, f"{error}.")
    values = {
        "title": f"Invitation for {name}",
        "about": f"For {name} alone, once, until {made.expires_at}. This is shown only once.",
        "secrets": [("Address", made.url)],
        "back": _ROOT,
    }
    return hit.render("issued.html", values)


async def _sign_out(hit: Hit) -> Response:
    return await _change(hit, "user-sign-out", users.end_user_sessions)


async def _remove(hit: Hit) -> Response:
    return await _change(hit, "user-remove", users.remove_user)


async def _disable(hit: Hit) -> Response:
    return await _set_disabled(hit, "user-disable", is_disabled=True)


async def _enable(hit: Hit) -> Response:
    return await _set_disabled(hit, "user-enable", is_disabled=False)


async def _set_disabled(hit: Hit, done: str, *, is_disabled: bool) -> Response:
    change = ChangedUser(disabled=is_disabled)
    return await _change(hit, done, lambda config, name: users.change_user(config, name, change))


async def _change(hit: Hit, done: str, change: Callable[..., object]) -> Response:
    try:
        await asyncio.to_thread(change, hit.context.config, hit.path["user"])
    except EdgeError as error:
        return await _page(hit, f"{error}.")
    return hit.redirect(_ROOT, done=done)


async def _end(hit: Hit) -> Response:
    config = hit.context.config
    await asyncio.to_thread(sessions.end_sessions, config, [hit.path["session"]])
    return hit.redirect(_ROOT, done="session-end")


PAGE = Page(
    name="people",
    title="People",
    path=_ROOT,
    section="Access",
    order=40,
    routes=_routes,
    done={
        "user-create": "The user is there. An invitation is what they log in with first.",
        "user-sign-out": "All sessions of the user have ended.",
        "user-disable": "The user cannot log in any more, and all sessions have ended.",
        "user-enable": "The user may log in again.",
        "user-remove": "The user is removed, and the sessions have ended.",
        "session-end": "The session has ended.",
    },
)
