"""``asgi-tunnel-edge status``: what a running edge does."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from asgi_tunnel_edge.errors import EdgeConfigError, StorageError
from asgi_tunnel_edge.operations.links import link_state, state_of
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage.access import AccessStore

from .options import data_option, duration_text, json_option, utc_time
from .running import ask_edge

__all__ = ["status", "status_lines"]


@click.command()
@data_option
@json_option
def status(*, data_dir: Path, as_json: bool) -> None:
    """Show what the running edge does: version, processes, tunnels, visitors, last change.

    And how many people, programs and links may pass its doors, where it has some.
    """
    reply = {**ask_edge(data_dir, "status"), "access": count_access(data_dir)}
    click.echo(json.dumps(reply) if as_json else "\n".join(status_lines(reply)))


def count_access(data_dir: Path) -> dict[str, int] | None:
    """Count who may pass doors now; None: there are none, or it cannot be read."""
    try:
        config = EdgeConfig.load(data_dir)
        if not config.policies:
            return None
        store, now = AccessStore(config.database), time.time()
        return {
            "users": sum(user.disabled_at is None for user, _, _ in store.users()),
            "sessions": len(store.sessions()),
            "service_tokens": sum(state_of(one, now) == "active" for one in store.service_tokens()),
            "links": sum(link_state(one, now) == "active" for one in store.links()),
        }
    except (EdgeConfigError, StorageError):  # the edge runs on with what it has
        return None


def status_lines(reply: dict[str, Any]) -> list[str]:
    """Return what a person reads of a reply."""
    parent = reply["parent"]
    is_one_of_many = any(one["worker"] for one in reply["workers"])
    what = f"version {reply['version'] or 'unknown'}, generation {reply['generation']}"
    lines = [
        f"{what}, up for {duration_text(reply['uptime'])}",
        f"listening on {', '.join(reply['addresses']) or 'nothing yet'}",
        f"parent {parent['pid']}, version {parent['version']}",
        *(_worker(one, is_one_of_many=is_one_of_many) for one in reply["workers"]),
    ]
    if not reply["workers"]:
        lines.append("no process serves; one is just being started")
    access = reply["access"]
    if access is not None:
        counts = [f"{count} {name.replace('_', ' ')}" for name, count in access.items()]
        lines.append(f"doors: {', '.join(counts)}")
    if reply["changing"]:
        lines.append(f"{reply['changing']} in progress")
    last = reply["last_change"]
    if last is not None:
        outcome = f"took {last['seconds']:.1f} s" if last["ok"] else f"failed: {last['error']}"
        lines.append(f"last {last['kind']} {utc_time(last['at'])}: {outcome}")
    return lines


def _worker(one: dict[str, Any], *, is_one_of_many: bool) -> str:
    what = f"{one['state']} {one['pid']}, version {one['version']}, generation {one['generation']}"
    if is_one_of_many:
        what += f", worker {one['worker']}"
    what += f", up for {duration_text(one['uptime'])}"
    if not one["replies"]:
        return f"{what}: does not reply"
    names = ("tunnels", "connections", "exchanges", "forwarded")
    notes = ", ".join(f"{one[name]} {name}" for name in names if name in one)
    lost = [peer["node"] for peer in one.get("peers", ()) if peer["state"] in ("lost", "suspect")]
    if lost:
        notes += f", no connection to {', '.join(lost)}"
    if not one.get("is_database_read", True):  # one of an older version does not say
        notes += ", its database cannot be read"
    if not one.get("is_bus_connected", True):  # only an edge that has one says
        notes += ", the bus is away"
    return f"{what}: {notes}{', draining' if one['is_draining'] else ''}"
