"""``asgi-tunnel-edge token limit``: what one token may take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asgi_tunnel_edge.operations.tokens import limit_token, quota_warnings
from asgi_tunnel_edge.quotas import QUOTA_NAMES, TokenLimiter, format_quota, parse_quota
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, quota_options, table

if TYPE_CHECKING:
    from asgi_tunnel_edge.tokens import TokenRecord

__all__ = ["limit"]


@click.command()
@click.argument("token", metavar="ID_OR_NAME")
@quota_options
@data_option
@json_option
def limit(*, token: str, data_dir: Path, as_json: bool, **given: str | None) -> None:
    """Change what one token may take, or show it.

    `default` means: as edge.toml says for every token. A running edge knows it within a second.
    What is open goes on under a lower limit and nothing new is taken, except for --max-memory:
    what is above it is ended.
    """
    config = EdgeConfig.load(data_dir)
    changes = {name: parse_quota(name, text) for name, text in given.items() if text is not None}
    record = limit_token(config, token, changes)
    for warning in quota_warnings(config, record.quotas):
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        own = {name: getattr(record.quotas, name) for name in QUOTA_NAMES}
        click.echo(json.dumps({"id": record.id, "name": record.name, "limits": own}))
    else:
        click.echo(_for_a_person(record, config))


def _for_a_person(record: TokenRecord, config: EdgeConfig) -> str:
    effective = TokenLimiter(config.limits).of(record.quotas)
    rows: list[tuple[str, ...]] = [("LIMIT", "VALUE", "FROM")]
    for name in QUOTA_NAMES:
        value = getattr(effective, name)
        is_own = getattr(record.quotas, name) is not None
        shown = format_quota(name, value) if value else "none"
        rows.append((name, shown, "this token" if is_own else "default"))
    return f"Token {record.name} ({record.id}) may have:\n\n{table(rows)}"
