"""``asgi-tunnel-edge cert renew``: let a running edge order a certificate again."""

from __future__ import annotations

import json
from pathlib import Path

import click

from asgi_tunnel_edge.errors import EdgeConfigError, shown
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage.acme import AcmeStore

from .options import data_option, json_option, require_acme

__all__ = ["renew"]


@click.command()
@data_option
@json_option
@click.argument("name", required=False)
def renew(*, data_dir: Path, as_json: bool, name: str | None) -> None:
    """Renew the certificate that is for NAME, or all of them.

    A running edge begins within a second; otherwise it does when it starts.
    """
    config = EdgeConfig.load(data_dir)
    require_acme(config)
    store = AcmeStore(config.database_path, config.acme_key_path)
    state = store.load(config.acme.directory)
    known = list(dict.fromkeys([*state.certificates, *state.failures]))
    chosen = [one for one in known if name is None or name in one]
    if not chosen:
        what = "no certificate yet" if name is None else f"no certificate for {shown(name)}"
        fix = "see `asgi-tunnel-edge cert list`; those that are wanted are ordered by themselves"
        raise EdgeConfigError("cert renew", f"there is {what}", fix)
    for names in chosen:
        store.request_renewal(config.acme.directory, names)
    if as_json:
        click.echo(json.dumps([list(names) for names in chosen]))
    else:
        lines = [
            f"{', '.join(names)}: the edge orders it now, or when it starts" for names in chosen
        ]
        click.echo("\n".join(lines))
