"""The main comparisons as one SVG, on a ground of its own: it reads the same in light and dark."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from benchmarks.report import Kind, Report, Result, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANELS = (
    ("small-get-32", "rate", "Small GET, 32 connections: requests/s"),
    ("small-get-1", "p50_us", "Small GET, 1 connection: p50, us"),
    ("small-get-32", "cpu_us", "Small GET: CPU of all processes, us"),
    ("page-40", "p50_ms", "Page of 40 assets: p50, ms"),
    ("websocket-32b-100", "rate", "WebSocket echo, 100 sockets: messages/s"),
    ("bulk-down", "mb_per_s", "1 GiB down, MB/s"),
    ("bulk-up", "mb_per_s", "1 GiB up, MB/s"),
    ("beside", "down_p99_us", "Small GETs beside a download: p99, us"),
    ("beside", "up_p99_us", "Small GETs beside an upload: p99, us"),
)

_COLORS = {
    Kind.OURS: "#0b7a5b",
    Kind.DIRECT: "#33475b",
    Kind.REFERENCE: "#8a98a8",
    Kind.PEER: "#b9c3ce",
}
_INK = "#1f2933"
_GROUND = "#ffffff"
_COLUMNS = 3
_PANEL_SIZE = (4.6, 3.0)  # inches
_LONGEST = 4.0
"""Times the median of a panel: a longer bar is cut, or the others could not be told apart."""
_ROOM = 1.3
"""Times the longest bar: where its number stands."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: searchable, and small
    "svg.hashsalt": "bench",  # the same figures give the same file
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "ytick.color": _INK,
}


def plot(report: Report, path: Path) -> None:
    """Write a panel for each main figure that was measured; nothing when none was.

    Args:
        report: What was measured.
        path: Ends in .svg or .png.
    """
    panels = [
        (result, key, title)
        for name, key, title in _PANELS
        if (result := report.result(name))
        and any(result.values(one, key) for one in report.systems)
    ]
    if not panels:
        return
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    size = (_PANEL_SIZE[0] * columns, _PANEL_SIZE[1] * rows + 0.4)
    with mpl.rc_context(_STYLE):
        canvas = Canvas(figsize=size, facecolor=_GROUND, layout="constrained")
        axes = list(canvas.subplots(rows, columns, squeeze=False).flat)
        for (result, key, title), ax in zip(panels, axes, strict=False):
            _bars(ax, report, result, key, title)
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        canvas.supxlabel(
            "Medians; whiskers: smallest and largest round. Green: asgi-tunnel; dark: no tunnel.",
            fontsize=9,
        )
        canvas.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _bars(ax: Axes, report: Report, result: Result, key: str, title: str) -> None:
    names = [name for name in report.systems if result.values(name, key)]
    medians = [result.median(name, key) or 0.0 for name in names]
    colors = [_COLORS[report.systems[name].kind] for name in names]
    spreads: tuple[list[float], list[float]] = ([], [])
    for name, middle in zip(names, medians, strict=True):
        values = result.values(name, key)
        spreads[0].append(middle - min(values))
        spreads[1].append(max(values) - middle)
    ends = [middle + above for middle, above in zip(medians, spreads[1], strict=True)]
    limit = min(max(ends), _LONGEST * median(medians))
    ax.set_facecolor(_GROUND)
    for row, (middle, end) in enumerate(zip(medians, ends, strict=True)):
        spread = [[spreads[0][row]], [spreads[1][row]]] if end <= limit else None
        ax.barh(
            names[row],
            min(middle, limit),
            xerr=spread,
            color=colors[row],
            ecolor=_INK,
            capsize=2,
            height=0.7,
        )
    for row, (middle, end) in enumerate(zip(medians, ends, strict=True)):
        ax.annotate(
            number(middle) + (" (bar cut)" if end > limit else ""),
            (min(end, limit), row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    arrow = "more is better" if result.figures[key].more_is_better else "less is better"
    ax.set_title(f"{title}\n({arrow})", fontsize=9)
    ax.set_xlim(0, limit * _ROOM)
    ax.set_xticks([])
    ax.invert_yaxis()
    ax.spines[["top", "right", "bottom"]].set_visible(False)
