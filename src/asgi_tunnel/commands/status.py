"""``asgi-tunnel status``: what the tunnels of this machine's user do now."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from .options import plain, print_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["add_parser"]

_INTERVAL: Final = 2.0  # seconds between two looks of --watch
_CLEAR: Final = "\x1b[H\x1b[2J"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; it sets ``function``, which returns the exit code."""
    status = commands.add_parser(
        "status",
        help="show what the tunnels of this machine do",
        description="Show what the tunnels of this user's processes on this machine do: whether "
        "they are connected, since when, what they carry. The exit code is 0 when there is one and "
        "all of them are connected.",
    )
    status.add_argument("--watch", action="store_true", help="look again every 2 s, until Ctrl-C")
    status.add_argument("--json", action="store_true", help="print JSON, for a program")
    status.set_defaults(function=_status)


def _status(options: argparse.Namespace) -> int:
    from ..config import STATUS, status_folders
    from ..errors import ConfigError

    if os.name == "nt":
        why = "needs Unix sockets, which Python does not have on Windows"
        raise ConfigError("status", why, "look at the app's log there")
    folders = status_folders(os.environ)
    if not folders:
        why = "is off, so no process here can be asked"
        raise ConfigError(STATUS, why, "leave it out, for the app and for this command")
    if not options.watch:
        return _look(folders, as_json=options.json)
    code = 1
    try:
        while True:
            if sys.stdout.isatty() and not options.json:
                print(_CLEAR, end="")
            code = _look(folders, as_json=options.json, is_line=True)
            sys.stdout.flush()
            time.sleep(_INTERVAL)
    except KeyboardInterrupt:
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code


def _look(folders: Sequence[Path], *, as_json: bool, is_line: bool = False) -> int:
    from ..status import ask_all

    found = ask_all(folders)
    is_ok = bool(found) and all(one.get("is_connected") for one in found)
    if as_json:
        document = {"ok": is_ok, "processes": [_for_program(one) for one in found]}
        if is_line:
            print(json.dumps(document))
        else:
            print_json(document)
    elif found:
        print("\n\n".join("\n".join(_lines(one, time.time())) for one in found))
    else:
        where = " or ".join(map(str, folders))
        print(f"no tunnel of this user runs here (no process has a socket in {where})")
    return 0 if is_ok else 1


def _for_program(process: dict[str, Any]) -> dict[str, Any]:
    """The same with times as all commands write them."""
    if "error" in process:
        return process
    connections = [
        {**one, "since": _utc(one["since"]), "error_at": _utc(one["error_at"])}
        for one in process["connections"]
    ]
    return {**process, "started": _utc(process["started"]), "connections": connections}


# -- for a person ----------------------------------------------------------------------------------


def _lines(process: dict[str, Any], now: float) -> list[str]:
    from ..protocol.policy import rule_text

    if "error" in process:
        return [f"process {process['pid']}: {process['error']}"]
    state = "stopping" if process["is_stopping"] else "connected"
    if not process["is_connected"]:
        state = "NOT CONNECTED"
    head = f"{plain(process['app'])}, process {process['pid']}, version {process['version']}"
    lines = [
        f"{head}, up for {_duration(now - process['started'])}: {state}",
        f"  {process['in_flight']} requests in flight, {process['done']} done",
        *(f"  {plain(url)}" for url in process["urls"]),
        *(f"  {line}" for one in process["connections"] for line in _connection(one, now)),
    ]
    services = process["services"]
    width = max((len(plain(one["name"])) for one in services), default=0)
    for one in services:
        flying = f", {one['in_flight']} in flight" if one["in_flight"] else ""
        to = f"  ({plain(one['to'])})" if one["to"] else ""
        lines.append(f"  service {plain(one['name']):<{width}}  {one['state']}{flying}{to}")
    if process["more_services"]:
        lines.append(f"  and {process['more_services']} more services")
    policy = process["policy"]
    lines += [f"  rule {plain(rule_text(one))}" for one in policy["rules"]]
    if policy["routes"]:
        lines.append(f"  {policy['routes']} patterns of paths; the edge replies 404 to any other")
    lines += [f"  note: {plain(one)}" for one in policy["notes"]]
    return lines


def _connection(one: dict[str, Any], now: float) -> list[str]:
    line = f"connection {one['number']}: {one['state']} for {_duration(now - one['since'])}"
    if one["state"] == "connected":
        line += f" to {plain(one['edge'])}"
        if one["edge_url"] is not None:
            line += f" ({plain(one['edge_url'])})"
        if one["round_trip"] is not None:
            line += f", round trip {one['round_trip'] * 1000:.1f} ms"
    if one["next_try_in"] is not None:
        line += f", next try in {one['next_try_in']:.1f} s"
    if one["resumed"]:
        line += f", resumed {one['resumed']} times"
    if one["error"] is None:
        return [line]
    ago = _duration(now - one["error_at"])
    return [line, f"  last error, {ago} ago: {plain(one['error'])}"]


def _duration(seconds: float) -> str:
    seconds = max(seconds, 0.0)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _utc(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
