"""``asgi-tunnel-edge backup``: one file that holds the whole edge."""

from __future__ import annotations

import json
from pathlib import Path

import click

from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, shell_command

__all__ = ["backup"]


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@data_option
@json_option
def backup(*, file: Path, data_dir: Path, as_json: bool) -> None:
    """Copy the whole edge into FILE, which must not exist; the edge may run meanwhile.

    Settings, the database (tokens as hashes, bans, the ACME account, certificates), the edge's own
    certificate and all keys. Whoever can read FILE can be this edge: it is mode 0600, keep it so.
    """
    config = EdgeConfig.load(data_dir)
    from .archive import write_archive

    manifest = write_archive(config, file)
    for path in manifest.outside:
        click.echo(
            f"warning: {path} is outside of {data_dir} and is not in the backup; copy it by itself",
            err=True,
        )
    if as_json:
        result = {
            "file": str(file),
            "size": file.stat().st_size,
            "files": [one.path for one in manifest.files],
            "outside": manifest.outside,
        }
        click.echo(json.dumps(result))
        return
    click.echo(
        f"{file} holds the edge of {manifest.domain}, {len(manifest.files)} files, with all keys. "
        f"On another machine:\n   {shell_command('restore', file, '--data', data_dir)}"
    )
