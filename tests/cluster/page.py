"""The table of docs/scale.md, and the file that it is written from."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["PAGE", "read_results", "render", "with_section", "write_results"]

PAGE: Final = "docs/scale.md"
RESULTS: Final = "tests/cluster/results.json"
BEGIN: Final = "<!-- faults: written by `make cluster ARGS=--write` -->"
END: Final = "<!-- faults: end -->"

_TEXT: Final = """\
`make cluster` does this: {edges} edges with {workers} serving {process} each, {apps} apps with
{connections} connections, at most {rate:.0f} requests a second of visitors that try the next
address when one fails, {streams} event streams and as many WebSockets; all on {cores} cores
together (the load was {load:.0f}).
*Failed* are requests that got anything but 200 at the last address. A POST that was on its way to
an edge that ended is *unknown* to its visitor, who must not send it again; what counts is that no
app executed one *twice*. *Back* is the longest silence that a client saw whose stream was cut, and
how many were cut; *apps* is the time from the fault until all had all their connections again:
of edges that leave in turn from the first one on.
"""

_STORM: Final = """\
`make cluster ARGS="--tunnels 10000"` connects a crowd of light apps, two tunnels each, ends one
edge by SIGKILL, and waits until all tunnels are back at those that are left. The edges, the apps
and the visitors share the cores; memory is that of all processes of the edges.

"""


def write_results(file: Path, key: str, results: dict[str, Any]) -> None:
    """Put the results of one run beside those of others.

    Args:
        file: JSON; made where it is missing.
        key: The bus.
        results: What :func:`.__main__.main` has.
    """
    every = read_results(file)
    every[key] = results
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(dict(sorted(every.items())), indent=1) + "\n")


def read_results(file: Path) -> dict[str, Any]:
    """Return what :func:`write_results` has written; nothing where there is no file."""
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def render(every: dict[str, Any]) -> str:
    """Return the section for these results."""
    parts = list[str]()
    for key, run in every.items():
        if "rows" not in run:
            continue
        made = dict(run["world"])
        made["process"] = "process" if made["workers"] == 1 else "processes"
        if not parts:
            parts.append(_TEXT.format(**made))
        parts.append(f"Bus: {key}, {run['date']}.\n\n" + "\n".join(_table(run["rows"])) + "\n")
    if storms := {key: run["storm"] for key, run in every.items() if "storm" in run}:
        parts.append(_STORM + "\n".join(_storms(storms)) + "\n")
    return "\n".join(parts)


def _storms(runs: dict[str, dict[str, Any]]) -> list[str]:
    columns = ["Bus", "Tunnels", "Edges", "A tunnel", "All apps served", "Half back", "All back"]
    columns += ["Requests", "Failed", "twice", "Slowest GET"]
    lines = [f"| {' | '.join(columns)} |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    for key, run in runs.items():
        cells = [
            key.removeprefix("storm "),
            f"{run['tunnels']:,}",
            f"{run['edges']}",
            f"{run['per_tunnel'] / 1024:.1f} KiB",
            _seconds(run["served_again"]),
            _seconds(run["half_back"]),
            _seconds(run["all_back"]),
            f"{run['requests']:,}",
            _failed(run),
            f"{run['twice']}",
            _seconds(run["slowest"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    titles = "Fault, Requests, Failed, POSTs unknown, twice, Slowest GET, Events back"
    columns = [*titles.split(", "), "WebSockets back", "Apps"]
    lines = [f"| {' | '.join(columns)} |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    for row in rows:
        cells = [
            row["fault"],
            f"{row['requests']:,}",
            _failed(row),
            str(row["unknown"]),
            str(row["twice"]),
            f"{row['slowest']:.1f} s",
            _longest(row["sse"]),
            _longest(row["ws"]),
            _seconds(row["apps"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _failed(row: dict[str, Any]) -> str:
    seen = ", ".join(f"{times} x {what}" for what, times in sorted(row["outcomes"].items()))
    return f"{row['failed']}" + (f" ({seen})" if seen else "")


def _longest(seconds: Sequence[float]) -> str:
    return f"{max(seconds):.1f} s ({len(seconds)})" if seconds else "none lost"


def with_section(page: str, section: str) -> str:
    """Return the page with this section in the place of the old one, or at its end."""
    block = f"{BEGIN}\n\n{section}\n{END}"
    found = re.compile(re.escape(BEGIN) + ".*" + re.escape(END), re.DOTALL)
    if found.search(page):
        return found.sub(lambda _: block, page)
    return page.rstrip("\n") + f"\n\n{block}\n"
