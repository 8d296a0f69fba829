"""``asgi-tunnel-edge host maintenance``: close hostnames for visitors, and open them again."""

from __future__ import annotations

from pathlib import Path

import click

from asgi_tunnel_edge.operations import hosts
from asgi_tunnel_edge.operations.hosts import NewMaintenance
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text, shell_command, utc_second, utc_time

__all__ = ["close_hosts", "open_hosts"]


@click.command("on")
@click.argument("hostnames", metavar="HOST...", nargs=-1, required=True)
@click.option("--message", default="", metavar="TEXT", help="What visitors read on the page.")
@click.option(
    "--until", metavar="TIME", help="When you expect to be done: 90m, 2h or 2026-11-30T06:00Z."
)
@click.option(
    "--allow", "allowed", multiple=True, metavar="ADDRESS", help="Let it in; may be repeated."
)
@data_option
@json_option
def close_hosts(
    *,
    hostnames: tuple[str, ...],
    message: str,
    until: str | None,
    allowed: tuple[str, ...],
    data_dir: Path,
    as_json: bool,
) -> None:
    """Close hostnames for visitors: all that are named, or none.

    New requests get 503 and a page that says so, within a second; what has begun goes on, and apps
    keep their tunnels. It stays like this until `host maintenance off`, also when the time of
    --until is over. A second `on` takes the place of the first.
    """
    new = NewMaintenance(message=message, until=until, allow=allowed)
    records = hosts.close_hosts(EdgeConfig.load(data_dir), hostnames, new)
    first = records[0]
    if as_json:
        document = {
            "hostnames": [one.hostname for one in records],
            "since": utc_second(first.since),
            "message": first.message,
            "until": utc_second(first.until),
            "allow": first.allow,
        }
        click.echo(json_text(document))
        return
    for record in records:
        click.echo(f"{record.hostname} is closed for maintenance.")
    if first.until is not None:
        click.echo(f"Visitors read that you expect to be done at {utc_time(first.until)}.")
    command = shell_command("host", "maintenance", "off", *(one.hostname for one in records))
    click.echo(f"Open it again:  {command}")


@click.command("off")
@click.argument("hostnames", metavar="HOST...", nargs=-1, required=True)
@data_option
@json_option
def open_hosts(*, hostnames: tuple[str, ...], data_dir: Path, as_json: bool) -> None:
    """Open hostnames again: all that are named, or none; one that is open stays so.

    A running edge relays their requests within a second.
    """
    opened = hosts.open_hosts(EdgeConfig.load(data_dir), hostnames)
    if as_json:
        names = [name for name, was_closed in opened.items() if was_closed]
        click.echo(json_text({"opened": names}))
        return
    for name, was_closed in opened.items():
        click.echo(f"{name} is open again." if was_closed else f"{name} was not closed.")
