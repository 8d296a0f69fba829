"""``asgi-tunnel-edge token create``: make a token and show it, once."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from asgi_tunnel_edge.operations.tokens import CreatedToken, NewToken, create_token
from asgi_tunnel_edge.quotas import TokenQuotas, parse_quota
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text, quota_options, utc_time

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
@click.option("--owner", default="", metavar="USER", help="Who sees it in the dashboard, too.")
@quota_options
@data_option
@json_option
def create(  # noqa: PLR0913 - one for each option
    *,
    name: str,
    hostnames: tuple[str, ...],
    expires: str | None,
    is_end_to_end: bool,
    owner: str,
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
    quotas = {one: parse_quota(one, text) for one, text in given.items() if text is not None}
    new = NewToken(
        name=name,
        hostnames=hostnames,
        expires=expires,
        end_to_end=is_end_to_end,
        owner=owner,
        limits=TokenQuotas(**quotas),
    )
    created = create_token(config, new)
    for warning in created.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(_for_a_program(created) if as_json else _for_a_person(created))


def _for_a_program(created: CreatedToken) -> str:
    record = created.record
    return json_text(
        {
            "token": created.token.format(),
            "id": record.id,
            "hostnames": record.hostnames,
            "urls": created.urls,
            "end_to_end": record.end_to_end,
        }
    )


def _for_a_person(created: CreatedToken) -> str:
    record = created.record
    if record.expires_at is None:
        life = "It does not expire."
    else:
        life = f"It expires on {utc_time(record.expires_at)}."
    return "\n".join(
        [
            f"Token {record.name} ({record.id}). This is shown only once:",
            "",
            f"export ASGI_TUNNEL_TOKEN={created.token.format()}",
            "",
            f"{life} With it, an app is found at:",
            "",
            *(f"  {url}" for url in created.urls),
            "",
            "On the machine with the app:  asgi-tunnel run module:app",
            *(_END_TO_END if record.end_to_end else ()),
        ]
    )
