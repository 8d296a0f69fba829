"""``asgi-tunnel-edge tunnel drain``: let tunnels finish what they have, on fresh sessions."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .options import data_option, json_option
from .tunnel_sessions import act_on

__all__ = ["drain"]


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="TOKEN_OR_SESSION...")
@data_option
@json_option
def drain(*, names: tuple[str, ...], data_dir: Path, as_json: bool) -> None:
    """Let all sessions of a token, or the one that is named, take nothing new.

    The app opens fresh ones at once, which take what comes. What is in progress goes on, and an old
    session ends when it has nothing left.
    """
    sums = act_on(data_dir, "drain", names)
    if as_json:
        click.echo(json.dumps(sums))
        return
    count, flying = sums["sessions"], sums["in_flight"]
    what = "1 session drains" if count == 1 else f"{count} sessions drain"
    already = count - sums["drained"]
    some = f" ({already} did already)" if already else ""
    rest = f"{flying} requests and WebSockets go on" if flying else "nothing is in flight"
    click.echo(f"{what}{some}; {rest}.")
