"""What several subcommands have in common: options, times, commands to type."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from asgi_tunnel_edge.operations.texts import shell_command, utc_second, utc_time
from asgi_tunnel_edge.quotas import QUOTA_NAMES, TokenQuotas, option_of
from asgi_tunnel_edge.settings.check import settings_of
from asgi_tunnel_edge.settings.config import CONFIG_FILE

__all__ = [
    "data_option",
    "default_directory",
    "duration_text",
    "json_option",
    "json_text",
    "quota_options",
    "shell_command",
    "size_text",
    "table",
    "utc_second",
    "utc_time",
]

SYSTEM_DIRECTORY: Final = Path("/var/lib/asgi-tunnel/edge")


def default_directory() -> Path:
    """The folder of every command that is not given one.

    The system's, where it is an edge's or this user may make it; otherwise one of the user's own.
    """
    if (SYSTEM_DIRECTORY / CONFIG_FILE).exists():
        return SYSTEM_DIRECTORY
    own = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    folder = Path(own).expanduser() / "asgi-tunnel" / "edge"
    if (folder / CONFIG_FILE).exists():
        return folder
    return SYSTEM_DIRECTORY if _is_writable(SYSTEM_DIRECTORY) else folder


def _is_writable(folder: Path) -> bool:
    """Whether this user may make a folder: by the first one above it that there is."""
    above = next((one for one in (folder, *folder.parents) if one.is_dir()), folder)
    return os.access(above, os.W_OK)


data_option: Final = click.option(
    "--data",
    "data_dir",
    default=default_directory,
    type=click.Path(path_type=Path),
    metavar="DIR",
    envvar="ASGI_TUNNEL_EDGE_DATA",
    show_envvar=True,
    show_default="/var/lib/asgi-tunnel/edge, or ~/.local/share/asgi-tunnel/edge",
    help="The edge's directory, made by init.",
)

json_option: Final = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for a program."
)


def quota_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one option for each quota; it gets what was typed, or None."""
    settings = settings_of(TokenQuotas)
    for name in reversed(QUOTA_NAMES):
        metavar = "SIZE" if name == "max_memory" else "N"
        title = settings[name].title
        command = click.option(option_of(name), name, metavar=metavar, help=f"{title}.")(command)
    return command


def json_text(result: object) -> str:
    """One JSON document of structs, lists and texts, for a program."""
    return json.dumps(msgspec.to_builtins(result))


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows of text under each other, for a person; the first one is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def duration_text(seconds: float) -> str:
    """How long something lasts, for a person: ``3.1 d``, ``4.0 h``, ``12 s``."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def size_text(count: float) -> str:
    """A number of bytes, for a person: ``812 B``, ``3.4 MiB``."""
    for unit, size in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"
