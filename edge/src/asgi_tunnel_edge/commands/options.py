"""What several subcommands have in common: options, times, commands to type."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

__all__ = ["data_option", "json_option", "shell_command", "table", "utc_minute", "utc_second"]

data_option: Final = click.option(
    "--data",
    "data_dir",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    envvar="ASGI_TUNNEL_EDGE_DATA",
    show_envvar=True,
    help="The edge's directory, made by init.",
)

json_option: Final = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for a program."
)


def shell_command(*words: object) -> str:
    """A command of this program, ready to paste."""
    return shlex.join(["asgi-tunnel-edge", *map(str, words)])


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows of text under each other, for a person; the first one is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def utc_minute(seconds: float) -> str:
    """A time for a person: ``2026-11-23 07:01``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def utc_second(seconds: float | None) -> str | None:
    """A time for a program: ``2026-11-23T07:01:00Z``; None stays None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
