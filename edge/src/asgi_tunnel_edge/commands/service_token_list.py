"""``asgi-tunnel-edge service-token list``: which programs may pass doors."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

import click

from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage.access import AccessStore

from .access_fields import service_token_fields, state_of
from .options import data_option, json_option, shell_command, table, utc_time

__all__ = ["list_service_tokens"]

_HEAD: Final = ("ID", "NAME", "ACCESS", "CREATED", "EXPIRES", "STATE")


@click.command("list")
@data_option
@json_option
def list_service_tokens(*, data_dir: Path, as_json: bool) -> None:
    """Show all service tokens, oldest first. Secrets are not kept and cannot be shown."""
    config = EdgeConfig.load(data_dir)
    records = AccessStore(config.database_path).service_tokens()
    now = time.time()
    if as_json:
        click.echo(json.dumps([service_token_fields(one, now) for one in records]))
        return
    if not records:
        command = shell_command("service-token", "create", "phone", "--access", "POLICY")
        click.echo(f"There are no service tokens yet. Make one:  {command}")
        return
    rows = [
        (
            one.id,
            one.name,
            ", ".join(one.policies),
            utc_time(one.created_at),
            "never" if one.expires_at is None else utc_time(one.expires_at),
            state_of(one, now),
        )
        for one in records
    ]
    click.echo(table([_HEAD, *rows]))
