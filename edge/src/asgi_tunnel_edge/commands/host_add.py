"""``asgi-tunnel-edge host add``: a token serves more hostnames."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from asgi_tunnel_edge.address import public_address
from asgi_tunnel_edge.hostname import normalise_hostname
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.settings.dashboard import check_not_reserved
from asgi_tunnel_edge.storage import Store

from .door_map import check_no_door
from .options import check_end_to_end, data_option, json_option

__all__ = ["add_hosts"]


@click.command("add")
@click.argument("token", metavar="ID_OR_NAME")
@click.argument("hostnames", metavar="HOST...", nargs=-1, required=True)
@click.option(
    "--end-to-end",
    "is_end_to_end",
    is_flag=True,
    help="Pass the visitors' TLS on to the app: the edge cannot read it.",
)
@click.option(
    "--unchecked", is_flag=True, help="Do not look whether a custom hostname leads to this edge."
)
@data_option
@json_option
def add_hosts(
    *,
    token: str,
    hostnames: tuple[str, ...],
    is_end_to_end: bool,
    unchecked: bool,
    data_dir: Path,
    as_json: bool,
) -> None:
    """Let a token serve more hostnames: HOST, or *.HOST; all that are named, or none.

    A hostname outside of the edge's domain has to lead to this edge: by a CNAME record to the
    domain, or by the same addresses. A running edge and the token's apps serve it within a second;
    the token stays as it is.
    """
    config = EdgeConfig.load(data_dir)
    if is_end_to_end:
        check_end_to_end(config)
    names = list(dict.fromkeys(normalise_hostname(host, wildcard=True) for host in hostnames))
    check_not_reserved(config.dashboard, names, setting="HOST")
    if is_end_to_end:
        check_no_door(config, names)
    store = Store(config.database_path)
    store.check_hostnames(token, names)  # before the DNS is asked: that takes its time
    if not unchecked:
        asyncio.run(_check(config.domain, names))
    record = store.add_hostnames(token, names, end_to_end=is_end_to_end)
    urls = [public_address(config).visitor_url(host) for host in names]
    if as_json:
        result = {
            "id": record.id,
            "name": record.name,
            "hostnames": list(record.hostnames),
            "added": names,
            "urls": urls,
            "end_to_end": list(record.end_to_end),
        }
        click.echo(json.dumps(result))
        return
    click.echo(f"Token {record.name} ({record.id}) serves now, too:\n")
    for url in urls:
        click.echo(f"  {url}")


async def _check(domain: str, names: list[str]) -> None:
    # Here, not above: dnspython takes a tenth of a second, of every command.
    from asgi_tunnel_edge.certificates.dns.lookup import Lookup
    from asgi_tunnel_edge.certificates.dns.pointing import check_pointing, is_below

    lookup = Lookup()
    for name in names:
        if not is_below(name, domain):
            await check_pointing(name, domain, lookup)
