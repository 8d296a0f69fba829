"""``asgi-tunnel-edge tunnel list``: which apps are connected."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from asgi_tunnel_edge.operations.tunnels import TunnelView, tunnels_of

from .options import data_option, duration_text, json_option, json_text, size_text, table
from .tunnel_sessions import agents_of, find_sessions, round_trip_text

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    sessions = find_sessions(data_dir)
    tunnels = tunnels_of(sessions)
    if as_json:
        click.echo(json_text(tunnels))
    elif not tunnels:
        click.echo("No app is connected.")
    else:
        now = time.time()
        own = [[one for one in sessions if one["token_id"] == it.token_id] for it in tunnels]
        rows = [_row(*pair, now) for pair in zip(tunnels, own, strict=True)]
        click.echo(table([_HEAD, *rows]))


def _row(tunnel: TunnelView, sessions: Sequence[dict[str, Any]], now: float) -> tuple[str, ...]:
    connections = str(tunnel.attached)
    for name in ("waiting", "draining"):
        if count := getattr(tunnel, name):
            connections += f", {count} {name}"
    return (
        f"{tunnel.token} ({tunnel.token_id})",
        _few(tunnel.hostnames),
        connections,
        duration_text(max(now - min(one["since"] for one in sessions), 0.0)),
        _few(tunnel.addresses),
        round_trip_text(tunnel.round_trip),
        str(tunnel.in_flight),
        str(tunnel.requests),
        size_text(tunnel.bytes),
        agents_of(sessions),
    )


def _few(names: Sequence[str]) -> str:
    """The first names; ``tunnel show`` has all."""
    return ", ".join(names[:2]) + (f" +{len(names) - 2}" if len(names) > 2 else "") or "-"
