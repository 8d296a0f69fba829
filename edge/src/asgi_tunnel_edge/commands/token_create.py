"""``asgi-tunnel-edge token create``: make a token and show it, once."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from asgi_tunnel_edge.address import public_address
from asgi_tunnel_edge.hostname import normalise_hostname
from asgi_tunnel_edge.quotas import TokenQuotas, parse_quota
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.settings.dashboard import check_not_reserved
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import (
    TokenRecord,
    check_name,
    new_token_id,
    parse_duration,
    secret_digest,
)

from .door_map import check_no_door
from .issuing import issue_token
from .options import (
    check_end_to_end,
    data_option,
    json_option,
    quota_options,
    quota_warnings,
    utc_time,
)

if TYPE_CHECKING:
    from asgi_tunnel.token import Token

__all__ = ["create"]

_END_TO_END: Final = (
    "",
    "It is end to end: TLS ends in the app, and the edge sees names and sizes, and no contents.",
    'The app needs `pip install "asgi-tunnel[end-to-end]"` and a certificate of its own: it gets',
    "one by itself with ASGI_TUNNEL_ACME_EMAIL=YOU@EXAMPLE.ORG, or reads the files that you name",
    "in ASGI_TUNNEL_CERTIFICATE and ASGI_TUNNEL_KEY. What the edge cannot do for it: guards that",
    "read requests (rate, origins, scanner), max_body and max_time, a line in the log for each",
    "request, and a page while the app is away: visitors then see a failed connection.",
    "Bans, limits of connections and of slow readers, and the shares of visitors still hold.",
)


@click.command()
@click.argument("name")
@click.option(
    "--hostname",
    "hostnames",
    multiple=True,
    metavar="HOST",
    help="What the token may serve; may be repeated, may be *.HOST. [default: NAME.DOMAIN]",
)
@click.option("--expires", metavar="TIME", help="90d, 12h or 30m from now. [default: never]")
@click.option(
    "--end-to-end",
    "is_end_to_end",
    is_flag=True,
    help="Pass the visitors' TLS on to the app: the edge cannot read it.",
)
@quota_options
@data_option
@json_option
def create(
    *,
    name: str,
    hostnames: tuple[str, ...],
    expires: str | None,
    is_end_to_end: bool,
    data_dir: Path,
    as_json: bool,
    **given: str | None,
) -> None:
    """Make a token named NAME and show it, once.

    A hostname belongs to one token until that is revoked, or `host rm` takes it; an expired token
    keeps its own. Limits
    that are not given are those of edge.toml; `token limit` changes them later.
    """
    config = EdgeConfig.load(data_dir)
    check_name(name)
    if is_end_to_end:
        check_end_to_end(config)
    wanted = hostnames or (f"{name}.{config.domain}",)
    names = list(dict.fromkeys(normalise_hostname(host, wildcard=True) for host in wanted))
    check_not_reserved(config.dashboard, names, setting="--hostname")
    if is_end_to_end:
        check_no_door(config, names)
    lifetime = None if expires is None else parse_duration(expires, setting="--expires")
    quotas = TokenQuotas(
        **{one: parse_quota(one, text) for one, text in given.items() if text is not None}
    )
    address = public_address(config)
    token = issue_token(config, new_token_id())
    now = int(time.time())
    record = TokenRecord(
        id=token.id,
        name=name,
        secret_sha256=secret_digest(token.secret),
        hostnames=tuple(names),
        created_at=now,
        expires_at=None if lifetime is None else now + lifetime,
        quotas=quotas,
        end_to_end=tuple(names) if is_end_to_end else (),
    )
    Store(config.database_path).create_token(record)
    for warning in quota_warnings(config, quotas):
        click.echo(f"warning: {warning}", err=True)
    urls = [address.visitor_url(host) for host in names]
    if as_json:
        result = {
            "token": token.format(),
            "id": token.id,
            "hostnames": names,
            "urls": urls,
            "end_to_end": list(record.end_to_end),
        }
        click.echo(json.dumps(result))
    else:
        click.echo(_for_a_person(token, record, urls))


def _for_a_person(token: Token, record: TokenRecord, urls: list[str]) -> str:
    if record.expires_at is None:
        life = "It does not expire."
    else:
        life = f"It expires on {utc_time(record.expires_at)}."
    return "\n".join(
        [
            f"Token {record.name} ({record.id}). This is shown only once:",
            "",
            f"export ASGI_TUNNEL_TOKEN={token.format()}",
            "",
            f"{life} With it, an app is found at:",
            "",
            *(f"  {url}" for url in urls),
            "",
            "On the machine with the app:  asgi-tunnel run module:app",
            *(_END_TO_END if record.end_to_end else ()),
        ]
    )
