"""``asgi-tunnel-edge cert list``: which certificates a CA has issued for this edge."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click

from asgi_tunnel_edge.operations import certificates
from asgi_tunnel_edge.operations.certificates import CertificateView, require_acme
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text, shell_command, table, utc_time
from .running import is_running

__all__ = ["list_certificates"]

_HEAD: Final = ("NAMES", "ISSUER", "EXPIRES", "RENEWAL", "STATE")


@click.command("list")
@data_option
@json_option
def list_certificates(*, data_dir: Path, as_json: bool) -> None:
    """Show the certificates from the CA: those there are, and those that are still wanted."""
    config = EdgeConfig.load(data_dir)
    require_acme(config)
    found = certificates.list_certificates(config)
    if as_json:
        click.echo(json_text(found))
        return
    click.echo(table([_HEAD, *map(_row, found)]))
    for one in found:
        if one.error:
            click.echo(f"\n{', '.join(one.names)}: {one.error}")
            when = str(one.retry_at)
            click.echo(f"next try: {'now' if when <= utc_time(time.time()) else when}")
    if any(one.state in ("failing", "wanted") for one in found) and not is_running(data_dir):
        start = shell_command("run", "--data", data_dir)
        click.echo(f"\nNo edge runs here, and so nothing is ordered; start it with `{start}`")


def _row(one: CertificateView) -> tuple[str, ...]:
    return (
        ", ".join(one.names),
        one.issuer or "-",
        one.not_after or "-",
        one.renew_at or "-",
        one.state,
    )
