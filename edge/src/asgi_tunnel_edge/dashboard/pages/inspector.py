"""What an app's side has recorded: exchanges as they come, one in detail, and what to do with it.

Nothing of it is kept here: each page asks the app's own process, over its tunnel.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from starlette.responses import Response

from ...inspection import InspectionError
from ..inspection import AppInspector, all_instances_of, instances_of
from ..live import event
from ..page import Page
from ..problem import PageError
from ..roles import Role
from ..watching import TooManyWatchError
from ..waterfall import waterfall_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from starlette.routing import BaseRoute

    from ..serving import Hit, PageRoutes

__all__ = ["PAGE"]

SHOWN: Final = 60
"""Exchanges in the list: as many as somebody looks through; the search finds the others."""

MAX_FAR: Final = 64
"""Tokens in the list of inspectors that are asked for at other nodes, too."""

MAX_FIELDS: Final = 200
"""Fields of a request that is edited."""

_FILTERS: Final = ("q", "method", "status", "kind", "host", "id")
_EXPORTS: Final = {
    "curl": ("curl", "text/plain; charset=utf-8", "sh"),
    "har": ("har", "application/json", "har"),
    "test": ("test", "text/x-python; charset=utf-8", "py"),
}
_LEVELS: Final = ("metadata", "full", "off")


def _routes(at: PageRoutes) -> Sequence[BaseRoute]:
    return [
        at.view("/inspector", _choose),
        at.view("/inspector/{token}", _said(_list)),
        at.stream("/inspector/{token}/live", _follow),
        at.view("/inspector/{token}/diff", _said(_diff)),
        at.form("/inspector/{token}/level", _said(_set_level)),
        at.form("/inspector/{token}/clear", _said(_clear)),
        at.view("/inspector/{token}/exchanges/{id}", _said(_show)),
        at.form("/inspector/{token}/exchanges/{id}/replay", _said(_replay)),
        at.view("/inspector/{token}/exchanges/{id}/{export}", _said(_export)),
    ]


def _said(handler: Callable[[Hit], Awaitable[Response]]) -> Callable[[Hit], Awaitable[Response]]:
    """Wrap a handler: why an inspector does not reply becomes a page."""

    async def serve(hit: Hit) -> Response:
        try:
            return await handler(hit)
        except InspectionError as error:
            text = f"{str(error)[0].upper()}{str(error)[1:]}."
            raise PageError(503, "The inspector does not reply", text) from error

    return serve


async def _inspector_of(hit: Hit) -> AppInspector:
    """Return the inspector that an address is about.

    Raises:
        PageError: Nobody's, or somebody else's; or there is none that is on.
    """
    context = hit.context
    token = context.token(hit.viewer, hit.path["token"])
    instances = await all_instances_of(context.edge(), token)
    ready = [one for one in instances if one.session is not None]
    wanted = hit.query.get("instance", "")
    chosen = next((one for one in ready if one.name == wanted), ready[0] if ready else None)
    if chosen is None:
        if not instances:
            text = "No app is connected with this token right now."
            raise PageError(404, f"{token.name} is not connected", text)
        text = (
            "The app is connected, and keeps nothing of what passes. Start it with "
            "asgi-tunnel run --inspect, or set ASGI_TUNNEL_INSPECT=full beside its token."
        )
        raise PageError(404, f"{token.name} has no inspector that is on", text)
    by = hit.viewer.visitor.display_name
    return AppInspector(context.inspectors, by, token, chosen, ready)


# -- lists -----------------------------------------------------------------------------------------


async def _choose(hit: Hit) -> Response:
    """Show whose inspectors there are."""
    edge = hit.context.edge()
    tokens = hit.context.tokens(hit.viewer)
    # Those at other nodes of the first ones: each is a question to a node.
    far = await asyncio.gather(*(all_instances_of(edge, token) for token in tokens[:MAX_FAR]))
    near = [instances_of(edge.directory.entries, token.id) for token in tokens[MAX_FAR:]]
    found = zip(tokens, [*far, *near], strict=True)
    tunnels = [(token, instances) for token, instances in found if instances]
    return hit.render("inspectors.html", {"tunnels": tunnels})


async def _list(hit: Hit) -> Response:
    inspector = await _inspector_of(hit)
    values = await _listed(hit, inspector)
    state = await inspector.get("/state")
    return hit.render("inspector.html", {**values, "state": state, "levels": _LEVELS})


async def _listed(hit: Hit, inspector: AppInspector) -> dict[str, Any]:
    filters = {name: hit.query.get(name, "") for name in _FILTERS}
    found = await inspector.get(
        "/exchanges", {**filters, "before": hit.query.get("before", ""), "limit": str(SHOWN)}
    )
    return {"inspector": inspector, "filters": filters, **found}


async def _follow(hit: Hit) -> AsyncGenerator[bytes, None]:
    """Send the list again each time that something has happened."""
    inspector = await _inspector_of(hit)
    try:
        watch = hit.context.watches.open(inspector)
    except TooManyWatchError as error:
        raise PageError(503, "Too many are watching", str(error)) from error

    async def render() -> str:
        return hit.fragment("inspector_part.html", await _listed(hit, inspector))

    with watch:
        yield b": watching\n\n"
        async for is_new in watch.changes():
            # Whose token it was may have changed since the stream began.
            hit.context.token(hit.viewer, inspector.token.id)
            if not is_new:
                yield b": still here\n\n"
                continue
            try:
                yield event(await watch.shared(hit.request.url.query, render))
            except InspectionError:
                return  # the page connects again


# -- one exchange ----------------------------------------------------------------------------------


async def _show(hit: Hit) -> Response:
    inspector = await _inspector_of(hit)
    one = await inspector.get(f"/exchanges/{_id(hit)}")
    values: dict[str, object] = {
        "inspector": inspector,
        "one": one,
        "trace": None,
        "bars": [],
        "curl": "",
    }
    traces = hit.context.traces
    trace = None if one["replay_of"] else traces.find(one["request_id"])
    if trace is not None and trace.token_id == inspector.token.id:
        values |= {"trace": trace, "bars": waterfall_of(trace)}
    if one["level"] == "full" and one["kind"] == "http":
        with suppress(PageError):
            reply = await inspector.ask("GET", f"/exchanges/{_id(hit)}/curl")
            values["curl"] = reply.body.decode("utf-8", "replace")
    return hit.render("exchange.html", values)


async def _replay(hit: Hit) -> Response:
    """Repeat a request into the app, as it was or edited."""
    inspector = await _inspector_of(hit)
    changes = _edited(hit.form) if hit.form.get("edited") == "1" else {}
    await hit.context.audit.note(hit.viewer, "inspector.replay", inspector.token.name, _id(hit))
    body = json.dumps(changes).encode()
    reply = await inspector.ask("POST", f"/exchanges/{_id(hit)}/replay", body)
    new = quote(str(reply.json()["id"]), safe="")
    return hit.redirect(inspector.url(f"/exchanges/{new}"), done="replayed")


def _edited(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the changes that a form asks for.

    Raises:
        PageError: A line of its fields is none.
    """
    fields: list[list[str]] = []
    for line in form.get("fields", "").splitlines():
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            text = f"Write each field as name: value. This is none: {line[:80]}"
            raise PageError(400, "A field cannot be read", text)
        fields.append([name.strip(), value.strip()])
    if len(fields) > MAX_FIELDS:
        raise PageError(400, "There are too many fields", f"{MAX_FIELDS} is the most.")
    changes: dict[str, Any] = {
        "method": form.get("method", "").strip().upper(),
        "path": form.get("path", "").strip(),
        "fields": fields,
    }
    if "body" in form:
        # Browsers send every line's end as CRLF (HTML standard section 4.10.21.4).
        changes["body"] = {"text": form["body"].replace("\r\n", "\n")}
    return {name: value for name, value in changes.items() if value}


