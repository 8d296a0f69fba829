"""``asgi-tunnel-edge service-token list``: which programs may pass doors."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click

from asgi_tunnel_edge.operations import service_tokens
from asgi_tunnel_edge.operations.links import state_of
from asgi_tunnel_edge.operations.service_tokens import service_token_view
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text, shell_command, table, utc_time

__all__ = ["list_service_tokens"]

_HEAD: Final = ("ID", "NAME", "ACCESS", "CREATED", "EXPIRES", "STATE")


@click.command("list")
@data_option
@json_option
def list_service_tokens(*, data_dir: Path, as_json: bool) -> None:
    """Show all service tokens, oldest first. Secrets are not kept and cannot be shown."""
    records = service_tokens.list_service_tokens(EdgeConfig.load(data_dir))
    now = time.time()
    if as_json:
        click.echo(json_text([service_token_view(one, now) for one in records]))
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
