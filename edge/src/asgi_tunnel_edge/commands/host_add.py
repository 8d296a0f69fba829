"""``asgi-tunnel-edge host add``: a token serves more hostnames."""

from __future__ import annotations

from pathlib import Path

import click

from asgi_tunnel_edge.operations import hosts
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text

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
    done = hosts.add_hosts(config, token, hostnames, end_to_end=is_end_to_end, unchecked=unchecked)
    record = done.record
    if as_json:
        result = {
            "id": record.id,
            "name": record.name,
            "hostnames": record.hostnames,
            "added": done.added,
            "urls": done.urls,
            "end_to_end": record.end_to_end,
        }
        click.echo(json_text(result))
        return
    click.echo(f"Token {record.name} ({record.id}) serves now, too:\n")
    for url in done.urls:
        click.echo(f"  {url}")
