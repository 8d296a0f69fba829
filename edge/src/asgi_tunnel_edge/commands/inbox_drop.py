"""``asgi-tunnel-edge inbox drop``: forget requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from asgi_tunnel_edge.operations import inbox
from asgi_tunnel_edge.settings.config import EdgeConfig

from .inbox_choice import choice_options, chosen
from .options import data_option, json_option, json_text

__all__ = ["drop_requests"]


@click.command("drop")
@choice_options
@data_option
@json_option
def drop_requests(*, data_dir: Path, as_json: bool, **choice: Any) -> None:
    """Forget requests: those that are named, or all that failed; no app gets them any more.

    One that is on its way to the app at this moment may still arrive.
    """
    count = inbox.drop_requests(EdgeConfig.load(data_dir), chosen(choice))
    click.echo(json_text({"dropped": count}) if as_json else f"{count} are forgotten.")
