"""``asgi-tunnel-edge store move``: put all that an edge keeps into another database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.running import has_running_edge
from asgi_tunnel_edge.settings.cluster import check_store
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage.moving import MoveStore

from .options import data_option, json_option, shell_command

__all__ = ["move"]

_SCHEME: Final = "postgresql://"


@click.command()
@click.option("--to", "target", metavar="URL", required=True, help="Where it goes; must be empty.")
@click.option("--from", "source", metavar="URL", help="Where it is, if not where the settings say.")
@data_option
@json_option
def move(*, target: str, source: str | None, data_dir: Path, as_json: bool) -> None:
    """Copy tokens, users, certificates and all else into an empty database, and compare each row.

    A URL is postgresql://USER@HOST/DATABASE, or the path of a file for SQLite. All rows arrive, or
    none; the database that they come from stays as it is. Stop the edges that use it first: what
    they change after the copy would be lost.
    """
    config = EdgeConfig.load(data_dir)
    if has_running_edge(data_dir):
        why = f"an edge is running in {data_dir}"
        fix = "stop it, and other edges on the same database: what they change would be lost"
        raise EdgeConfigError("--data", why, fix)
    old = MoveStore(config.database if source is None else _location(source, "--from"))
    new = MoveStore(_location(target, "--to"))
    if old.location == new.location:
        raise EdgeConfigError("--to", f"{new.label} is where the store is", "name another one")
    if isinstance(new.location, Path) and not new.location.parent.is_dir():
        raise EdgeConfigError("--to", f"there is no folder {new.location.parent}", "make it")
    counts = old.move_to(new)
    if as_json:
        click.echo(json.dumps({"from": old.label, "to": new.label, "rows": counts}))
        return
    lines = [f"{new.label} has all {sum(counts.values())} rows of {old.label}. Next:", ""]
    if new.location == config.database:
        lines.append("1. Start the edge:")
    elif isinstance(new.location, str):
        lines += [
            f"1. Write this into {data_dir / 'edge.toml'}, above its first table:",
            f'   store = "{new.location}"',
            "2. Start the edge:",
        ]
    else:
        settings = data_dir / "edge.toml"
        lines.append(f"1. Take `store` out of {settings}; the file is {config.database_path}.")
        lines.append("2. Start the edge:")
    lines.append(f"   {shell_command('run', '--data', data_dir)}")
    if isinstance(old.location, Path):
        lines.append(f"When all is well, delete {old.label}: it holds the keys' ciphertexts, too.")
    click.echo("\n".join(lines))


def _location(text: str, option: str) -> Path | str:
    """A URL as it is, anything else as the path of a file.

    Raises:
        EdgeConfigError: It is a URL of something else, or has a password in it.
    """
    if text.startswith(_SCHEME):
        check_store(text, setting=option)
        return text
    if "://" in text:
        fix = "write postgresql://USER@HOST/DATABASE, or the path of a file"
        raise EdgeConfigError(option, "is no place for a store", fix)
    return Path(text)
