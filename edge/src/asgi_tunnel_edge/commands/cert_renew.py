"""``asgi-tunnel-edge cert renew``: order a certificate again, or change the edge's own."""

from __future__ import annotations

from pathlib import Path

import click

from asgi_tunnel_edge.certificates.internal import InternalCertificate, next_certificate
from asgi_tunnel_edge.errors import EdgeConfigError, shown
from asgi_tunnel_edge.operations.certificates import (
    change_own_certificate,
    order_again,
    require_acme,
)
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text

__all__ = ["renew"]


@click.command()
@data_option
@json_option
@click.argument("name", required=False)
def renew(*, data_dir: Path, as_json: bool, name: str | None) -> None:
    """Renew the certificate that is for NAME, or all of them.

    A running edge begins within a second; otherwise it does when it starts.

    The edge's own certificate gives way to the next one, which was made ahead and which apps know
    already: no app is touched, and no token.
    """
    config = EdgeConfig.load(data_dir)
    if config.tls.mode == "internal":
        if name is not None:
            why = f"{shown(name)} has no certificate of its own: this edge has one for all names"
            raise EdgeConfigError("cert renew", why, "leave the name out")
        click.echo(_change_own(config, as_json=as_json))
        return
    require_acme(config)
    click.echo(_order_again(config, name, as_json=as_json))


def _order_again(config: EdgeConfig, name: str | None, *, as_json: bool) -> str:
    chosen = order_again(config, name)
    if as_json:
        return json_text(chosen)
    return "\n".join(
        f"{', '.join(names)}: the edge orders it now, or when it starts" for names in chosen
    )


def _change_own(config: EdgeConfig, *, as_json: bool) -> str:
    files = InternalCertificate(certificate=config.certificate_path, key=config.key_path)
    done = change_own_certificate(config)
    if as_json:
        return json_text(done)
    if not done.changed:
        return (
            f"There was no next certificate; {next_certificate(files).certificate} is one now. The "
            "edge tells its apps of it within seconds, or when it starts. Once all of them have "
            "been connected, run this again: it is shown then."
        )
    return (
        f"{files.certificate} is the one that was made ahead, and a running edge shows it within "
        "seconds. Apps that were connected since it was made know it, and hear of the next one "
        "now. An app that was not needs a new token, `asgi-tunnel-edge token create`; leave days "
        "between two changes for those that are away."
    )
