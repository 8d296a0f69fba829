"""``asgi-tunnel-edge link list``: what is shared, and how often it was opened."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

import click

from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage.access import AccessStore

from .access_fields import link_fields, link_state
from .options import data_option, json_option, shell_command, table, utc_time

__all__ = ["list_links"]

_HEAD: Final = ("ID", "SHARED", "CREATED", "EXPIRES", "OPENED", "STATE", "NOTE")


@click.command("list")
@data_option
@json_option
def list_links(*, data_dir: Path, as_json: bool) -> None:
    """Show all share links, oldest first. Their addresses are not kept and cannot be shown."""
    config = EdgeConfig.load(data_dir)
    records = AccessStore(config.database_path).links()
    now = time.time()
    if as_json:
        click.echo(json.dumps([link_fields(one, now) for one in records]))
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
