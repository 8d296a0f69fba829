"""``asgi-tunnel-edge service-token create``: let a program pass doors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asgi_tunnel_edge.access.cookies import ID_FIELD, SECRET_FIELD
from asgi_tunnel_edge.address import door_url
from asgi_tunnel_edge.operations import service_tokens
from asgi_tunnel_edge.operations.doors import DoorMap
from asgi_tunnel_edge.operations.service_tokens import NewServiceToken
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text, utc_second, utc_time

if TYPE_CHECKING:
    from asgi_tunnel_edge.accounts import ServiceTokenRecord

__all__ = ["create_service_token"]


@click.command("create")
@click.argument("name")
@click.option(
    "--access",
    "policies",
    multiple=True,
    required=True,
    metavar="POLICY",
    help="An [access.NAME] that it passes; may be repeated.",
)
@click.option("--expires", metavar="TIME", help="90d, 12h or 30m from now. [default: never]")
@data_option
@json_option
def create_service_token(
    *, name: str, policies: tuple[str, ...], expires: str | None, data_dir: Path, as_json: bool
) -> None:
    """Make a service token named NAME, and show it once: a program sends it in place of a login.

    As two fields of each request, or as name and password (HTTP Basic), which phone apps and
    WebDAV clients can send.
    """
    config = EdgeConfig.load(data_dir)
    new = NewServiceToken(name=name, access=policies, expires=expires)
    done = service_tokens.create_service_token(config, new)
    record = done.record
    if as_json:
        document = {
            "id": record.id,
            "secret": done.secret,
            "name": record.name,
            "access": record.policies,
            "expires_at": utc_second(record.expires_at),
        }
        click.echo(json_text(document))
    else:
        click.echo(_for_a_person(config, record, done.secret))


def _for_a_person(config: EdgeConfig, record: ServiceTokenRecord, secret: str) -> str:
    life = "It does not expire."
    if record.expires_at is not None:
        life = f"It expires on {utc_time(record.expires_at)}."
    pair = [f"{ID_FIELD.decode()}: {record.id}", f"{SECRET_FIELD.decode()}: {secret}"]
    doors = DoorMap.load(config)
    opened = [one for one in doors.hostnames() if doors.has_policy(one, record.policies)]
    host = opened[0].replace("*.", "any.") if opened else config.domain
    url = f"{door_url(config, host)}/"
    return "\n".join(
        [
            f"Service token {record.name} ({record.id}). The secret is shown only once.",
            "",
            "As two fields of each request:",
            "",
            *(f"  {one}" for one in pair),
            "",
            "With curl:",
            "",
            f"  curl -H '{pair[0]}' -H '{pair[1]}' {url}",
            "",
            "Where a program asks for a name and a password (HTTP Basic: WebDAV, phone apps):",
            "",
            f"  name:      {record.id}",
            f"  password:  {secret}",
            "",
            f"{life} It passes {', '.join(record.policies)}, at:",
            "",
            *(f"  {one}" for one in opened or ["no hostname yet"]),
        ]
    )
