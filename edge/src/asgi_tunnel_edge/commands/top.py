"""``asgi-tunnel-edge top``: what passes through a running edge, refreshed each second."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

import click

from asgi_tunnel_edge.errors import EdgeNotRunningError
from asgi_tunnel_edge.observers.live_counts import NOBODY, STEP

from .live import until_ended
from .options import data_option, json_option, size_text, utc_time
from .running import ask_each

__all__ = ["Rates", "render", "top"]

INTERVAL: Final = 1.0
"""Seconds between two looks."""

WINDOW: Final = 10
"""Looks that a percentile is made of, and for which a hostname without requests stays."""

_FULL: Final = 76  # columns for all numbers
_OPEN: Final = "\x1b[?1049h\x1b[?25l"  # another screen, without a cursor
_CLOSE: Final = "\x1b[?25h\x1b[?1049l"
_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")


@click.command()
@click.option("--once", is_flag=True, help="Look for one second, print it and end.")
@data_option
@json_option
def top(*, once: bool, data_dir: Path, as_json: bool) -> None:
    """Show what passes through the running edge, refreshed each second; Ctrl-C ends it.

    A request is counted when its response is complete. BYTES/S of a hostname are those of response
    bodies; those in the head line are all that pass through tunnels, both ways. p50 and p95 are
    right to a fifth, over the last ten seconds. With --json it is one document a line.
    """
    rates = Rates()
    rates.add(ask_each(data_dir, "traffic"), time.monotonic())
    if once or as_json:
        with until_ended():
            _print_lines(data_dir, rates, once=once, as_json=as_json)
        return
    is_screen = sys.stdout.isatty()
    with until_ended():
        try:
            if is_screen:
                sys.stdout.write(_OPEN)
            _show(data_dir, rates, is_screen=is_screen)
        finally:
            if is_screen:
                sys.stdout.write(_CLOSE)
                sys.stdout.flush()


def _print_lines(data_dir: Path, rates: Rates, *, once: bool, as_json: bool) -> None:
    while True:
        time.sleep(INTERVAL)
        found = rates.add(ask_each(data_dir, "traffic"), time.monotonic())
        text = json.dumps(found) if as_json else "\n".join(render(found, width=0, height=0))
        print(text, flush=True)
        if once:
            return


def _show(data_dir: Path, rates: Rates, *, is_screen: bool) -> None:
    has_colour = is_screen and not os.environ.get("NO_COLOR")
    lines = ["the first second ..."]
    while True:
        if is_screen:
            text = "\x1b[K\r\n".join(lines)
            sys.stdout.write(f"\x1b[H{text}\x1b[K\x1b[J")
        else:
            sys.stdout.write("\n".join([*lines, "", ""]))
        sys.stdout.flush()
        time.sleep(INTERVAL)
        try:
            workers = ask_each(data_dir, "traffic", warns=False)
        except EdgeNotRunningError as error:
            rates = Rates()
            lines = [f"{error}; looking again"]
            continue
        found = rates.add(workers, time.monotonic())
        width, height = shutil.get_terminal_size() if is_screen else (0, 0)
        lines = render(found, width=width, height=height, has_colour=has_colour)


class Rates:
    """Makes rates of counts that only grow, as each process of an edge gives them."""

    def __init__(self) -> None:
        self._at: float | None = None
        # By process and hostname: as they were said last.
        self._counts: dict[int, dict[str, dict[str, Any]]] = {}
        self._moved: dict[int, int] = {}
        self._window: deque[dict[str, list[int]]] = deque(maxlen=WINDOW)  # durations

    def add(self, workers: list[dict[str, Any]], now: float) -> dict[str, Any]:
        """Take what all processes say; return the rates since the last time.

        Args:
            workers: The replies to ``traffic``.
            now: Monotonic seconds.
        """
        seconds = 0.0 if self._at is None else now - self._at
        self._at = now
        grown: dict[str, dict[str, Any]] = {}
        moved = 0
        for one in workers:
            pid = one["pid"]
            is_known = pid in self._moved
            moved += max(one["moved"] - self._moved.get(pid, one["moved"]), 0)
            known = self._counts.setdefault(pid, {})
            for count in one["hostnames"]:
                if is_known:  # else it may be what somebody has looked at before
                    _add(grown, _growth(known.get(count["name"]), count))
                known[count["name"]] = count
        self._moved = {one["pid"]: one["moved"] for one in workers}
        self._counts = {one["pid"]: self._counts[one["pid"]] for one in workers}
        self._window.append({name: one["durations"] for name, one in grown.items()})
        names = {name for one in self._window for name, counts in one.items() if any(counts)}
        names |= {name for name, one in grown.items() if one["requests"]}
        hostnames = [self._described(name, grown.get(name), seconds) for name in names]
        hostnames.sort(key=lambda one: (-one["requests_per_second"], one["hostname"]))
        total = sum(one["requests"] for one in grown.values())
        sums = ("tunnels", "waiting", "connections", "in_flight")
        return {
            "at": utc_time(time.time()),
            "seconds": round(seconds, 3),
            "generation": max(one["generation"] for one in workers),
            **{name: sum(one[name] for one in workers) for name in sums},
            "is_overloaded": any(one["is_overloaded"] for one in workers),
            "requests_per_second": _rate(total, seconds),
            "tunnel_bytes_per_second": _rate(moved, seconds),
            "hostnames": hostnames,
        }

    def _described(self, name: str, grown: dict[str, Any] | None, seconds: float) -> dict[str, Any]:
        durations = [one[name] for one in self._window if name in one]
        summed = [sum(column) for column in zip(*durations, strict=True)]
        statuses = [0] * len(_CLASSES) if grown is None else grown["statuses"]
        return {
            "hostname": name,
            "requests_per_second": _rate(0 if grown is None else grown["requests"], seconds),
            "statuses_per_second": {
                label: _rate(count, seconds)
                for label, count in zip(_CLASSES, statuses, strict=True)
            },
            "bytes_per_second": _rate(0 if grown is None else grown["sent"], seconds),
            "p50": _percentile(summed, 0.5),
            "p95": _percentile(summed, 0.95),
        }


def _growth(before: dict[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
    """By how much the counts of one hostname have grown; they may have begun anew."""
    if before is None or before["requests"] > after["requests"]:
        return after
    return {
        "name": after["name"],
        "requests": after["requests"] - before["requests"],
        "sent": max(after["sent"] - before["sent"], 0),
        "statuses": _less(after["statuses"], before["statuses"]),
        "durations": _less(after["durations"], before["durations"]),
    }


def _less(these: list[int], those: list[int]) -> list[int]:
    return [max(one - other, 0) for one, other in zip(these, those, strict=True)]


def _add(sums: dict[str, dict[str, Any]], one: dict[str, Any]) -> None:
    """Add what one process has of a hostname to what the others have."""
    there = sums.get(one["name"])
    if there is None:
        sums[one["name"]] = one
        return
    sums[one["name"]] = {
        "name": one["name"],
        "requests": there["requests"] + one["requests"],
        "sent": there["sent"] + one["sent"],
        **{
            key: [a + b for a, b in zip(there[key], one[key], strict=True)]
            for key in ("statuses", "durations")
        },
    }


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 2) if seconds else 0.0


def _percentile(durations: list[int], share: float) -> float | None:
    """Return the bound, in seconds, that a share of the durations does not exceed."""
    left = share * sum(durations)
    if not left:
        return None
    for number, count in enumerate(durations):
        left -= count
        if left <= 0:
            return round(0.001 * STEP**number, 4)
    return None


# -- for a person ----------------------------------------------------------------------------------


def render(
    found: dict[str, Any], *, width: int, height: int, has_colour: bool = False
) -> list[str]:
    """Return the lines of one screen.

    Args:
        found: As :meth:`Rates.add` gives it.
        width: Columns of the terminal; 0: any number.
        height: Its lines; 0 likewise.
        has_colour: Rows with 5xx are red.
    """
    waiting = f" ({found['waiting']} waiting)" if found["waiting"] else ""
    first = f"{found['at']}  generation {found['generation']}  {found['tunnels']} connections of"
    first += f" apps{waiting}  {found['connections']} of visitors  {found['in_flight']} in flight"
    second = f"{_number(found['requests_per_second'])} requests/s  "
    second += f"{size_text(found['tunnel_bytes_per_second'])}/s through tunnels"
    if found["is_overloaded"]:
        second += "  NO MEMORY FOR NEW WORK"
    head = [first, second, ""]
    is_full = not width or width >= _FULL
    rows = [_cells(one, is_full=is_full) for one in found["hostnames"]]
    labels = ["HOSTNAME", "REQ/S", *(_CLASSES[1:] if is_full else ("5xx",))]
    labels += ["BYTES/S", "p50", "p95"] if is_full else ["p95"]
    table = [labels, *rows] if rows else [["no request was answered in the last seconds"]]
    columns = [max(map(len, column)) for column in zip(*table, strict=True)]
    if width:
        columns[0] = min(columns[0], max(width - sum(columns[1:]) - 2 * len(columns[1:]), 8))
    lines = head + [
        "  ".join(
            [row[0][: columns[0]].ljust(columns[0])]
            + [cell.rjust(size) for cell, size in zip(row[1:], columns[1:], strict=True)]
        )
        for row in table
    ]
    if width:
        lines = [line[:width] for line in lines]
    if has_colour:
        lines[3] = f"\x1b[1m{lines[3]}\x1b[0m"
        for number, one in enumerate(found["hostnames"], 4):
            if one["statuses_per_second"]["5xx"]:
                lines[number] = f"\x1b[31m{lines[number]}\x1b[0m"
    if height and len(lines) > height:
        left = len(lines) - height + 1
        lines = [*lines[: height - 1], f"... {left} more"[: width or None]]
    return lines


def _cells(one: dict[str, Any], *, is_full: bool) -> list[str]:
    name = "(names that no token has)" if one["hostname"] == NOBODY else one["hostname"]
    statuses = [_number(one["statuses_per_second"][label]) for label in _CLASSES]
    cells = [name, _number(one["requests_per_second"])]
    if not is_full:
        return [*cells, statuses[4], _milliseconds(one["p95"])]
    sent = size_text(one["bytes_per_second"])
    return [*cells, *statuses[1:], sent, _milliseconds(one["p50"]), _milliseconds(one["p95"])]


def _number(rate: float) -> str:
    if not rate:
        return "0"
    return f"{rate:.1f}" if rate < 100 else f"{rate:.0f}"


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
