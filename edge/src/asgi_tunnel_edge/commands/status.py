"""``asgi-tunnel-edge status``: what a running edge does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .options import data_option, duration_text, json_option, utc_time
from .running import ask_edge

__all__ = ["status"]


@click.command()
@data_option
@json_option
def status(*, data_dir: Path, as_json: bool) -> None:
    """Show what the running edge does: version, processes, tunnels, visitors, last change."""
    reply = ask_edge(data_dir, "status")
    click.echo(json.dumps(reply) if as_json else "\n".join(_lines(reply)))


def _lines(reply: dict[str, Any]) -> list[str]:
    parent = reply["parent"]
    what = f"version {reply['version'] or 'unknown'}, generation {reply['generation']}"
    lines = [
        f"{what}, up for {duration_text(reply['uptime'])}",
        f"listening on {', '.join(reply['addresses']) or 'nothing yet'}",
        f"parent {parent['pid']}, version {parent['version']}",
        *(_worker(one) for one in reply["workers"]),
    ]
    if not reply["workers"]:
        lines.append("no process serves; one is just being started")
    if reply["changing"]:
        lines.append(f"{reply['changing']} in progress")
    last = reply["last_change"]
    if last is not None:
        outcome = f"took {last['seconds']:.1f} s" if last["ok"] else f"failed: {last['error']}"
        lines.append(f"last {last['kind']} {utc_time(last['at'])}: {outcome}")
    return lines


def _worker(one: dict[str, Any]) -> str:
    what = f"{one['state']} {one['pid']}, version {one['version']}, generation {one['generation']}"
    what += f", up for {duration_text(one['uptime'])}"
    if not one["replies"]:
        return f"{what}: does not reply"
    counts = ", ".join(f"{one[name]} {name}" for name in ("tunnels", "connections", "exchanges"))
    return f"{what}: {counts}{', draining' if one['is_draining'] else ''}"
