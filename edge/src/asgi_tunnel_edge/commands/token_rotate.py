"""``asgi-tunnel-edge token rotate``: give a token another secret, without taking its app down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click

from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import parse_duration, secret_digest

from .issuing import issue_token
from .options import data_option, json_option, utc_second, utc_time

__all__ = ["rotate"]

_NONE: Final = "0"


@click.command()
@click.argument("token", metavar="ID_OR_NAME")
@click.option(
    "--overlap",
    default="24h",
    show_default=True,
    metavar="TIME",
    help="90d, 12h or 30m in which the old secret is taken too; 0: it ends at once.",
)
@data_option
@json_option
def rotate(*, token: str, overlap: str, data_dir: Path, as_json: bool) -> None:
    """Give a token another secret, and show it, once.

    Id, name, hostnames and limits stay. Apps with the old secret go on until the overlap is over;
    then a running edge ends their sessions, as it does after `token revoke`. A secret from before
    the last rotation ends now.
    """
    config = EdgeConfig.load(data_dir)
    seconds = 0 if overlap == _NONE else parse_duration(overlap, setting="--overlap")
    store = Store(config.database_path)
    issued = issue_token(config, store.find_token(token).id)
    record = store.rotate_token(issued.id, secret_digest(issued.secret), overlap=seconds)
    if as_json:
        result = {
            "token": issued.format(),
            "id": record.id,
            "name": record.name,
            "old_secret_until": utc_second(record.old_until),
        }
        click.echo(json.dumps(result))
        return
    if seconds:
        until = f"The old one is taken until {utc_time(record.old_until or 0)}"
        old = f"{until}: give the app this one before that."
    else:
        old = "The old one has ended: the app is away until it has this one."
    lines = [
        f"Token {record.name} ({record.id}) has another secret. This is shown only once:",
        "",
        f"export ASGI_TUNNEL_TOKEN={issued.format()}",
        "",
        old,
    ]
    click.echo("\n".join(lines))
