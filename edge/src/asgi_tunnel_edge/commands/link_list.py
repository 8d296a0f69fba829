"""``asgi-tunnel-edge link list``: what is shared, and how often it was opened."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click

from asgi_tunnel_edge.operations import links
from asgi_tunnel_edge.operations.links import link_state, link_view
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text, shell_command, table, utc_time

__all__ = ["list_links"]

_HEAD: Final = ("ID", "SHARED", "CREATED", "EXPIRES", "OPENED", "STATE", "NOTE")


@click.command("list")
@data_option
@json_option
def list_links(*, data_dir: Path, as_json: bool) -> None:
    """Show all share links, oldest first. Their addresses are not kept and cannot be shown."""
    records = links.list_links(EdgeConfig.load(data_dir))
    now = time.time()
    if as_json:
        click.echo(json_text([link_view(one, now) for one in records]))
        return
    if not records:
        command = shell_command("link", "create", "HOST/PATH")
        click.echo(f"There are no share links. Make one:  {command}")
        return
    rows = [
        (
            one.id,
            f"{one.hostname}{one.path}",
            utc_time(one.created_at),
            "never" if one.expires_at is None else utc_time(one.expires_at),
            f"{one.uses}" if one.max_uses is None else f"{one.uses} of {one.max_uses}",
            link_state(one, now),
            one.note or "-",
        )
        for one in records
    ]
    click.echo(table([_HEAD, *rows]))
