"""One exchange's time as bars, one behind the other: what a waterfall draws. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from ..observers.traces import Trace

__all__ = ["Bar", "waterfall_of"]

SCALE: Final = 1000.0
"""Units of a drawing from its left edge to its right one."""

THINNEST: Final = 3.0
"""Units of a bar that would be too short to be seen."""

_ABOUT: Final = {
    "TLS": "the handshake of the visitor's connection",
    "Edge": "guards and doors",
    "Hold": "waiting for the app, and tries on sessions that were lost",
    "Tunnel": "to the app and back",
    "Tunnel and app": "the app's side does not say how long the app took",
    "App": "until its response began",
    "Response": "until the visitor had taken it",
    "Request body": "until the visitor had sent it; at the same time as the others",
}


class Bar(NamedTuple):
    """One part of the time."""

    name: str
    about: str
    seconds: float
    left: float  #: where it begins, of SCALE
    width: float  #: of SCALE
    kind: str  #: a word for its colour: "edge", "tunnel", "app" or "visitor"


def waterfall_of(trace: Trace) -> list[Bar]:
    """Return the bars of an exchange, in their order; parts that took no time are left out.

    The tunnel's time lies on both sides of the app's: half of it before, half behind.
    """
    tls = trace.tls or 0.0
    whole = max(tls + trace.seconds, tls + trace.edge + trace.body, 1e-6)
    bars: list[Bar] = []
    at = 0.0
    for name, seconds, kind in _parts(trace, tls):
        if seconds > 0:
            bars.append(_bar(name, at, seconds, whole, kind))
        at += seconds
    if trace.body > 0:
        bars.append(_bar("Request body", tls, trace.body, whole, "visitor"))
    return bars


def _parts(trace: Trace, tls: float) -> Sequence[tuple[str, float, str]]:
    if trace.app is None:
        middle = [("Tunnel and app", trace.tunnel, "tunnel")]
    else:
        half = trace.tunnel / 2
        middle = [("Tunnel", half, "tunnel"), ("App", trace.app, "app"), ("Tunnel", half, "tunnel")]
    return [
        ("TLS", tls, "visitor"),
        ("Edge", trace.edge, "edge"),
        ("Hold", trace.hold, "edge"),
        *middle,
        ("Response", trace.response, "visitor"),
    ]


def _bar(name: str, at: float, seconds: float, whole: float, kind: str) -> Bar:
    width = max(seconds / whole * SCALE, THINNEST)
    left = min(at / whole * SCALE, SCALE - width)
    return Bar(name, _ABOUT[name], seconds, round(left, 1), round(width, 1), kind)
