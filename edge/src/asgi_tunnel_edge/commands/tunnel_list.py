"""``asgi-tunnel-edge tunnel list``: which apps are connected."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

import click

from .options import data_option, duration_text, json_option, size_text, table, utc_time
from .tunnel_sessions import agents_of, find_sessions, round_trip_text

__all__ = ["list_tunnels"]

_HEAD: Final = (
    "TOKEN",
    "HOSTNAMES",
    "CONNECTIONS",
    "UP",
    "FROM",
    "ROUND TRIP",
    "IN FLIGHT",
    "REQUESTS",
    "BYTES",
    "SOFTWARE",
)


@click.command("list")
@data_option
@json_option
def list_tunnels(*, data_dir: Path, as_json: bool) -> None:
    """Show the tunnels of the running edge: a line for each token that an app is connected with.

    REQUESTS and BYTES are those of the sessions that are there now. A connection that is lost, and
    whose session waits for the app to come back, is counted as waiting.
    """
    by_token: dict[str, list[dict[str, Any]]] = {}
    for one in find_sessions(data_dir):
        by_token.setdefault(one["token_id"], []).append(one)
    tunnels = [_tunnel(sessions) for sessions in by_token.values()]
    if as_json:
        click.echo(json.dumps(tunnels))
    elif not tunnels:
        click.echo("No app is connected.")
    else:
        now = time.time()
        rows = [_row(one, by_token[one["token_id"]], now) for one in tunnels]
        click.echo(table([_HEAD, *rows]))


def _tunnel(sessions: list[dict[str, Any]]) -> dict[str, Any]:
    """What the sessions of one token are together."""
    trips = [one["round_trip"] for one in sessions if one["round_trip"] is not None]
    waiting = sum(one["state"] == "waiting" for one in sessions)
    return {
        "token": sessions[0]["token"],
        "token_id": sessions[0]["token_id"],
        "hostnames": _merged(one["hostnames"] for one in sessions),
        "attached": len(sessions) - waiting,
        "waiting": waiting,
        "draining": sum(one["state"] == "draining" for one in sessions),
        "since": utc_time(min(one["since"] for one in sessions)),
        "addresses": _merged([one["address"]] for one in sessions),
        "agents": _merged([one["agent"]] for one in sessions),
        "round_trip": min(trips, default=None),
        "in_flight": sum(one["in_flight"] for one in sessions),
        "requests": sum(one["requests"] for one in sessions),
        "bytes": sum(one["bytes"] for one in sessions),
        "buffered": sum(one["buffered"] for one in sessions),
    }


def _merged(lists: Any) -> list[str]:
    return list(dict.fromkeys(one for each in lists for one in each))


def _row(tunnel: dict[str, Any], sessions: list[dict[str, Any]], now: float) -> tuple[str, ...]:
    connections = str(tunnel["attached"])
    for name in ("waiting", "draining"):
        if tunnel[name]:
            connections += f", {tunnel[name]} {name}"
    return (
        f"{tunnel['token']} ({tunnel['token_id']})",
        _few(tunnel["hostnames"]),
        connections,
        duration_text(max(now - min(one["since"] for one in sessions), 0.0)),
        _few(tunnel["addresses"]),
        round_trip_text(tunnel["round_trip"]),
        str(tunnel["in_flight"]),
        str(tunnel["requests"]),
        size_text(tunnel["bytes"]),
        agents_of(sessions),
    )


def _few(names: list[str]) -> str:
    """The first names; ``tunnel show`` has all."""
    return ", ".join(names[:2]) + (f" +{len(names) - 2}" if len(names) > 2 else "") or "-"
