"""``asgi-tunnel-edge logs``: the newest lines of the access log, wherever it is written."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

import click

from asgi_tunnel_edge.errors import EdgeConfigError, EdgeNotRunningError, shown
from asgi_tunnel_edge.settings.config import EdgeConfig

from .live import until_ended
from .options import data_option, json_option
from .running import ask_each

__all__ = ["logs", "text_line"]

_LOOK: Final = 0.5  # seconds between two looks while it follows
_MAX_LINES: Final = 100_000
_STATUS: Final = re.compile(r"[1-5]xx|[1-5]\d\d")


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, _MAX_LINES),
    default=20,
    show_default=True,
    metavar="N",
    help="How many of those that there are.",
)
@click.option("--hostname", "hostnames", multiple=True, metavar="HOST", help="Only of this one.")
@click.option("--status", "statuses", multiple=True, metavar="STATUS", help="Only 404, or 5xx.")
@data_option
@json_option
def logs(
    *,
    follow: bool,
    lines: int,
    hostnames: tuple[str, ...],
    statuses: tuple[str, ...],
    data_dir: Path,
    as_json: bool,
) -> None:
    """Show the newest lines of the running edge's access log: it keeps the last 2,000 in memory.

    Those before stand where the log is written. --hostname is as registered (a wildcard stays one);
    both filters may be repeated.
    """
    config = EdgeConfig.load(data_dir)
    for status in statuses:
        if not _STATUS.fullmatch(status):
            why = f"expected a status such as 404 or 5xx, got {shown(status)}"
            raise EdgeConfigError("--status", why, "write --status 5xx")
    wanted = _Wanted(frozenset(one.lower() for one in hostnames), frozenset(statuses))
    reader = _Reader(data_dir)
    with until_ended():
        for one in deque(filter(wanted.has, reader.read()), maxlen=lines):
            _print(one, as_json=as_json)
        if follow:
            _follow(reader, wanted, as_json=as_json)
    if not follow and not as_json:
        click.echo(f"earlier lines: {_where(config)}", err=True)


class _Wanted:
    """Which entries are shown."""

    def __init__(self, hostnames: frozenset[str], statuses: frozenset[str]) -> None:
        self._hostnames = hostnames
        self._statuses = statuses

    def has(self, entry: dict[str, Any]) -> bool:
        """Whether an entry is shown."""
        status = str(entry["status"])
        return (not self._hostnames or entry["hostname"] in self._hostnames) and (
            not self._statuses or bool(self._statuses & {status, f"{status[0]}xx"})
        )


class _Reader:
    """Reads what has come since the last look, of all processes of a running edge."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._places: dict[str, int] = {}  # by process id

    def read(self) -> list[dict[str, Any]]:
        """Return new entries, oldest first; what came too fast is counted on stderr.

        Raises:
            EdgeNotRunningError: No edge runs, or it does not reply.
        """
        found: list[dict[str, Any]] = []
        is_more = True
        while is_more:
            is_more = False
            workers = ask_each(self._data_dir, "log", warns=False, after=self._places)
            for one in workers:
                self._places[str(one["pid"])] = one["next"]
                found += one["entries"]
                is_more = is_more or bool(one["more"])
                if one["lost"]:
                    lost = f"{one['lost']} lines came faster than they were read, and are left out"
                    click.echo(f"warning: {lost}", err=True)
            pids = {str(one["pid"]) for one in workers}
            self._places = {pid: place for pid, place in self._places.items() if pid in pids}
        return sorted(found, key=lambda one: str(one["time"]))


def _follow(reader: _Reader, wanted: _Wanted, *, as_json: bool) -> None:
    is_away = False
    while True:
        sys.stdout.flush()
        time.sleep(_LOOK)
        try:
            entries = reader.read()
        except EdgeNotRunningError as error:
            if not is_away:
                click.echo(f"warning: {error}; waiting for it", err=True)
            is_away = True
            continue
        is_away = False
        for one in filter(wanted.has, entries):
            _print(one, as_json=as_json)


def _print(entry: dict[str, Any], *, as_json: bool) -> None:
    print(json.dumps(entry) if as_json else text_line(entry))


def text_line(entry: dict[str, Any]) -> str:
    """One entry as ``format = "text"`` has it (docs/reference/logs.md)."""
    target = _escaped(entry["target"])
    outcome = f" {_escaped(entry['outcome'])}" if "outcome" in entry else ""
    return (
        f"{entry['time']} {entry['request_id']} {entry['peer']} {entry['hostname']} "
        f'"{_escaped(entry["method"])} {target}" {entry["status"]} {entry["sent"]} '
        f"{entry['seconds'] * 1000:.1f}ms{outcome}"
    )


def _escaped(text: str) -> str:
    """What a visitor has sent, without what ends a quoted text or moves a terminal's cursor."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.encode("unicode_escape").decode("ascii").replace('"', "\\x22")


def _where(config: EdgeConfig) -> str:
    if config.access_log_path is not None:
        return str(config.access_log_path)
    return "standard output of the edge; under systemd: journalctl -u asgi-tunnel-edge"
