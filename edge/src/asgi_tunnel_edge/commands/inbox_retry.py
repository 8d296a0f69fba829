"""``asgi-tunnel-edge inbox retry``: let requests that failed wait again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from asgi_tunnel_edge.operations import inbox
from asgi_tunnel_edge.settings.config import EdgeConfig

from .inbox_choice import choice_options, chosen
from .options import data_option, json_option, json_text

__all__ = ["retry_requests"]


@click.command("retry")
@choice_options
@data_option
@json_option
def retry_requests(*, data_dir: Path, as_json: bool, **choice: Any) -> None:
    """Let requests that failed wait again: those that are named, or all.

    They are delivered in the order in which they came, with the ids that they had.
    """
    count = inbox.retry_requests(EdgeConfig.load(data_dir), chosen(choice))
    click.echo(json_text({"retried": count}) if as_json else f"{count} will be delivered again.")
