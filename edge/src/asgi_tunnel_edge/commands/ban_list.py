"""``asgi-tunnel-edge ban list``: who is banned."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

import click

from asgi_tunnel_edge.ban import BanRecord, ScannerBan, token_of
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store

from .options import data_option, json_option, table, utc_second, utc_time

__all__ = ["list_bans"]

_HEAD: Final = ("ADDRESS", "SINCE", "UNTIL", "BY", "OWNER", "REASON")


@click.command("list")
@data_option
@json_option
def list_bans(*, data_dir: Path, as_json: bool) -> None:
    """Show the bans that hold now, oldest first.

    OWNER is the token whose hostnames an address is banned from by the scanner guard or by the
    token's own app, or nobody, for names that no token has; a ban of yours is for all.
    """
    config = EdgeConfig.load(data_dir)
    now = time.time()
    snapshot = Store(config.database_path).snapshot()
    names = {token.id: token.name for token in snapshot.tokens.values()}
    every: list[BanRecord | ScannerBan] = [*snapshot.bans, *snapshot.scanner_bans]
    bans = sorted((ban for ban in every if not ban.is_over(now)), key=lambda ban: ban.created_at)
    if as_json:
        click.echo(json.dumps([_row(ban, names) for ban in bans]))
    elif not bans:
        click.echo("Nobody is banned.")
    else:
        click.echo(table([_HEAD, *(_cells(ban, names) for ban in bans)]))


def _row(ban: BanRecord | ScannerBan, names: dict[str, str]) -> dict[str, str | None]:
    return {
        "address": ban.address,
        "created_at": utc_second(ban.created_at),
        "expires_at": utc_second(ban.expires_at),
        "by": _by(ban),
        "owner": names.get(_owner(ban) or ""),
        "reason": ban.reason,
    }


def _cells(ban: BanRecord | ScannerBan, names: dict[str, str]) -> tuple[str, ...]:
    owner = _owner(ban)
    return (
        ban.address,
        utc_time(ban.created_at),
        "for ever" if ban.expires_at is None else utc_time(ban.expires_at),
        _by(ban),
        "all" if owner is None else names.get(owner, "nobody"),
        ban.reason,
    )


def _by(ban: BanRecord | ScannerBan) -> str:
    if isinstance(ban, BanRecord):
        return "operator"
    return "scanner" if token_of(ban.owner) is None else "app"


def _owner(ban: BanRecord | ScannerBan) -> str | None:
    """The id of a token; empty: nobody; None: the ban is the operator's."""
    if isinstance(ban, BanRecord):
        return None
    token_id = token_of(ban.owner)
    return ban.owner if token_id is None else token_id
