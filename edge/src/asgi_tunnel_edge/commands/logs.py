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

__all__ = ["logs", "read_line"]

_LOOK: Final = 0.5  # seconds between two looks while it follows
_MAX_LINES: Final = 100_000
_STATUS: Final = re.compile(r"[1-5]xx|[1-5]\d\d")
_LINE: Final = re.compile(
    r"(?P<time>\S+) (?P<request_id>\S+) (?P<peer>\S+) (?P<hostname>\S+) "
    r'"(?P<method>\S+) (?P<target>[^"]*)" (?P<status>[1-5]\d\d) (?P<sent>\d+) '
    r"(?P<seconds>[\d.]+)ms(?: (?P<outcome>.*))?"
)


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
        for line in deque(filter(wanted.has, reader.read()), maxlen=lines):
            _print(line, as_json=as_json)
        if follow:
            _follow(reader, wanted, as_json=as_json)
    if not follow and not as_json:
        click.echo(f"earlier lines: {_where(config)}", err=True)


class _Wanted:
    """Which lines are shown."""

    def __init__(self, hostnames: frozenset[str], statuses: frozenset[str]) -> None:
        self._hostnames = hostnames
        self._statuses = statuses

    def has(self, line: str) -> bool:
        """Whether a line is shown."""
        if not (self._hostnames or self._statuses):
            return True
        fields = read_line(line)
        if fields is None:
            return False
        status = str(fields["status"])
        return (not self._hostnames or fields["hostname"] in self._hostnames) and (
            not self._statuses or bool(self._statuses & {status, f"{status[0]}xx"})
        )


class _Reader:
    """Reads what has come since the last look, of all processes of a running edge."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._places: dict[str, int] = {}  # by process id

    def read(self) -> list[str]:
        """Return new lines, those of older generations first; what came too fast is on stderr.

        Raises:
            EdgeNotRunningError: No edge runs, or it does not reply.
        """
        found: dict[int, list[str]] = {}
        is_more = True
        while is_more:
            is_more = False
            workers = ask_each(self._data_dir, "log", warns=False, after=self._places)
            for one in workers:
                self._places[str(one["pid"])] = one["next"]
                found.setdefault(one["generation"], []).extend(one["lines"])
                is_more = is_more or bool(one["more"])
                if one["lost"]:
                    lost = f"{one['lost']} lines came faster than they were read, and are left out"
                    click.echo(f"warning: {lost}", err=True)
            pids = {str(one["pid"]) for one in workers}
            self._places = {pid: place for pid, place in self._places.items() if pid in pids}
        return [line for generation in sorted(found) for line in found[generation]]


def _follow(reader: _Reader, wanted: _Wanted, *, as_json: bool) -> None:
    is_away = False
    while True:
        sys.stdout.flush()
        time.sleep(_LOOK)
        try:
            lines = reader.read()
        except EdgeNotRunningError as error:
            if not is_away:
                click.echo(f"warning: {error}; waiting for it", err=True)
            is_away = True
            continue
        is_away = False
        for line in filter(wanted.has, lines):
            _print(line, as_json=as_json)


def _print(line: str, *, as_json: bool) -> None:
    if not as_json:
        print(line)
        return
    fields = read_line(line)
    if fields is not None:
        print(json.dumps(fields))


def read_line(line: str) -> dict[str, Any] | None:
    """Return what a line of the access log says, in either form, with the keys of the JSON form.

    None where it is no such line. What was escaped in the text form stays so.
    """
    if line.startswith("{"):
        try:
            found = json.loads(line)
        except ValueError:
            return None
        is_whole = isinstance(found, dict) and {"hostname", "status"} <= found.keys()
        return found if is_whole else None
    match = _LINE.match(line)
    if match is None:
        return None
    fields: dict[str, Any] = match.groupdict()
    fields["status"], fields["sent"] = int(fields["status"]), int(fields["sent"])
    fields["seconds"] = round(float(fields["seconds"]) / 1000, 6)
    if not fields["outcome"]:
        del fields["outcome"]
    return fields


def _where(config: EdgeConfig) -> str:
    if config.access_log_path is not None:
        return str(config.access_log_path)
    return "standard output of the edge; under systemd: journalctl -u asgi-tunnel-edge"
