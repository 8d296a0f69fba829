"""``asgi-tunnel-edge user sign-out``: end all sessions of a user."""

from __future__ import annotations

import json
from pathlib import Path

import click

from asgi_tunnel_edge.operations.users import end_user_sessions
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option

__all__ = ["sign_out"]


@click.command("sign-out")
@click.argument("name")
@data_option
@json_option
def sign_out(*, name: str, data_dir: Path, as_json: bool) -> None:
    """End all sessions of NAME, on all hostnames and devices, within a second."""
    end_user_sessions(EdgeConfig.load(data_dir), name)
    if as_json:
        click.echo(json.dumps({"signed_out": name}))
        return
    click.echo(f"All sessions of {name} have ended.")
