"""The newest lines of the access log, and those that come."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from markupsafe import escape

from ..page import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from ..live import Moment
    from ..serving import Hit, PageRoutes

__all__ = ["PAGE"]

SHOWN: Final = 300
"""Lines that are shown at first; those that come are added to them."""

AT_ONCE: Final = 200
"""Lines that one look adds: what a person can still read. More are left out, and that is said."""

_BAD: Final = (" 500 ", " 502 ", " 503 ", " 504 ", '"status": 5')


def _routes(at: PageRoutes) -> Sequence[BaseRoute]:
    return [at.view("/logs", _show), at.live("/live/logs", _render)]


async def _show(hit: Hit) -> Response:
    wanted = hit.query.get("q", "").strip()
    lines, place = await _after(hit, 0)
    shown = [one for one in lines if wanted in one][-SHOWN:]
    values = {"lines": [_line(one) for one in shown], "wanted": wanted, "place": place}
    return hit.render("logs.html", values)


async def _render(hit: Hit, _moment: Moment) -> str:
    """Return the lines since the last time; each stream keeps its own place."""
    state = hit.request.state
    place = getattr(state, "place", None)
    if place is None:
        given = hit.query.get("after", "0")
        place = int(given) if given.isascii() and given.isdigit() and len(given) < 16 else 0
    lines, state.place = await _after(hit, place)
    wanted = hit.query.get("q", "")
    found = [one for one in lines if wanted in one]
    left_out = len(found) - AT_ONCE
    parts = [_html(_line(one)) for one in found[-AT_ONCE:]]
    if left_out > 0:
        parts.insert(0, f'<div class="soft">{left_out} lines came too fast to be read</div>')
    return "\n".join(parts)


async def _after(hit: Hit, place: int) -> tuple[list[str], int]:
    """Return all lines that are kept behind a place, and the place behind them."""
    lines: list[str] = []
    while True:
        found: dict[str, Any] = await hit.context.ask("log", after={str(os.getpid()): place})
        lines += found["lines"]
        place = found["next"]
        if not found["more"]:
            return lines, place


def _line(text: str) -> tuple[str, bool]:
    """Return a line, and whether it is of a response that failed."""
    return text, any(one in text for one in _BAD)


def _html(line: tuple[str, bool]) -> str:
    text, is_bad = line
    return f"<div{' class=bad-line' if is_bad else ''}>{escape(text)}</div>"


PAGE = Page(name="logs", title="Logs", path="/logs", section="Edge", order=70, routes=_routes)