async def _export(hit: Hit) -> Response:
    inspector = await _inspector_of(hit)
    found = _EXPORTS.get(hit.path["export"])
    if found is None:
        raise PageError(404, "There is no such page", "Exchanges are had as curl, har and test.")
    target, kind, ending = found
    reply = await inspector.ask("GET", f"/exchanges/{_id(hit)}/{target}")
    name = "test_request" if ending == "py" else f"exchange-{_id(hit)[:8]}"
    fields = {
        **hit.context.site.fields,
        "content-type": kind,
        "content-disposition": f'attachment; filename="{name}.{ending}"',
    }
    return Response(reply.body, headers=fields)


async def _diff(hit: Hit) -> Response:
    inspector = await _inspector_of(hit)
    pair = {name: hit.query.get(name, "") for name in ("a", "b")}
    values = await inspector.get("/diff", pair)
    return hit.render("exchange_diff.html", {"inspector": inspector, **pair, "diff": values})


# -- the whole -------------------------------------------------------------------------------------


async def _set_level(hit: Hit) -> Response:
    inspector = await _inspector_of(hit)
    level = hit.form.get("level", "")
    if level not in _LEVELS:
        raise PageError(400, "There is no such level", f"Choose one of {', '.join(_LEVELS)}.")
    await hit.context.audit.note(hit.viewer, "inspector.level", inspector.token.name, level)
    await inspector.ask("PUT", "/state", json.dumps({"level": level}).encode())
    return hit.redirect(inspector.url(), done=f"level-{level}")


async def _clear(hit: Hit) -> Response:
    inspector = await _inspector_of(hit)
    await hit.context.audit.note(hit.viewer, "inspector.clear", inspector.token.name)
    await inspector.ask("DELETE", "/exchanges")
    return hit.redirect(inspector.url(), done="cleared")


def _id(hit: Hit) -> str:
    return quote(hit.path["id"], safe="")


PAGE = Page(
    name="inspector",
    title="Inspector",
    path="/inspector",
    section="Traffic",
    order=30,
    role=Role.OWNER,
    routes=_routes,
    done={
        "replayed": "The app was called with it again. This is what came of it.",
        "cleared": "Nothing is kept of what was before.",
        "level-full": "Heads and bodies are kept from now on, without the secrets in them.",
        "level-metadata": "Only numbers are kept from now on.",
        "level-off": "Nothing is kept from now on.",
    },
)
