"""``asgi-tunnel-edge session end``: sign somebody out, or everybody."""

from __future__ import annotations

from pathlib import Path

import click

from asgi_tunnel_edge.operations import sessions as operations
from asgi_tunnel_edge.operations.sessions import session_view
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text

__all__ = ["end_sessions"]


@click.command("end")
@click.argument("sessions", metavar="ID...", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="End every session of this edge.")
@data_option
@json_option
def end_sessions(*, sessions: tuple[str, ...], is_all: bool, data_dir: Path, as_json: bool) -> None:
    """End sessions by their ids; a running edge follows within a second.

    Whoever still knows a password can log in again; a user who is disabled cannot.
    """
    if bool(sessions) == is_all:
        raise click.UsageError("name sessions, or --all of them")
    config = EdgeConfig.load(data_dir)
    if is_all:
        ended = operations.end_all_sessions(config)
    else:
        ended = operations.end_sessions(config, sessions)
    if as_json:
        click.echo(json_text({"ended": [session_view(one) for one in ended]}))
    elif is_all:
        click.echo("Every session has ended.")
    else:
        for one in ended:
            click.echo(f"Session {one.id} of {one.subject} at {one.hostname} has ended.")
