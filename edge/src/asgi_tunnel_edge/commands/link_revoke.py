"""``asgi-tunnel-edge link revoke``: what was shared is shut again."""

from __future__ import annotations

import json
from pathlib import Path

import click

from asgi_tunnel_edge.operations import links
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option

__all__ = ["revoke_link"]


@click.command("revoke")
@click.argument("link", metavar="ID")
@data_option
@json_option
def revoke_link(*, link: str, data_dir: Path, as_json: bool) -> None:
    """Take a share link back; whoever has opened it is out within a second."""
    record = links.revoke_link(EdgeConfig.load(data_dir), link)
    if as_json:
        document = {"id": record.id, "hostname": record.hostname, "path": record.path}
        click.echo(json.dumps(document))
        return
    click.echo(f"Link {record.id} to {record.hostname}{record.path} is revoked.")
