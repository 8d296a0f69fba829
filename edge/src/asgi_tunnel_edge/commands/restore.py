"""``asgi-tunnel-edge restore``: put an edge back from a backup."""

from __future__ import annotations

import json
from pathlib import Path

import click

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.running import has_running_edge
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, shell_command, utc_second, utc_time

__all__ = ["restore"]


@click.command()
@click.argument(
    "file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@data_option
@json_option
def restore(*, file: Path, data_dir: Path, as_json: bool) -> None:
    """Put the edge in FILE, which `backup` has written, into an empty or new folder.

    Tokens, certificates and hostnames are those of the moment of the backup: apps go on with the
    tokens that they have once the edge's name leads to this machine. Stop the old edge first: two
    of them would order the same certificates.
    """
    if has_running_edge(data_dir):
        why = f"an edge is running in {data_dir}"
        raise EdgeConfigError("--data", why, "stop it, or name an empty folder")
    if data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
        why = f"{data_dir} is not an empty folder, and nothing is overwritten"
        raise EdgeConfigError("--data", why, "name another one, or move away what is there")
    from .archive import read_archive

    manifest = read_archive(file, data_dir)
    for path in manifest.outside:
        click.echo(
            f"warning: {path} was outside of the edge's folder; put it in place before the start",
            err=True,
        )
    if as_json:
        result = {
            "data": str(data_dir),
            "domain": manifest.domain,
            "version": manifest.version,
            "created_at": utc_second(manifest.created_at),
            "files": [one.path for one in manifest.files],
            "outside": manifest.outside,
        }
        click.echo(json.dumps(result))
        return
    config = EdgeConfig.load(data_dir)
    doctor = shell_command("doctor", "--data", data_dir)
    steps = [f"See that nothing is missing here:\n   {doctor}"]
    if config.store is not None:
        new = ("--from", config.database_path, "--to", config.store)
        fill = shell_command("store", "move", *new, "--data", data_dir)
        steps.insert(
            0,
            f"Its database is in {config.database_path}, and the settings name a PostgreSQL, which "
            "restore never touches.\n   Where that one has all its rows, delete the file. "
            f"Otherwise fill it, or an empty one:\n   {fill}",
        )
    steps.append(f"Start it:\n   {shell_command('run', '--data', data_dir)}")
    lines = [f"{number}. {step}" for number, step in enumerate(steps, 1)]
    click.echo(
        f"The edge of {manifest.domain}, as it was on {utc_time(manifest.created_at)}, is in "
        f"{data_dir}. Next:\n\n" + "\n".join(lines)
    )
