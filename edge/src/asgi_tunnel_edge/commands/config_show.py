"""``asgi-tunnel-edge config show``: the settings that hold, and where each comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click
from click.core import ParameterSource

from asgi_tunnel_edge.settings.check import toml_value
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.settings.survey import effective_settings

from .options import data_option, json_option, table

__all__ = ["show_config"]

_SOURCES: Final = {
    ParameterSource.COMMANDLINE: "option",
    ParameterSource.ENVIRONMENT: "environment",
}


@click.command("show")
@data_option
@json_option
@click.pass_context
def show_config(context: click.Context, /, *, data_dir: Path, as_json: bool) -> None:
    """Show every setting with the value that holds now: from the file, or the default."""
    settings = effective_settings(EdgeConfig.load(data_dir))
    source = context.get_parameter_source("data_dir")
    data_source = "default" if source is None else _SOURCES.get(source, "default")
    if as_json:
        rows: list[dict[str, object]] = [
            {"setting": "data", "value": str(data_dir), "source": data_source}
        ]
        rows += [
            {"setting": one.name, "value": one.value, "source": one.source} for one in settings
        ]
        click.echo(json.dumps(rows))
        return
    lines: list[tuple[str, ...]] = [("SETTING", "VALUE", "FROM")]
    lines.append(("data", str(data_dir), data_source))
    for one in settings:
        value = "-" if one.value is None else toml_value(one.value)
        lines.append((one.name, value, one.source))
    click.echo(table(lines))
