"""``asgi-tunnel-edge user invite``: a link with which a user sets a password or makes a passkey."""

from __future__ import annotations

from pathlib import Path

import click

from asgi_tunnel_edge.operations.users import invite_user
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text

__all__ = ["invite"]


@click.command()
@click.argument("name")
@click.option("--expires", default="7d", metavar="TIME", help="From now.", show_default=True)
@click.option(
    "--host",
    metavar="HOST",
    help="Where it leads; a passkey works there only. [default: the only one]",
)
@data_option
@json_option
def invite(*, name: str, expires: str, host: str | None, data_dir: Path, as_json: bool) -> None:
    """Print a link, once, with which NAME sets a password or makes a passkey.

    It works once. A new invitation takes the place of the one before; whoever has the link can
    log in as NAME, so send it to nobody else.
    """
    made = invite_user(EdgeConfig.load(data_dir), name, expires=expires, hostname=host)
    if as_json:
        click.echo(json_text(made))
        return
    click.echo(f"For {name} alone, once, until {made.expires_at}:\n\n  {made.url}")
