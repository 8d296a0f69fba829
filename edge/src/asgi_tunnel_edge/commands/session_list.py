"""``asgi-tunnel-edge session list``: who is logged in."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from asgi_tunnel_edge.operations import sessions
from asgi_tunnel_edge.operations.sessions import session_view
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text, table, utc_time

__all__ = ["list_sessions"]

_HEAD: Final = ("ID", "WHO", "HOSTNAME", "BY", "SINCE", "UNTIL", "ADDRESS", "BROWSER")

SHOWN: Final = 40
"""Characters of what a browser calls itself, in the table; JSON has all of it."""


@click.command("list")
@data_option
@json_option
def list_sessions(*, data_dir: Path, as_json: bool) -> None:
    """Show the sessions that hold, oldest first."""
    records = sessions.list_sessions(EdgeConfig.load(data_dir))
    if as_json:
        click.echo(json_text([session_view(one) for one in records]))
        return
    if not records:
        click.echo("Nobody is logged in.")
        return
    rows = [
        (
            one.id,
            one.subject if one.name in one.subject else f"{one.subject} ({one.name})",
            one.hostname,
            one.method,
            utc_time(one.created_at),
            utc_time(one.expires_at),
            one.address or "-",
            _agent(one.agent),
        )
        for one in records
    ]
    click.echo(table([_HEAD, *rows]))


def _agent(text: str) -> str:
    """What a browser calls itself, in plain characters: it comes from visitors."""
    plain = "".join(one if one.isprintable() else "?" for one in text)
    return plain if len(plain) <= SHOWN else f"{plain[:SHOWN]}..."
