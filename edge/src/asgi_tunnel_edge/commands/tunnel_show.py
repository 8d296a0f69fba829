"""``asgi-tunnel-edge tunnel show``: one tunnel, or one session, in detail."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from asgi_tunnel.protocol.policy import rule_text
from asgi_tunnel_edge.operations.tunnels import session_fields

from .options import data_option, duration_text, json_option, size_text, utc_time
from .tunnel_sessions import find_sessions, round_trip_text

__all__ = ["show_tunnel"]


@click.command("show")
@click.argument("name", metavar="TOKEN_OR_SESSION")
@data_option
@json_option
def show_tunnel(*, name: str, data_dir: Path, as_json: bool) -> None:
    """Show each session of a token, or the one that is named: what it serves, carries and keeps."""
    sessions = find_sessions(data_dir, [name])
    if as_json:
        click.echo(json.dumps([session_fields(one) for one in sessions]))
    else:
        now = time.time()
        click.echo("\n\n".join("\n".join(_lines(one, now)) for one in sessions))


def _lines(one: dict[str, Any], now: float) -> list[str]:
    up = duration_text(max(now - one["since"], 0.0))
    resumed = f", resumed {one['resumed']} times" if one["resumed"] else ""
    silence = f", nothing heard for {one['silent']:.1f} s" if one["silent"] > 5 else ""
    waits = ""
    if one["unacknowledged"]:
        waits = f", {size_text(one['unacknowledged'])} of it sent and not acknowledged"
    rows = [
        ("state", one["state"] + silence),
        ("hostnames", ", ".join(one["hostnames"]) or "none"),
        ("since", f"{utc_time(one['since'])} ({up}){resumed}"),
        ("from", one["address"]),
        ("software", one["agent"] or "-"),
        ("process", f"{one['instance']}, connection {one['slot']}; of the edge: {one['pid']}"),
        ("round trip", round_trip_text(one["round_trip"])),
        ("in flight", str(one["in_flight"])),
        ("requests", str(one["requests"])),
        ("bytes", size_text(one["bytes"])),
        ("buffered", f"{size_text(one['buffered'])}{waits}"),
    ]
    policy = one["policy"]
    rows += [("rule", rule_text(rule)) for rule in policy["rules"]]
    if policy["routes"]:
        rows.append(("paths", f"{policy['routes']} patterns; any other path is 404"))
    width = max(len(label) for label, _ in rows)
    title = f"Session {one['id']} of {one['token']} ({one['token_id']})"
    return [title, "", *(f"  {label:<{width}}  {value}" for label, value in rows)]
