"""``asgi-tunnel-edge token change``: whose a token is."""

from __future__ import annotations

from pathlib import Path

import click

from asgi_tunnel_edge.operations.tokens import give_token
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text

__all__ = ["change"]


@click.command()
@click.argument("token", metavar="ID_OR_NAME")
@click.option(
    "--owner", required=True, metavar="USER", help='Who sees it in the dashboard; "" for nobody.'
)
@data_option
@json_option
def change(*, token: str, owner: str, data_dir: Path, as_json: bool) -> None:
    """Say whose a token is: that user sees and rotates it in the dashboard, beside operators.

    Secret, hostnames and limits stay; apps notice nothing. What it may take: `token limit`.
    """
    record = give_token(EdgeConfig.load(data_dir), token, owner)
    if as_json:
        click.echo(json_text({"id": record.id, "name": record.name, "owner": record.owner}))
    elif record.owner:
        click.echo(f"Token {record.name} ({record.id}) belongs to {record.owner}.")
    else:
        click.echo(f"Token {record.name} ({record.id}) belongs to nobody but the operators.")
