"""``asgi-tunnel-edge inbox list``: which requests wait for an app, and which it did not take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from asgi_tunnel_edge.operations import inbox
from asgi_tunnel_edge.operations.inbox import kept_view
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text, shell_command, size_text, table, utc_time

if TYPE_CHECKING:
    from asgi_tunnel_edge.storage.inbox import InboxRow

__all__ = ["list_requests"]

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
    rows = inbox.list_requests(EdgeConfig.load(data_dir), token=token, failed=failed)
    if as_json:
        click.echo(json_text([kept_view(*one) for one in rows]))
        return
    if not rows:
        click.echo("Nothing is kept.")
        return
    click.echo(table([_HEAD, *(_cells(*one) for one in rows[:SHOWN])]))
    if len(rows) > SHOWN:
        click.echo(f"\nand {len(rows) - SHOWN} more")
    if any(one.state == "failed" for one, _ in rows):
        retry = shell_command("inbox", "retry", "--failed")
        click.echo(f"\nDeliver those that failed once more with `{retry}`")


def _cells(row: InboxRow, token: str) -> tuple[str, ...]:
    return (
        row.id,
        utc_time(row.seq / 1e9),
        token,
        row.lane.hostname,
        row.lane.rule,
        size_text(row.size),
        row.state,
        str(row.attempts),
        row.outcome or "-",
    )
