"""``asgi-tunnel-edge inbox retry``: let requests that failed wait again."""

from __future__ import annotations

import json
from pathlib import Path

import click

from asgi_tunnel_edge.settings.config import EdgeConfig

from .inbox_file import chosen_requests, opened_inbox
from .options import data_option, json_option

__all__ = ["retry_requests"]


@click.command("retry")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--failed", is_flag=True, help="All that failed.")
@click.option("--token", metavar="ID_OR_NAME", help="Of all that failed, those for its apps.")
@data_option
@json_option
def retry_requests(
    *, ids: tuple[str, ...], failed: bool, token: str | None, data_dir: Path, as_json: bool
) -> None:
    """Let requests that failed wait again: those that are named, or all.

    They are delivered in the order in which they came, with the ids that they had.
    """
    config = EdgeConfig.load(data_dir)
    count = 0
    with opened_inbox(config) as inbox:
        chosen = chosen_requests(config, inbox, ids, failed=failed, token=token)
        if inbox is not None:
            with inbox.transaction():
                count = sum(inbox.retry(one) for one in chosen)
    if as_json:
        click.echo(json.dumps({"retried": count}))
    else:
        click.echo(f"{count} will be delivered again.")
