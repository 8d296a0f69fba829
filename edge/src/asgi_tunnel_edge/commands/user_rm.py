"""``asgi-tunnel-edge user rm``: forget a user."""

from __future__ import annotations

import json
from pathlib import Path

import click

from asgi_tunnel_edge.operations import users
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option

__all__ = ["remove_user"]


@click.command("rm")
@click.argument("name")
@data_option
@json_option
def remove_user(*, name: str, data_dir: Path, as_json: bool) -> None:
    """Forget NAME, the passkeys and the sessions; a running edge follows within a second.

    Whoever gets the same name later has none of them.
    """
    users.remove_user(EdgeConfig.load(data_dir), name)
    if as_json:
        click.echo(json.dumps({"removed": name}))
        return
    click.echo(f"User {name} is removed, and the sessions have ended.")
