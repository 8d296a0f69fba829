"""Tunnels: all of them, and each one with its sessions, its numbers over time, and what to do.

A tunnel is a token with the sessions of its apps. Who owns it may end and drain its sessions, too:
that does no more than the app itself can.
"""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Final

from ...history.book import SPANS
from ..numbers import columns_of, span_of
from ..page import Page
from ..problem import PageError
from ..roles import Role
from ..tunnels import Tunnel, tunnels_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from ...tokens import TokenRecord
    from ..live import Moment
    from ..serving import Hit, PageRoutes

__all__ = ["PAGE"]

SHOWN: Final = 200
"""Tunnels in the list, by name: it is made anew for each who watches, 5 ms of the event loop.
Others are found by a word."""


def _routes(at: PageRoutes) -> Sequence[BaseRoute]:
    return [
        at.view("/tunnels", _list),
        at.live("/live/tunnels", _render_list),
        at.view("/tunnels/{token}", _show),
        at.live("/live/tunnels/{token}", _render_one),
        at.view("/tunnels/{token}/numbers", _numbers),
        at.view("/tunnels/{token}/qr.svg", _qr),
        at.form("/tunnels/{token}/drain", _drain),
        at.form("/tunnels/{token}/kick", _kick),
    ]


async def _list(hit: Hit) -> Response:
    return hit.render("tunnels.html", _all(hit, await hit.context.moment()))


async def _render_list(hit: Hit, moment: Moment) -> str:
    return hit.fragment("tunnels_part.html", _all(hit, moment))


def _all(hit: Hit, moment: Moment) -> dict[str, object]:
    wanted = hit.query.get("q", "").strip().lower()
    tokens = [
        one for one in hit.context.tokens(hit.viewer) if not one.revoked and _matches(one, wanted)
    ]
    return {
        "tunnels": tunnels_of(tokens[:SHOWN], moment.sessions),
        "more": max(len(tokens) - SHOWN, 0),
        "wanted": wanted,
        "at": moment.at,
    }


def _matches(token: TokenRecord, wanted: str) -> bool:
    words = (token.name.lower(), token.id, token.owner, *token.hostnames)
    return not wanted or any(wanted in one for one in words)


async def _show(hit: Hit) -> Response:
    values = await _one(hit, await hit.context.ask("tunnels", names=[_token(hit).id]))
    return hit.render("tunnel.html", values)


async def _render_one(hit: Hit, _moment: Moment) -> str:
    values = await _one(hit, await hit.context.ask("tunnels", names=[_token(hit).id]))
    return hit.fragment("tunnel_part.html", values)


async def _one(hit: Hit, found: dict[str, list[dict[str, object]]]) -> dict[str, object]:
    token = _token(hit)
    tunnel = Tunnel(token=token, sessions=tuple(found["sessions"]))
    span = span_of(hit.query)
    totals = await hit.context.history.totals(span, token.hostnames)
    return {
        "tunnel": tunnel,
        "token": token,
        "state": token.state(time.time()),
        "urls": {name: hit.context.visitor_url(name) for name in token.hostnames},
        "plain": _plain(token),
        "span": span,
        "spans": SPANS,
        "totals": totals,
    }


async def _numbers(hit: Hit) -> Response:
    token, span = _token(hit), span_of(hit.query)
    columns = await columns_of(hit.context.history, span, token.hostnames, time.time())
    return hit.context.site.data(columns)


async def _qr(hit: Hit) -> Response:
    plain = _plain(_token(hit))
    if plain is None:
        raise PageError(404, "There is no picture", "No address of this tunnel is a whole one.")
    import segno  # 0.1 s, for who asks for the picture

    code = segno.make(hit.context.visitor_url(plain), error="m", micro=False)
    drawn = io.BytesIO()
    code.save(drawn, kind="svg", scale=4, border=2, xmldecl=False, svgclass=None, lineclass=None)
    return hit.context.site.picture(drawn.getvalue())


async def _drain(hit: Hit) -> Response:
    return await _end(hit, "drain")


async def _kick(hit: Hit) -> Response:
    return await _end(hit, "kick")


async def _end(hit: Hit, how: str) -> Response:
    """End all sessions of a tunnel, or the one that the form names."""
    token = _token(hit)
    wanted = hit.form.get("session", "")
    names = [token.id]
    if wanted:
        found = await hit.context.ask("tunnels", names=[token.id])
        if wanted not in [one["id"] for one in found["sessions"]]:
            text = "It has ended meanwhile, or belongs to another tunnel."
            raise PageError(404, "There is no such session", text)
        names = [wanted]
    detail = f"name={token.name} session={wanted or 'all'}"
    await hit.context.audit.note(hit.viewer, f"tunnel.{how}", token.id, detail)
    await hit.context.ask(how, names=names)
    return hit.redirect(f"/tunnels/{token.id}", done=f"tunnel-{how}")


def _plain(token: TokenRecord) -> str | None:
    """Return the first hostname that can be visited as it is; None: all are wildcards."""
    return next((name for name in token.hostnames if not name.startswith("*.")), None)


def _token(hit: Hit) -> TokenRecord:
    return hit.context.token(hit.viewer, hit.path["token"])


PAGE = Page(
    name="tunnels",
    title="Tunnels",
    path="/tunnels",
    section="Traffic",
    order=10,
    role=Role.OWNER,
    routes=_routes,
    done={
        "tunnel-drain": "Its sessions take nothing new, and end once they are empty.",
        "tunnel-kick": "Its sessions have ended. The app may connect again.",
    },
)
