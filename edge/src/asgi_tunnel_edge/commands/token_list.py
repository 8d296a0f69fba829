"""``asgi-tunnel-edge token list``: which tokens there are."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from asgi_tunnel_edge.quotas import QUOTA_NAMES, format_quota
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store

from .options import data_option, json_option, shell_command, table, utc_time
from .token_fields import token_fields

if TYPE_CHECKING:
    from asgi_tunnel_edge.tokens import TokenRecord

__all__ = ["list_tokens"]

_HEAD: Final = ("ID", "NAME", "HOSTNAMES", "CREATED", "EXPIRES", "LAST USED", "STATE", "LIMITS")


@click.command("list")
@data_option
@json_option
def list_tokens(*, data_dir: Path, as_json: bool) -> None:
    """Show all tokens, oldest first. Secrets are not kept and cannot be shown.

    LIMITS are those of the token's own; `token limit` shows all that hold for it.
    """
    config = EdgeConfig.load(data_dir)
    store = Store(config.database_path)
    _, records = store.read()
    used = store.last_used()
    now = time.time()
    if as_json:
        click.echo(json.dumps([token_fields(one, now, used.get(one.id)) for one in records]))
    elif records:
        click.echo(table([_HEAD, *(_row(one, now, used.get(one.id)) for one in records)]))
    else:
        command = shell_command("token", "create", "shop", "--data", data_dir)
        click.echo(f"There are no tokens yet. Make one:  {command}")


def _row(record: TokenRecord, now: float, last_used: int | None) -> tuple[str, ...]:
    return (
        record.id,
        record.name,
        ", ".join(_hostname(record, name) for name in record.hostnames) or "-",
        utc_time(record.created_at),
        "never" if record.expires_at is None else utc_time(record.expires_at),
        "never" if last_used is None else utc_time(last_used),
        record.state(now),
        _limits(record),
    )


def _hostname(record: TokenRecord, name: str) -> str:
    return f"{name} (end to end)" if name in record.end_to_end else name


def _limits(record: TokenRecord) -> str:
    own = [(name, getattr(record.quotas, name)) for name in QUOTA_NAMES]
    return ", ".join(f"{name}={format_quota(name, it)}" for name, it in own if it) or "-"
