"""``asgi-tunnel-edge token list``: which tokens there are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from asgi_tunnel_edge.operations.tokens import TokenView
from asgi_tunnel_edge.operations.tokens import list_tokens as token_views
from asgi_tunnel_edge.quotas import format_quota
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text, shell_command, table

__all__ = ["list_tokens"]

_HEAD: Final = ("ID", "NAME", "HOSTNAMES", "CREATED", "EXPIRES", "LAST USED", "STATE", "LIMITS")


@click.command("list")
@data_option
@json_option
def list_tokens(*, data_dir: Path, as_json: bool) -> None:
    """Show all tokens, oldest first. Secrets are not kept and cannot be shown.

    LIMITS are those of the token's own; `token limit` shows all that hold for it.
    """
    views = token_views(EdgeConfig.load(data_dir))
    if as_json:
        click.echo(json_text(views))
    elif views:
        rows = [_HEAD, *map(_row, views)]
        if any(one.owner for one in views):
            owners = ["OWNER", *(one.owner or "-" for one in views)]
            rows = [(*row, owner) for row, owner in zip(rows, owners, strict=True)]
        click.echo(table(rows))
    else:
        command = shell_command("token", "create", "shop", "--data", data_dir)
        click.echo(f"There are no tokens yet. Make one:  {command}")


def _row(one: TokenView) -> tuple[str, ...]:
    limits = [f"{name}={format_quota(name, value)}" for name, value in one.limits.items() if value]
    return (
        one.id,
        one.name,
        ", ".join(_hostname(one, name) for name in one.hostnames) or "-",
        one.created_at or "-",
        one.expires_at or "never",
        one.last_used_at or "never",
        one.state,
        ", ".join(limits) or "-",
    )


def _hostname(one: TokenView, name: str) -> str:
    return f"{name} (end to end)" if name in one.end_to_end else name
