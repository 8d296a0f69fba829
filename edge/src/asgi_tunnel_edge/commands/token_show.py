"""``asgi-tunnel-edge token show``: what one token is, and when it was used."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asgi_tunnel_edge.address import public_address
from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.quotas import QUOTA_NAMES, format_quota
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store

from .options import data_option, json_option, utc_time
from .token_fields import old_secret_end, token_fields

if TYPE_CHECKING:
    from asgi_tunnel_edge.tokens import TokenRecord

__all__ = ["show"]


@click.command()
@click.argument("token", metavar="ID_OR_NAME")
@data_option
@json_option
def show(*, token: str, data_dir: Path, as_json: bool) -> None:
    """Show one token: its hostnames, times and limits; its secret is not kept.

    A running edge writes when its tokens are used once a minute.
    """
    config = EdgeConfig.load(data_dir)
    store = Store(config.database_path)
    record = store.find_token(token)
    last_used = store.last_used().get(record.id)
    now = time.time()
    if as_json:
        fields = {**token_fields(record, now, last_used), "urls": _urls(config, record)}
        click.echo(json.dumps(fields))
    else:
        click.echo("\n".join(_lines(record, now, last_used)))


def _urls(config: EdgeConfig, record: TokenRecord) -> list[str] | None:
    """Where visitors find its hostnames; None: the edge's port is not known."""
    try:
        address = public_address(config)
    except EdgeConfigError:
        return None
    return [address.visitor_url(host) for host in record.hostnames]


def _lines(record: TokenRecord, now: float, last_used: int | None) -> list[str]:
    def time_of(seconds: int | None, otherwise: str) -> str:
        return otherwise if seconds is None else utc_time(seconds)

    rows = [
        ("state", record.state(now)),
        ("hostnames", ", ".join(record.hostnames) or "none"),
        ("end to end", ", ".join(record.end_to_end) or "none"),
        ("created", utc_time(record.created_at)),
        ("expires", time_of(record.expires_at, "never")),
        ("last used", time_of(last_used, "never")),
    ]
    if record.revoked_at is not None:
        rows.append(("revoked", utc_time(record.revoked_at)))
    if (end := old_secret_end(record, now)) is not None:
        rows.append(("old secret", f"taken until {utc_time(end)}"))
    own = [(name, getattr(record.quotas, name)) for name in QUOTA_NAMES]
    rows += [(name, format_quota(name, value)) for name, value in own if value is not None]
    width = max(len(label) for label, _ in rows)
    return [f"Token {record.name} ({record.id})", ""] + [
        f"  {label:<{width}}  {value}" for label, value in rows
    ]
