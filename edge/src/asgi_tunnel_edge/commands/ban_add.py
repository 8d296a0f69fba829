"""``asgi-tunnel-edge ban add``: ban addresses."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from asgi_tunnel_edge.ban import MAX_REASON, BanRecord
from asgi_tunnel_edge.errors import EdgeConfigError, shown
from asgi_tunnel_edge.network import normalise_network
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import parse_duration

from .options import data_option, json_option, utc_minute, utc_second

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
    config = EdgeConfig.load(data_dir)
    banned = normalise_network(address, setting="ADDRESS")
    seconds = None if lifetime is None else parse_duration(lifetime, setting="--for")
    now = int(time.time())
    ban = BanRecord(
        address=banned,
        created_at=now,
        expires_at=None if seconds is None else now + seconds,
        reason=_checked(reason),
    )
    Store(config.database_path).add_ban(ban)
    if as_json:
        click.echo(json.dumps({"address": banned, "expires_at": utc_second(ban.expires_at)}))
    elif ban.expires_at is None:
        click.echo(f"{banned} is banned until you take that back with `ban rm`.")
    else:
        click.echo(f"{banned} is banned until {utc_minute(ban.expires_at)} UTC.")


def _checked(reason: str) -> str:
    if len(reason) > MAX_REASON or not reason.isprintable():
        why = f"expected one line of at most {MAX_REASON} characters, got {shown(reason)}"
        raise EdgeConfigError("--reason", why, "write a few words")
    return reason
