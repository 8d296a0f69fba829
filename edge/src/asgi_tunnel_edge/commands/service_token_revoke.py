"""``asgi-tunnel-edge service-token revoke``: a program passes no more."""

from __future__ import annotations

import json
from pathlib import Path

import click

from asgi_tunnel_edge.operations import service_tokens
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option

__all__ = ["revoke_service_token"]


@click.command("revoke")
@click.argument("token", metavar="ID_OR_NAME")
@data_option
@json_option
def revoke_service_token(*, token: str, data_dir: Path, as_json: bool) -> None:
    """Take a service token back; a running edge refuses it within a second."""
    record = service_tokens.revoke_service_token(EdgeConfig.load(data_dir), token)
    if as_json:
        click.echo(json.dumps({"id": record.id, "name": record.name}))
        return
    click.echo(f"Service token {record.name} ({record.id}) is revoked.")
