"""``asgi-tunnel-edge link create``: show one path to whoever has a link."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import Final
from urllib.parse import quote

import click

from asgi_tunnel_edge.access.doors import ACCESS_PATH, MAX_RETURN
from asgi_tunnel_edge.access.paths import plain_path
from asgi_tunnel_edge.accounts import LinkRecord
from asgi_tunnel_edge.address import public_address
from asgi_tunnel_edge.errors import EdgeConfigError, shown
from asgi_tunnel_edge.hostname import normalise_hostname
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.tokens import new_secret, secret_digest

from .access_fields import expiry, link_fields
from .door_map import DoorMap
from .options import data_option, json_option, utc_time

__all__ = ["create_link"]

MAX_NOTE: Final = 100
"""Characters: a name, and what it is for."""

_PATH: Final = f"{ACCESS_PATH}link/"
_KEPT: Final = "/%~!$&'()*+,=:@-._"  # of a path, as it stands in an address


@click.command("create")
@click.argument("target", metavar="HOST/PATH")
@click.option(
    "--expires", default="7d", metavar="TIME", help='"never", or from now.', show_default=True
)
@click.option(
    "--uses",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    help="Browsers that may open it. [default: any number]",
)
@click.option("--note", default="", metavar="TEXT", help="For whom it is; apps see it, too.")
@data_option
@json_option
def create_link(
    *, target: str, expires: str, uses: int | None, note: str, data_dir: Path, as_json: bool
) -> None:
    """Print a link, once, that lets whoever has it see PATH and what is below.

    It opens the door that stands at PATH. A path below with another policy stays shut.
    """
    config = EdgeConfig.load(data_dir)
    hostname, path = _split(target)
    _check_door(DoorMap.load(config), hostname, path)
    if len(note) > MAX_NOTE or not note.isprintable():
        why = f"expected one line of at most {MAX_NOTE} characters"
        raise EdgeConfigError("--note", why, 'write for example "for aunt Zoe"')
    now = int(time.time())
    secret = new_secret()
    record = LinkRecord(
        id=f"lnk_{secrets.token_hex(8)}",
        secret_sha256=secret_digest(secret),
        hostname=hostname,
        path=path,
        created_at=now,
        expires_at=None if expires == "never" else expiry(expires, now),
        max_uses=uses,
        note=note,
    )
    AccessStore(config.database_path).create_link(record)
    url = f"{public_address(config).visitor_url(hostname)}{_PATH}{secret}"
    if as_json:
        click.echo(json.dumps({**link_fields(record, now), "url": url}))
        return
    until = "it is revoked" if record.expires_at is None else utc_time(record.expires_at)
    often = "" if uses is None else f", for {uses} browser{'s' if uses > 1 else ''}"
    click.echo(f"Link {record.id} to {hostname}{path}, until {until}{often}:\n\n  {url}")


def _split(text: str) -> tuple[str, str]:
    """Take HOST/PATH, or an address from a browser, apart.

    Raises:
        EdgeConfigError: Its path can be read in more than one way, or is too long.
    """
    host, _, rest = text.removeprefix("https://").removeprefix("http://").partition("/")
    path = quote(f"/{rest}", safe=_KEPT)
    plain = plain_path(path.encode())
    if plain is None or len(path) > MAX_RETURN or "?" in rest:
        why = f"the path in {shown(text)} can be read in more than one way, or has a query"
        raise EdgeConfigError("HOST/PATH", why, "write for example photos.example.org/album/7")
    return normalise_hostname(host), path


def _check_door(doors: DoorMap, hostname: str, path: str) -> None:
    """See that a link opens something.

    Raises:
        EdgeConfigError: Nothing is shut there, or links are not taken.
    """
    door = doors.door(hostname)
    policies = () if door is None else door.policies_of(b"GET", path.encode())
    if not policies:
        why = f"{hostname}{path} is open to everybody"
        raise EdgeConfigError("HOST/PATH", why, "give people its address: no link is needed")
    for policy in policies:
        if "link" not in policy.methods:
            why = f"[access.{policy.name}], which stands at {hostname}{path}, takes no links"
            raise EdgeConfigError("HOST/PATH", why, 'add "link" to its methods')
