"""``asgi-tunnel-edge token rotate``: give a token another secret, without taking its app down."""

from __future__ import annotations

from pathlib import Path

import click

from asgi_tunnel_edge.operations.tokens import OVERLAP, rotate_token
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text, utc_second, utc_time

__all__ = ["rotate"]


@click.command()
@click.argument("token", metavar="ID_OR_NAME")
@click.option(
    "--overlap",
    default=OVERLAP,
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
    done = rotate_token(EdgeConfig.load(data_dir), token, overlap=overlap)
    record = done.record
    if as_json:
        result = {
            "token": done.token.format(),
            "id": record.id,
            "name": record.name,
            "old_secret_until": utc_second(record.old_until),
        }
        click.echo(json_text(result))
        return
    if done.overlap:
        until = f"The old one is taken until {utc_time(record.old_until or 0)}"
        old = f"{until}: give the app this one before that."
    else:
        old = "The old one has ended: the app is away until it has this one."
    lines = [
        f"Token {record.name} ({record.id}) has another secret. This is shown only once:",
        "",
        f"export ASGI_TUNNEL_TOKEN={done.token.format()}",
        "",
        old,
    ]
    click.echo("\n".join(lines))
