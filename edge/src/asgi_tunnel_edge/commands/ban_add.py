"""``asgi-tunnel-edge ban add``: ban addresses."""

from __future__ import annotations

from pathlib import Path

import click

from asgi_tunnel_edge.operations.bans import NewBan, add_ban
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text, utc_second, utc_time

__all__ = ["add"]


@click.command()
@click.argument("address")
@click.option("--for", "lifetime", metavar="TIME", help="90d, 12h or 30m. [default: for ever]")
@click.option("--reason", default="", metavar="TEXT", help="Shown by `ban list`.")
@data_option
@json_option
def add(*, address: str, lifetime: str | None, reason: str, data_dir: Path, as_json: bool) -> None:
    """Ban ADDRESS, an IP address or a network.

    A running edge ends its visitors' connections within a second and takes no new ones, tunnels
    included. A second ban of the same address takes the place of the first.
    """
    new = NewBan(address=address, lifetime=lifetime, reason=reason)
    done = add_ban(EdgeConfig.load(data_dir), new)
    banned, end = done.record.address, done.record.expires_at
    for warning in done.warnings:
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        click.echo(json_text({"address": banned, "expires_at": utc_second(end)}))
    elif end is None:
        click.echo(f"{banned} is banned until you take that back with `ban rm`.")
    else:
        click.echo(f"{banned} is banned until {utc_time(end)}.")
