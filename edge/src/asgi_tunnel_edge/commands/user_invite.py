"""``asgi-tunnel-edge user invite``: a link with which a user sets a password or makes a passkey."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

import click

from asgi_tunnel_edge.access.doors import ACCESS_PATH
from asgi_tunnel_edge.address import public_address
from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.hostname import normalise_hostname
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.storage.users import MAX_INVITATION
from asgi_tunnel_edge.tokens import new_secret, parse_duration, secret_digest

from .door_map import DoorMap
from .options import data_option, json_option, utc_second, utc_time

__all__ = ["invite"]

_PATH: Final = f"{ACCESS_PATH}invite/"


@click.command()
@click.argument("name")
@click.option("--expires", default="7d", metavar="TIME", help="From now.", show_default=True)
@click.option(
    "--host",
    metavar="HOST",
    help="Where it leads; a passkey works there only. [default: the only one]",
)
@data_option
@json_option
def invite(*, name: str, expires: str, host: str | None, data_dir: Path, as_json: bool) -> None:
    """Print a link, once, with which NAME sets a password or makes a passkey.

    It works once. A new invitation takes the place of the one before; whoever has the link can
    log in as NAME, so send it to nobody else.
    """
    config = EdgeConfig.load(data_dir)
    lifetime = parse_duration(expires, setting="--expires")
    if lifetime > MAX_INVITATION:
        why = "an invitation lives for at most 7 days"
        raise EdgeConfigError("--expires", why, "make a new one when it is over")
    hostname = _hostname(DoorMap.load(config), host)
    secret = new_secret()
    until = int(time.time()) + lifetime
    AccessStore(config.database_path).invite(name, secret_digest(secret), expires_at=until)
    url = f"{public_address(config).visitor_url(hostname)}{_PATH}{secret}"
    if as_json:
        click.echo(json.dumps({"name": name, "url": url, "expires_at": utc_second(until)}))
        return
    click.echo(f"For {name} alone, once, until {utc_time(until)}:\n\n  {url}")


def _hostname(doors: DoorMap, host: str | None) -> str:
    """Where an invitation leads.

    Raises:
        EdgeConfigError: It has no door, or several could be meant.
    """
    if host is not None:
        name = normalise_hostname(host)
        if doors.door(name) is None:
            why = f"{name} has no door"
            raise EdgeConfigError("--host", why, 'write access = "NAME" for it in edge.toml')
        return name
    names = [name for name in doors.hostnames() if doors.door(name) and not name.startswith("*.")]
    if len(names) != 1:
        why = f"{len(names)} hostnames have a door" if names else "no hostname has a door yet"
        fix = "name one of them" if names else "see docs/howto/access.md"
        raise EdgeConfigError("--host", why, fix)
    return names[0]
