"""``asgi-tunnel-edge token revoke``: take tokens back."""

from __future__ import annotations

import json
from pathlib import Path

import click

from asgi_tunnel_edge.operations.tokens import revoke_tokens
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option

__all__ = ["revoke"]


@click.command()
@click.argument("tokens", metavar="ID_OR_NAME...", nargs=-1, required=True)
@data_option
@json_option
def revoke(*, tokens: tuple[str, ...], data_dir: Path, as_json: bool) -> None:
    """Take tokens back: all that are named, or none.

    A running edge ends their sessions within a second. Their hostnames are free for new tokens.
    """
    config = EdgeConfig.load(data_dir)
    before = revoke_tokens(config, tokens)
    if as_json:
        revoked = [
            {"id": token.id, "name": token.name, "hostnames": list(token.hostnames)}
            for token in before
        ]
        click.echo(json.dumps({"revoked": revoked}))
        return
    for token in before:
        if token.revoked:
            click.echo(f"Token {token.name} ({token.id}) was revoked before.")
        else:
            free = ", ".join(token.hostnames)
            click.echo(f"Token {token.name} ({token.id}) is revoked. Free again: {free}")
