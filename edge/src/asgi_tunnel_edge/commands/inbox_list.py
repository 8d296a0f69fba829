"""``asgi-tunnel-edge inbox list``: which requests wait for an app, and which it did not take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store

from .inbox_file import opened_inbox
from .options import data_option, json_option, shell_command, size_text, table, utc_time

if TYPE_CHECKING:
    from asgi_tunnel_edge.storage.inbox import InboxRow

__all__ = ["inbox_fields", "list_requests"]

_HEAD: Final = ("ID", "RECEIVED", "TOKEN", "HOSTNAME", "ROUTE", "SIZE", "STATE", "TRIES", "OUTCOME")
SHOWN: Final = 100
"""Requests of the table: the oldest, behind which the others wait."""


@click.command("list")
@click.option("--token", metavar="ID_OR_NAME", help="Only those for its apps.")
@click.option("--failed", is_flag=True, help="Only those that are not delivered any more.")
@data_option
@json_option
def list_requests(*, token: str | None, failed: bool, data_dir: Path, as_json: bool) -> None:
    """Show the requests in the inbox, the oldest first.

    STATE is waiting; or failed: the app refused it (a status below 500), or did not take it in
    inbox.max_attempts deliveries. OUTCOME says what became of the last one.
    """
    config = EdgeConfig.load(data_dir)
    store = Store(config.database_path)
    token_id = None if token is None else store.find_token(token).id
    names = {one.id: one.name for one in store.read()[1]}
    with opened_inbox(config) as inbox:
        rows = [] if inbox is None else inbox.rows(token_id)
    rows = [one for one in rows if not failed or one.state == "failed"]
    if as_json:
        click.echo(json.dumps([inbox_fields(one, names) for one in rows]))
        return
    if not rows:
        click.echo("Nothing is kept.")
        return
    click.echo(table([_HEAD, *(_cells(one, names) for one in rows[:SHOWN])]))
    if len(rows) > SHOWN:
        click.echo(f"\nand {len(rows) - SHOWN} more")
    if any(one.state == "failed" for one in rows):
        retry = shell_command("inbox", "retry", "--failed")
        click.echo(f"\nDeliver those that failed once more with `{retry}`")


def inbox_fields(row: InboxRow, names: dict[str, str]) -> dict[str, object]:
    """What a program gets of one request."""
    return {
        "id": row.id,
        "token": names.get(row.lane.token_id, row.lane.token_id),
        "hostname": row.lane.hostname,
        "rule": row.lane.rule,
        "received_at": utc_time(row.seq / 1e9),
        "size": row.size,
        "state": row.state,
        "attempts": row.attempts,
        "outcome": row.outcome,
    }


def _cells(row: InboxRow, names: dict[str, str]) -> tuple[str, ...]:
    return (
        row.id,
        utc_time(row.seq / 1e9),
        names.get(row.lane.token_id, row.lane.token_id),
        row.lane.hostname,
        row.lane.rule,
        size_text(row.size),
        row.state,
        str(row.attempts),
        row.outcome or "-",
    )
