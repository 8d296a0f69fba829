"""``asgi-tunnel-edge host maintenance``: close hostnames for visitors, and open them again."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.hostname import normalise_hostname
from asgi_tunnel_edge.maintenance import (
    MAX_ALLOWED,
    MaintenanceRecord,
    check_message,
    parse_until,
)
from asgi_tunnel_edge.network import normalise_network
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store

from .options import data_option, json_option, shell_command, utc_second, utc_time

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
    config = EdgeConfig.load(data_dir)
    now = int(time.time())
    names = [normalise_hostname(host, wildcard=True) for host in hostnames]
    networks = [normalise_network(one, setting="--allow") for one in allowed]
    if len(networks) > MAX_ALLOWED:
        why = f"there are more than {MAX_ALLOWED} addresses"
        raise EdgeConfigError("--allow", why, "name a network in their place")
    records = [
        MaintenanceRecord(
            hostname=name,
            since=now,
            message=check_message(message),
            until=None if until is None else parse_until(until, now=now),
            allow=tuple(dict.fromkeys(networks)),
        )
        for name in dict.fromkeys(names)
    ]
    store = Store(config.database_path)
    _check_readable(store, names)
    store.begin_maintenance(records)
    first = records[0]
    if as_json:
        document = {
            "hostnames": [one.hostname for one in records],
            "since": utc_second(first.since),
            "message": first.message,
            "until": utc_second(first.until),
            "allow": list(first.allow),
        }
        click.echo(json.dumps(document))
        return
    for record in records:
        click.echo(f"{record.hostname} is closed for maintenance.")
    if first.until is not None:
        click.echo(f"Visitors read that you expect to be done at {utc_time(first.until)}.")
    command = shell_command("host", "maintenance", "off", *(one.hostname for one in records))
    click.echo(f"Open it again:  {command}")


def _check_readable(store: Store, names: list[str]) -> None:
    """See that the edge itself can respond to visitors of these hostnames.

    Raises:
        EdgeConfigError: TLS of one ends in the app.
    """
    _, records = store.read()
    for record in records:
        for name in names:
            if name in record.end_to_end:
                why = f"the TLS of {name} ends in the app, so this edge cannot show a page there"
                raise EdgeConfigError("HOST", why, "let the app itself show one")


@click.command("off")
@click.argument("hostnames", metavar="HOST...", nargs=-1, required=True)
@data_option
@json_option
def open_hosts(*, hostnames: tuple[str, ...], data_dir: Path, as_json: bool) -> None:
    """Open hostnames again: all that are named, or none; one that is open stays so.

    A running edge relays their requests within a second.
    """
    config = EdgeConfig.load(data_dir)
    names = [normalise_hostname(host, wildcard=True) for host in hostnames]
    opened = Store(config.database_path).end_maintenance(names)
    if as_json:
        click.echo(json.dumps({"opened": opened}))
        return
    for name in dict.fromkeys(names):
        click.echo(f"{name} is open again." if name in opened else f"{name} was not closed.")
