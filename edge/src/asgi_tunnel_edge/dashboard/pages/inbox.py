"""The inbox: requests that wait for an app which is away, and those that it did not take."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from asgi_tunnel.protocol.head import RequestHead

from ...operations import inbox
from ...operations.inbox import Chosen, kept_view
from ..page import Page
from ..roles import Role
from ..scoped import scope_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from ..serving import Hit, PageRoutes

__all__ = ["PAGE"]

MAX_SHOWN: Final = 200
"""Requests of one page: the oldest, behind which the others wait."""

MAX_BODY: Final = 64 * 1024
"""Bytes of a body that are shown; the API has all of it."""

_ROOT: Final = "/inbox"
_NAMED: Final = 5  # ids that the audit log names


def _routes(at: PageRoutes) -> Sequence[BaseRoute]:
    return [
        at.view(_ROOT, _list),
        at.form(f"{_ROOT}/retry", _retry),
        at.form(f"{_ROOT}/drop", _drop),
        at.view(f"{_ROOT}/{{request}}", _show),
    ]


async def _list(hit: Hit) -> Response:
    scope = await scope_of(hit)
    rows = scope.kept(await asyncio.to_thread(inbox.list_requests, hit.context.config))
    is_failed = hit.query.get("state") == "failed"
    shown = [one for one in rows if not is_failed or one[0].state == "failed"]
    values = {
        "requests": [(kept_view(row, token), row.seq / 1e9) for row, token in shown[:MAX_SHOWN]],
        "more": max(len(shown) - MAX_SHOWN, 0),
        "failed": sum(row.state == "failed" for row, _ in rows),
        "is_failed": is_failed,
    }
    return hit.render("inbox.html", values)


async def _show(hit: Hit) -> Response:
    config, wanted = hit.context.config, hit.path["request"]
    scope = await scope_of(hit)
    scope.check_kept([wanted], await asyncio.to_thread(inbox.list_requests, config))
    kept = await asyncio.to_thread(inbox.show_request, config, wanted)
    values = {
        "kept": kept_view(kept.row, kept.token),
        "lines": _lines(kept.head),
        "body": kept.body[:MAX_BODY].decode("utf-8", "replace"),
        "size": len(kept.body),
        "is_cut": len(kept.body) > MAX_BODY,
    }
    return hit.render("inbox_request.html", values)


async def _retry(hit: Hit) -> Response:
    return await _change(hit, "retry", inbox.retry_requests)


async def _drop(hit: Hit) -> Response:
    return await _change(hit, "drop", inbox.drop_requests)


async def _change(hit: Hit, verb: str, change: Callable[..., int]) -> Response:
    """Change the request that the form names, or all of theirs that failed."""
    config = hit.context.config
    scope = await scope_of(hit)
    rows = scope.kept(await asyncio.to_thread(inbox.list_requests, config))
    wanted = hit.form.get("id", "")
    if wanted:
        scope.check_kept([wanted], rows)
        ids: tuple[str, ...] = (wanted,)
    else:
        ids = tuple(row.id for row, _ in rows if row.state == "failed")
    if ids:
        detail = f"requests={','.join(ids[:_NAMED])} count={len(ids)}"
        await hit.context.audit.note(hit.viewer, f"inbox.{verb}", "-", detail)
        await asyncio.to_thread(change, config, Chosen(ids=ids))
    return hit.redirect(_ROOT, done=f"inbox-{verb}")


def _lines(head: RequestHead) -> str:
    lines = [b" ".join((head.method, head.target))]
    lines += [name + b": " + value for name, value in head.fields]
    return b"\n".join(lines).decode("latin-1")


PAGE = Page(
    name="inbox",
    title="Inbox",
    path=_ROOT,
    section="Traffic",
    order=25,
    role=Role.OWNER,
    routes=_routes,
    done={
        "inbox-retry": "They are delivered again, in the order in which they came.",
        "inbox-drop": "They are forgotten.",
    },
)
