"""``asgi-tunnel-edge service-token create``: let a program pass doors."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asgi_tunnel_edge.access.cookies import ID_FIELD, SECRET_FIELD
from asgi_tunnel_edge.accounts import (
    SERVICE_TOKEN_PREFIX,
    ServiceTokenRecord,
    check_account_name,
)
from asgi_tunnel_edge.address import public_address
from asgi_tunnel_edge.errors import EdgeConfigError, shown
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.tokens import new_secret, secret_digest

from .access_fields import expiry
from .door_map import DoorMap
from .options import data_option, json_option, utc_second, utc_time

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    wanted = tuple(dict.fromkeys(policies))
    _check_policies(config, wanted)
    now = int(time.time())
    secret = new_secret()
    record = ServiceTokenRecord(
        id=f"{SERVICE_TOKEN_PREFIX}{secrets.token_hex(8)}",
        name=check_account_name(name),
        secret_sha256=secret_digest(secret),
        policies=wanted,
        created_at=now,
        expires_at=expiry(expires, now),
    )
    AccessStore(config.database_path).create_service_token(record)
    if as_json:
        document = {
            "id": record.id,
            "secret": secret,
            "name": name,
            "access": list(wanted),
            "expires_at": utc_second(record.expires_at),
        }
        click.echo(json.dumps(document))
    else:
        click.echo(_for_a_person(config, record, secret))


def _check_policies(config: EdgeConfig, names: Sequence[str]) -> None:
    """See that a service token may pass them.

    Raises:
        EdgeConfigError: One is not there, or takes none.
    """
    for name in names:
        policy = config.policies.get(name)
        if policy is None:
            there = ", ".join(config.policies) or "none"
            why = f"there is no [access.{shown(name)}] in edge.toml"
            raise EdgeConfigError("--access", why, f"there are: {there}")
        if "token" not in policy.methods:
            why = f"[access.{name}] takes no service tokens"
            raise EdgeConfigError("--access", why, 'add "token" to its methods')


def _for_a_person(config: EdgeConfig, record: ServiceTokenRecord, secret: str) -> str:
    life = "It does not expire."
    if record.expires_at is not None:
        life = f"It expires on {utc_time(record.expires_at)}."
    pair = [f"{ID_FIELD.decode()}: {record.id}", f"{SECRET_FIELD.decode()}: {secret}"]
    doors = DoorMap.load(config)
    opened = [one for one in doors.hostnames() if doors.has_policy(one, record.policies)]
    host = opened[0].replace("*.", "any.") if opened else config.domain
    url = f"{public_address(config).visitor_url(host)}/"
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
