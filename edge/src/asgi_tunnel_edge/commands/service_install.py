"""``asgi-tunnel-edge service install``: write the unit that lets systemd run this edge.

The unit's text is ``asgi-tunnel-edge.service`` beside this file; docs/howto/vps.md shows the same.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from asgi_tunnel_edge.errors import EdgeConfigError, shown
from asgi_tunnel_edge.files import write_atomically
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["install", "render_unit"]

_UNIT: Final = "asgi-tunnel-edge.service"
_PLAIN: Final = re.compile(r"[A-Za-z0-9/._+@-]+")
"""What a unit takes as it is; systemd gives quotes, spaces and percent signs a meaning."""

_READABLE: Final = 0o644  # as every unit: there is no secret in it


@click.command()
@click.option("--user", default="asgi-tunnel", show_default=True, help="Who the edge runs as.")
@click.option(
    "--unit",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("/etc/systemd/system") / _UNIT,
    show_default=True,
    metavar="FILE",
    help="Where the unit is written.",
)
@click.option("--dry-run", is_flag=True, help="Show the unit, and write nothing.")
@click.option("--force", is_flag=True, help="Overwrite a unit with other text.")
@data_option
@json_option
def install(
    *, user: str, unit: Path, dry_run: bool, force: bool, data_dir: Path, as_json: bool
) -> None:
    """Write a systemd unit for this edge, and say which commands come next.

    A unit that is there with other text, perhaps yours, stays as it is without --force.
    """
    config = EdgeConfig.load(data_dir)
    text = render_unit(
        user=user, program=_program(), data=data_dir.absolute(), writes=_written_folders(config)
    )
    there = unit.read_text("utf-8") if unit.exists() else None
    is_new = there != text
    if is_new and there is not None and not force and not dry_run:
        click.echo(_difference(there, text), err=True)
        why = f"{unit} is there, with other text than the one that is wanted"
        raise EdgeConfigError("--unit", why, "give --force to overwrite it")
    if is_new and not dry_run:
        write_atomically(unit, text.encode(), mode=_READABLE)
    following = _next_commands(user, data_dir.absolute())
    if as_json:
        result = {
            "unit": str(unit),
            "text": text,
            "written": is_new and not dry_run,
            "next": following,
        }
        click.echo(json.dumps(result))
    elif dry_run:
        click.echo(text, nl=False)
    else:
        said = f"{unit} is written." if is_new else f"{unit} is there already, with this text."
        click.echo("\n   ".join([f"{said} Next, as root:", *following]))


def render_unit(*, user: str, program: Sequence[object], data: Path, writes: Sequence[Path]) -> str:
    """Return the text of the unit.

    Args:
        user: Who the edge runs as.
        program: The command, without ``run``.
        data: The edge's folder, absolute.
        writes: Folders that it writes.

    Raises:
        EdgeConfigError: A name has characters that mean something in a unit.
    """
    for setting, value in [
        ("--user", user),
        ("--data", data),
        *(("ExecStart", word) for word in program),
        *(("ReadWritePaths", path) for path in writes),
    ]:
        if not _PLAIN.fullmatch(str(value)):
            why = f"{shown(str(value))} has characters that mean something else in a unit"
            raise EdgeConfigError(setting, why, "use a path of letters, digits and /._+@-")
    from importlib.resources import files

    template = files("asgi_tunnel_edge.commands").joinpath(_UNIT).read_text("utf-8")
    return template.format(
        user=user,
        program=" ".join(map(str, program)),
        data=data,
        writes=" ".join(map(str, writes)),
    )


def _program() -> list[object]:
    """The command of this installation; a link to it, as in a virtual environment, stays one."""
    script = Path(sys.executable).parent / "asgi-tunnel-edge"
    return [script] if script.exists() else [sys.executable, "-m", "asgi_tunnel_edge"]


def _written_folders(config: EdgeConfig) -> list[Path]:
    folders = [config.data_dir.absolute()]
    log = config.access_log_path
    if log is not None and not log.absolute().is_relative_to(folders[0]):
        folders.append(log.absolute().parent)
    return folders


def _next_commands(user: str, data: Path) -> list[str]:
    commands = []
    if os.name == "posix":
        import pwd

        try:
            owner = pwd.getpwnam(user).pw_uid
        except KeyError:
            home = data.parent
            commands.append(f"useradd --system --home-dir {home} --create-home {user}")
            owner = None
        if data.stat().st_uid != owner:
            commands.append(f"chown -R {user}: {data}")
    return [
        *commands,
        "systemctl daemon-reload",
        "systemctl enable --now asgi-tunnel-edge",
        "journalctl -u asgi-tunnel-edge -f",
    ]


def _difference(there: str, wanted: str) -> str:
    import difflib

    lines = difflib.unified_diff(
        there.splitlines(), wanted.splitlines(), "there", "wanted", lineterm="", n=0
    )
    return "\n".join(lines)
