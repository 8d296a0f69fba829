"""``asgi-tunnel-edge tunnel kick``: end tunnels now; their apps may come back."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .options import data_option, json_option, shell_command
from .tunnel_sessions import act_on

__all__ = ["kick"]


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="TOKEN_OR_SESSION...")
@data_option
@json_option
def kick(*, names: tuple[str, ...], data_dir: Path, as_json: bool) -> None:
    """End all sessions of a token, or the one that is named, now: all that are named, or none.

    The app dials again after a second or two. To keep it out: `token revoke`. To let what is in
    progress finish: `tunnel drain`.
    """
    sums = act_on(data_dir, "kick", names)
    if as_json:
        click.echo(json.dumps(sums))
        return
    lost = sums["in_flight"]
    what = f", with {lost} requests and WebSockets in flight" if lost else ""
    click.echo(f"{_counted(sums['sessions'])} ended{what}. The app dials again; to keep it out:")
    click.echo(f"  {shell_command('token', 'revoke', 'NAME')}")


def _counted(count: int) -> str:
    return "1 session" if count == 1 else f"{count} sessions"
